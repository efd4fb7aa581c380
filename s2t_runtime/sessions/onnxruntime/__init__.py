"""Sessions of ONNX Runtime, with any of its providers; session alone imports onnxruntime.

Comes in: an opened bundle and the name of a provider.

Goes out:
    int8_overflow: EXACT_PRODUCTS, products_overflow
    providers: version_problem
    session: OnnxSession, runtime_description
"""
