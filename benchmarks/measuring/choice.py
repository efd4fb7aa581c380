"""Which cases a measurement has, and which it has not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peers.protocol import Case


@dataclass(frozen=True)
class Choice:
    """What is measured.

    Attributes:
        cases: in the order of their turns.
        references: names of those that every answer is compared with.
        left_out: name -> why it is not measured.
    """

    cases: tuple[Case, ...]
    references: tuple[str, ...]
    left_out: Mapping[str, str]
