"""RUNS a bundle: audio -> tokens -> text, with a cached beam search and without torch.

For example::

    import s2t_runtime

    with s2t_runtime.load("bundle") as model:
        print(model.generate("speech.wav", language="de", num_beams=5).text)
"""

import importlib
import os
from typing import TYPE_CHECKING

from s2t_runtime.errors import (
    AudioError,
    BundleError,
    ClosedError,
    OptionError,
    PickleError,
    S2TError,
    SessionError,
)
from s2t_runtime.results import Hypothesis, Result, TokenEvent

# From 1.29 on onnxruntime starts a thread as it is imported, which reports to its makers what is run. A process that is
# forked later has not got it, and waits for it for ever as it ends. Set before anything of ours imports onnxruntime.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from s2t_runtime.model import SpeechToText, load
    from s2t_runtime.options.generation import GenerationOptions
else:
    # Imported when first asked for: every module of the package runs this file, and the commands'
    # --help should wait for neither numpy nor onnxruntime. Hidden from type checkers, to which a
    # module's __getattr__ would make any misspelt name a good one.
    _HOMES = {
        "GenerationOptions": "s2t_runtime.options.generation",
        "SpeechToText": "s2t_runtime.model",
        "load": "s2t_runtime.model",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "AudioError",
    "BundleError",
    "ClosedError",
    "GenerationOptions",
    "Hypothesis",
    "OptionError",
    "PickleError",
    "Result",
    "S2TError",
    "SessionError",
    "SpeechToText",
    "TokenEvent",
    "load",
]
