"""The report's tables as text in cells, for Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.peers.protocol import STAGES
from benchmarks.report.figures import NONE, digits, mebibytes, milliseconds, percent
from benchmarks.report.view import Row, View

_SPINNING: Final = {True: "yes", False: "no", "briefly": "for a moment"}
STATISTICS: Final = ("min", "mean", "median", "p90", "p95", "p99")


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column names the row, the others are figures.

    Attributes:
        heads: of the columns.
        rows: of cells.
        colours: of each row's case; empty where rows are no cases.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[int, ...] = ()


def summary_table(view: View, workload: Mapping[str, Any]) -> Table:
    """Speed and quality of every case, a row each."""
    rows = view.rows(workload)
    spoken = any(row.word_errors is not None for row in rows)
    # Where the reference only answered there is no time of it.
    relative = view.base in view.cases
    heads = ["case", "utterance ms", *([f"× {view.base}"] if relative else [])]
    for name in view.references:
        several = len(view.references) > 1
        heads += [f"tokens as {name}" if several else "tokens agree", "score difference"]
    heads += ["WER", "CER"] if spoken else []
    heads += [
        "p95 ms",
        "real-time factor",
        "× real time",
        "tokens/s",
        "encoder ms",
        "first step ms",
    ]
    heads += ["step ms", "step / floor", "anonymous MiB"]
    cells = tuple(_summary(row, view.references, spoken=spoken, relative=relative) for row in rows)
    return Table(tuple(heads), cells, _colours(rows))


def remarks(view: View, workload: Mapping[str, Any]) -> list[str]:
    """What must be known of some rows, a sentence each, with the cases that it holds for."""
    found: dict[str, list[str]] = {}
    for row in view.rows(workload):
        if row.remark:
            found.setdefault(row.remark, []).append(row.case)
    return [f"{' and '.join(cases)}: {remark}." for remark, cases in found.items()]


def footprint_table(view: View) -> Table:
    """Threads, loading and memory of every case; of a device, where one was looked at."""
    heads = ["case", "threads", "load s", "peak MiB", "steady anonymous MiB", "steady resident MiB"]
    devices = any(view.record["footprints"][name]["device_bytes"] is not None for name in view.cases)
    rows = []
    for name in view.cases:
        found = view.record["footprints"][name]
        peak = (found.get("warm") or found["host"])["VmHWM"]
        sizes = [peak, found["host"]["RssAnon"], found["host"]["VmRSS"]]
        sizes += [found["device_bytes"]] if devices else []
        threads = NONE if found["threads"] is None else str(found["threads"])
        rows.append((name, threads, digits(found["load_s"]), *map(mebibytes, sizes)))
    heads += ["device MiB"] if devices else []
    return Table(tuple(heads), tuple(rows), tuple(map(view.colour, view.cases)))


def stage_table(view: View, workload: Mapping[str, Any]) -> Table:
    """Every stage of every case, in ms."""
    heads = ("case", "stage", "samples", *STATISTICS, "spread")
    rows, colours = [], []
    for row in view.rows(workload):
        for stage in STAGES:
            summary = row.data["summary"].get(stage)
            if summary is None:
                continue
            figures = (milliseconds(summary[name]) for name in STATISTICS)
            spread = percent(summary["spread"], 0)
            rows.append((row.case, stage.replace("_", " "), str(summary["count"]), *figures, spread))
            colours.append(row.colour)
    return Table(heads, tuple(rows), tuple(colours))


def texts_table(view: View) -> Table | None:
    """What recordings were decoded to; None where no text is in the record."""
    rows, colours = [], []
    tasks = {task["name"]: task for task in view.record["tasks"]}
    for workload in view.workloads:
        for row in view.rows(workload):
            for name, text in zip(workload["tasks"], row.data.get("texts", ()), strict=False):
                file = str(tasks[name]["audio"][0]).rsplit("/", 1)[-1]
                rows.append((row.case, file, str(workload["beams"]), text))
                colours.append(row.colour)
    return Table(("case", "recording", "beams", "text"), tuple(rows), tuple(colours)) if rows else None


def environment_table(view: View) -> Table:
    """Where the figures come from."""
    return Table(("what", "value"), tuple(_environment(view)))


def _summary(row: Row, references: Sequence[str], *, spoken: bool, relative: bool) -> tuple[str, ...]:
    step, factor = row.figure("step"), row.data["real_time_factor"]["median"]
    over_floor = None if step is None or row.floor_s is None else step / row.floor_s
    cells = [row.case, milliseconds(row.total_s), *([digits(row.speed_up)] if relative else [])]
    cells += [cell for name in references for cell in row.parity_with(name)]
    if spoken:
        character = None if row.word_errors is None else row.word_errors["character_error_rate"]
        cells += [row.word_error_rate, percent(character)]
    cells += [
        milliseconds(row.figure("total", "p95")),
        digits(factor),
        digits(1 / factor),
        digits(row.data["tokens_per_s"]["median"]),
    ]
    cells += [milliseconds(row.figure(stage)) for stage in ("encoder", "first_step", "step")]
    return (*cells, digits(over_floor), mebibytes(row.anonymous_bytes))


def _environment(view: View) -> Iterator[tuple[str, str]]:
    record = view.record
    environment = record["environment"]
    machine, bundle = environment["machine"], environment["bundle"]
    yield "date", environment["date"]
    yield (
        "model",
        f"{bundle['model']}, {bundle['parameters']:,} parameters, vocabulary {bundle['vocabulary']:,}",
    )
    yield "bundle", f"SHA-256 {bundle['sha256']} of its manifest"
    yield "commit", environment["commit"] or "unknown"
    cpu = machine["cpu"]
    yield "processor", f"{cpu['model']}, {cpu['usable_cores']} cores usable"
    yield "frequency governor", machine["frequency_governor"] or "unknown"
    yield from _quiet(record)
    for gpu in machine["gpus"]:
        yield "GPU", f"{gpu['name']}, driver {gpu['driver']}; {_pairs(machine['gpu_state'])}"
    asked = {name: value for name, value in environment["threads"].items() if name != "asked"}
    yield "threads asked for", str(environment["threads"]["asked"] or "none: each case's own")
    yield "variables for threads", _pairs(asked)
    if "spin" in environment:  # records of older versions do not say
        yield "threads of the bundle spin between operators", _SPINNING[environment["spin"]]
    yield "versions", _pairs({**environment["versions"], **environment["tensorrt"]})
    counts = record["repetitions"]
    yield "repetitions", f"{counts['timed']} timed after {counts['warmups']} for warm-up, cases in turns"
    floor = record.get("floor")
    if floor is not None:
        sizes = ", ".join(
            f"{precision} {digits(size / 1e6)} MB in {milliseconds(floor['step_s'][precision])} ms"
            for precision, size in floor["step_bytes"].items()
        )
        rate = floor["bandwidth"]["bytes_per_s"] / 1e9
        yield "floor of a step", f"{sizes}, at {digits(rate)} GB/s ({floor['bandwidth']['how']})"


def _quiet(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whether the machine was."""
    load = record["load_before"]["average"]
    yield "load average before", "unknown" if load is None else f"{load:.2f}"
    others = record["others_during"]
    yield (
        "processors during it",
        "unknown"
        if others is None
        else f"{percent(others['programs'])} other programs, {percent(others['stolen'])} other machines",
    )


def _pairs(values: Mapping[str, Any] | None) -> str:
    found = [f"{name} {value}" for name, value in (values or {}).items() if value is not None]
    return ", ".join(found) or "not set"


def _colours(rows: list[Row]) -> tuple[int, ...]:
    return tuple(row.colour for row in rows)
