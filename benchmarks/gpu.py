"""How fast a bundle decodes on a GPU, beside eager PyTorch, torch.compile and the bandwidth floor.

    python -m benchmarks.gpu BUNDLE [--against CHECKPOINT] [--durations 2,10,30] [--beams 1,5] [--tokens 40] [-o DIR]

It chooses the cases; the measuring is ``interleaved``. ``gpu.json`` is the record, ``gpu.md`` is rendered from it.
Engines that the bundle lacks are built and kept in it, as compile-s2t does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from exporter.console import comma_names, user_errors

if TYPE_CHECKING:
    from benchmarks.busy import Load
    from benchmarks.gpu_cases import Choice
    from benchmarks.gpu_device import GpuDevice
    from benchmarks.gpu_engines import Need
    from benchmarks.peer import Task
    from s2t_runtime.bundle import Bundle

COMMAND: Final = "benchmarks.gpu"


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


def _numbers(kind: Callable[[str], Any]) -> Callable[..., tuple[Any, ...]]:
    """Callback of an option that takes numbers between commas."""

    def parse(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[Any, ...]:
        try:
            numbers = tuple(kind(name) for name in comma_names(context, parameter, value))
        except ValueError as error:
            raise click.BadParameter(f"{error}: write numbers above 0, with commas between them") from error
        if not numbers or min(numbers) <= 0:
            raise click.BadParameter("write numbers above 0, with commas between them")
        return numbers

    return parse


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
    callback=_numbers(float),
    show_default=True,
    help="Seconds of audio.",
)
@click.option(
    "--beams",
    multiple=True,
    default=("1", "5"),
    callback=_numbers(int),
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
    help="Directory for gpu.json and gpu.md.  [default: here]",
)
def main(**arguments: Any) -> None:
    """Measure BUNDLE on the GPU: latency by stage, tokens per second, memory, and parity in the same row."""
    with user_errors(COMMAND):
        click.echo(run(GpuRequest(**arguments)))


def run(request: GpuRequest) -> str:
    """Measure, write the record and the table.

    Returns:
        The table.

    Raises:
        S2TError: there is no GPU, or the bundle, an option or the output directory cannot be used.
    """
    from benchmarks.busy import current_load  # noqa: PLC0415 - --help must not wait for them
    from benchmarks.environment import describe_environment  # noqa: PLC0415
    from benchmarks.gpu_cases import choose_cases  # noqa: PLC0415
    from benchmarks.gpu_device import first_gpu  # noqa: PLC0415
    from benchmarks.gpu_problems import problems_here, refuse_without_gpu  # noqa: PLC0415
    from benchmarks.tasks import make_tasks  # noqa: PLC0415
    from s2t_runtime.bundle import open_bundle  # noqa: PLC0415

    load = current_load()
    refuse_without_gpu()
    bundle, gpu = open_bundle(request.bundle), first_gpu()
    make_directory(request.output)
    with tempfile.TemporaryDirectory() as directory:
        tasks = make_tasks(bundle, Path(directory), request.durations_s, request.beams, request.tokens)
        problems = problems_here(bundle, request.against, _need(bundle, request, tasks, gpu.target), _say)
        precisions = tuple(bundle.manifest.graphs)
        choice = choose_cases(str(request.bundle), precisions, request.against, problems)
        environment = describe_environment(bundle, gpu=gpu.bus_id)
        choice, device_used = with_device_memory(choice, gpu)
        record = measured_record(
            request, choice, tasks, environment=environment, load=load, device_used=device_used
        )
    return written(with_measured_floor(record, bundle, "cuda"), request.output)


def measured_record(
    request: GpuRequest,
    choice: Choice,
    tasks: Sequence[Task],
    *,
    environment: Mapping[str, Any],
    load: Load,
    device_used: Callable[[], int] | None,
) -> dict[str, Any]:
    """Measure the cases, each in a process of its own, and make the record of it.

    Args:
        request: how often.
        choice: the cases.
        tasks: what each of them decodes.
        environment: of ``describe_environment``.
        load: before it all began.
        device_used: as ``measure`` takes it.
    """
    from benchmarks.interleaved import Repetitions, measure  # noqa: PLC0415
    from benchmarks.peer_process import PeerProcess  # noqa: PLC0415
    from benchmarks.record import record_of  # noqa: PLC0415

    repetitions = Repetitions(request.warmups, request.repetitions)
    measured = measure(
        choice.cases, tasks, repetitions, start=PeerProcess, device_used=device_used, on_stage=_say
    )
    return record_of(
        measured,
        choice.cases,
        tasks,
        repetitions=repetitions,
        references=choice.references,
        left_out=choice.left_out,
        environment=environment,
        load=load,
    )


def with_device_memory(choice: Choice, gpu: GpuDevice) -> tuple[Choice, Callable[[], int] | None]:
    """How the used memory is read; None where the driver does not tell, with the reason among what is left out."""
    from benchmarks.errors import BenchmarkError  # noqa: PLC0415

    try:
        gpu.used_bytes()
    except BenchmarkError as error:
        return replace(choice, left_out={**choice.left_out, "device memory": str(error)}), None
    return choice, gpu.used_bytes


def with_measured_floor(
    record: Mapping[str, Any], bundle: Bundle, device: Literal["cuda", "cpu"]
) -> dict[str, Any]:
    """The record with the bandwidth floor of the bundle's precisions, or with the reason why there is none."""
    from benchmarks.bandwidth_floor import measured_bandwidth, step_bytes  # noqa: PLC0415
    from benchmarks.errors import PeerError  # noqa: PLC0415
    from benchmarks.record import with_floor  # noqa: PLC0415

    _say("measure the memory's bandwidth")
    try:
        bandwidth = measured_bandwidth(device)
        weights = {precision: step_bytes(bundle, precision) for precision in bundle.manifest.graphs}
    except (PeerError, ImportError) as error:
        return {**record, "left_out": {**record["left_out"], "bandwidth floor": str(error)}}
    return with_floor(record, weights, bandwidth)


def make_directory(path: Path) -> None:
    """See, before anything takes long, that results can be written.

    Raises:
        BenchmarkError: the directory cannot be made.
    """
    from benchmarks.errors import BenchmarkError  # noqa: PLC0415

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be made ({error.strerror}): give -o a directory that can be written"
        ) from error


def written(record: Mapping[str, Any], directory: Path) -> str:
    """Write gpu.json, and gpu.md from what was written.

    Returns:
        The table.

    Raises:
        BenchmarkError: the directory cannot be written to.
    """
    from benchmarks.errors import BenchmarkError  # noqa: PLC0415
    from benchmarks.gpu_report import markdown  # noqa: PLC0415
    from benchmarks.record import write_record  # noqa: PLC0415

    path = directory / "gpu.json"
    try:
        write_record(record, path)
        table = markdown(json.loads(path.read_text(encoding="utf-8")))
        (directory / "gpu.md").write_text(table, encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(
            f"results cannot be written to {directory} ({error.strerror}): give -o another directory"
        ) from error
    return table


def _need(bundle: Bundle, request: GpuRequest, tasks: Sequence[Task], target: str) -> Need:
    from benchmarks.gpu_engines import Need  # noqa: PLC0415
    from benchmarks.tasks import request_of  # noqa: PLC0415

    requests = tuple(request_of(bundle, task) for task in tasks)
    length = max(one.max_length for one in requests)
    return Need(target, max(request.durations_s), max(request.beams), length, requests)


def _say(stage: str) -> None:
    click.echo(f"{stage} ...", err=True)


if __name__ == "__main__":
    main()
