"""How fast a bundle decodes on a GPU, beside eager PyTorch, torch.compile and the bandwidth floor.

    python -m benchmarks.gpu BUNDLE [--against CHECKPOINT] [--durations 2,10,30] [--beams 1,5] [--tokens 40] [-o DIR]

It chooses the cases; measuring and reports are bench-s2t's. ``gpu.json`` is the record, ``gpu.md`` and ``gpu.html`` are
rendered from it. Engines that the bundle lacks are built and kept in it, as compile-s2t does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from benchmarks.number_options import numbers_between_commas
from exporter.commands.console import user_errors

if TYPE_CHECKING:
    from benchmarks.gpu.engines import Need
    from benchmarks.peers.protocol import Task
    from s2t_runtime.bundles.bundle import Bundle

COMMAND: Final = "benchmarks.gpu"
STEM: Final = "gpu"
BASE: Final = "eager fp16"
"""What speed-ups are against, where it could be measured."""


@dataclass(frozen=True)
class GpuRequest:
    """What to measure."""

    bundle: Path
    against: tuple[str, ...] = ()
    """As ``check-s2t --against``; empty takes what the manifest names."""
    durations_s: tuple[float, ...] = (10.0,)
    beams: tuple[int, ...] = (1, 5)
    tokens: int = 40
    warmups: int = 3
    repetitions: int = 10
    output: Path = Path()


@click.command(COMMAND)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--against", metavar="CHECKPOINT", multiple=True, help="What it was exported from, as for check-s2t."
)
@click.option(
    "--durations",
    "durations_s",
    multiple=True,
    default=("10",),
    callback=numbers_between_commas(float),
    show_default=True,
    help="Seconds of audio.",
)
@click.option(
    "--beams",
    multiple=True,
    default=("1", "5"),
    callback=numbers_between_commas(int),
    show_default=True,
    help="Per utterance.",
)
@click.option(
    "--tokens", type=click.IntRange(min=1), default=40, show_default=True, help="Generated, exactly."
)
@click.option(
    "--warmups", type=click.IntRange(min=1), default=3, show_default=True, help="Of each case and task."
)
@click.option(
    "--repetitions", type=click.IntRange(min=1), default=10, show_default=True, help="Of each case and task."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Directory for gpu.json, gpu.md and gpu.html.  [default: here]",
)
def main(**arguments: Any) -> None:
    """Measure BUNDLE on the GPU: latency by stage, tokens per second, memory, and parity in the same row."""
    with user_errors(COMMAND):
        click.echo(run(GpuRequest(**arguments)))


def run(request: GpuRequest) -> str:
    """Measure, write the record and the reports.

    Returns:
        The summary, and where the rest is.

    Raises:
        S2TError: there is no GPU, or the bundle, an option or the output directory cannot be used.
    """
    from benchmarks.bench.recorded_run import make_directory, recorded, with_device_memory  # noqa: PLC0415
    from benchmarks.gpu.cases import choose_cases  # noqa: PLC0415
    from benchmarks.gpu.problems import problems_here, refuse_without_gpu  # noqa: PLC0415
    from benchmarks.measuring.busy import current_load  # noqa: PLC0415 - --help must not wait for them
    from benchmarks.measuring.gpu_device import first_gpu  # noqa: PLC0415
    from benchmarks.measuring.interleaved import Repetitions  # noqa: PLC0415
    from benchmarks.peers.tasks import make_tasks  # noqa: PLC0415
    from benchmarks.records.environment import describe_environment  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415

    load = current_load()
    refuse_without_gpu()
    bundle, gpu = open_bundle(request.bundle), first_gpu()
    make_directory(request.output)
    with tempfile.TemporaryDirectory() as directory:
        tasks = make_tasks(bundle, Path(directory), request.durations_s, request.beams, request.tokens)
        problems = problems_here(bundle, request.against, _need(bundle, request, tasks, gpu.target), _say)
        choice = choose_cases(str(request.bundle), tuple(bundle.manifest.graphs), request.against, problems)
        choice, device_used = with_device_memory(choice, gpu)
        record = recorded(
            choice,
            tasks,
            Repetitions(request.warmups, request.repetitions),
            environment=describe_environment(bundle, gpu=gpu.bus_id),
            load=load,
            device_used=device_used,
            say=_say,
        )
    return reported(record, bundle, request.output)


def reported(record: Mapping[str, Any], bundle: Bundle, directory: Path) -> str:
    """Add floor and ratios, write gpu.json, gpu.md and gpu.html; the summary.

    Raises:
        BenchmarkError: every timed case failed, or the directory cannot be written to.
    """
    from benchmarks.bench.recorded_run import (  # noqa: PLC0415
        refuse_unmeasured,
        with_measured_floor,
        write_reports,
        written_files,
    )
    from benchmarks.records.ratios import with_ratios  # noqa: PLC0415
    from benchmarks.report.markdown import summary_text  # noqa: PLC0415

    refuse_unmeasured(record)
    measured = [name for name in (BASE, *record["references"]) if name in record["footprints"]]
    base = next(iter(measured), None)
    found = with_ratios(with_measured_floor({**record, "base": base}, bundle, "cuda", say=_say))
    return f"{summary_text(write_reports(found, directory, STEM))}\n{written_files(directory, STEM)}"


def _need(bundle: Bundle, request: GpuRequest, tasks: Sequence[Task], target: str) -> Need:
    from benchmarks.gpu.engines import Need  # noqa: PLC0415
    from benchmarks.peers.tasks import request_of  # noqa: PLC0415

    requests = tuple(request_of(bundle, task) for task in tasks)
    length = max(one.max_length for one in requests)
    return Need(target, max(request.durations_s), max(request.beams), length, requests)


def _say(stage: str) -> None:
    click.echo(f"{stage} ...", err=True)


if __name__ == "__main__":
    main()
