"""Renders a record as one page of HTML: no script, nothing fetched, light and dark as the reader's system has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, Final

from benchmarks.report.drawing.bars import legend
from benchmarks.report.drawing.markup import Element, tag
from benchmarks.report.figures import digits, mebibytes, readable_time
from benchmarks.report.plots import (
    PART_NAMES,
    breakdown_plot,
    distribution_plot,
    factor_plot,
    factor_plots,
    speed_plot,
    step_plot,
)
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
from benchmarks.report.wording import QUIET, RATIOS, READING, fastest, headline, workload_title

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser itself refuses whatever would be fetched or run."""
_SHOWN: Final = 4
"""Tables or plots of a kind that stand open; more are folded away."""

_Plot = Callable[[View, Mapping[str, Any], str], Element | None]


def page(record: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        record: of ``record.record_of``, as it is read back from its file.
    """
    view = View(record)
    model = record["environment"]["bundle"]["model"]
    css = resources.files("benchmarks.report").joinpath("latency.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Latency of {model}"),
        # An icon of its own, or browsers ask the server for one.
        tag("link", rel="icon", href="data:,"),
        tag("style", css),
    )
    body = tag("body", tag("main", *_top(view), *_speed(view), *_plots(view), *_rest(view)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _top(view: View) -> list[Element]:
    record = view.record
    environment = record["environment"]
    cpu, bundle = environment["machine"]["cpu"], environment["bundle"]
    where = "; ".join([cpu["model"], *(gpu["name"] for gpu in environment["machine"]["gpus"])])
    when = environment["date"].replace("T", " ").replace("+00:00", " UTC")
    said = [*record["notes"]] or [QUIET]
    basis = [record["parity_basis"]] if "parity_basis" in record else []
    return [
        tag(
            "header",
            tag("h1", f"Latency of {bundle['model']}"),
            tag("p", f"{where}, {cpu['usable_cores']} cores; {when}", class_="sub"),
            tag("p", headline(view), class_="lead"),
        ),
        _tiles(view),
        tag(
            "div",
            tag("ul", (tag("li", note) for note in (*said, *basis))),
            class_="notes doubt" if record["notes"] else "notes",
            role="note",
        ),
    ]


def _tiles(view: View) -> Element:
    best = fastest(view)
    tokens, difference = best.parity
    memory = (view.record["footprints"][best.case].get("warm") or {}).get("VmHWM")
    step = best.figure("step")
    tiles: list[tuple[str, ...]] = [(f"{digits(1 / best.data['real_time_factor']['median'])} ×", "real time")]
    if best.speed_up is not None and best.case != view.base:
        tiles.insert(0, (f"{digits(best.speed_up)} ×", f"the speed of {view.base}"))
    tiles.append((readable_time(best.total_s), "for an utterance"))
    if step is not None:
        tiles.append((readable_time(step), "for a decoder step"))
    if memory is not None:
        tiles.append((f"{mebibytes(memory)} MiB", "of memory at its peak"))
    if "/" in tokens:
        tiles.append(
            (tokens, f"tokens as {view.base}", f"scores differ by {difference}".replace("-", "\u2011"))
        )
    if best.word_errors is not None:
        tiles.append((best.word_error_rate, "word error rate"))
    items = (
        tag("li", tag("b", value), (tag("span", name) for name in names), class_="tile")
        for value, *names in tiles
    )
    label = f"{best.case}, {view.headline_first[0]['name']}"
    return tag("section", tag("p", f"Fastest: {label}", class_="sub"), tag("ul", items, class_="tiles"))


def _speed(view: View) -> list[Element]:
    parts = [tag("h2", "Speed and quality")]
    tables = [
        (
            tag("h3", workload_title(one)),
            _table(summary_table(view, one)),
            *(tag("p", said, class_="muted small") for said in remarks(view, one)),
        )
        for one in view.headline_first
    ]
    for pair in tables[:_SHOWN]:
        parts += pair
    if len(tables) > _SHOWN:
        folded = [part for pair in tables[_SHOWN:] for part in pair]
        parts.append(tag("details", tag("summary", _more(len(tables))), *folded))
    parts += _ratios(view)
    parts += [tag("h2", "Threads, load time and memory"), _table(footprint_table(view))]
    return parts


def _ratios(view: View) -> list[Element]:
    found = [(one, table) for one in view.headline_first if (table := ratio_table(view, one)) is not None]
    if not found:
        return []
    (first, table), *others = found
    parts = [tag("h2", "Ratios"), tag("p", RATIOS, class_="muted"), tag("h3", workload_title(first))]
    parts.append(_table(table))
    for workload, other in others:
        parts.append(tag("details", tag("summary", workload_title(workload)), _table(other)))
    return parts


def _plots(view: View) -> list[Element]:
    parts = _section(
        view,
        "Speed-up",
        f"Median time of {view.base} over each case's; beneath each name its quality.",
        speed_plot,
    )
    parts += _section(
        view,
        "Latency distribution",
        "Every decoding is a dot, at its distance from the case's median; the box holds the middle half.",
        distribution_plot,
    )
    parts += _section(
        view,
        "Step time against tokens generated",
        "Medians over repetitions, in a band that holds their middle half; without the first step, the prompt's. A "
        "case that feeds a forced first token with the prompt begins one token later.",
        step_plot,
    )
    parts += _section(
        view,
        "Where the time goes",
        "Shares of the mean time of an utterance, which stands at the end.",
        breakdown_plot,
        legend(PART_NAMES),
    )
    panels = [
        _panel(name, factor_plot(view, name, members, f"factor-{number}"))
        for number, (name, members) in enumerate(factor_plots(view))
    ]
    if panels:
        said = "Seconds of computing over seconds of audio, from the fastest to the slowest repetition."
        parts += [
            tag("h2", "Real-time factor against length of audio"),
            tag("p", said, class_="muted"),
            _grid(panels),
        ]
    return parts


def _section(
    view: View, title: str, explanation: str, plot: _Plot, before: Element | None = None
) -> list[Element]:
    key = plot.__name__.replace("_", "-")
    found = [(one, plot(view, one, f"{key}-{number}")) for number, one in enumerate(view.headline_first)]
    panels = [_panel(workload_title(one), drawn) for one, drawn in found if drawn is not None]
    if not panels:
        return []
    parts = [tag("h2", title), tag("p", explanation, class_="muted")]
    parts += [before] if before is not None else []
    parts.append(_grid(panels[:_SHOWN]))
    if len(panels) > _SHOWN:
        parts.append(tag("details", tag("summary", _more(len(panels))), _grid(panels[_SHOWN:])))
    return parts


def _rest(view: View) -> list[Element]:
    parts = [tag("h2", "Every stage, ms")]
    for workload in view.workloads:
        table = _table(stage_table(view, workload))
        parts.append(tag("details", tag("summary", workload_title(workload)), table))
    texts = texts_table(view)
    if texts is not None:
        parts += [
            tag("h2", "Texts"),
            tag("details", tag("summary", "What was decoded"), _table(texts, "prose")),
        ]
    left_out = view.record["left_out"]
    if left_out:
        rows = tuple((name, reason) for name, reason in left_out.items())
        parts += [tag("h2", "Not measured"), _table(Table(("what", "why"), rows), "prose")]
    parts += [tag("h2", "Environment"), _table(environment_table(view), "prose")]
    parts += [tag("h2", "How to read it"), tag("ul", (tag("li", one) for one in READING))]
    return parts


def _more(count: int) -> str:
    return f"{count - _SHOWN} more workload{'s' if count - _SHOWN > 1 else ''}"


def _panel(caption: str, drawn: Element) -> Element:
    return tag("figure", tag("figcaption", caption), drawn)


def _grid(panels: Sequence[Element]) -> Element:
    return tag("div", *panels, class_="panels")


def _table(table: Table, kind: str | None = None) -> Element:
    """A table whose first column names the rows; it scrolls sideways, by keyboard too."""
    head = tag("thead", tag("tr", (tag("th", name, scope="col") for name in table.heads)))
    rows = []
    for number, (first, *others) in enumerate(table.rows):
        swatch = (
            tag("span", class_=f"swatch c{table.colours[number]}", aria_hidden="true")
            if table.colours
            else None
        )
        rows.append(tag("tr", tag("th", swatch, first, scope="row"), (tag("td", cell) for cell in others)))
    return tag(
        "div", tag("table", head, tag("tbody", *rows), class_=kind), class_="scroll", tabindex="0",
        role="region", aria_label=table.heads[0],
    )  # fmt: skip
