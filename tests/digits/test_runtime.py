"""The runtime on the digits bundle: sources of audio, batches, threads, stopping, closing."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from support.digits.scale import RATE, Waveform
from support.digits.steps import recorded_steps

import s2t_runtime
from exporter.reference.probe_audio import probe_utterance
from s2t_runtime import ClosedError, Result, SpeechToText

BEAMS: dict[str, Any] = {"num_beams": 5, "num_return_sequences": 5, "max_new_tokens": 24}


def _found(result: Result) -> list[tuple[tuple[int, ...], float]]:
    return [(hypothesis.tokens, hypothesis.score) for hypothesis in result.hypotheses]


# --- many at once


def test_eight_threads_share_one_model(model: SpeechToText, waveforms: list[Waveform]) -> None:
    def decode(turn: int) -> list[tuple[tuple[int, ...], float]]:
        waveform = waveforms[turn % len(waveforms)]
        beams = {**BEAMS, "num_beams": 3 + turn % 3, "num_return_sequences": 3}
        return _found(
            model.generate(waveform, sampling_rate=RATE, forced_bos_token_id=4 + turn % 12, **beams)
        )

    turns = range(24)
    one_by_one = [decode(turn) for turn in turns]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(decode, turns)) == one_by_one


def test_a_list_gives_a_list(model: SpeechToText, waveforms: list[Waveform]) -> None:
    assert model.generate([], sampling_rate=RATE) == []
    alone = model.generate(waveforms[0], sampling_rate=RATE, **BEAMS)
    for several in ([waveforms[0]], (waveforms[0],)):
        (only,) = model.generate(several, sampling_rate=RATE, **BEAMS)
        assert _found(only) == _found(alone)
        assert only.text == alone.text


# --- sources of audio


def _file(samples: np.ndarray, rate: int, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype="FLOAT" if kind == "WAV" else None)
    return buffer.getvalue()


def test_every_source_of_the_same_audio_gives_the_same(model: SpeechToText, tmp_path: Path) -> None:
    at_8_khz = probe_utterance(1.6, 8000, 5)
    at_16_khz = soxr.resample(at_8_khz, 8000, RATE, quality="HQ").astype(np.float32)
    path = tmp_path / "speech.wav"
    path.write_bytes(_file(at_16_khz, RATE))
    read_on = io.BytesIO(b"before" + path.read_bytes())
    read_on.seek(6)
    sources: dict[str, Any] = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "file object": read_on,
        "8 kHz": _file(at_8_khz, 8000),
        "8 kHz stereo": _file(np.stack([at_8_khz, at_8_khz], axis=1), 8000),
        "stereo": _file(np.stack([at_16_khz * 1.5, at_16_khz * 0.5], axis=1), RATE),
    }
    wanted = model.generate(at_16_khz, sampling_rate=RATE, language="de", **BEAMS)
    for name, source in sources.items():
        result = model.generate(source, language="de", **BEAMS)
        assert result.text == wanted.text, name
        assert [h.tokens for h in result.hypotheses] == [h.tokens for h in wanted.hypotheses], name
        assert result.score == pytest.approx(wanted.score, abs=1e-4), name
        assert result.audio_s == pytest.approx(1.6), name
    array = model.generate(at_8_khz, sampling_rate=8000, language="de", **BEAMS)
    assert _found(array) == _found(wanted)
    with path.open("rb") as file:
        assert _found(model.generate(file, language="de", **BEAMS)) == _found(wanted)


def test_a_result_says_language_times_and_length(model: SpeechToText, waveforms: list[Waveform]) -> None:
    result = model.generate(waveforms[0], sampling_rate=RATE, language="ja", **BEAMS)
    assert result.language == "ja"
    assert model.generate(waveforms[0], sampling_rate=RATE, forced_bos_token_id=4).language == "de"
    assert model.generate(waveforms[0], sampling_rate=RATE).language == model.plan().language
    assert result.audio_s == pytest.approx(len(waveforms[0]) / RATE)
    assert set(result.timings_s) == {"encoder", "first_step", "decode", "total"}
    parts = [seconds for name, seconds in result.timings_s.items() if name != "total"]
    assert min(parts) > 0
    assert result.timings_s["total"] >= sum(parts)
    best = result.hypotheses[0]
    assert (result.text, result.tokens, result.score) == (best.text, best.tokens, best.score)
    assert not result.stopped


# --- stopping and closing


@pytest.mark.parametrize("options", [{"num_beams": 1}, {**BEAMS, "early_stopping": False}])
def test_stop_is_asked_before_every_step_but_the_first(
    model: SpeechToText, waveforms: list[Waveform], options: dict[str, Any]
) -> None:
    asked: list[bool] = []
    with recorded_steps() as steps:
        whole = model.generate(
            waveforms[0], sampling_rate=RATE, stop=lambda: bool(asked.append(False)), **options
        )
    assert len(asked) == len(steps) - 1
    assert not whole.stopped
    assert _found(whole) == _found(model.generate(waveforms[0], sampling_rate=RATE, **options))


def _stopped(model: SpeechToText, waveform: Waveform, after: int, **options: Any) -> Result:
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) >= after

    return model.generate(waveform, sampling_rate=RATE, stop=stop, **options)


@pytest.mark.parametrize("after", [1, 3])
def test_stopping_returns_what_is_there(model: SpeechToText, waveforms: list[Waveform], after: int) -> None:
    waveform = waveforms[0]
    # Without an end token, so that there is something to stop.
    language = {"language": "de", "max_new_tokens": 24, "forced_eos_token_id": (), "suppress_tokens": (2,)}
    whole = model.generate(waveform, sampling_rate=RATE, num_beams=1, **language)
    greedy = _stopped(model, waveform, after, num_beams=1, **language)
    assert greedy.stopped
    assert greedy.tokens == whole.tokens[: 1 + after]
    assert greedy.hypotheses[0].log_probs == whole.hypotheses[0].log_probs[:after]
    beams = {"num_beams": 5, "early_stopping": False}
    found = _stopped(model, waveform, after, **language, **beams)
    limited = model.generate(waveform, sampling_rate=RATE, **{**language, **beams, "max_new_tokens": after})
    assert found.stopped
    assert (found.tokens, found.score) == (limited.tokens, limited.score)


def test_a_stopped_batch_returns_every_utterance(model: SpeechToText, waveforms: list[Waveform]) -> None:
    results = _stopped(model, waveforms[:3], 2, min_new_tokens=4, **BEAMS)  # type: ignore[arg-type]
    assert [result.stopped for result in results] == [True] * 3
    assert all(len(h.log_probs) <= 2 for result in results for h in result.hypotheses)


def test_a_closed_model_refuses(digits_bundle: Path, waveforms: list[Waveform]) -> None:
    with s2t_runtime.load(digits_bundle, threads=1) as model:
        assert model.generate(waveforms[1], sampling_rate=RATE).tokens
    for audio in (waveforms[1], [waveforms[1]], []):
        with pytest.raises(
            ClosedError, match=r"^this SpeechToText is closed; load the bundle again to go on decoding$"
        ):
            model.generate(audio, sampling_rate=RATE)
    model.close()  # once more does no harm
