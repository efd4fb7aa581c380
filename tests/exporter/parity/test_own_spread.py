"""Encoders without an attention mask, which raise the rounding of padded frames to full scale: taken, and watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny.decoders import tiny_decoder
from support.tiny.models import save_checkpoint
from transformers import AutoConfig, AutoModel, GenerationConfig, SpeechEncoderDecoderModel

import graphs.encoder.graph
from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.onnx.session import GraphRunner
from exporter.onnx.write_graphs import write_encoder
from exporter.parity.differences import OWN_SPREAD_TIMES, RELATIVE_TOLERANCE
from exporter.parity.graphs import _Comparison
from exporter.reference.audio_limits import min_samples
from exporter.reference.eager import EagerReference
from exporter.reference.own_spread import own_spread
from exporter.reference.probe_audio import probe_utterance
from graphs import decoder_geometry

RATE = 16000
ENCODER: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 40,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "group", "layerdrop": 0.0, "apply_spec_augment": False,
}  # fmt: skip
KINDS = {"wav2vec2-conformer": {"position_embeddings_type": "rotary"}, "unispeech": {}}


def made(kind: str, gain: float, directory: Path) -> Checkpoint:
    torch.manual_seed(0)
    encoder = AutoModel.from_config(AutoConfig.for_model(kind, **{**ENCODER, **KINDS[kind]}))
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(gain)
    model: Any = SpeechEncoderDecoderModel(encoder=encoder, decoder=tiny_decoder("gpt2")).eval()
    model.generation_config = GenerationConfig(decoder_start_token_id=0, pad_token_id=1, eos_token_id=2)
    save_checkpoint(model, directory, return_attention_mask=False)
    return load_checkpoint(locate_checkpoint(str(directory)))


class Masked(EagerReference):
    """Eager that is told of the padding, which this checkpoint's is not: a mask error, from the other side."""

    def features(self, waveforms: Any) -> dict[str, torch.Tensor]:
        found = super().features(waveforms)
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        mask = torch.arange(found["input_values"].shape[1])[None, :] < lengths[:, None]
        return {**found, "attention_mask": mask.long()}


def encoder_rows(reference: EagerReference, folder: Path) -> dict[str, Any]:
    geometry = decoder_geometry(reference.model.decoder)
    comparison = _Comparison(reference, geometry, RELATIVE_TOLERANCE["fp32"], ())
    comparison.encode(folder / "encoder.onnx", min_samples(reference.checkpoint))
    return {name: differences.summary() for name, differences in comparison.rows.items()}


def write(checkpoint: Checkpoint, folder: Path) -> None:
    geometry, shortest = decoder_geometry(checkpoint.model.decoder), min_samples(checkpoint)
    write_encoder(checkpoint, geometry, min_samples=shortest, max_samples=10 * RATE, directory=folder)


def is_explained(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether the graph is as near to eager, in each frame, as rounding of the features would explain."""
    reference = EagerReference(checkpoint)
    waveforms = [probe_utterance(length_s, RATE, 3).astype(np.float32) for length_s in (1.9, 0.6, 1.3)]
    encoding = reference.encode(waveforms)
    own, _ = own_spread(reference, waveforms, encoding)
    audio = np.zeros((3, len(waveforms[0])), dtype=np.float32)
    for row, waveform in enumerate(waveforms):
        audio[row, : len(waveform)] = waveform
    lengths = np.array([len(waveform) for waveform in waveforms])
    outputs = GraphRunner(folder / "encoder.onnx", ()).run({"audio": audio, "audio_lengths": lengths})
    difference = np.abs(outputs["encoder_states"] - encoding.states.numpy())
    return bool((difference <= OWN_SPREAD_TIMES * own.numpy()).all())


@contextmanager
def plain_group_norms(_encoder: Any) -> Iterator[None]:
    yield


@pytest.mark.broad
@pytest.mark.parametrize("gain", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_good_one_is_taken_and_a_mask_error_is_not(kind: str, gain: float, tmp_path: Path) -> None:
    checkpoint = made(kind, gain, tmp_path / "checkpoint")
    write(checkpoint, tmp_path)
    good, planted = (encoder_rows(one(checkpoint), tmp_path) for one in (EagerReference, Masked))
    assert all(row.passed for row in good.values())
    assert not planted["encoder_states"].passed
    # Tighter than the check, which has to take graphs of trained models of 24 layers too.
    assert is_explained(checkpoint, tmp_path)


@pytest.mark.broad
def test_the_runtimes_own_group_norm_would_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It adds up frame by frame: the states of silent frames are off by more than eager's spread explains."""
    monkeypatch.setattr(graphs.encoder.graph, "exact_group_norms", plain_group_norms)
    checkpoint = made("wav2vec2-conformer", 2.0, tmp_path / "checkpoint")
    write(checkpoint, tmp_path)
    assert not is_explained(checkpoint, tmp_path)
