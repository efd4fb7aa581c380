"""Weights behind links, handed to ONNX Runtime as bytes.

Where the real file of a graph and that of its weights lie in different folders, newer versions of ONNX Runtime refuse
the weights ("External data path escapes model directory"). Which links a bundle may have is decided and checked when
it is opened, so the files are mapped here, and ONNX Runtime is told their names.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


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
    take = getattr(options, "add_external_initializers_from_files_in_memory", None)
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
