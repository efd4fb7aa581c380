"""How a model came about: what the manifest's provenance states of it, and what the console says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.checkpoints.sources.files import CheckpointFiles, read_licence
from exporter.checkpoints.weights.record import WeightsRecord

Kind = Literal["checkpoint", "pair", "random_weights"]


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
    companions: Mapping[str, CheckpointFiles] = field(default_factory=dict)
    """``tokenizer`` or ``feature_extractor`` -> files, where the user took it from elsewhere."""
    weights: Mapping[str, WeightsRecord] = field(default_factory=dict)
    """Role -> how its weights were read."""

    def provenance(self) -> dict[str, Any]:
        """The fields of the manifest's ``provenance`` that tell where the model comes from."""
        named = {**self.parts, **self.companions}
        parts = {role: {"id": files.model_id, "revision": files.revision} for role, files in named.items()}
        weights = {role: stated for role, record in self.weights.items() if (stated := record.provenance())}
        return {
            "source": {"kind": self.kind, **parts},
            **({"weights": weights} if weights else {}),
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
        return [*notes, *self.remarks_on_reading()]

    def remarks_on_reading(self) -> list[str]:
        """Where the checkpoint was not read as it is stored."""
        remarks: list[str] = []
        for role, record in self.weights.items():
            said = record.notes()
            remarks += said if len(self.weights) == 1 else [f"{role}: {note}" for note in said]
        return remarks
