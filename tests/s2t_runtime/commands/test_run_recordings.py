"""run-s2t: bad recordings among good ones, standard input, and real speech."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.doubles.model import ROOT, FakeModel, invoke, records

from s2t_runtime import load
from s2t_runtime.commands import run as cli_run
from s2t_runtime.errors import AudioError, S2TError, SessionError


@pytest.mark.parametrize("error", [AudioError("it is\nnoise"), SessionError("no memory for it")])
def test_a_bad_file_is_reported_and_the_others_go_on(fake_model: FakeModel, error: S2TError) -> None:
    fake_model.refused = {"bad.wav": error}
    invocation = invoke("bundle", "a.wav", "bad.wav", "b.wav", "--json")
    assert invocation.exit_code == 1
    assert invocation.stderr == ""
    first, bad, last = records(invocation)
    assert bad == {"audio": "bad.wav", "error": " ".join(str(error).split())}
    assert (first["audio"], last["audio"]) == ("a.wav", "b.wav")
    assert last["text"] == "text 0 of b.wav 四百二十七"


def test_a_bad_file_in_plain_lines(fake_model: FakeModel) -> None:
    fake_model.refused = {"bad.wav": AudioError("it is\nnoise")}
    invocation = invoke("bundle", "a.wav", "bad.wav", "b.wav")
    assert invocation.exit_code == 1
    assert invocation.stderr == "run-s2t: bad.wav: it is noise\n"
    assert [line.split(":")[0] for line in invocation.stdout.splitlines()] == ["a.wav", "b.wav"]


def test_batches_are_of_the_size_asked_for(fake_model: FakeModel) -> None:
    invocation = invoke("bundle", *"abcde", "--batch-size", "2", "--json")
    assert [audio for audio, _ in fake_model.calls] == [["a", "b"], ["c", "d"], ["e"]]
    assert [record["audio"] for record in records(invocation)] == list("abcde")


def test_bad_members_spoil_no_batch(fake_model: FakeModel) -> None:
    fake_model.refused = {name: AudioError(f"{name} is noise") for name in ("bad1", "bad2")}
    names = ["a", "bad1", "b", "c", "d", "bad2"]
    invocation = invoke("bundle", *names, "--batch-size", "5", "--json")
    assert invocation.exit_code == 1
    found = records(invocation)
    assert [record["audio"] for record in found] == names
    assert [record.get("error") for record in found] == [None, "bad1 is noise", *[None] * 3, "bad2 is noise"]
    assert ["b", "c", "d"] in [audio for audio, _ in fake_model.calls]  # still decoded as one batch


def test_the_real_time_factor_of_a_batch_is_over_its_audio(fake_model: FakeModel) -> None:
    lines = invoke("bundle", "a", "b", "--batch-size", "2").stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["0.125)", "0.125)"]


# Standard input


def test_standard_input_is_passed_as_bytes(fake_model: FakeModel) -> None:
    invocation = invoke("bundle", "a.wav", "-", "--json", stdin=b"RIFF\x00\xff")
    assert [audio for audio, _ in fake_model.calls] == [["a.wav"], [b"RIFF\x00\xff"]]
    assert records(invocation)[1]["audio"] == "-"


def test_standard_input_is_read_once_though_its_batch_is_decoded_again(fake_model: FakeModel) -> None:
    fake_model.refused = {"bad": AudioError("noise")}
    invocation = invoke("bundle", "-", "bad", "--batch-size", "2", "--json", stdin=b"RIFF")
    assert [audio for audio, _ in fake_model.calls] == [[b"RIFF", "bad"], [b"RIFF"], ["bad"]]
    assert records(invocation)[0]["text"] == "text 0 of bytes 四百二十七"


def test_standard_input_that_cannot_be_read_is_a_bad_file(
    fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "file").open("wb") as write_only, open(write_only.fileno(), closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code = cli_run.run(cli_run.parse(["bundle", "-", "a.wav"]))
    assert code == 1
    output = capsys.readouterr()
    assert output.err == (
        "run-s2t: -: standard input cannot be read ([Errno 9] Bad file descriptor): "
        "pipe an audio file into it\n"
    )
    assert output.out.startswith("a.wav: text")


def test_standard_input_that_is_closed_is_empty(
    fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    cli_run.run(cli_run.parse(["bundle", "-"]))
    assert fake_model.calls[0][0] == [b""]


# The real thing


@pytest.fixture
def recordings() -> list[str]:
    return sorted(map(str, (ROOT / "examples/digits/recordings").glob("*.wav")))


def test_json_of_real_speech(digits_bundle: Path, recordings: list[str], tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no audio")
    chosen = [recordings[0], str(noise), recordings[1]]
    args = [
        "--language",
        "de",
        "--num-beams",
        "3",
        "--num-return-sequences",
        "2",
        "--batch-size",
        "3",
        "--json",
    ]
    invocation = invoke(str(digits_bundle), *chosen, *args)
    assert invocation.exit_code == 1
    first, bad, last = records(invocation)
    assert set(bad) == {"audio", "error"}
    assert bad["error"].startswith(f"{noise} is not audio that can be read; wanted wav, flac, ogg or mp3")
    with load(digits_bundle) as model:
        for record, path in ((first, recordings[0]), (last, recordings[1])):
            result = model.generate(path, language="de", num_beams=3, num_return_sequences=2)
            assert record["text"] == result.text != ""
            assert record["tokens"] == list(result.tokens)
            assert record["score"] == pytest.approx(result.score, abs=1e-4)
            assert [one["text"] for one in record["hypotheses"]] == [one.text for one in result.hypotheses]
            assert record["language"] == "de"
            assert record["audio_s"] == result.audio_s


def test_plain_lines_of_real_speech(digits_bundle: Path, recordings: list[str]) -> None:
    with load(digits_bundle) as model:
        texts = [model.generate(path, language="cy").text for path in recordings]
    invocation = invoke(str(digits_bundle), *recordings, "--language", "cy")
    assert invocation.exit_code == 0, invocation.output
    for line, path, text in zip(invocation.stdout.splitlines(), recordings, texts, strict=True):
        assert line.startswith(f"{path}: {text}  (cy, score ")


def test_real_speech_from_standard_input(digits_bundle: Path, recordings: list[str]) -> None:
    piped = invoke(str(digits_bundle), "-", "--language", "fr", stdin=Path(recordings[0]).read_bytes())
    named = invoke(str(digits_bundle), recordings[0], "--language", "fr")
    assert piped.exit_code == named.exit_code == 0
    said = named.stdout.removeprefix(recordings[0]).split("  (")[0]
    assert piped.stdout.startswith(f"-{said}  (fr, score ")
