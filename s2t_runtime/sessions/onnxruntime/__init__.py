"""Sessions of ONNX Runtime, with any of its providers; session alone imports onnxruntime.

Given: an opened bundle and the name of a provider.
Open to: benchmarks, exporter, s2t_runtime.commands, s2t_runtime.sessions.

Goes out:
    int8_overflow: EXACT_PRODUCTS, products_overflow
    linked_weights: linked_weights
    providers: version_problem
    session: OnnxSession, runtime_description
    spinning: spinning
"""
