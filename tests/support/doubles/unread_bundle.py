"""A bundle of a few bytes that can be opened and not loaded: its graphs are words."""

from __future__ import annotations

import hashlib
from pathlib import Path

from s2t_runtime.bundles.bundle import GRAPH_NAMES
from s2t_runtime.bundles.manifest import (
    FORMAT_VERSION,
    AudioInfo,
    DecoderInfo,
    FileInfo,
    GraphInfo,
    Manifest,
    ModelInfo,
    PrecisionInfo,
)

FILES = {
    "fp32/encoder.onnx": "the encoder",
    "fp32/decoder_first_step.onnx": "the first step",
    "fp32/decoder_with_past.onnx": "with past",
    "fp32/decoder.onnx.data": "weights",
    "vocabulary.bin": "words",
}


def file_info(path: Path) -> FileInfo:
    return FileInfo(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


def write_manifest(root: Path) -> None:
    encoder, first, past = (GraphInfo(f"fp32/{name}.onnx", (), ()) for name in GRAPH_NAMES)
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        model=ModelInfo("a/b", None, "SpeechEncoderDecoderModel", "wav2vec2", "mbart", 1, None, None),
        audio=AudioInfo(16000, 400, 480000, padding_safe=False),
        graphs={"fp32": PrecisionInfo(encoder, first, past)},
        files={path.relative_to(root).as_posix(): file_info(path) for path in paths},
        default_precision="fp32",
        decoder=DecoderInfo(1, 1, 1, 10, None, "shared", 10),
        generation={},
        languages={},
        detokenizer=None,
        provenance={},
    )
    (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")


def write_bundle(root: Path) -> None:
    """Files and manifest."""
    for relative, text in FILES.items():
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).write_text(text, encoding="utf-8")
    write_manifest(root)
