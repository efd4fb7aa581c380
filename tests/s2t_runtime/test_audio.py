"""Reading recordings: formats, channels, rates, sources, and every message."""

from __future__ import annotations

import io
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from s2t_runtime.audio import check_audio, read_audio
from s2t_runtime.errors import AudioError, OptionError

Float32 = NDArray[np.float32]
RATE = 16000


def tone(rate: int = RATE, seconds: float = 1.0, frequency: float = 440.0) -> Float32:
    time = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def chirp(rate: int = RATE) -> Float32:
    """Speech-like in that it has one alignment only: a tone's correlation forgives whole periods."""
    time = np.arange(rate) / rate
    return (0.4 * np.sin(2 * np.pi * (200 * time + 900 * time**2)) * np.hanning(rate)).astype(np.float32)


def encoded(
    samples: Float32, rate: int = RATE, file_format: str = "WAV", subtype: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=file_format, subtype=subtype)
    return buffer.getvalue()


def read(source: Any, sampling_rate: int | None = None, target_rate: int = RATE) -> Float32:
    return read_audio(source, sampling_rate=sampling_rate, target_rate=target_rate)


def refusal(source: Any, error: type[Exception] = AudioError, sampling_rate: int | None = None) -> str:
    with pytest.raises(error) as caught:
        read(source, sampling_rate)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"speech.{suffix}"
    soundfile.write(path, chirp(), RATE)
    samples = read(path)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - RATE) <= 0.1 * RATE  # mp3 pads with whole frames
    assert np.corrcoef(samples[:RATE], chirp()[: len(samples)])[0, 1] > 0.99
    np.testing.assert_array_equal(samples, read(str(path)))
    np.testing.assert_array_equal(samples, read(path.read_bytes()))


def test_a_name_says_nothing_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "speech.raw").write_bytes(encoded(tone()))
    assert len(read(tmp_path / "speech.raw")) == RATE


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats_read_back(subtype: str) -> None:
    tolerance = {"PCM_U8": 1 / 100, "PCM_16": 1 / 30000}.get(subtype, 1e-6)
    np.testing.assert_allclose(read(encoded(tone(), subtype=subtype)), tone(), atol=tolerance)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_are_averaged_exactly(channels: int) -> None:
    scale = np.linspace(-0.3, 1, channels, dtype=np.float32)
    many = tone()[:, None] * scale
    wanted = many.astype(np.float64).mean(axis=1).astype(np.float32)
    np.testing.assert_array_equal(read(encoded(many, subtype="FLOAT")), wanted)


@pytest.mark.parametrize(("rate", "frequency"), [(8000, 440.0), (44100, 1000.0), (48000, 3000.0)])
def test_resampling_keeps_the_tone(rate: int, frequency: float) -> None:
    samples = read(encoded(tone(rate, 2.0, frequency), rate, subtype="FLOAT"))
    assert samples.dtype == np.float32
    assert abs(len(samples) - 2 * RATE) <= 1
    middle = samples[RATE // 2 : RATE // 2 + RATE].astype(np.float64)  # one second: bins of 1 Hz
    spectrum = np.abs(np.fft.rfft(middle)) / (RATE / 2)
    assert np.argmax(spectrum) == frequency
    assert spectrum.max() == pytest.approx(0.5, rel=0.01)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.01)


def test_resampling_removes_what_the_target_cannot_hold() -> None:
    samples = read(tone(48000, 1.0, 10000.0), 48000)
    assert np.abs(samples[1000:-1000]).max() < 1e-3


def test_an_array_is_taken_as_it_is() -> None:
    array = tone()
    assert read(array, RATE) is array
    np.testing.assert_array_equal(read(array.astype(np.float64), RATE), array)
    strided = np.repeat(array, 2)[::2]
    np.testing.assert_array_equal(read(strided, RATE), array)
    assert len(read(tone(8000), 8000)) == RATE
    assert len(read(tone(8000)[:0], 8000)) == 0


def test_a_file_without_samples_is_empty_audio() -> None:
    assert len(read(encoded(tone()[:0], 8000))) == 0


def test_file_objects_are_read_from_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "tape").write_bytes(b"a header of our own" + encoded(tone(), file_format="FLAC"))
    with (tmp_path / "tape").open("rb") as file:
        file.seek(len(b"a header of our own"))
        assert len(read(file)) == RATE
        assert file.read() == b""


