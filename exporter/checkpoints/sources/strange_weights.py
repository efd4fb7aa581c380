"""Names what stands in the place of weights that could be read, by the names of the files and folders alone."""

from __future__ import annotations

import re
from collections.abc import Collection

from exporter.checkpoints.sources.weight_files import WEIGHT_FILES

_SHARD = re.compile(r"((?:pytorch_|flax_)?model)-\d{5}-of-\d{5}\.(safetensors|bin|msgpack)")
_INDEX = {"safetensors": "model.safetensors.index.json", "bin": "pytorch_model.bin.index.json"}
_KINDS = (
    (
        r"tf_model.*\.h5",
        "TensorFlow weights: load it with transformers 4 and from_tf=True, then save_pretrained()",
    ),
    (
        r".*\.ckpt(\.index|\.meta|\.data-.*)|checkpoint",
        "TensorFlow weights: load it with transformers 4 and from_tf=True, then save_pretrained()",
    ),
    (
        r"global_step\d+|zero_to_fp32\.py|.*zero_pp_rank.*",
        "a DeepSpeed ZeRO checkpoint: run its zero_to_fp32.py, which writes pytorch_model.bin",
    ),
    (
        r"pytorch_model_fsdp.*|.*\.distcp",
        "an FSDP checkpoint in parts: join them with `accelerate merge-weights`",
    ),
    (
        r"adapter_model\.(safetensors|bin)",
        "an adapter without its model: load both with peft, merge_and_unload() and save_pretrained()",
    ),
    (r".*\.gguf", "GGUF weights: start from the weights that they were made from"),
    (r".*\.onnx", "graphs and no weights: start from the checkpoint that they were made from"),
    (
        r".*\.(nemo|ckpt)",
        "another framework's weights: load them in transformers, then save_pretrained()",
    ),
    (
        r".*\.(safetensors|bin|pt|pth)(\.gz)?",
        f"weights under another name: rename it to {WEIGHT_FILES[0]} (safetensors) or {WEIGHT_FILES[2]} (PyTorch), "
        "uncompressed, if it holds the whole model",
    ),
)
_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state.*)\.(bin|pt|pth)")
"""What a trainer leaves beside the weights."""


def strange_weights(names: Collection[str]) -> str | None:
    """What the files are, and what to do with them; None where nothing looks like weights.

    Args:
        names: of files and folders of a checkpoint that has none of ``WEIGHT_FILES``.
    """
    ordered = sorted(name for name in names if not _NO_WEIGHTS.fullmatch(name))
    shards = [(name, match) for name in ordered if (match := _SHARD.fullmatch(name))]
    if shards:
        name, match = shards[0]
        index = _INDEX.get(match[2], "flax_model.msgpack.index.json")
        return f"{name} is a shard, and the index {index} is not there: fetch it too, or save the model again"
    for pattern, what in _KINDS:
        for name in ordered:
            if re.fullmatch(pattern, name):
                return f"{name} holds {what}"
    return None
