"""Renders the record of benchmarks.gpu as Markdown; every figure comes from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_MS: Final = 1e3
_MIB: Final = 2**20
_NONE: Final = "-"
_BASE: Final = "eager fp16"
"""What speed-ups are against."""


def markdown(record: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        record: of ``record.record_of``, as it is read back from its file.
    """
    parts = ["# GPU benchmark", *_environment(record["environment"]), ""]
    parts += [f"- {note}" for note in record["notes"]] or ["- The machine was quiet, and repetitions agree."]
    for task in record["tasks"]:
        parts += ["", f"## {task['name']}, {task['tokens']} tokens", ""]
        parts += _table(record, task["name"])
    parts += ["", "Times are medians in ms. " + _floor(record.get("floor"))]
    parts.append(
        "Tokens: those before the first one that differs from the reference's, of all generated; beside it the "
        "difference of the hypothesis's score. Tokens per second count the decoder's steps and the search. Device "
        "memory is what the whole GPU used more after the case's warm-up than before its process started."
    )
    if record["left_out"]:
        parts += ["", "## Not measured", ""]
        parts += [f"- {name}: {reason}" for name, reason in record["left_out"].items()]
    return "\n".join(parts) + "\n"


def _environment(environment: Mapping[str, Any]) -> list[str]:
    machine, bundle = environment["machine"], environment["bundle"]
    gpus = "; ".join(
        f"{gpu['name']} ({gpu['memory_mib'] or '?'} MiB, compute capability {gpu['compute_capability']}, "
        f"driver {gpu['driver']})"
        for gpu in machine["gpus"]
    )
    versions = {name: version for name, version in environment["versions"].items() if version}
    listed = {**versions, **environment["tensorrt"]}
    cpu = machine["cpu"]
    return [
        "",
        f"{bundle['model']}, {bundle['parameters']:,} parameters, vocabulary {bundle['vocabulary']:,}; bundle "
        f"{bundle['sha256'][:12]}, commit {environment['commit'] or 'unknown'}, {environment['date']}.",
        "",
        f"- GPU: {gpus or 'none'}; state: {_pairs(machine['gpu_state'])}; CUDA {machine['cuda'] or 'none'}",
        f"- CPU: {cpu['model']}, {cpu['usable_cores']} cores, governor {machine['frequency_governor'] or 'unknown'}",
        f"- Threads: {_pairs(environment['threads'])}",
        f"- Versions: {_pairs(listed)}",
    ]


def _pairs(values: Mapping[str, Any] | None) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in (values or {}).items() if value is not None)
        or "unknown"
    )


def _table(record: Mapping[str, Any], task: str) -> list[str]:
    references: Sequence[str] = record["references"]
    heads = ["case", "encoder", "first step", "step", "step p95", "step / floor", "tokens/s", "utterance"]
    heads += ["p95", f"x {_BASE}", "device MiB"]
    for name in references:
        heads += [f"tokens as {name}", "score"]
    rows = [row for row in record["rows"] if row["task"] == task]
    base = next((row for row in rows if row["case"] == _BASE and row["summary"]), None)
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    lines += [_line(_cells(record, row, base)) for row in rows if row["summary"]]
    return lines


def _cells(record: Mapping[str, Any], row: Mapping[str, Any], base: Mapping[str, Any] | None) -> list[str]:
    summary, footprint = row["summary"], record["footprints"][row["case"]]
    device = footprint["device_bytes"]
    cells = [row["case"], *(_ms(summary[stage]["median"]) for stage in ("encoder", "first_step"))]
    step = summary.get("step")
    cells += [_NONE, _NONE] if step is None else [_ms(step["median"]), _ms(step["p95"])]
    cells += [_over_floor(record, row), f"{row['tokens_per_s']['median']:.1f}"]
    cells += [_ms(summary["total"]["median"]), _ms(summary["total"]["p95"])]
    ratio = None if base is None else base["summary"]["total"]["median"] / summary["total"]["median"]
    cells += [_NONE if ratio is None else f"{ratio:.2f}"]
    cells += [_NONE if device is None else f"{device / _MIB:.0f}"]
    for name in record["references"]:
        cells += _parity(row["parity"].get(name))
    return cells


def _over_floor(record: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    precision = next(case["precision"] for case in record["cases"] if case["name"] == row["case"])
    floor_s = record.get("floor", {}).get("step_s", {}).get(precision)
    step = row["summary"].get("step")
    return _NONE if floor_s is None or step is None else f"{step['median'] / floor_s:.2f}"


def _parity(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [_NONE, _NONE]
    difference = found["score_difference"]
    score = "not finite" if difference is None else f"{difference:.1e}"
    return [f"{found['agreeing']}/{found['tokens']}", score]


def _floor(floor: Mapping[str, Any] | None) -> str:
    if floor is None:
        return "The bandwidth floor was not measured."
    listed = ", ".join(
        f"{precision} {floor['step_bytes'][precision] / 1e6:.1f} MB, {step_s * _MS:.3f} ms"
        for precision, step_s in floor["step_s"].items()
    )
    rate = floor["bandwidth"]["bytes_per_s"] / 1e9
    return (
        f"The floor is reading the decoder's weights once a step, at {rate:.0f} GB/s ({floor['bandwidth']['how']}): "
        f"{listed}."
    )


def _ms(seconds: float) -> str:
    value = seconds * _MS
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
