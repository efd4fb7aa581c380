"""Reads recordings into what the encoder takes: mono float32 samples at the model's rate.

Normalisation is not done here: it is part of the encoder graph.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from s2t_runtime.errors import AudioError, OptionError

Float32 = NDArray[np.float32]
AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Float32
"""A path, the bytes of an audio file, an open binary file, or float32 samples [samples]."""

MOST_AMPLITUDE: Final = 1e10
"""Above any 32-bit integers that were not scaled, and far below where the encoder's sums of squares leave float32:
from about 1e12 on features become infinite or zero, and the text has nothing to do with the recording."""
_MOST_RATE: Final = 2**31 - 1
_BLOCK: Final = 1 << 20
"""Samples of all channels that are read at a time."""

around_decoding: Final[ContextVar[Callable[[], AbstractContextManager[None]]]] = ContextVar(
    "around_decoding", default=nullcontext
)
"""What the decoding of a file happens inside of: nothing, unless a program says otherwise.

libsndfile and mpg123 print what they think of damaged files, on standard error and standard output. A library does not
touch those of its host, which may have other threads; a command owns its own."""


def read_audio(source: AudioSource, *, sampling_rate: int | None, target_rate: int) -> Float32:
    """Read a recording, mix its channels down and resample it.

    Args:
        source: a path, the bytes of a file, a binary file object (read from its current position to
            its end; it need not be seekable), each wav, flac, ogg, mp3 or what else libsndfile reads;
            or an array, float32 or float64 [samples], mono, around -1 .. 1.
        sampling_rate: samples per second of an array, required there; for files None, or the rate
            that the file must have.
        target_rate: samples per second of the result.

    Returns:
        float32 [samples] at ``target_rate``; it may be the caller's own array.

    Raises:
        AudioError: missing, unreadable or not audio; an array of a wrong type or shape; samples that
            are not finite or too loud and would be resampled, or more of them than memory holds.
        OptionError: ``sampling_rate`` is missing for an array, not positive, or not the file's own.
    """
    if sampling_rate is not None:
        _check_rate("sampling_rate", sampling_rate)
    _check_rate("target_rate", target_rate)
    if isinstance(source, np.ndarray):
        if sampling_rate is None:
            raise OptionError(
                "sampling_rate is required with an array: pass the rate of its samples, "
                f"for example sampling_rate={target_rate}"
            )
        return _resampled(_array_samples(source), sampling_rate, target_rate)
    name, data = _contents(source)
    samples, rate = _decoded(name, data)
    if sampling_rate is not None and sampling_rate != rate:
        raise OptionError(
            f"sampling_rate is {sampling_rate}, but {name} has {rate}: leave it out, "
            "the file's own rate is used"
        )
    return _resampled(samples, rate, target_rate)


class _Contents(io.BytesIO):
    """A file for libsndfile, which asks damaged ones for places before their beginning.

    What is raised in a callback of C can only be printed ("Exception ignored"), so the place just stays as it is,
    and libsndfile finds that it is another one than it asked for.
    """

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def check_audio(audio: Float32, *, min_samples: int, max_samples: int, sampling_rate: int) -> None:
    """Check that the encoder can take the samples.

    Args:
        audio: float32 [samples] at ``sampling_rate``.
        min_samples: the fewest samples that give the encoder a frame.
        max_samples: the most samples that the bundle was exported for.
        sampling_rate: samples per second, for the messages.

    Raises:
        AudioError: empty, too short, too long, or with samples that are NaN, infinite or beyond ``MOST_AMPLITUDE``.
    """
    count = audio.shape[0]
    least = f"{min_samples} samples ({1000 * min_samples / sampling_rate:.1f} ms)"
    if count == 0:
        raise AudioError(f"the audio is empty (0 samples), wanted at least {least}: check the recording")
    if count < min_samples:
        raise AudioError(
            f"{count} samples ({1000 * count / sampling_rate:.1f} ms) is shorter than the encoder's "
            f"minimum of {least}: record longer or pad with silence"
        )
    if count > max_samples:
        raise AudioError(
            f"{count / sampling_rate:.2f} s of audio ({count} samples) is longer than the bundle's limit of "
            f"{max_samples / sampling_rate:.2f} s ({max_samples} samples): cut the recording into pieces, "
            "or export again with a larger --max-audio-seconds"
        )
    _check_samples(audio)


def _check_rate(name: str, rate: object) -> None:
    number = isinstance(rate, int | float | np.integer | np.floating) and not isinstance(rate, bool)
    if number and 0 < rate <= _MOST_RATE:  # type: ignore[operator]  # it is a number
        return
    # Python writes no integer of more than 4300 digits.
    shown = f"{rate.bit_length()} bits long" if isinstance(rate, int) and rate.bit_length() > 64 else rate
    raise OptionError(
        f"{name} is {shown}, wanted a positive number of samples per second, at most {_MOST_RATE}"
    )


def _check_samples(audio: Float32) -> None:
    finite = np.isfinite(audio)
    if not finite.all():
        raise AudioError(
            f"{np.count_nonzero(~finite)} of {audio.shape[0]} samples are NaN or infinite, the first at "
            f"index {int(np.argmin(finite))}, wanted finite samples: check what made the recording"
        )
    peak = float(np.abs(audio).max())
    if peak > MOST_AMPLITUDE:
        raise AudioError(
            f"samples reach {peak:.1e} in size, wanted at most {MOST_AMPLITUDE:.1e}, and usually 1: check what made "
            "the recording, or scale it to -1 .. 1"
        )


def _array_samples(array: NDArray[Any]) -> Float32:
    if np.issubdtype(array.dtype, np.integer):
        raise AudioError(f"got an array of {array.dtype}, wanted float32 in -1 .. 1: {_scaling(array.dtype)}")
    if array.dtype not in (np.float32, np.float64):
        raise AudioError(f"got an array of {array.dtype}, wanted float32: convert it with .astype('float32')")
    if array.ndim != 1:
        raise AudioError(
            f"got an array of shape {list(array.shape)}, wanted [samples]: "
            "down-mix first (the mean over the channels), and pass one recording at a time"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is then reported
        return np.ascontiguousarray(array, dtype=np.float32)


def _scaling(dtype: np.dtype[Any]) -> str:
    half = 2 ** (8 * dtype.itemsize - 1)
    if np.issubdtype(dtype, np.signedinteger):
        return f"divide {dtype} by {half}"
    return f"subtract {half} from {dtype} as float and divide by {half}"


def _contents(source: str | os.PathLike[str] | bytes | BinaryIO) -> tuple[str, bytes]:
    """What to call the source in messages, and its bytes.

    Whole files are read, so that one way serves pipes, file objects that do not stand at their
    start (libsndfile seeks from the start of the file) and names that say nothing of the format.
    """
    name, data = "the audio given as bytes", source
    try:
        if isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            data = Path(source).read_bytes()
        elif hasattr(source, "read"):
            name = f"the file object {getattr(source, 'name', '') or type(source).__name__}"
            data = cast("BinaryIO", source).read()
    except FileNotFoundError as error:
        raise AudioError(f"{name} does not exist: check the path") from error
    except IsADirectoryError as error:
        raise AudioError(f"{name} is a directory, wanted an audio file: pass the files in it") from error
    except (OSError, ValueError) as error:  # ValueError: a closed file, a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name} cannot be read: {reason}") from error
    if isinstance(data, str):
        raise AudioError(f"{name} is open for text, wanted bytes: open it with mode 'rb'")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise AudioError(
            f"got audio of type {type(source).__name__}, wanted a path, bytes, a binary file object or a "
            "numpy array of float32 [samples]: convert it first"
        )
    return name, bytes(data)


def _decoded(name: str, data: bytes) -> tuple[Float32, int]:
    """Decode a file: float32 [samples], mono, and its sampling rate."""
    if not data:
        raise AudioError(f"{name} is empty (0 bytes), wanted an audio file: check the recording")
    try:
        with around_decoding.get()(), _FrontToBack(_Contents(data)) as file:
            blocks = [np.zeros(0, np.float32), *file.mono_blocks()]
            return np.concatenate(blocks), int(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError) as error:
        # LibsndfileError's own text begins with the address of our buffer.
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioError(
            f"{name} is not audio that can be read; wanted wav, flac, ogg or mp3 (convert it first): {reason}"
        ) from error
    except MemoryError as error:
        raise AudioError(f"{name} is longer than fits into memory: cut it into shorter files") from error


class _FrontToBack(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read once, block by block, so that a header which claims too much costs nothing.

    soundfile seeks behind each read where a file can be, after which Opus and MP3 go on otherwise.
    """

    _opened = False

    def seekable(self) -> bool:
        """Only at first: soundfile.read goes to the beginning too, which changes the first samples of an MP3."""
        return not self._opened and bool(super().seekable())

    def mono_blocks(self) -> Iterator[Float32]:
        """The mean of all channels, float32 [samples] a block."""
        if self.seekable():
            self.seek(0)
        self._opened = True
        size = max(_BLOCK // self.channels, 1)
        while len(block := self.read(size, dtype="float32", always_2d=True)):
            # float64, so that the mean is rounded once.
            mean = block[:, 0] if self.channels == 1 else block.mean(axis=1, dtype=np.float64)
            yield np.ascontiguousarray(mean, dtype=np.float32)


def _resampled(samples: Float32, rate: int, target_rate: int) -> Float32:
    if rate == target_rate or samples.shape[0] == 0:
        return samples
    _check_samples(samples)  # resampling would smear one bad sample over its neighbours
    try:
        result: Float32 = soxr.resample(samples, rate, target_rate, quality="HQ")
    except (RuntimeError, ValueError, MemoryError) as error:
        raise AudioError(
            f"the audio cannot be resampled from {rate} to {target_rate} samples per second "
            f"(resample it first): {error}"
        ) from error
    return result
