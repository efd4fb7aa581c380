"""What libsndfile and mpg123 print of damaged recordings stays off a command's output."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.digits.made import RECORDINGS

from s2t_runtime import audio
from s2t_runtime.audio import around_decoding, read_audio
from s2t_runtime.commands.silence import silence
from s2t_runtime.errors import AudioError

RUN = "import sys; from s2t_runtime.commands.run import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def mp3() -> bytes:
    """A recording of the examples as MP3, long enough to be damaged in many places."""
    samples, rate = soundfile.read(RECORDINGS / "long_3906.wav", dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, np.tile(samples, 3), rate, format="MP3")
    return file.getvalue()


def scratched(data: bytes) -> bytes:
    """Some frames are not what they were: they are left out, with a word about each."""
    damaged = bytearray(data)
    generator = np.random.default_rng(1)
    for place in generator.integers(200, len(damaged), len(damaged) // 100):
        damaged[place] = generator.integers(256)
    return bytes(damaged)


def torn(data: bytes) -> bytes:
    """So much that is no MP3 stands in the middle that mpg123 gives up."""
    middle = len(data) // 2
    noise = np.random.default_rng(2).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    return data[:middle] + noise + data[middle:]


def decode(data: bytes) -> None:
    with contextlib.suppress(AudioError):
        read_audio(data, sampling_rate=None, target_rate=16_000)


@pytest.mark.parametrize("damage", [scratched, torn])
def test_the_libraries_do_print(mp3: bytes, damage: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Else the tests below would prove nothing; and the library leaves its host's output as it is."""
    decode(damage(mp3))
    assert "mpg123" in capfd.readouterr().err


@pytest.mark.parametrize("damage", [scratched, torn])
def test_inside_of_silence_they_do_not(mp3: bytes, damage: Any, capfd: pytest.CaptureFixture[str]) -> None:
    before = around_decoding.set(silence)
    try:
        decode(damage(mp3))
    finally:
        around_decoding.reset(before)
    sys.stdout.write("and then\n")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("and then\n", "")


def test_what_c_keeps_in_its_buffer_is_silenced_too(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    library.printf(b"before\n")
    sys.stdout.write("said\n")
    with silence():
        library.printf(b"noise\n")
        os.write(2, b"noise\n")
    library.printf(b"behind\n")
    library.fflush(None)
    captured = capfd.readouterr()
    assert sorted(captured.out.split()) == ["before", "behind", "said"]
    assert captured.err == ""


def test_an_error_comes_out_of_it_and_the_streams_are_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AudioError, match=r"^no$"), silence():
        raise AudioError("no")
    os.write(1, b"out")
    os.write(2, b"err")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("out", "err")


def test_places_before_the_beginning_are_no_exception_of_c(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(400) / 9).astype(np.float32), 16_000, format="AIFF")
    asked: list[int] = []
    ignored: list[Any] = []

    class Watched(audio._Contents):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            asked.append(offset)
            return super().seek(offset, whence)

    monkeypatch.setattr(audio, "_Contents", Watched)
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    for seed in range(60):  # what of it makes libsndfile ask for such places depends on its version
        generator = np.random.default_rng(seed)
        damaged = bytearray(file.getvalue())
        for place in generator.integers(0, 60, int(generator.integers(1, 6))):
            damaged[place] = generator.choice([255, 128, 0, 127])
        decode(bytes(damaged))
    assert min(asked) < 0, "no file asked for such a place"
    assert ignored == []


def test_run_s2t_says_one_sentence_of_a_damaged_recording(
    digits_bundle: Path, mp3: bytes, tmp_path: Path
) -> None:
    names = []
    for damage in (scratched, torn):
        path = tmp_path / f"{damage.__name__}.mp3"
        path.write_bytes(damage(mp3))
        names.append(str(path))
    command = [
        sys.executable,
        "-c",
        RUN,
        str(digits_bundle),
        *names,
        "--num-beams",
        "1",
        "--max-new-tokens",
        "3",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"{names[0]}: ")
    assert done.stderr.startswith(
        f"run-s2t: {names[1]}: {names[1]} is not audio that can be read; wanted wav, "
    )
    assert done.stderr.count("\n") == 1
    piped = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert ["error" in json.loads(line) for line in piped.stdout.splitlines()] == [False, True]
    assert piped.stderr == ""


def test_run_s2t_without_its_streams(digits_bundle: Path, mp3: bytes, tmp_path: Path) -> None:
    (tmp_path / "scratched.mp3").write_bytes(scratched(mp3))
    options = "--num-beams 1 --max-new-tokens 3"
    command = f'exec {sys.executable} -c "{RUN}" {digits_bundle} {tmp_path}/scratched.mp3 {options}'
    done = subprocess.run(["bash", "-c", f"{command} 2>&-"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
