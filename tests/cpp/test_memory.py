"""s2t-cli over many recordings of all lengths: it must not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.soak.memory import MOST_MB, cpp_marks, risen_later


def test_it_does_not_grow(cpp_build: Path, cpp_bundle: Path, tmp_path: Path) -> None:
    marks = cpp_marks(
        np.random.default_rng(1), str(cpp_build / "s2t-cli"), str(cpp_bundle), tmp_path, files=480
    )
    assert risen_later(marks) <= MOST_MB, marks
    middle, last = marks[len(marks) // 2], marks[-1]
    assert last.descriptors <= middle.descriptors
    assert last.threads <= middle.threads
