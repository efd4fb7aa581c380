"""config.json as it was published -> as today's classes can read it, or what it is instead."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoints import speech2text2
from exporter.checkpoints.adapters import adapter_files
from exporter.checkpoints.json_files import read_json
from exporter.checkpoints.own_code import code_reasons
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, UnsupportedModelError
from s2t_runtime.bundles.verification import MANIFEST_NAME

MODEL_TYPE = "speech-encoder-decoder"
PARTS = ("encoder", "decoder")

_OURS = (
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_flash_attn_2_enabled",
)
"""How attention is computed is the graphs' business: every implementation computes the same."""
_CTC = "an encoder with a CTC head, and no decoder writes its text: optimum-cli export onnx takes it"
_OTHERS = {
    "whisper": "Whisper: optimum-cli export onnx, faster-whisper and whisper.cpp take it",
    "speech_to_text": "Speech2TextForConditionalGeneration, a class of its own: optimum-cli export onnx takes it",
    "speecht5": "SpeechT5, a class of its own: optimum-cli export onnx takes it",
    "seamless_m4t": "SeamlessM4T, a class of its own: run it in transformers",
    "seamless_m4t_v2": "SeamlessM4T v2, a class of its own: run it in transformers",
    "moonshine": "Moonshine, a class of its own: optimum-cli export onnx takes it",
    "vision-encoder-decoder": "VisionEncoderDecoderModel, which reads images: optimum-cli export onnx takes it",
    "encoder-decoder": "EncoderDecoderModel, which reads text: optimum-cli export onnx takes it",
}
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class RawConfig:
    """A config.json of a SpeechEncoderDecoderModel."""

    document: dict[str, Any]
    reasons: tuple[str, ...]
    """Why it cannot be exported."""


def read_raw_config(files: CheckpointFiles) -> RawConfig:
    """Read config.json, and put what today's classes want in the place of what they no longer know.

    Raises:
        CheckpointError: it is missing, no JSON, or describes no encoder or no decoder.
        UnsupportedModelError: it is that of another class; the message says which and where to go.
    """
    document = copy.deepcopy(read_config_json(files))
    kind = document.get("model_type")
    if kind != MODEL_TYPE:
        raise UnsupportedModelError(files.source, [_other_class(document), *code_reasons(files.directory)])
    absent = [part for part in PARTS if not isinstance(document.get(part), dict)]
    if absent:
        # transformers would put default configurations in their place.
        raise CheckpointError(
            f"{files.directory / 'config.json'} describes no {' and no '.join(absent)}: save the model again"
        )
    reasons = [_quantised(where, held) for where, held in _levels(document).items() if _is_quantised(held)]
    reasons += _misspelt_adapter(document["encoder"])
    for held in _levels(document).values():
        for name in _OURS:
            held.pop(name, None)
        if "return_dict" in held:
            held["return_dict"] = True
    if document["decoder"].get("model_type") == speech2text2.MODEL_TYPE:
        document["decoder"] = speech2text2.as_marian(document["decoder"])
        reasons += _start_is_padding(document)
    return RawConfig(document, tuple(reasons))


def read_config_json(files: CheckpointFiles) -> dict[str, Any]:
    """config.json as it is.

    Raises:
        CheckpointError: it is missing or no JSON; where a folder below has one, that is said.
    """
    if not (files.directory / "config.json").is_file():
        if (files.directory / MANIFEST_NAME).is_file():
            raise CheckpointError(
                f"{files.source} has no config.json: it is a bundle already, and `run-s2t {files.source} AUDIO` "
                "decodes; give the checkpoint that it was made from, or add a precision to it with `export-s2t "
                f"--add-precision PRECISION {files.source}`"
            )
        inner = _checkpoints_below(files.directory)
        if inner:
            raise CheckpointError(
                f"{files.source} has no config.json, but {len(inner)} checkpoint{'s' if len(inner) > 1 else ''} below "
                f"it: give {Path(files.source) / inner[-1]}"
            )
        adapter = adapter_files(files.directory)
        if adapter:
            raise CheckpointError(
                f"{files.source} has no config.json, but an adapter ({', '.join(adapter)}): load it on its model with "
                "peft, call merge_and_unload() and save_pretrained(), and give that directory"
            )
    return read_json(files, "config.json")


def _checkpoints_below(directory: Path) -> list[str]:
    found = [path for path in directory.iterdir() if (path / "config.json").is_file()]
    return sorted(
        (path.name for path in found),
        key=lambda name: (int(match[1]) if (match := _CHECKPOINT.fullmatch(name)) else -1, name),
    )


def _other_class(document: Mapping[str, Any]) -> str:
    kind, classes = document.get("model_type"), document.get("architectures")
    class_name = str(classes[0]) if isinstance(classes, list) and classes else ""
    wanted = f"export-s2t takes {MODEL_TYPE!r} (SpeechEncoderDecoderModel)"
    if isinstance(kind, str) and kind.replace("_", "-") == MODEL_TYPE:
        return f"config.json has model_type {kind!r}; {wanted}: write it so"
    if class_name.endswith("ForCTC"):
        return f"config.json has model_type {kind!r}; {wanted}. This is {class_name}, {_CTC}"
    if str(kind).endswith(MODEL_TYPE):
        return (
            f"config.json has model_type {kind!r}; {wanted}. This is a subclass of it with parts of its own: save the "
            "SpeechEncoderDecoderModel in it with save_pretrained(), if that decodes without them"
        )
    known = _OTHERS.get(str(kind))
    return f"config.json has model_type {kind!r}; {wanted}" + (f". This is {known}" if known else "")


def _levels(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"config.json": document, **{f"{part} of config.json": document[part] for part in PARTS}}


def _is_quantised(held: Mapping[str, Any]) -> bool:
    return bool(held.get("quantization_config"))


def _quantised(where: str, held: Mapping[str, Any]) -> str:
    settings = held["quantization_config"]
    method = settings.get("quant_method") if isinstance(settings, Mapping) else None
    return (
        f"{where} has a quantization_config ({method or 'bitsandbytes'}), so the weights are quantised already, and an "
        "export starts from floating weights: export the model that was quantised, and ask for --precision int8; or "
        "load this one where its library runs, dequantize() and save_pretrained()"
    )


def _misspelt_adapter(encoder: Mapping[str, Any]) -> list[str]:
    """The spelling of wav2vec2's adapter before transformers 4.13, which published it; today's classes pass it over."""
    if not encoder.get("add_adaptor") or "add_adapter" in encoder:
        return []
    return [
        "the encoder of config.json has add_adaptor, which transformers spells add_adapter since 4.13, as it does the "
        "weights of these layers: take a newer revision of the checkpoint (facebook/wav2vec2-xls-r-300m-en-to-15 has "
        "one)"
    ]


def _start_is_padding(document: Mapping[str, Any]) -> list[str]:
    start = document.get("decoder_start_token_id", document["decoder"].get("decoder_start_token_id"))
    padding = document["decoder"].get("pad_token_id")
    if start is None or start != padding:
        return []
    return [
        f"decoder_start_token_id {start} is pad_token_id too: a Speech2Text2 decoder gives padding no position, and "
        "which one its first token has would depend on the options of each call; name another start token"
    ]
