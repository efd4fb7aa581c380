"""A recording that is decoded both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Utterance:
    """One recording to decode both ways: its name in the report and float32 samples at the model's rate."""

    name: str
    samples: NDArray[np.float32]
