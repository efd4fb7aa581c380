"""The exporter's error tree; it hangs under the runtime's, so that one handler serves every command.

S2TError
└── ExportError                  the export, check or conversion cannot go on
    ├── CheckpointError          (ValueError) missing, unreadable or incomplete checkpoint files
    ├── UnsupportedModelError    (ValueError) the model cannot be split; lists every reason at once
    ├── OutputError              (OSError)    the bundle cannot be written where it was asked for
    ├── GraphError               (ValueError) an exported graph breaks its contract
    ├── PrecisionError           (ValueError) the model cannot be held in a lower precision
    ├── ParityError              (ValueError) the bundle does not decode as the checkpoint does
    └── EngineError              (RuntimeError) TensorRT is missing, or cannot build an engine
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from s2t_runtime.errors import S2TError

_BRIEF_LENGTH = 300


class ExportError(S2TError):
    """Base of the exporter's errors."""


class CheckpointError(ExportError, ValueError):
    """The checkpoint's files are missing, unreadable or incomplete."""


class UnsupportedModelError(ExportError, ValueError):
    """The model cannot be exported; ``reasons`` holds every reason found."""

    def __init__(self, source: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        listed = "".join(f"\n  - {reason}" for reason in self.reasons)
        super().__init__(f"{source} cannot be exported:{listed}")


class OutputError(ExportError, OSError):
    """The bundle cannot be written to the output directory."""


class GraphError(ExportError, ValueError):
    """An exported graph does not keep its contract."""


class PrecisionError(ExportError, ValueError):
    """The model leaves a lower precision's range or budget whatever computes in float32."""


class ParityError(ExportError, ValueError):
    """The bundle's results differ from eager PyTorch beyond tolerance."""


class EngineError(ExportError, RuntimeError):
    """TensorRT is missing or broken, or it cannot build an engine."""


def brief_error(error: Exception) -> str:
    """One line of a foreign error's text, which may run to pages."""
    if type(error).__name__ == "UnpicklingError":
        # torch's own text advises to load such a file with its code executed.
        return (
            "pytorch_model.bin is no PyTorch file, or it holds more than tensors and would execute code: "
            "have it saved as model.safetensors"
        )
    # A missing key's text is the key alone, and other builtin errors say as little.
    kind = f"{type(error).__name__}: " if isinstance(error, KeyError | AttributeError | TypeError) else ""
    return textwrap.shorten(f"{kind}{error}", _BRIEF_LENGTH, placeholder=" ...")
