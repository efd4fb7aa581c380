"""Errors of the export's inner stages, which a sound checkpoint never meets."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.tiny.models import Pair
from transformers import MBartForCausalLM, SpeechEncoderDecoderModel

from exporter import export_checkpoint
from exporter.errors import CheckpointError, GraphError, ParityError, UnsupportedModelError
from exporter.onnx.export import onnx_from_graph
from exporter.onnx.graph_exports import GraphExport
from exporter.onnx.session import GraphRunner
from exporter.options import ExportOptions
from exporter.parity import check as parity
from exporter.parity.report import ParityReport
from exporter.pipeline import export_checkpoint as pipeline
from graphs import DecoderGeometry, GraphSignature


def export_of(module: torch.nn.Module) -> GraphExport:
    return GraphExport(GraphSignature("encoder", (), ()), module, (torch.ones(3),), {"values": {}})


class DataDependent(torch.nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values if values.sum() > 0 else -values


def test_a_module_that_cannot_be_traced() -> None:
    with pytest.raises(GraphError, match=r"^torch\.onnx\.export cannot translate the encoder graph: "):
        onnx_from_graph(export_of(DataDependent()))


def test_an_export_that_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: None)
    with pytest.raises(GraphError, match=r"^torch\.onnx\.export returned nothing for the encoder graph$"):
        onnx_from_graph(export_of(DataDependent()))


def test_a_decoder_that_fails_in_eager_is_refused_before_tracing(
    digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(MBartForCausalLM, "forward", without_a_cache(MBartForCausalLM.forward))
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("traced all the same"))
    with pytest.raises(UnsupportedModelError) as caught:
        export_checkpoint(str(digits_checkpoint), ExportOptions(output=tmp_path / "bundle"))
    assert caught.value.reasons == (
        "decoder 'mbart' (MBartForCausalLM) fails in eager PyTorch when it decodes encoder states with a cache "
        "(ValueError: no step with a cache): fine-tune with a decoder that decodes in eager, for example mbart, bart, "
        "bert, roberta or gpt2",
    )
    assert not (tmp_path / "bundle").exists()


def test_a_decoder_that_eager_cannot_load_again_is_refused(tmp_path: Path) -> None:
    """from_pretrained leaves TrOCR's sinusoidal table without numbers, and its forward fails; built anew it works."""
    Pair("wav2vec2-group", "trocr-sinusoidal").save(tmp_path / "checkpoint")
    eager = SpeechEncoderDecoderModel.from_pretrained(tmp_path / "checkpoint")
    with pytest.raises(NotImplementedError, match="meta tensor"):
        eager.generate(torch.zeros((1, 800)), max_new_tokens=2)
    with pytest.raises(UnsupportedModelError) as caught:
        export_checkpoint(str(tmp_path / "checkpoint"), ExportOptions(output=tmp_path / "bundle"))
    (reason,) = caught.value.reasons
    assert reason.startswith(
        "decoder 'trocr' (TrOCRForCausalLM) fails in eager PyTorch when it decodes encoder states with a cache "
        "(NotImplementedError: Cannot copy out of meta tensor"
    )


def without_a_cache(forward: Any) -> Any:
    @functools.wraps(forward)
    def refusing(self: Any, *arguments: Any, past_key_values: Any = None, **named: Any) -> Any:
        if past_key_values is not None:
            raise ValueError("no step with a cache\nand more")
        return forward(self, *arguments, **named)

    return refusing


def test_graphs_that_onnx_runtime_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"^ONNX Runtime cannot load encoder\.onnx: "):
        GraphRunner(tmp_path / "encoder.onnx")


def test_graphs_that_onnx_runtime_cannot_run(digits_bundle: Path) -> None:
    import numpy as np

    feeds = {"audio": np.zeros((1, 1), dtype=np.float32), "audio_lengths": np.array([1])}
    message = "ONNX Runtime failed in encoder.onnx on audio [1, 1], audio_lengths [1]: "
    with pytest.raises(GraphError, match=f"^{re.escape(message)}"):
        GraphRunner(digits_bundle / "fp32" / "encoder.onnx").run(feeds)


def test_another_models_checkpoint(digits_bundle: Path) -> None:
    import s2t_runtime

    with s2t_runtime.load(digits_bundle, threads=1) as model:
        message = (
            "the checkpoint's decoder (layers, heads, head_dim, vocabulary) is (1, 2, 3, 4), the bundle's "
            "(3, 4, 40, 400): give the checkpoint that the bundle was exported from"
        )
        with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
            parity.check_same_model(model.manifest.decoder, DecoderGeometry(1, 2, 3, 4, None))


def test_too_many_ties_write_no_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Undecided(ParityReport):
        @property
        def passed(self) -> bool:
            return False

    monkeypatch.setattr(pipeline, "check_parity", lambda *_, **__: Undecided("fp32", "cpu", {}, (), ()))
    message = (
        "the exported graphs do not decode as eager PyTorch does, so no bundle was written (--no-check "
        "writes it all the same): too many ties"
    )
    bundle: Any = SimpleNamespace(root=tmp_path)
    with pytest.raises(ParityError, match=f"^{re.escape(message)}$"):
        pipeline._prove(SimpleNamespace(), ExportOptions(output=tmp_path / "bundle"), bundle, [])  # type: ignore[arg-type]
