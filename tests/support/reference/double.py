"""Eager in float64, which tells eager's rounding errors in float32 from ours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from exporter.reference.eager import EagerReference


class DoubleReference(EagerReference):
    """The same model, computed in float64."""

    def __init__(self, reference: EagerReference) -> None:
        """``reference`` stays as it is."""
        model = copy.deepcopy(reference.model).double()
        super().__init__(dataclasses.replace(reference.checkpoint, model=model))

    def features(self, waveforms: Sequence[Any]) -> dict[str, Tensor]:
        """As eager's, in float64."""
        found = super().features(waveforms)
        return {name: value.double() if value.is_floating_point() else value for name, value in found.items()}
