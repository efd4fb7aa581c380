"""Renders a record as Markdown."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report.ratio_tables import ratio_table
from benchmarks.report.tables import (
    Table,
    environment_table,
    footprint_table,
    remarks,
    stage_table,
    summary_table,
    texts_table,
)
from benchmarks.report.view import View
from benchmarks.report.wording import QUIET, RATIOS, READING, headline, workload_title


def markdown(record: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        record: of ``record.record_of``, as it is read back from its file.
    """
    view = View(record)
    parts = ["# Latency", "", _text(headline(view)), "", *_notes(record), *_summaries(view)]
    parts += _ratios(view, view.headline_first, "###")
    parts += ["", "## Threads, load time and memory", "", *_table(footprint_table(view))]
    parts += ["", "## How to read it", "", *(f"- {_text(one)}" for one in READING)]
    parts += ["", "## Every stage, ms", ""]
    for workload in view.workloads:
        parts += ["<details>", f"<summary>{html.escape(workload_title(workload))}</summary>", ""]
        parts += [*_table(stage_table(view, workload)), "", "</details>"]
    texts = texts_table(view)
    if texts is not None:
        parts += ["", "## Texts", "", *_table(texts)]
    parts += ["", "## Environment", "", *_table(environment_table(view))]
    return "\n".join([*parts, *_left_out(record)]) + "\n"


def summary_text(record: Mapping[str, Any]) -> str:
    """The part of it that a terminal shows: notes, the tables of speed and quality, memory, what was left out."""
    view = View(record)
    parts = [*_notes(record), *_summaries(view), *_ratios(view, view.headline_first[:1], "###")]
    parts += ["", *_table(footprint_table(view)), *_left_out(record)]
    return "\n".join(parts) + "\n"


def _notes(record: Mapping[str, Any]) -> list[str]:
    basis = [record["parity_basis"]] if "parity_basis" in record else []
    return [f"- {_text(note)}" for note in (*(record["notes"] or [QUIET]), *basis)]


def _summaries(view: View) -> list[str]:
    parts = []
    for workload in view.workloads:
        parts += ["", f"## {_text(workload_title(workload))}", "", *_table(summary_table(view, workload))]
        parts += _listed(remarks(view, workload))
    return parts


def _ratios(view: View, workloads: Sequence[Mapping[str, Any]], level: str) -> list[str]:
    """Of some workloads, each under a heading of a level."""
    parts = []
    for workload in workloads:
        table = ratio_table(view, workload)
        if table is not None:
            parts += ["", f"{level} {_text(workload_title(workload))}", "", *_table(table)]
    return ["", "## Ratios", "", _text(RATIOS), *parts] if parts else []


def _listed(sentences: Sequence[str]) -> list[str]:
    return ["", *(f"- {_text(one)}" for one in sentences)] if sentences else []


def _left_out(record: Mapping[str, Any]) -> list[str]:
    if not record["left_out"]:
        return []
    reasons = [f"- {_text(name)}: {_text(reason)}" for name, reason in record["left_out"].items()]
    return ["", "## Not measured", "", *reasons]


def _table(table: Table) -> list[str]:
    rule = ["---", *["---:"] * (len(table.heads) - 1)]
    return [_line(table.heads), _line(rule), *(_line(row) for row in table.rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(text: str) -> str:
    """Text that stays text in a cell of a table: no markup of its own, no bars, one line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
