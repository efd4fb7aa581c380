"""NVIDIA's libraries: what loads and runs engines on a GPU; libraries alone imports them.

Given: an opened bundle, and a set of engines that was chosen for this machine.
Open to: benchmarks, s2t_runtime.commands, s2t_runtime.sessions.

Goes out:
    libraries: cuda_python_problem, open_engines, tensorrt_versions
"""
