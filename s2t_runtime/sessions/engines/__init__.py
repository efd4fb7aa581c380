"""Decodes with TensorRT engines: which set, which profile, which memory; no call of CUDA.

Given: a bundle, and an executor that runs engines: that of TensorRT, or a double in tests.
Open to: benchmarks, exporter, s2t_runtime.commands, s2t_runtime.sessions.tensorrt.

Goes out:
    choice: EngineHost, check_plans, check_unreplaced, choose_engines, engine_precision, find_engines
    engine_set: EngineSet
    executor: Block, NUMPY_TYPES, Place, Program
    session: EngineSession
    targets: RTX_TARGETS, gpu_problem, rtx_supports, target_of
"""
