"""The requests: files of the asked lengths, a fixed number of tokens, and what the bundle does not take."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import soundfile

from benchmarks.errors import BenchmarkError
from benchmarks.tasks import make_tasks, request_of
from s2t_runtime.bundle import Bundle, open_bundle


@pytest.fixture(scope="module")
def bundle(digits_bundle: Path) -> Bundle:
    return open_bundle(digits_bundle)


def test_every_length_with_every_number_of_beams(bundle: Bundle, tmp_path: Path) -> None:
    tasks = make_tasks(bundle, tmp_path, (0.5, 2.0), (1, 5), 7)
    assert [task.name for task in tasks] == ["0.5 s, 1 beam", "0.5 s, 5 beams", "2 s, 1 beam", "2 s, 5 beams"]
    info = soundfile.info(tasks[-1].audio[0])
    assert (info.frames, info.samplerate, info.channels) == (32_000, 16_000, 1)
    language = min(bundle.manifest.languages.items())[1]
    assert tasks[-1].decoding_options == {
        "num_beams": 5, "min_new_tokens": 7, "max_new_tokens": 7, "forced_bos_token_id": language
    }  # fmt: skip
    request = request_of(bundle, tasks[-1])
    assert (request.encoder_batches, request.beams, request.prompt, request.max_length) == (
        ((1, 32_000),),
        5,
        1,
        8,
    )


def test_lengths_that_the_bundle_does_not_take(bundle: Bundle, tmp_path: Path) -> None:
    message = "--durations 90: the bundle takes 0.025 to 60 s of audio"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(bundle, tmp_path, (2.0, 90.0), (1,), 7)


@pytest.mark.parametrize("tokens", [128, 500])
def test_more_tokens_than_positions(bundle: Bundle, tmp_path: Path, tokens: int) -> None:
    message = f"--tokens {tokens}: the decoder has 128 positions, the prompt's 1 among them: at most 127"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(bundle, tmp_path, (2.0,), (1,), tokens)
    assert make_tasks(bundle, tmp_path, (2.0,), (1,), 127)


def test_a_decoder_without_positions_takes_any_number(bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest
    decoder = dataclasses.replace(manifest.decoder, max_positions=None)
    endless = dataclasses.replace(
        bundle, manifest=dataclasses.replace(manifest, decoder=decoder, languages={})
    )
    (task,) = make_tasks(endless, tmp_path, (2.0,), (1,), 5000)
    assert task.options == {}
