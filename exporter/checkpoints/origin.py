"""How a model came about: what the manifest's provenance states of it, and what the console says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from exporter.checkpoints.sources.files import CheckpointFiles, read_licence

Kind = Literal["checkpoint", "pair", "random_weights"]
_LAYER_NUMBER = re.compile(r"\.\d+(?=\.)")


@dataclass(frozen=True)
class Origin:
    """Where the parts of a model come from, and which of them were made up."""

    kind: Kind
    parts: Mapping[str, CheckpointFiles]
    """Role -> files: ``checkpoint``, or ``encoder`` and ``decoder``, or ``configuration``."""
    untrained: tuple[str, ...] = ()
    """Weights of seeded random numbers, layer numbers as ``*``; ``*`` alone stands for all of them."""
    seed: int | None = None
    """Of these weights; None where there are none."""
    neutral: tuple[str, ...] = ()
    """Companions that were made for want of others: ``tokenizer``, ``feature_extractor``."""

    def provenance(self) -> dict[str, Any]:
        """The fields of the manifest's ``provenance`` that tell where the model comes from."""
        parts = {
            role: {"id": files.model_id, "revision": files.revision} for role, files in self.parts.items()
        }
        return {
            "source": {"kind": self.kind, **parts},
            "untrained": list(self.untrained),
            "seed": self.seed,
            "neutral": list(self.neutral),
        }

    @property
    def model_id(self) -> str:
        """Hub id or directory's name; of both parts of a pair, and never that of a model with trained weights."""
        names = " + ".join(files.model_id for files in self.parts.values())
        return f"{names} (random weights)" if self.kind == "random_weights" else names

    @property
    def single(self) -> CheckpointFiles | None:
        """The files of a saved checkpoint, which alone has a revision and a card."""
        return self.parts["checkpoint"] if self.kind == "checkpoint" else None

    @property
    def licence(self) -> str | None:
        """As the model cards state it, each role by name where there are several."""
        stated = {role: read_licence(files.directory) for role, files in self.parts.items()}
        if len(stated) == 1:
            return next(iter(stated.values()))
        known = [f"{role}: {licence or 'not stated'}" for role, licence in stated.items()]
        return ", ".join(known) if any(stated.values()) else None

    def notes(self) -> list[str]:
        """What a user must know before trusting a word of the output; nothing for a saved checkpoint."""
        notes = []
        if self.kind == "pair":
            random = f": {', '.join(self.untrained)} are random numbers (seed {self.seed})"
            notes.append(
                "the cross-attention is untrained"
                if any(name.startswith("decoder.") for name in self.untrained)
                else "the cross-attention was trained with another encoder"
            )
            notes[0] += (random if self.untrained else "") + "; fine-tune the model before you trust its text"
        if self.kind == "random_weights":
            notes.append(
                f"all weights are random numbers (seed {self.seed}): latency and memory are those of the "
                "configuration, the text means nothing"
            )
        if self.neutral:
            absent = " and no ".join(companion.replace("_", " ") for companion in self.neutral)
            notes.append(f"there is no {absent} beside the configuration: neutral ones were made")
        return notes


def by_layer(names: Sequence[str]) -> tuple[str, ...]:
    """Names of weights with layer numbers as ``*``, each once, sorted."""
    return tuple(sorted({_LAYER_NUMBER.sub(".*", name) for name in names}))
