"""The process that a model was loaded in, and what a forked child does with it: nothing, and that harmlessly.

Threads do not survive a fork, and the libraries' destructors wait for theirs: destroyed in a child, a session of ONNX
Runtime hangs or crashes there, even as the interpreter ends, and the GPU's memory is the parent's alone.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Final

from s2t_runtime.errors import SessionError

_KEPT: Final[weakref.WeakSet[object]] = weakref.WeakSet()


class LoadingProcess:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._id: Final = os.getpid()

    @property
    def left(self) -> bool:
        """Whether this is a fork of it."""
        return os.getpid() != self._id

    def check(self) -> None:
        """Refuse to compute in a fork.

        Raises:
            SessionError: this is a fork.
        """
        if self.left:
            raise SessionError(
                f"the model was loaded in process {self._id} and is used in process {os.getpid()}, a fork of it, which "
                "has none of its threads: load after the fork, in the process that decodes"
            )


def keep_in_forks(native: object) -> None:
    """Let an object, and what it holds, never be destroyed in forks of this process.

    Here it is destroyed as ever.

    Args:
        native: hashable, and open to weak references.
    """
    _KEPT.add(native)


def _keep() -> None:
    """Give each object one more reference, which nobody gives back: a list of them would be cleared at the end."""
    for native in tuple(_KEPT):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))


if hasattr(os, "register_at_fork"):  # where there is no fork there is nothing to keep
    os.register_at_fork(after_in_child=_keep)