def test_pipes_are_read_to_their_end() -> None:
    data = encoded(tone())
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        assert not pipe.seekable()
        np.testing.assert_allclose(read(pipe), tone(), atol=1e-4)
    writer.join()


def test_a_rate_may_be_stated_for_a_file() -> None:
    assert len(read(encoded(tone(8000), 8000), 8000)) == RATE
    assert refusal(encoded(tone(8000), 8000), OptionError, RATE) == (
        "sampling_rate is 16000, but the audio given as bytes has 8000: leave it out, "
        "the file's own rate is used"
    )


def test_an_array_needs_its_rate() -> None:
    assert refusal(tone(), OptionError) == (
        "sampling_rate is required with an array: pass the rate of its samples, "
        "for example sampling_rate=16000"
    )


@pytest.mark.parametrize("rate", [0, -8000, 2**31, math.nan, math.inf, True, "16000", np.float32(0)])
def test_rates_are_positive(rate: Any) -> None:
    message = f"{rate}, wanted a positive number of samples per second, at most 2147483647"
    assert refusal(tone(), OptionError, rate) == f"sampling_rate is {message}"
    with pytest.raises(OptionError, match=f"target_rate is {message}"):
        read(tone(), RATE, rate)


def test_a_rate_that_python_would_not_write() -> None:
    message = (
        "sampling_rate is 33220 bits long, wanted a positive number of samples per second, at most 2147483647"
    )
    assert refusal(tone(), OptionError, 10**10000) == message


@pytest.mark.parametrize("peak", [1.1e10, -3e38])
def test_samples_that_no_recording_has(peak: float) -> None:
    loud = tone()
    loud[77] = peak
    message = (
        f"samples reach {abs(peak):.1e} in size, wanted at most 1.0e+10, and usually 1: check what made the "
        "recording, or scale it to -1 .. 1"
    )
    assert refusal(loud, AudioError, 8000) == message  # before it is resampled
    assert check_refusal(read(loud, RATE)) == message


def test_integers_that_were_not_scaled_are_taken() -> None:
    loud = tone() * np.float32(2**31)
    check_audio(read(loud, RATE), min_samples=400, max_samples=32000, sampling_rate=RATE)


def test_more_samples_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(soxr, "resample", fail)
    assert refusal(tone(), AudioError, 1) == (
        "the audio cannot be resampled from 1 to 16000 samples per second (resample it first): std::bad_alloc"
    )


@pytest.mark.parametrize(
    ("dtype", "scaling"),
    [
        ("int16", "divide int16 by 32768"),
        ("int32", "divide int32 by 2147483648"),
        ("uint8", "subtract 128 from uint8 as float and divide by 128"),
    ],
)
def test_integers_are_refused_with_their_scaling(dtype: str, scaling: str) -> None:
    wanted = f"got an array of {dtype}, wanted float32 in -1 .. 1: {scaling}"
    assert refusal(np.zeros(500, dtype), sampling_rate=RATE) == wanted


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "object"])
def test_other_types_are_refused(dtype: str) -> None:
    assert refusal(np.zeros(500, dtype), sampling_rate=RATE) == (
        f"got an array of {dtype}, wanted float32: convert it with .astype('float32')"
    )


@pytest.mark.parametrize("shape", [(2, 800), (800, 1), ()])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    assert refusal(np.zeros(shape, np.float32), sampling_rate=RATE) == (
        f"got an array of shape {list(shape)}, wanted [samples]: "
        "down-mix first (the mean over the channels), and pass one recording at a time"
    )


@pytest.mark.parametrize("source", [[0.1, 0.2], 5, None])
def test_other_sources_are_refused(source: object) -> None:
    assert refusal(source) == (
        f"got audio of type {type(source).__name__}, wanted a path, bytes, a binary file object or a "
        "numpy array of float32 [samples]: convert it first"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.wav"
    assert refusal(path) == f"{path} does not exist: check the path"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is a directory, wanted an audio file: pass the files in it"


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)  # chmod does not stop the superuser
    path = tmp_path / "secret.wav"
    assert refusal(path) == f"{path} cannot be read: Permission denied"


def test_a_path_that_cannot_be_one_is_refused() -> None:
    assert refusal("a\0b").endswith("cannot be read: embedded null byte")


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(encoded(tone()))
    file.close()
    assert refusal(file) == "the file object BytesIO cannot be read: I/O operation on closed file."


