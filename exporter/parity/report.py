"""The parity report: parity.json is the record, parity.md is rendered from it alone."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.parity.decodings import MAX_TIES_SHARE, SCORE_TOLERANCE, TIE_MARGIN, GenerateRow
from exporter.parity.differences import GraphRow
from s2t_runtime.bundles.manifest import PrecisionErrors

_STANDS_IN = (
    "built-in audio was judged for want of recordings, and it is harder than speech: give recordings of yours with "
    "--audio, those of the export if it had any"
)


@dataclass(frozen=True)
class ParityReport:
    """One precision of a bundle against eager PyTorch."""

    precision: str
    provider: str
    versions: Mapping[str, str | None]
    graphs: Sequence[GraphRow]
    decodings: Sequence[GenerateRow]
    steps: PrecisionErrors | None = None
    """Along eager's own tokens, audio to log-probabilities; of precisions that have a budget."""
    budget: PrecisionErrors | None = None
    """What ``steps`` must keep; None is float32, whose tokens must be eager's."""
    written_tokens: int | None = None
    """Tokens to which eager's output projection was cut, as the bundle's is; None: all."""
    stands_in: bool = False
    """Built-in audio was compared where recordings of the user's would have been preferred: int8 without any."""
    remarks: Sequence[str] = ()
    """How the checkpoint was read where that was not as it is stored: both sides of the comparison were."""

    @property
    def ties(self) -> int:
        """Decodings whose tokens differ within eager's own indecision."""
        return sum(row.tie for row in self.decodings)

    @property
    def identical(self) -> int:
        """Decodings whose tokens are identical."""
        return sum(row.same_tokens for row in self.decodings)

    @property
    def worst_score_difference(self) -> float:
        """Largest difference of a hypothesis's score."""
        return max((row.score_difference for row in self.decodings), default=0.0)

    @property
    def passed(self) -> bool:
        """Every graph output within its limit, every decoding equal, and hardly any ties."""
        # With a handful of decodings one tie is above any share; it is allowed on its own.
        ties_allowed = max(1, round(MAX_TIES_SHARE * len(self.decodings)))
        rows_passed = all(row.passed for row in self.graphs) and all(row.passed for row in self.decodings)
        few_ties = self.budget is not None or self.ties <= ties_allowed
        complete = bool(self.graphs) and bool(self.decodings)
        return rows_passed and few_ties and complete and self._step_failure() is None

    @property
    def spelt_steps(self) -> str:
        """The figures along eager's tokens and their budget; empty where there is none."""
        if self.steps is None or self.budget is None:
            return ""
        return _spell_steps(self.steps, self.budget)

    def _step_failure(self) -> str | None:
        """What is beyond the budget, as a sentence."""
        if self.budget is None:
            return None
        if self.steps is None:
            return "no steps were compared"
        kept = (
            self.steps.log_prob_difference <= self.budget.log_prob_difference
            and self.steps.token_agreement >= self.budget.token_agreement
        )
        return (
            None
            if kept
            else f"beyond the budget along eager's tokens: {_spell_steps(self.steps, self.budget)}"
        )

    def record(self) -> dict[str, Any]:
        """What parity.json holds."""
        return {
            "precision": self.precision,
            "provider": self.provider,
            "passed": self.passed,
            "versions": dict(self.versions),
            "written_tokens": self.written_tokens,
            "decodings": {
                "compared": len(self.decodings),
                "identical_tokens": self.identical,
                "ties": self.ties,
                "worst_score_difference": self.worst_score_difference,
                "allowed_score_difference": max(
                    (row.allowed_score_difference for row in self.decodings), default=SCORE_TOLERANCE
                ),
                "rows": [{**dataclasses.asdict(row), "passed": row.passed} for row in self.decodings],
            },
            "budget": None if self.budget is None else dataclasses.asdict(self.budget),
            "steps": None if self.steps is None else dataclasses.asdict(self.steps),
            "stands_in": self.stands_in,
            "remarks": list(self.remarks),
            "graphs": [dataclasses.asdict(row) for row in self.graphs],
        }

    def failures(self) -> list[str]:
        """One sentence per line of the report that did not pass."""
        sentences = [
            f"{row.output}: largest difference {row.maximum:.2e}, allowed {row.limit:.2e}"
            + (f" (shapes {row.note})" if row.note else "")
            for row in self.graphs
            if not row.passed
        ]
        sentences += [
            f"{row.utterance} with {_spell(row.options)}: "
            + ("scores" if row.same_tokens or row.tie else "tokens")
            + f" differ (score difference {row.score_difference:.2e}, allowed {row.allowed_score_difference:.0e})"
            for row in self.decodings
            if not row.passed
        ]
        failure = self._step_failure()
        sentences += [] if failure is None else [failure]
        return [*sentences, _STANDS_IN] if sentences and self.stands_in else sentences


