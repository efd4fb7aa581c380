"""Bad audio and bad options on the digits bundle: each gets its own clear message."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from support.digits.scale import RATE, Waveform

from exporter.reference.probe_audio import probe_utterance
from s2t_runtime import AudioError, OptionError, SpeechToText


def _silence(samples: int) -> Waveform:
    return np.zeros(samples, dtype=np.float32)


def test_bad_audio_is_refused(model: SpeechToText, waveforms: list[Waveform]) -> None:
    least, most = model.manifest.audio.min_samples, model.manifest.audio.max_samples
    wanted, limit = f"{least} samples ({1000 * least / RATE:.1f} ms)", f"{most / RATE:.2f} s ({most} samples)"
    with_faults = np.array([0.1] * 700 + [np.nan, np.inf] + [0.1] * 700, dtype=np.float32)
    for bad, message in (
        (_silence(0), f"the audio is empty (0 samples), wanted at least {wanted}: check the recording"),
        (_silence(least - 1), f" is shorter than the encoder's minimum of {wanted}: record longer or pad"),
        (_silence(most + 1), f" is longer than the bundle's limit of {limit}: cut the recording into pieces"),
        (with_faults, "2 of 1402 samples are NaN or infinite, the first at index 700, wanted finite samples"),
    ):
        for audio in (bad, [waveforms[0], bad]):
            with pytest.raises(AudioError, match=re.escape(message)):
                model.generate(audio, sampling_rate=RATE)


def test_the_shortest_audio_is_decoded(model: SpeechToText) -> None:
    shortest = probe_utterance(model.manifest.audio.min_samples / RATE, RATE, 3)
    result = model.generate(shortest, sampling_rate=RATE, language="de", max_new_tokens=4, num_beams=2)
    assert result.tokens[:2] == (2, model.manifest.languages["de"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"language": "tlh"},
            "^unknown language 'tlh'; known: ar, ca, cy, de, es, fr, id, ja, lv, sl, sv, tr; pass a known one",
        ),
        (
            {"language": "de", "forced_bos_token_id": 9},
            "^language 'de' is token 4, but forced_bos_token_id is 9",
        ),
        (
            {"language": "de", "decoder_prompt_ids": (2, 9)},
            "^language or forced_bos_token_id cannot be applied after a prompt of 2 tokens.*"
            "put the language token into decoder_prompt_ids instead$",
        ),
        ({"num_beams": 0}, "^num_beams is 0, wanted an integer of at least 1; "),
        (
            {"num_beams": 2, "num_return_sequences": 3},
            "^num_return_sequences 3 is more than num_beams 2, wanted at most one sequence per beam; ",
        ),
        (
            {"max_length": 130},
            "^max_length 130 ",
        ),
        (
            {"max_new_tokens": 4, "min_new_tokens": 9},
            "^a minimum length of 10 tokens is more than the maximum",
        ),
        (
            {"suppress_tokens": (400,)},
            "^suppress_tokens has token 400, wanted ids from 0 to 399; correct the id$",
        ),
        ({"beams": 5}, "^unknown decoding options: beams; the known ones are bad_words_ids, "),
        (
            {"temperature": 0.5},
            "^temperature 0.5 would be ignored: tokens are not drawn, because do_sample is not set; pass ",
        ),
        (
            {"stop_strings": "."},
            "^stop_strings is not supported: it looks at text while decoding; pass eos_tok",
        ),
    ],
)
def test_bad_options_are_refused(
    model: SpeechToText, waveforms: list[Waveform], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        model.generate(waveforms[0], sampling_rate=RATE, **options)


def test_samples_need_their_rate(model: SpeechToText, waveforms: list[Waveform]) -> None:
    with pytest.raises(OptionError, match=r"^sampling_rate is required with an array: pass the rate of its"):
        model.generate(waveforms[0])
    with pytest.raises(OptionError, match=r"^audio holds float values; each utterance must be a path"):
        model.generate([0.1, 0.2], sampling_rate=RATE)  # type: ignore[list-item]
