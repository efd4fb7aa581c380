"""What bench-s2t does with a bundle: tasks, cases, the measurement, the record, and the reports of it."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.bench.cases import basis_sentence, choose_cases, reference_order, with_reference
from benchmarks.bench.recorded_run import (
    Say,
    make_directory,
    recorded,
    refuse_unmeasured,
    with_device_memory,
    with_measured_floor,
    write_reports,
    written_files,
)
from benchmarks.bench.request import BenchRequest
from benchmarks.measuring import bandwidth_floor
from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.measuring.busy import current_load
from benchmarks.measuring.choice import Choice
from benchmarks.measuring.gpu_device import GpuDevice, first_gpu
from benchmarks.measuring.interleaved import Repetitions
from benchmarks.measuring.word_errors import rates, read_references, word_errors
from benchmarks.peers.protocol import Case, Task
from benchmarks.peers.tasks import make_tasks, recording_tasks
from benchmarks.records.environment import describe_environment
from benchmarks.records.ratios import with_ratios
from benchmarks.report.markdown import summary_text
from exporter.checkpoints.sources.recorded import source_of
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.machine import cuda_driver_problem
from s2t_runtime.text.loading import load_detokenizer

STEM: Final = "latency"
_FLOOR_NEEDS: Final = ("torch", "onnx_ir")


def measure_bundle(request: BenchRequest, say: Say = lambda _: None) -> str:
    """Measure, and write the record, the table and the page.

    Args:
        request: what to measure.
        say: told what happens.

    Returns:
        The summary, and where the rest is.

    Raises:
        S2TError: a bundle, an option, a recording or the output directory cannot be used, or every case failed.
    """
    load, bundle = current_load(), open_bundle(request.bundle)
    references = _checked_references(request, bundle)
    cases, gpu = _cases(request, bundle), _gpu(request)
    environment = describe_environment(
        bundle, threads=request.threads, spin=request.spin, gpu=None if gpu is None else gpu.bus_id
    )
    with tempfile.TemporaryDirectory() as directory:
        tasks = _tasks(bundle, request, Path(directory))
        bandwidth = _bandwidth_before(request)
        choice, device_used = Choice(cases, tuple(reference_order(cases)), {}), None
        if gpu is not None:
            choice, device_used = with_device_memory(choice, gpu)
        record = recorded(
            choice,
            tasks,
            Repetitions(request.warmups, request.repetitions),
            environment=environment,
            load=load,
            device_used=device_used,
            say=say,
        )
    record = with_basis(record, cases, against=bool(request.against))
    record = with_word_errors(record, bundle, references) if references else record
    record = with_ratios(_with_floor(record, bundle, request, bandwidth, say))
    read = write_reports(record, request.output, STEM)
    return f"{summary_text(read)}\n{written_files(request.output, STEM)}"


def with_basis(record: Mapping[str, Any], cases: Sequence[Case], *, against: bool) -> dict[str, Any]:
    """The record with the one case that answers are compared with and speeds are relative to: the best that ran.

    Args:
        record: of ``recorded``.
        cases: all that were to be measured.
        against: whether there is a checkpoint for peers to run.

    Raises:
        BenchmarkError: every timed case failed.
    """
    refuse_unmeasured(record)
    basis = next(name for name in record["references"] if name in record["footprints"])
    rows = [
        {**row, "parity": {name: one for name, one in row["parity"].items() if name == basis}}
        for row in record["rows"]
    ]
    sentence = basis_sentence(next(case for case in cases if case.name == basis), cases, against=against)
    return {**record, "rows": rows, "references": [basis], "base": basis, "parity_basis": sentence}


def with_word_errors(
    record: Mapping[str, Any], bundle: Bundle, references: Mapping[str, str]
) -> dict[str, Any]:
    """The record with ``texts`` and ``word_errors`` in every row of recordings.

    Args:
        record: of ``record_of``.
        bundle: its vocabulary turns tokens into text.
        references: file name -> what was said.
    """
    detokenize = load_detokenizer(bundle)
    files = {task["name"]: Path(task["audio"][0]).name for task in record["tasks"] if not task["exact"]}
    wanted = {
        one["name"]: [references[files[name]] for name in one["tasks"]]
        for one in record["workloads"]
        if not one["exact"]
    }
    rows = []
    for row in record["rows"]:
        if row["task"] in wanted and row["tokens"]:
            texts = [detokenize(tokens) for tokens in row["tokens"]]
            errors = rates(word_errors(texts, wanted[row["task"]]))
            rows.append({**row, "texts": texts, "word_errors": errors})
        else:
            rows.append(row)
    return {**record, "rows": rows}


def _checked_references(request: BenchRequest, bundle: Bundle) -> dict[str, str]:
    """What recordings say; whatever else of the request cannot be is refused before anything takes long."""
    for precision in request.precisions:
        bundle.precision(precision)
    if request.against:
        source_of(bundle.manifest, request.against)
    references = _references(request)
    make_directory(request.output)
    return references


def _cases(request: BenchRequest, bundle: Bundle) -> tuple[Case, ...]:
    held, directory = tuple(bundle.manifest.graphs), str(request.bundle)
    cases = choose_cases(
        directory,
        request.providers,
        request.precisions or held,
        peers=request.peers,
        against=request.against,
        threads=request.threads,
        spin=request.spin,
    )
    return with_reference(cases, directory, held, request.threads)


def _references(request: BenchRequest) -> dict[str, str]:
    if request.references is None:
        return {}
    return read_references(request.references, [path.name for path in request.audio])


def _tasks(bundle: Bundle, request: BenchRequest, directory: Path) -> list[Task]:
    first = request.language if request.first_token is None else request.first_token
    stand_ins = make_tasks(
        bundle,
        directory,
        request.durations_s,
        request.beams,
        request.tokens,
        batches=request.batches,
        first=first,
    )
    if not request.audio:
        return stand_ins
    spoken = recording_tasks(bundle, request.audio, request.beams, request.tokens, first=first)
    return [*stand_ins, *spoken]


def _gpu(request: BenchRequest) -> GpuDevice | None:
    if set(request.providers) == {"cpu"} or cuda_driver_problem() is not None:
        return None
    return first_gpu()


def _with_floor(
    record: Mapping[str, Any], bundle: Bundle, request: BenchRequest, before: Bandwidth | None, say: Say
) -> dict[str, Any]:
    problem = _floor_problem()
    if problem is not None:
        return {**record, "left_out": {**record["left_out"], "bandwidth floor": problem}}
    return with_measured_floor(
        record, bundle, _device(request), threads=request.threads, before=before, say=say
    )


def _bandwidth_before(request: BenchRequest) -> Bandwidth | None:
    """Of the host's memory: other machines on the same host may take of it what is measured behind the cases."""
    if _device(request) != "cpu" or _floor_problem():
        return None
    return bandwidth_floor.measured_bandwidth("cpu", request.threads)


def _floor_problem() -> str | None:
    """Why the memory's bandwidth cannot be measured; None where it can."""
    missing = [name for name in _FLOOR_NEEDS if importlib.util.find_spec(name) is None]
    return f'{", ".join(missing)} not installed: pip install "export-s2t[export]"' if missing else None


def _device(request: BenchRequest) -> Literal["cpu", "cuda"]:
    return "cpu" if "cpu" in request.providers else "cuda"
