"""Names of the files that hold a checkpoint's weights."""

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "flax_model.msgpack",
    "flax_model.msgpack.index.json",
)
"""Weights that are read, the preferred ones first; transformers has the same order."""
