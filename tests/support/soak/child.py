"""One round in a process of its own: ``python -m support.soak.child KIND SEED NUMBER FOLDER``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
from support.soak.outcome import Outcome

BUNDLE: Final = "S2T_SOAK_BUNDLE"
"""The variable that names the bundle of the example, with all precisions."""
CPP_TESTS: Final = "S2T_SOAK_CPP_TESTS"
"""The variable that names s2t-tests; where it is not set, C++ is left out."""
CPP_PROGRAM: Final = "S2T_SOAK_CPP_PROGRAM"
"""The variable that names s2t-cli."""
CPP_FUZZERS: Final = "S2T_SOAK_CPP_FUZZERS"
"""The variable that names the directory of the fuzz targets."""

KINDS: Final = {"pairs": 10, "readers": 2, "kills": 1, "memory": 2}
"""Each kind of round, a module of this room, and how much of the time it gets."""


def generator_of(kind: str, seed: int, number: int) -> np.random.Generator:
    """All that a round draws."""
    return np.random.default_rng([seed, list(KINDS).index(kind), number])


def main(kind: str, seed: int, number: int, folder: Path) -> None:
    """Run the round; what comes of it is in ``folder``/outcome.json."""
    module = import_module(f"support.soak.{kind}")
    turns: tuple[object, ...] = getattr(module, "TURNS", ())
    turn = (turns[number % len(turns)],) if turns else ()  # so that no draw leaves one out
    outcome: Outcome = module.run(generator_of(kind, seed, number), folder, *turn)
    outcome.write(folder / "outcome.json")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
