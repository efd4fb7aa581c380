"""What tables and plots ask a record; nothing here computes what the record does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.peers.protocol import OWN
from benchmarks.report.figures import NONE, percent, small

_HEADLINE_S: Final = 10.0
COLOURS: Final = 7


@dataclass(frozen=True)
class Row:
    """One case with one workload.

    Attributes:
        case: its name.
        colour: of its marks: 0 for the case that speeds are relative to, 1 .. COLOURS - 1 for the others.
        data: of the record.
        workload: of the record.
        reference: the case that speeds are relative to and answers are compared with.
        base: its row; None where it was not measured.
        floor_s: the least time of a step; None where it is not known.
        word_errors: of this case with as many beams, over the recordings; None where there are no references.
    """

    case: str
    colour: int
    data: Mapping[str, Any]
    workload: Mapping[str, Any]
    reference: str | None
    base: Mapping[str, Any] | None
    floor_s: float | None
    word_errors: Mapping[str, Any] | None

    def figure(self, stage: str, name: str = "median") -> float | None:
        """Of a stage's summary, in seconds; None where there are no samples."""
        summary = self.data["summary"].get(stage)
        return None if summary is None else summary[name]

    @property
    def total_s(self) -> float:
        """The median of the whole; of recordings, of one."""
        found: float = self.data["summary"]["total"]["median"]
        return found

    @property
    def speed_up(self) -> float | None:
        """Over the base's median real-time factor, so that it holds for recordings of all lengths too."""
        if self.base is None:
            return None
        ours: float = self.data["real_time_factor"]["median"]
        found: float = self.base["real_time_factor"]["median"] / ours
        return found

    @property
    def parity(self) -> tuple[str, str]:
        """Tokens that agree with the reference's, of all, and the difference of scores."""
        return self.parity_with(self.reference)

    def parity_with(self, reference: str | None) -> tuple[str, str]:
        """The same for any reference."""
        if self.case == reference:
            return ("reference", NONE)
        found = self.data["parity"].get(reference)
        if found is None:
            return ("not compared" if not self.data["tokens"] else NONE, NONE)
        return (f"{found['agreeing']}/{found['tokens']}", small(found["score_difference"]))

    @property
    def remark(self) -> str:
        """What must be known of it; often empty."""
        found: str = self.data.get("remark", "")
        return found

    @property
    def anonymous_bytes(self) -> int | None:
        """Of its process, after the last decoding of the workload."""
        memory = self.data.get("memory")
        return None if memory is None else memory["RssAnon"]

    @property
    def utterances(self) -> int:
        """That its process had decoded by then."""
        memory = self.data.get("memory")
        return 0 if memory is None else memory["utterances"]

    @property
    def quality(self) -> str:
        """In a few words, for beneath a name in a plot."""
        tokens = self.parity[0]
        said = f"{tokens} tokens agree" if "/" in tokens else tokens
        return said if self.word_errors is None else f"{said}, {self.word_error_rate} WER"

    @property
    def word_error_rate(self) -> str:
        """In percent."""
        return percent(None if self.word_errors is None else self.word_errors["word_error_rate"])


@dataclass(frozen=True)
class View:
    """A record, asked by workload.

    Attributes:
        record: as it is read back from its file.
    """

    record: Mapping[str, Any]

    @property
    def workloads(self) -> list[Mapping[str, Any]]:
        """In the order of the record."""
        return list(self.record["workloads"])

    @property
    def headline_first(self) -> list[Mapping[str, Any]]:
        """The workload that people quote first: batch 1, many beams, about 10 s; then the others by nearness to it."""

        def distance(one: Mapping[str, Any]) -> tuple[bool, float, int, float]:
            return (not one["exact"], one["batch"], -one["beams"], abs(one["audio_s"] - _HEADLINE_S))

        return sorted(self.workloads, key=distance)

    @property
    def base(self) -> str | None:
        """The case that speeds are relative to; the first reference where the record names none."""
        references = self.record.get("references") or [None]
        found: str | None = self.record.get("base", references[0])
        return found

    @property
    def cases(self) -> list[str]:
        """Timed ones, in the order of their turns."""
        timed = {row["case"] for row in self.record["rows"] if row["samples_s"]}
        return [case["name"] for case in self.record["cases"] if case["name"] in timed]

    def rows(self, workload: Mapping[str, Any]) -> list[Row]:
        """Of the timed cases, in their order."""
        found = {row["case"]: row for row in self.record["rows"] if row["task"] == workload["name"]}
        base = found.get(self.base) if self.base else None
        base = base if base is not None and base["samples_s"] else None
        return [
            Row(
                case=name,
                colour=self.colour(name),
                data=found[name],
                workload=workload,
                reference=self.base,
                base=base,
                floor_s=self.floor_s(name),
                word_errors=self._word_errors(name, workload["beams"]),
            )
            for name in self.cases
            if name in found
        ]

    def colour(self, case: str) -> int:
        """See Row."""
        others = [name for name in self.cases if name != self.base]
        return 0 if case == self.base else 1 + others.index(case) % (COLOURS - 1)

    @property
    def references(self) -> list[str]:
        """Cases that answers are compared with."""
        return list(self.record.get("references", ()))

    def is_own(self, case: str) -> bool:
        """Whether a case is the bundle itself, not a peer."""
        return any(one["name"] == case and one["kind"] == OWN for one in self.record["cases"])

    def precision(self, case: str) -> str:
        """Of a case's weights."""
        return str(next(one["precision"] for one in self.record["cases"] if one["name"] == case))

    def floor_s(self, case: str) -> float | None:
        """The least time of a step of a case; None where it was not measured on its device and in its precision."""
        floor = self.record.get("floor")
        found = next(one for one in self.record["cases"] if one["name"] == case)
        settings = found["settings"]
        device = "cpu" if "cpu" in (settings.get("provider"), settings.get("device")) else "cuda"
        if floor is None or floor.get("device", "cuda") != device:
            return None
        value: float | None = floor["step_s"].get(found["precision"])
        return value

    def _word_errors(self, case: str, beams: int) -> Mapping[str, Any] | None:
        spoken = {one["name"] for one in self.workloads if not one["exact"] and one["beams"] == beams}
        found = (
            row.get("word_errors")
            for row in self.record["rows"]
            if row["case"] == case and row["task"] in spoken
        )
        return next(found, None)
