"""The runtime's error tree.

S2TError
├── BundleError    (ValueError)    the bundle is missing, altered, newer than this runtime or malformed
├── AudioError     (ValueError)    the recording cannot be read, or is too short, too long or not finite
├── OptionError    (ValueError)    a decoding option is unknown, out of range or contradicts another
├── SessionError   (RuntimeError)  ONNX Runtime or TensorRT refused to load or run a graph, or a fork asked for it
├── PickleError    (TypeError)     a model was to be pickled or copied
└── ClosedError    (RuntimeError)  the model was closed

Every message says what was got, what was wanted and what to do. Console scripts print it on one
line and exit with 1; anything that is not an S2TError is a bug and keeps its traceback.
"""

from __future__ import annotations


class S2TError(Exception):
    """Base of every error that export-s2t raises on purpose."""


class BundleError(S2TError, ValueError):
    """The bundle cannot be used: missing, altered, truncated, newer or malformed."""


class AudioError(S2TError, ValueError):
    """The audio cannot be decoded: unreadable, empty, too short, too long or not finite."""


class OptionError(S2TError, ValueError):
    """A decoding option is unknown, out of range or contradicts another."""


class SessionError(S2TError, RuntimeError):
    """ONNX Runtime or TensorRT could not load or run a graph, or this machine or a fork cannot use it."""


class PickleError(S2TError, TypeError):
    """A loaded model was to be pickled or copied, which is for data alone."""


class ClosedError(S2TError, RuntimeError):
    """The model was used after it was closed."""

    def __init__(self) -> None:
        super().__init__("this SpeechToText is closed; load the bundle again to go on decoding")
