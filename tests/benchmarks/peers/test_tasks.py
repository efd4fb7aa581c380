"""The requests: files of the asked lengths, a fixed number of tokens, and what the bundle does not take."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import soundfile
from support.places import ROOT

from benchmarks.errors import BenchmarkError
from benchmarks.peers.tasks import make_tasks, recording_tasks, request_of
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.errors import AudioError

RECORDINGS = ROOT / "examples" / "digits" / "recordings"


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
    assert (request.encoder_batches, request.beams, request.prompt_length, request.max_length) == (
        ((1, 32_000),),
        5,
        1,
        8,
    )


def test_lengths_that_the_bundle_does_not_take(bundle: Bundle, tmp_path: Path) -> None:
    message = "--durations 90: the bundle takes 0.025 to 60 s of audio"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(bundle, tmp_path, (2.0, 90.0), (1,), 7)


@pytest.mark.parametrize("tokens", [129, 500])
def test_more_tokens_than_positions(bundle: Bundle, tmp_path: Path, tokens: int) -> None:
    message = (
        f"--tokens {tokens}: the decoder has 128 positions, the prompt's 1 among them, and the last token needs "
        "none: at most 128"
    )
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(bundle, tmp_path, (2.0,), (1,), tokens)
    assert make_tasks(bundle, tmp_path, (2.0,), (1,), 128)


def test_a_decoder_without_positions_takes_any_number(bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest
    decoder = dataclasses.replace(manifest.decoder, max_positions=None)
    endless = dataclasses.replace(
        bundle, manifest=dataclasses.replace(manifest, decoder=decoder, languages={})
    )
    (task,) = make_tasks(endless, tmp_path, (2.0,), (1,), 5000)
    assert task.options == {}


def test_batches_hold_utterances_of_equal_length_and_different_content(
    bundle: Bundle, tmp_path: Path
) -> None:
    one, four = make_tasks(bundle, tmp_path, (0.5,), (2,), 7, batches=(1, 4))
    assert (one.name, four.name) == ("0.5 s, 2 beams", "0.5 s, batch 4, 2 beams")
    assert (one.audio_s, four.audio_s) == (0.5, 2.0)
    assert four.audio[:1] == one.audio
    assert len({Path(path).read_bytes() for path in four.audio}) == 4
    assert request_of(bundle, four).encoder_batches == ((4, 8000),)


def test_a_language_is_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    (task,) = make_tasks(bundle, tmp_path, (0.5,), (2,), 7, first="de")
    assert task.options == {"forced_bos_token_id": bundle.manifest.languages["de"]}


def test_a_token_is_forced_first(bundle: Bundle, tmp_path: Path) -> None:
    (task,) = make_tasks(bundle, tmp_path, (0.5,), (2,), 7, first=9)
    assert task.options == {"forced_bos_token_id": 9}


def test_languages_that_the_bundle_does_not_have(bundle: Bundle, tmp_path: Path) -> None:
    known = ", ".join(sorted(bundle.manifest.languages))
    message = f"--language tlh is not in the bundle, which has {known}: choose one of its own"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(bundle, tmp_path, (0.5,), (2,), 7, first="tlh")
    none = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, languages={}))
    message = "--language de is not in the bundle, which has no languages: choose one of its own"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        make_tasks(none, tmp_path, (0.5,), (2,), 7, first="de")


def test_recordings_are_decoded_alone_until_they_end(bundle: Bundle) -> None:
    paths = [RECORDINGS / name for name in ("one_digit_7.wav", "several_digits_42.wav")]
    tasks = recording_tasks(bundle, paths, (1, 5), 60, first="cy")
    assert [(task.name, task.workload) for task in tasks] == [
        ("one_digit_7.wav, 1 beam", "2 recordings, 1 beam"),
        ("several_digits_42.wav, 1 beam", "2 recordings, 1 beam"),
        ("one_digit_7.wav, 5 beams", "2 recordings, 5 beams"),
        ("several_digits_42.wav, 5 beams", "2 recordings, 5 beams"),
    ]
    assert tasks[0].audio == (str(paths[0]),)
    assert tasks[0].audio_s == pytest.approx(soundfile.info(paths[0]).duration, abs=1e-3)
    welsh = bundle.manifest.languages["cy"]
    assert tasks[0].decoding_options == {
        "num_beams": 1, "max_new_tokens": 60, "forced_bos_token_id": welsh
    }  # fmt: skip
    assert tasks[0].generated((2, 5, 6)) == 2


def test_recordings_that_cannot_be_measured(bundle: Bundle, tmp_path: Path) -> None:
    path = RECORDINGS / "one_digit_7.wav"
    message = "--audio names one_digit_7.wav twice: give every recording a name of its own"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        recording_tasks(bundle, [path, path], (1,), 7)
    short = tmp_path / "short.wav"
    soundfile.write(short, [0.0] * 10, 16_000)
    with pytest.raises(BenchmarkError, match=rf"^--audio {re.escape(str(short))}: 10 samples \(0\.6 ms\) is"):
        recording_tasks(bundle, [short], (1,), 7)
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        recording_tasks(bundle, [tmp_path / "nowhere.wav"], (1,), 7)
    assert recording_tasks(bundle, [path], (1,), 7)[0].workload == "1 recording, 1 beam"
