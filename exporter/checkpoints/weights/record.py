"""What was done to weights on the way from the file to the model: for the manifest and for the console."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.checkpoints.weights.files import Form

_LAYER_NUMBER = re.compile(r"\.\d+(?=\.)")
_SHOWN = 3


@dataclass(frozen=True)
class WeightsRecord:
    """How one file's weights were read."""

    form: Form
    dtypes: tuple[str, ...] = ()
    """Floating types that the file holds, such as ``float16``."""
    default_dtype: str = "float32"
    """What transformers would compute in, were it not told."""
    removed: tuple[str, ...] = ()
    """What stood in front of names, or inside them, and was taken away."""
    wrapper: str | None = None
    """The key that the weights were found under."""
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reason -> names of tensors too many or too few that cannot change a result."""
    initialised: tuple[str, ...] = ()
    """Names of weights that transformers drew at random."""
    broken_ties: tuple[str, ...] = ()
    """Pairs of matrices that the configuration ties, and the file holds with different values."""
    converted: tuple[str, ...] = ()
    """What was changed to fit a class of today, in words."""

    def provenance(self) -> dict[str, Any]:
        """What the manifest says of it; nothing where files were read as they are."""
        stated: dict[str, Any] = {
            "form": self.form if self.form == "flax" else None,
            "dtypes": list(self.dtypes) if self.dtypes not in ((), ("float32",)) else None,
            "removed_from_names": list(self.removed),
            "wrapped_in": self.wrapper,
            "accepted": {why: list(by_layer(names)) for why, names in sorted(self.accepted.items())},
            "broken_ties": list(self.broken_ties),
            "converted": list(self.converted),
        }
        return {name: value for name, value in stated.items() if value}

    def notes(self) -> list[str]:
        """One line each for what a user should know of it."""
        notes = list(self.converted)
        if self.form == "flax":
            notes.append("the weights are Flax's, converted by name and shape")
        if self.removed or self.wrapper:
            wrapped = [f"{prefix!r} of their names" for prefix in self.removed]
            wrapped += [f"the key {self.wrapper!r}"] if self.wrapper else []
            notes.append(f"the weights were saved inside a wrapper: {' and '.join(wrapped)} taken away")
        lower = [dtype for dtype in self.dtypes if dtype != "float32"]
        if lower:
            notes.append(
                f"the weights are stored in {' and '.join(lower)} and exported in float32, which holds them exactly; "
                f"transformers' own default would compute in {self.default_dtype}"
            )
        if self.accepted:
            listed = "; ".join(f"{why}: {_counted(names)}" for why, names in sorted(self.accepted.items()))
            notes.append(
                f"weights that cannot change a result do not fit the model, and are passed over: {listed}"
            )
        notes += [
            f"the configuration ties {pair}, and the file holds them with different values: they are kept apart, as "
            "transformers 5 does it (4 tied them)"
            for pair in self.broken_ties
        ]
        return notes


def by_layer(names: Collection[str]) -> tuple[str, ...]:
    """Names of weights with layer numbers as ``*``, each once, sorted."""
    return tuple(sorted({_LAYER_NUMBER.sub(".*", name) for name in names}))


def listed(names: Collection[str], most: int = _SHOWN) -> str:
    """The first names, with layer numbers as ``*``, and how many more there are."""
    grouped: Sequence[str] = by_layer(names)
    rest = f", and {len(grouped) - most} more" if len(grouped) > most else ""
    return f"{', '.join(grouped[:most])}{rest}"


def _counted(names: Collection[str]) -> str:
    return f"{len(names)} x {listed(names)}" if len(names) > 1 else listed(names)
