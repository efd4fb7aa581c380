"""What came of one round of the soak."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Outcome:
    """Counts of what was tried, what was found wrong, and figures that were taken."""

    tried: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    """One sentence each, with what it takes to see it again."""
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Outcome:
        """From what ``record`` gave."""
        return cls(Counter(record["tried"]), list(record["found"]), dict(record["figures"]))

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"tried": dict(self.tried), "found": self.found, "figures": self.figures}

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(self.record()), encoding="utf-8")
        aside.replace(path)


@dataclass(frozen=True)
class Round:
    """One round as the record keeps it."""

    kind: str
    number: int
    """Among the rounds of its kind, from 0."""
    seed: int
    """Of the whole soak."""
    seconds: float
    outcome: Outcome

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Round:
        """From one line of the record."""
        return cls(**{**record, "outcome": Outcome.of_record(record["outcome"])})

    def record(self) -> dict[str, Any]:
        """One line of the record."""
        return {**vars(self), "outcome": self.outcome.record()}
