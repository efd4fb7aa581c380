"""The options of a TensorRT build, which compile-s2t and ``export-s2t --engines`` share, and its closing table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exporter.commands.console import comma_names, readable_size
from exporter.engines.options import DEFAULT_TARGETS, PORTABLE, parse_spans, parse_targets
from s2t_runtime.sessions.engines.targets import gpu_problem, target_of
from s2t_runtime.sessions.profiles.table import (
    DEFAULT_MAX_BATCH,
    DEFAULT_MAX_BEAMS,
    DEFAULT_MAX_LENGTH,
    DEFAULT_MAX_PROMPT,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from exporter.engines.build import Census, CompileResult
    from s2t_runtime.bundles.engine_record import EngineRecord
    from s2t_runtime.machine import Machine

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--targets",
        multiple=True,
        callback=comma_names,
        metavar="LIST",
        help=f"GPUs that TensorRT-RTX builds for, by compute capability, or {PORTABLE}; full TensorRT builds for the "
        f"GPU that is here.  [default: {','.join(DEFAULT_TARGETS)}]",
    ),
    click.option(
        "--max-batch",
        type=click.IntRange(min=1),
        help=f"Most utterances at once.  [default: {DEFAULT_MAX_BATCH}]",
    ),
    click.option(
        "--max-beams",
        type=click.IntRange(min=1),
        help=f"Most sequences per utterance.  [default: {DEFAULT_MAX_BEAMS}]",
    ),
    click.option(
        "--max-length",
        type=click.IntRange(min=1),
        help=f"Most tokens of a sequence.  [default: {DEFAULT_MAX_LENGTH}, or what the decoder takes if fewer]",
    ),
    click.option(
        "--max-prompt",
        type=click.IntRange(min=1),
        help=f"Most tokens of a prompt.  [default: {DEFAULT_MAX_PROMPT}]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        callback=comma_names,
        metavar="NAME:MIN-MAXs",
        help="Lengths of audio that get kernels of their own, for example short:1-5s,long:5-30s.",
    ),
    click.option(
        "--first-step-engine",
        "first_step",
        is_flag=True,
        default=None,
        help="Build decoder_first_step too; decoder_with_past serves the first step without it.",
    ),
)
ENGINE_FLAGS: Mapping[str, str] = {
    "targets": "--targets",
    "max_batch": "--max-batch",
    "max_beams": "--max-beams",
    "max_length": "--max-length",
    "max_prompt": "--max-prompt",
    "profiles": "--profile",
    "first_step": "--first-step-engine",
}
"""Argument of the command -> what the user types."""


def engine_build_options(command: _Command) -> _Command:
    """Give a command the options that say what engines must take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_engine_fields(arguments: dict[str, Any]) -> dict[str, Any]:
    """Fields of ``EngineOptions`` that were given; they are taken out of ``arguments``.

    Raises:
        ExportError: a target or profile is not written as it must be.
    """
    given = {name: arguments.pop(name) for name in ENGINE_FLAGS}
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    fields["spans"] = parse_spans(fields.pop("profiles", ()))
    fields["targets"] = parse_targets(fields.pop("targets", ()))
    return fields


def show_engines(console: Console, bundle: Path, result: CompileResult, machine: Machine) -> None:
    """The table of plans and sizes, whether this machine can run them, and the next command to type."""
    from rich.table import Table  # noqa: PLC0415 - --help needs no rich

    console.print(str(result.folder), highlight=False, soft_wrap=True)
    table = Table("engine", "plan", "profiles", "")
    for engine in result.engines:
        names = ", ".join(profile.name for profile in engine.record.profiles)
        made = "reused" if engine.reused else f"built in {engine.seconds:.1f} s"
        table.add_row(engine.record.graph, readable_size(engine.record.plan_size), names, made)
    console.print(table)
    record = result.engines[0].record
    console.print(can_run(record, machine), highlight=False, soft_wrap=True)
    console.print(
        f"next: run-s2t {shlex.quote(str(bundle))} AUDIO.wav --provider tensorrt --precision {record.precision}",
        highlight=False,
        soft_wrap=True,
    )


def show_census(console: Console, found: Mapping[str, Census]) -> None:
    """Each graph's layers by type of layer and of output."""
    from rich.table import Table  # noqa: PLC0415

    for graph, census in found.items():
        outputs = sorted({output for counts in census.values() for output in counts})
        table = Table("layer", title=graph, title_justify="left")
        for output in outputs:
            table.add_column(output, justify="right")
        for layer, counts in sorted(census.items()):
            table.add_row(layer, *(str(counts.get(output, "")) for output in outputs))
        console.print(table)


def can_run(record: EngineRecord, machine: Machine) -> str:
    """One sentence: whether this machine has a GPU that the engines were built for."""
    if not machine.gpus:
        return f"this machine cannot run them: {machine.gpu_problem}"
    gpu = machine.gpus[0]
    target = target_of(gpu.compute_capability)
    problem = gpu_problem(record.targets, gpu.name, target)
    if problem is not None:
        return f"this machine cannot run them: {problem}"
    return f"this machine can run them: {gpu.name} ({target})"