def _spell_steps(steps: PrecisionErrors, budget: PrecisionErrors) -> str:
    return (
        f"largest difference of a log-probability {steps.log_prob_difference:.2g} (allowed "
        f"{budget.log_prob_difference:.2g}), token agreement {steps.token_agreement:.1%} (at least "
        f"{budget.token_agreement:.1%})"
    )


def records_json(reports: Sequence[ParityReport]) -> str:
    """The text of parity.json."""
    records = [_jsonable(report.record()) for report in reports]
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _jsonable(value: Any) -> Any:
    """JSON has no infinity and no NaN, which a broken graph may well give: they are spelt out."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _jsonable(item) for name, item in value.items()}
    return [_jsonable(item) for item in value] if isinstance(value, list | tuple) else value


def render_markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """The text of parity.md, from what parity.json holds."""
    return "# Parity with eager PyTorch\n\n" + "\n".join(_section(record) for record in records)


def _section(record: Mapping[str, Any]) -> str:
    lines = [
        f"## {record['precision']}: {'passed' if record['passed'] else 'FAILED'}",
        "",
        *_summary(record),
        "| graph output | max | mean | p99 | largest value | allowed | |",
        "|---|---|---|---|---|---|---|",
        *map(_graph_line, record["graphs"]),
        "",
        "| audio | options | hypotheses | tokens | score difference | |",
        "|---|---|---|---|---|---|",
        *map(_decoding_line, record["decodings"]["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _summary(record: Mapping[str, Any]) -> list[str]:
    """Paragraphs, each with an empty line behind it."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    budget, steps, written = (record.get(name) for name in ("budget", "steps", "written_tokens"))
    lines = [f"Provider {record['provider']}; {versions}.", ""]
    if written:
        lines += [f"Eager's output projection was cut to the {written} tokens that the bundle writes.", ""]
    for remark in record.get("remarks", ()):
        lines += [f"The checkpoint: {remark}.", ""]
    lines += [_decoding_summary(record["decodings"], exact=budget is None), ""]
    lines += _step_lines(steps, budget)
    if record.get("stands_in") and not record["passed"]:
        lines += [f"Of this precision {_STANDS_IN}.", ""]
    return lines


def _decoding_summary(decodings: Mapping[str, Any], *, exact: bool) -> str:
    ties = (
        f"eager's own margin below {TIE_MARGIN:.0e}" if exact else "within the budget by eager's own scores"
    )
    return (
        f"{decodings['compared']} decodings compared with `generate()`: {decodings['identical_tokens']} with "
        f"identical tokens, {decodings['ties']} ties ({ties}); largest "
        f"difference of a score at length penalty 1 {decodings['worst_score_difference']:.1e} (allowed "
        f"{decodings['allowed_score_difference']:.0e})."
    )


def _graph_line(row: Mapping[str, Any]) -> str:
    return (
        f"| {row['output']} | {row['maximum']:.1e} | {row['mean']:.1e} | {row['percentile_99']:.1e} | "
        f"{row['scale']:.2g} | {row['limit']:.1e} | {_mark(row['passed'])} |"
    )


def _decoding_line(row: Mapping[str, Any]) -> str:
    return (
        f"| {row['utterance']} | {_spell(row['options'])} | {row['hypotheses']} | "
        f"{'same' if row['same_tokens'] else 'tie' if row['tie'] else 'DIFFERENT'} | "
        f"{row['score_difference']:.1e} | {_mark(row['passed'])} |"
    )


def _step_lines(steps: Mapping[str, float] | None, budget: Mapping[str, float] | None) -> list[str]:
    if steps is None or budget is None:
        return []
    # JSON has no infinity: a broken graph's difference is spelt out as text.
    figures = PrecisionErrors(float(steps["log_prob_difference"]), float(steps["token_agreement"]))
    spelt = _spell_steps(figures, PrecisionErrors(**budget))
    return [f"Step by step along eager's own tokens: {spelt}.", ""]


def _spell(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "defaults"


def _mark(passed: bool) -> str:  # noqa: FBT001 - a value to spell out, not a switch
    return "ok" if passed else "FAILED"
