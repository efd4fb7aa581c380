"""Sentences that both reports share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report.figures import digits, readable_time
from benchmarks.report.view import Row, View

READING: Final = (
    "Times are medians in ms of a whole generate(), from the file to the text; stages add up to the utterance.",
    "Tokens agree: those before the first that differs from the reference's, of all generated; beside it the largest "
    "difference of the hypotheses' scores.",
    "Tokens per second count the decoder's steps and the search. The real-time factor is seconds of computing over "
    "seconds of audio; × real time is its inverse.",
    "Word and character error rates are those over the recordings, with as many beams, in every row of the case; case "
    "and punctuation do not count.",
    "The floor of a step is reading the decoder's weights once, at the bandwidth that was measured.",
    "Anonymous memory in a row is what its process held when it was done with that workload, beside no file (RssAnon).",
    "Each case has a process of its own. Peak memory is the largest resident set by the end of the warm-up, steady "
    "memory what is held after the last decoding: anonymous alone, and with mapped files.",
)

RATIOS: Final = (
    "Of medians within this run; in brackets the 99 % interval over repetitions. Times do not carry to another machine "
    "or hour, ratios about do."
)
QUIET: Final = "The machine was quiet, and repetitions agree."


def workload_title(workload: Mapping[str, Any]) -> str:
    """As a heading: "10 s, 5 beams, 40 tokens"."""
    return f"{workload['name']}, {'' if workload['exact'] else 'at most '}{workload['tokens']} tokens"


def headline(view: View) -> str:
    """What is found, in one sentence: the bundle's fastest case beside the base, and a peer that is faster."""
    workload = view.headline_first[0]
    best = fastest(view)
    real_time = digits(1 / best.data["real_time_factor"]["median"])
    said = f"{workload_title(workload)}: {best.case} takes {readable_time(best.total_s)}, {real_time}\u00a0× real time"
    if best.speed_up is not None and best.case != view.base:
        said += f" and {digits(best.speed_up)}\u00a0× the speed of {view.base}"
    tokens, difference = best.parity
    if "/" in tokens:
        said += f"; {tokens} tokens agree with {view.base}, scores differ by {difference}"
    quicker = min(view.rows(workload), key=lambda row: row.total_s)
    if quicker.total_s < best.total_s:
        said += f"; {quicker.case} takes {readable_time(quicker.total_s)}"
    return f"{said}."


def fastest(view: View) -> Row:
    """The fastest case of the headline's workload: of the bundle's own, where one of them was measured."""
    rows = view.rows(view.headline_first[0])
    own = [row for row in rows if view.is_own(row.case)]
    return min(own or rows, key=lambda row: row.total_s)
