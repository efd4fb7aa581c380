"""What recordings of the digits model are measured in, and how near an answer must come to eager's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

RATE = 16_000
TOLERANCE = 1e-4  # on scores and on each token's log-probability
