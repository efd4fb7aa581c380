"""From cases and tasks to the record and its reports: what bench-s2t and benchmarks.gpu share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.errors import BenchmarkError, PeerError
from benchmarks.measuring import bandwidth_floor
from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.measuring.busy import Load
from benchmarks.measuring.choice import Choice
from benchmarks.measuring.gpu_device import GpuDevice
from benchmarks.measuring.interleaved import Repetitions, measure
from benchmarks.measuring.peer_process import PeerProcess, has_preparation, prepared
from benchmarks.measuring.processor_time import others_between, processor_time
from benchmarks.peers.protocol import Case, Task
from benchmarks.records.read import read_record
from benchmarks.records.record import record_of, with_floor, write_record
from benchmarks.report.markdown import markdown
from benchmarks.report.page import page
from s2t_runtime.bundles.bundle import Bundle

Say = Callable[[str], None]


def recorded(
    choice: Choice,
    tasks: Sequence[Task],
    repetitions: Repetitions,
    *,
    environment: Mapping[str, Any],
    load: Load,
    device_used: Callable[[], int] | None,
    say: Say,
) -> dict[str, Any]:
    """Prepare the cases, measure them, each in a process of its own, and make the record of it.

    Args:
        choice: the cases.
        tasks: what each of them decodes.
        repetitions: of each.
        environment: of ``describe_environment``.
        load: before it all began.
        device_used: as ``measure`` takes it.
        say: told what happens.
    """
    with tempfile.TemporaryDirectory() as directory:
        ready, failures = _prepared(choice.cases, tasks, Path(directory), say)
        before = processor_time()
        measured = measure(
            ready, tasks, repetitions, start=PeerProcess, device_used=device_used, on_stage=say
        )
        measured = replace(measured, others=others_between(before, processor_time()))
    return record_of(
        measured,
        choice.cases,
        tasks,
        repetitions=repetitions,
        references=choice.references,
        left_out={**choice.left_out, **failures},
        environment=environment,
        load=load,
    )


def refuse_unmeasured(record: Mapping[str, Any]) -> None:
    """See that there is something to report.

    Raises:
        BenchmarkError: no case was timed.
    """
    if not any(row["samples_s"] for row in record["rows"]):
        said = "; ".join(f"{name}: {reason}" for name, reason in record["left_out"].items())
        raise BenchmarkError(f"no case could be measured ({said}): doctor-s2t says what this machine can run")


def with_device_memory(choice: Choice, gpu: GpuDevice) -> tuple[Choice, Callable[[], int] | None]:
    """How the used memory is read; None where the driver does not tell, with the reason among what is left out."""
    try:
        gpu.used_bytes()
    except BenchmarkError as error:
        return replace(choice, left_out={**choice.left_out, "device memory": str(error)}), None
    return choice, gpu.used_bytes


def with_measured_floor(
    record: Mapping[str, Any],
    bundle: Bundle,
    device: Literal["cuda", "cpu"],
    *,
    threads: int | None = None,
    before: Bandwidth | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """The record with the bandwidth floor of the bundle's precisions, or with the reason why there is none.

    Args:
        record: of what has been measured.
        bundle: its weights count.
        device: where it ran.
        threads: of the CPU's.
        before: what the memory gave before the cases ran: the better one counts, since a floor is what is possible.
        say: told what is done.
    """
    say("measure the memory's bandwidth")
    try:
        now = bandwidth_floor.measured_bandwidth(device, threads)
        bandwidth = now if before is None or before.bytes_per_s < now.bytes_per_s else before
        weights = {
            precision: bandwidth_floor.step_bytes(bundle, precision) for precision in bundle.manifest.graphs
        }
    except (PeerError, ImportError) as error:
        return {**record, "left_out": {**record["left_out"], "bandwidth floor": str(error)}}
    found = with_floor(record, weights, bandwidth)
    return {**found, "floor": {**found["floor"], "device": device}}


def make_directory(path: Path) -> None:
    """See, before anything takes long, that results can be written.

    Raises:
        BenchmarkError: the directory cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be made ({error.strerror}): give -o a directory that can be written"
        ) from error


def write_reports(record: Mapping[str, Any], directory: Path, stem: str) -> dict[str, Any]:
    """Write the record, and the Markdown and the page from what was written.

    Args:
        record: the whole of it.
        directory: where to.
        stem: of ``STEM.json``, ``STEM.md`` and ``STEM.html``.

    Returns:
        The record as it is read back.

    Raises:
        BenchmarkError: the directory cannot be written to.
    """
    path = directory / f"{stem}.json"
    try:
        write_record(record, path)
        read = read_record(path)
        path.with_suffix(".md").write_text(markdown(read), encoding="utf-8")
        path.with_suffix(".html").write_text(page(read), encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(
            f"results cannot be written to {directory} ({error.strerror}): give -o another directory"
        ) from error
    return read


def written_files(directory: Path, stem: str) -> str:
    """The sentence that says where results are."""
    return f"written: {', '.join(str(directory / f'{stem}.{kind}') for kind in ('json', 'md', 'html'))}\n"


def _prepared(
    cases: Sequence[Case], tasks: Sequence[Task], directory: Path, say: Say
) -> tuple[list[Case], dict[str, str]]:
    """Cases that can be opened, and why the others cannot."""
    ready, failures = [], {}
    for number, case in enumerate(cases):
        if not has_preparation(case):
            ready.append(case)
            continue
        place = directory / str(number)
        place.mkdir()
        say(f"prepare {case.name}")
        try:
            ready.append(prepared(case, tasks, place))
        except PeerError as error:
            failures[case.name] = str(error)
    return ready, failures
