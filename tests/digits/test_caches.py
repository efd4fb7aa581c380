"""The decoder graphs of the digits bundle, and what becomes of their caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from support.digits.scale import RATE, Waveform

from s2t_runtime import SpeechToText
from s2t_runtime.sessions.onnxruntime.session import DecoderState


def _first_step_feeds(model: SpeechToText, several: list[Waveform], prompt: np.ndarray) -> dict[str, Any]:
    session = model._session
    assert session is not None
    parts = [session.encode(w[None], np.array([len(w)], dtype=np.int64)) for w in several]
    encoded = session.stack(parts)
    # Copies: what numpy() shows of an OrtValue made from an array goes with the OrtValue.
    cross = {
        name: value.numpy().copy() for name, value in zip(session._cross_names, encoded.cross, strict=True)
    }
    tokens = np.tile(prompt, (len(several), 1, 1)).astype(np.int64)
    candidates = np.array(11, dtype=np.int64)
    return {
        "input_ids": tokens,
        "encoder_mask": encoded.mask.numpy().copy(),
        **cross,
        "candidates": candidates,
    }


@pytest.mark.parametrize("prompt", [[2], [2, 9, 40, 41]])
@pytest.mark.parametrize("utterances", [1, 3])
def test_past_of_length_zero_is_the_first_step(
    model: SpeechToText, digits_bundle: Path, waveforms: list[Waveform], prompt: list[int], utterances: int
) -> None:
    feeds = _first_step_feeds(model, waveforms[:utterances], np.array(prompt))
    first = _run(digits_bundle / "fp32" / "decoder_first_step.onnx", feeds)
    decoder = model.manifest.decoder
    empty = np.empty((utterances, decoder.heads, 0, decoder.head_dim), dtype=np.float32)
    past = {f"past_{kind}.{layer}": empty for layer in range(decoder.layers) for kind in ("key", "value")}
    rows = np.arange(utterances, dtype=np.int64)[:, None]
    later = _run(digits_bundle / "fp32" / "decoder_with_past.onnx", {**feeds, **past, "beam_index": rows})
    assert set(first) == set(later)
    np.testing.assert_array_equal(first["candidate_ids"], later["candidate_ids"])
    for name in set(first) - {"candidate_ids"}:
        assert first[name].shape == later[name].shape
        np.testing.assert_allclose(first[name], later[name], rtol=0, atol=2e-5)
    assert first["present_key.0"].shape == (utterances, decoder.heads, len(prompt), decoder.head_dim)


def _run(path: Path, feeds: dict[str, Any]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("utterances", [1, 3])
def test_caches_never_become_numpy_arrays(
    model: SpeechToText, waveforms: list[Waveform], monkeypatch: pytest.MonkeyPatch, utterances: int
) -> None:
    caches: list[dict[str, Any]] = []
    read: list[list[int]] = []
    step, numpy = DecoderState.__call__, ort.OrtValue.numpy

    def stepped(self: DecoderState, *arguments: Any, **keywords: Any) -> Any:
        caches.append(self.past)
        monkeypatch.setattr(ort.OrtValue, "numpy", watched)
        try:
            return step(self, *arguments, **keywords)
        finally:
            monkeypatch.setattr(ort.OrtValue, "numpy", numpy)

    def watched(self: ort.OrtValue) -> Any:
        read.append(self.shape())
        return numpy(self)

    monkeypatch.setattr(DecoderState, "__call__", stepped)
    model.generate(
        waveforms[:utterances], sampling_rate=RATE, num_beams=5, min_new_tokens=4, max_new_tokens=24
    )
    assert len(caches) > 2
    for length, cache in enumerate(caches):
        beams = 5 if length > 1 else 1
        shape = [utterances * beams, model.manifest.decoder.heads, length, model.manifest.decoder.head_dim]
        assert all(isinstance(value, ort.OrtValue) and value.shape() == shape for value in cache.values())
    # Log-probabilities and ids of the candidates, and nothing else.
    assert len(read) == 2 * len(caches)
    assert all(len(shape) == 3 for shape in read)
