"""Weights handed to ONNX Runtime as bytes: those behind links, and all where nothing is to stay mapped.

Where the real file of a graph and that of its weights lie in different folders, newer versions of ONNX Runtime refuse
the weights ("External data path escapes model directory"). Which links a bundle may have is decided and checked when
it is opened, so the files are mapped here, and ONNX Runtime is told their names.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from s2t_runtime.errors import SessionError

_TAKE: Final = "add_external_initializers_from_files_in_memory"
"""Of SessionOptions, from onnxruntime 1.24 on."""


@contextlib.contextmanager
def linked_weights(options: Any, graph: Path, weights: Sequence[Path]) -> Iterator[None]:
    """Let a session that is made in the block find a graph's weights where links would keep it from them.

    Where neither the graph nor its weights are links, or this onnxruntime takes no bytes (before it did, it followed
    links), nothing is done. The files stay mapped until the block ends; ONNX Runtime has copied what it needs by then.

    Args:
        options: the SessionOptions of that one session.
        graph: its ONNX file.
        weights: the files beside it that it may name.
    """
    take = getattr(options, _TAKE, None)
    if take is None or not any(path.is_symlink() for path in (graph, *weights)):
        yield
        return
    with contextlib.ExitStack() as opened:
        names, mapped = [], []
        for path in weights:
            if path.stat().st_size:  # nothing can be mapped of an empty file
                file = opened.enter_context(path.open("rb"))
                mapped.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                names.append(path.name)
        take(names, mapped, [len(one) for one in mapped])
        yield


@contextlib.contextmanager
def read_weights(options: Any, weights: Sequence[Path], version: str) -> Iterator[None]:
    """Let a session that is made in the block take a graph's weights from memory, so that it maps no file.

    The bytes are let go of when the block ends; ONNX Runtime has copied what it needs by then.

    Args:
        options: the SessionOptions of that one session.
        weights: the files beside the graph that it may name.
        version: of onnxruntime, for the message.

    Raises:
        SessionError: this onnxruntime takes no bytes, or a file cannot be read.
    """
    take = getattr(options, _TAKE, None)
    if take is None:
        raise SessionError(
            f"weights='memory' needs onnxruntime 1.24 or newer, this is {version}: install a newer one, or load with "
            "weights='mapped'"
        )
    read = [(path.name, path.read_bytes()) for path in weights]
    read = [(name, data) for name, data in read if data]  # as where they are mapped
    if read:
        take([name for name, _ in read], [data for _, data in read], [len(data) for _, data in read])
    yield