def test_a_text_file_object_is_refused() -> None:
    assert refusal(io.StringIO("RIFF")) == (
        "the file object StringIO is open for text, wanted bytes: open it with mode 'rb'"
    )


def test_what_is_not_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("these are notes, not sound " * 40, encoding="utf-8")
    assert refusal(path) == (
        f"{path} is not audio that can be read; wanted wav, flac, ogg or mp3 (convert it first): "
        "Format not recognised."
    )
    path.write_bytes(b"")
    assert refusal(path) == f"{path} is empty (0 bytes), wanted an audio file: check the recording"
    assert "is not audio that can be read" in refusal(encoded(tone(), file_format="FLAC")[:30])


def test_a_wav_header_written_before_the_length_was_known_is_no_obstacle() -> None:
    data = bytearray(encoded(tone()))  # as a program writes it that pipes its output
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(read(bytes(data))) == RATE


def test_bad_samples_are_not_resampled() -> None:
    samples = tone(8000)
    samples[[100, 300]] = np.nan, np.inf
    assert refusal(samples, sampling_rate=8000) == (
        "2 of 8000 samples are NaN or infinite, the first at index 100, wanted finite samples: "
        "check what made the recording"
    )


def check_refusal(audio: Float32) -> str:
    with pytest.raises(AudioError) as caught:
        check_audio(audio, min_samples=400, max_samples=32000, sampling_rate=RATE)
    return str(caught.value)


@pytest.mark.parametrize("count", [400, 32000])
def test_audio_of_the_allowed_lengths_passes(count: int) -> None:
    check_audio(tone(seconds=2)[:count], min_samples=400, max_samples=32000, sampling_rate=RATE)


def test_audio_of_other_lengths_is_refused() -> None:
    assert check_refusal(tone()[:0]) == (
        "the audio is empty (0 samples), wanted at least 400 samples (25.0 ms): check the recording"
    )
    assert check_refusal(tone()[:300]) == (
        "300 samples (18.8 ms) is shorter than the encoder's minimum of 400 samples (25.0 ms): "
        "record longer or pad with silence"
    )
    assert check_refusal(tone(seconds=2.5)) == (
        "2.50 s of audio (40000 samples) is longer than the bundle's limit of 2.00 s (32000 samples): "
        "cut the recording into pieces, or export again with a larger --max-audio-seconds"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    samples = tone()
    samples[5] = bad
    samples[-1] = np.nan
    assert check_refusal(samples) == (
        "2 of 16000 samples are NaN or infinite, the first at index 5, wanted finite samples: "
        "check what made the recording"
    )


def test_doubles_beyond_float32_are_not_finite() -> None:
    samples = read(np.where(np.arange(500) == 7, 1e300, 0.0), RATE)
    assert check_refusal(samples).startswith("1 of 500 samples are NaN or infinite, the first at index 7")


def test_a_header_that_claims_too_much_costs_nothing() -> None:
    """The Xing header of an MP3 counts its frames; 2^32 - 1 of them would be 18 TB."""
    data = bytearray(encoded(chirp(), file_format="MP3"))
    place = data.index(b"Xing") if b"Xing" in data else data.index(b"Info")
    wanted = read(bytes(data))
    data[place : place + 4] = b"Xing"
    data[place + 8 : place + 12] = b"\xff" * 4
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert file.frames > 10**12
    got = read(bytes(data))
    assert len(got) >= len(wanted)
    assert np.array_equal(got[: len(wanted)], wanted)


CODECS = (
    ("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("file_format", "subtype"), CODECS)
def test_blocks_are_the_whole(
    monkeypatch: pytest.MonkeyPatch, file_format: str, subtype: str, channels: int
) -> None:
    """soundfile seeks behind each read, after which some codecs go on otherwise."""
    samples = np.random.default_rng(0).normal(0, 0.1, (20_000, channels)).astype(np.float32)
    data = encoded(samples, file_format=file_format, subtype=subtype)
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    wanted = whole[:, 0] if channels == 1 else whole.mean(axis=1, dtype=np.float64).astype(np.float32)
    for block in (700, 4096, 1 << 20):
        monkeypatch.setattr("s2t_runtime.audio._BLOCK", block)
        assert np.array_equal(read(data), wanted)


def test_what_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(soundfile.SoundFile, "read", full)
    assert refusal(encoded(chirp())) == (
        "the audio given as bytes is longer than fits into memory: cut it into shorter files"
    )
