"""The smallest bundles, written as an export writes them."""

from __future__ import annotations

from pathlib import Path

from exporter.pipeline.bundle_writer import bundle_directory, describe_files, write_manifest
from s2t_runtime.bundles.bundle import GRAPH_NAMES, open_bundle
from s2t_runtime.bundles.manifest import AudioInfo, DecoderInfo, GraphInfo, Manifest, ModelInfo, PrecisionInfo


def fill(directory: Path, text: str = "new") -> None:
    """The smallest bundle that the runtime opens; ``text`` tells one from another."""
    (directory / "fp32").mkdir()
    for name in GRAPH_NAMES:
        (directory / "fp32" / f"{name}.onnx").write_text(f"{text} {name}", encoding="utf-8")
    encoder, first, past = (GraphInfo(f"fp32/{name}.onnx", (), ()) for name in GRAPH_NAMES)
    manifest = Manifest(
        format_version=1,
        model=ModelInfo(text, None, "SpeechEncoderDecoderModel", "wav2vec2", "mbart", 1, None, None),
        audio=AudioInfo(16000, 400, 480000, padding_safe=False),
        graphs={"fp32": PrecisionInfo(encoder, first, past)},
        files=describe_files(directory),
        default_precision="fp32",
        decoder=DecoderInfo(1, 1, 1, 10, None, "shared", 10),
        generation={},
        languages={},
        detokenizer=None,
        provenance={},
    )
    write_manifest(manifest, directory)


def export(target: Path, text: str = "new", *, force: bool = False) -> None:
    with bundle_directory(target, force=force) as directory:
        fill(directory, text)


def name_of(bundle: Path) -> str:
    """Of the model in a bundle, once every file of it was found whole."""
    return open_bundle(bundle, verify="full").manifest.model.id
