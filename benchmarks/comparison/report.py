"""Says what a comparison found, as Markdown that reads well on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.comparison.compare import CONFIDENCE, LEAST_CHANGE_S, RESAMPLES, Change, Comparison
from benchmarks.comparison.figures import Figure
from benchmarks.comparison.quality import Finding

_MS: Final = 1e3
_HEADS: Final = (
    "case",
    "workload",
    "stage",
    "old ms",
    "new ms",
    "change",
    f"{CONFIDENCE:.0%} interval",
    "verdict",
)


def comparison_text(found: Comparison, max_regression: float | None) -> str:
    """The whole text.

    Args:
        found: what was compared.
        max_regression: percent that a stage may be slower beyond the noise; None where none is judged.
    """
    lines = [_line(_HEADS), _line(["---", "---", "---", "---:", "---:", "---:", "---:", "---"])]
    lines += [_line(_cells(change, max_regression)) for change in found.changes]
    lines += ["", _summary(found, max_regression)]
    lines += [
        f"Ratio of medians, new / old; interval: percentile bootstrap over repetitions, {RESAMPLES:,} resamples. Of "
        f"audio, search and detokenising less than {LEAST_CHANGE_S * _MS:g} ms is within noise."
    ]
    judged = max_regression is not None
    larger = [] if max_regression is None else larger_figures(found, max_regression)
    for title, sentences in (
        ("Quality", _marked(found.quality, judged=judged)),
        (
            "Single figures, without interval; load time is not judged",
            [_mark(one.sentence, bad=one in larger) for one in found.figures],
        ),
        ("Environment", found.environment),
        ("Not compared", _marked(found.missing, judged=judged)),
    ):
        lines += _section(title, sentences)
    return "\n".join(lines) + "\n"


def regressions(found: Comparison, max_regression: float) -> list[Change]:
    """The stages that are slower by more than so many percent, beyond the noise."""
    return [change for change in found.changes if change.regressed(max_regression)]


def larger_figures(found: Comparison, max_regression: float) -> list[Figure]:
    """Memory that grew by more than so many percent, beyond the noise."""
    return [figure for figure in found.figures if figure.regressed(max_regression)]


def losses(found: Comparison) -> list[Finding]:
    """Quality and rows that are gone: a loss at any percentage."""
    return [finding for finding in (*found.quality, *found.missing) if finding.loss]


def passes(found: Comparison, max_regression: float) -> bool:
    """Whether nothing is slower or larger by more than so many percent, and nothing is lost."""
    return not (regressions(found, max_regression) or larger_figures(found, max_regression) or losses(found))


def _summary(found: Comparison, max_regression: float | None) -> str:
    if found.too_few is not None:
        return f"{found.too_few[0].upper()}{found.too_few[1:]}."
    real = [change for change in found.changes if change.beyond_noise]
    faster = sum(change.ratio < 1 for change in real)
    said = (
        f"Of {len(found.changes)} figures {faster} are faster beyond the noise and {len(real) - faster} slower; "
        f"{len(found.changes) - len(real)} are within it."
    )
    if max_regression is None:
        return said
    slower = len(regressions(found, max_regression))
    larger, lost = len(larger_figures(found, max_regression)), len(losses(found))
    said += f" {slower or 'None'} {_are(slower)} slower by more than {max_regression:g} %."
    said += f" {larger} of memory {_are(larger)} larger by more than that." if larger else ""
    return said + (f" {lost} of quality or of cases {_are(lost)} lost." if lost else "")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _marked(findings: Sequence[Finding], *, judged: bool) -> list[str]:
    return [_mark(one.sentence, bad=judged and one.loss) for one in findings]


def _mark(sentence: str, *, bad: bool) -> str:
    return f"REGRESSION: {sentence}" if bad else sentence


def _cells(change: Change, max_regression: float | None) -> list[str]:
    interval = change.interval
    span = "-" if interval is None else f"{interval[0] - 1:+.1%} .. {interval[1] - 1:+.1%}"
    return [
        change.case,
        change.task,
        change.stage.replace("_", " "),
        f"{change.old_s * _MS:,.4g}",
        f"{change.new_s * _MS:,.4g}",
        f"{change.ratio - 1:+.1%}",
        span,
        _verdict(change, max_regression),
    ]


def _verdict(change: Change, max_regression: float | None) -> str:
    if change.interval is None:
        return "unknown"
    if not change.beyond_noise:
        return "within noise"
    if max_regression is not None and change.regressed(max_regression):
        return "REGRESSION"
    return "faster" if change.ratio < 1 else "slower"


def _section(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"- {sentence}" for sentence in sentences)] if sentences else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
