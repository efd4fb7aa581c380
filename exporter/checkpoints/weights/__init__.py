"""A checkpoint's weights from whatever files hold them.

Given: files of weights, and a model to name them for. Tensors under torch's names leave.
"""
