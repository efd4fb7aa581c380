"""The record's ratios as a table: a line for each comparison, a column for each of the bundle's cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.figures import NONE, digits
from benchmarks.report.tables import Table
from benchmarks.report.view import View


def ratio_table(view: View, workload: Mapping[str, Any]) -> Table | None:
    """Of one workload; None where nothing is compared."""
    found = [one for one in view.record.get("ratios", ()) if one["task"] == workload["name"]]
    if not found:
        return None
    cases = [name for name in view.cases if any(one["case"] == name for one in found)]
    lines: dict[str, dict[str, str]] = {}
    for one in found:
        lines.setdefault(_line(view, one, workload), {})[one["case"]] = _cell(one)
    rows = tuple(
        (name, *(cells.get(case, NONE) for case in cases))
        for name, cells in sorted(lines.items(), key=_order)
    )
    return Table(("ratio", *cases), rows)


def _line(view: View, one: Mapping[str, Any], workload: Mapping[str, Any]) -> str:
    if one["what"] == "RssAnon":
        row = next(row for row in view.rows(workload) if row.case == one["case"])
        return f"anonymous memory after {row.utterances} utterances, of the fp32 weights' size"
    if one["against"] == "floor":
        return "step, of the time to read its weights once"
    if not one["against"]:
        return f"{one['what']}, in time"
    # One line for a peer of several precisions: each case is compared with its own.
    precision = view.precision(one["against"])
    family = one["against"].removesuffix(f" {precision}")
    several = any(view.precision(name) != precision for name in view.cases if name.startswith(f"{family} "))
    return f"{one['what']}, times as fast as {f'{family}, same precision' if several else one['against']}"


def _order(line: tuple[str, Any]) -> tuple[int, str]:
    """Steps first, then the encoder, the whole and memory; what is said of one thing stands together."""
    order = ("step, times", "step, of", "step", "encoder", "utterance", "anonymous")
    return next(number for number, start in enumerate(order) if line[0].startswith(start)), line[0]


def _cell(one: Mapping[str, Any]) -> str:
    interval = one["interval"]
    span = "" if interval is None else f" ({digits(interval[0])} .. {digits(interval[1])})"
    return f"{digits(one['value'])}{span}"
