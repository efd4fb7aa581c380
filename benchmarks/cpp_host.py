"""The C++ host against the Python one: one recording, decoded in turns.

    python -m benchmarks.cpp_host BUNDLE AUDIO.wav [--program build/cpp/s2t-bench]
    python -m benchmarks.cpp_host build/xls-r-300m AUDIO.wav --random-weights tests/data/xls-r-300m --new-tokens 20 \
        --precision fp32 --precision int8

Both load the bundle once and decode alternately, so that what else the machine does falls on both alike. The C++
program also counts what each step costs outside ONNX Runtime. The bounds: a median of at most 1.05 times Python's, and
under 0.1 ms a step outside ONNX Runtime at 5 beams.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import s2t_runtime
from benchmarks.errors import BenchmarkError
from exporter.commands.console import user_errors
from s2t_runtime.audio import Float32, read_audio


@dataclass(frozen=True)
class Turn:
    """One decoding by each host, in seconds."""

    python_s: float
    cpp_s: float
    own_s_a_step: float
    """Of the C++ host, outside ONNX Runtime."""


class CppHost:
    """A running s2t-bench: a line of options in, a line of figures out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def decode(self, options: dict[str, Any]) -> dict[str, Any]:
        """Decode once.

        Raises:
            BenchmarkError: the program ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the program was started without pipes")
        with suppress(BrokenPipeError):  # it ended; that it has no answer either says so below
            self._process.stdin.write(json.dumps(options) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("s2t-bench ended without an answer; its own message stands above")
        record: dict[str, Any] = json.loads(line)
        return record


@contextmanager
def cpp_host(program: Path, bundle: Path, audio: Path, precision: str, threads: int) -> Iterator[CppHost]:
    """Start the C++ program, and end it.

    Raises:
        BenchmarkError: the program is not there.
    """
    if not program.is_file():
        raise BenchmarkError(
            f"{program} does not exist, wanted the program that make cpp builds; run make cpp"
        )
    command = [str(program), str(bundle), str(audio), precision, str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield CppHost(process)
        finally:
            with suppress(BrokenPipeError):
                process.communicate()  # closes its input, which ends it


def take_turns(
    model: s2t_runtime.SpeechToText, host: CppHost, audio: Float32, options: dict[str, Any], repeats: int
) -> list[Turn]:
    """Decode alternately; who begins changes from turn to turn, and the first two turns warm up.

    Args:
        model: the Python host.
        host: the C++ one, which has read the same recording.
        audio: float32 [samples] at the bundle's rate.
        options: decoding options.
        repeats: turns to return.

    Raises:
        BenchmarkError: the hosts do not give the same tokens.
    """
    turns = []
    for number in range(repeats + 2):
        first = host.decode(options) if number % 2 else None
        started_s = time.perf_counter()
        result = model.generate(audio, sampling_rate=model.manifest.audio.sampling_rate, **options)
        python_s = time.perf_counter() - started_s
        record = first or host.decode(options)
        if list(result.tokens) != record["tokens"]:
            raise BenchmarkError(
                f"Python decodes {list(result.tokens)}, C++ {record['tokens']}; correct that first"
            )
        turns.append(Turn(python_s, record["total_s"], record["own_s_a_step"]))
    return turns[2:]


def report(turns: list[Turn]) -> str:
    """A small table of the turns."""
    lines = [f"{'host':<10}{'min ms':>10}{'median ms':>12}{'max ms':>10}"]
    columns = {"python": [turn.python_s for turn in turns], "c++": [turn.cpp_s for turn in turns]}
    for name, values in columns.items():
        figures = (min(values), statistics.median(values), max(values))
        lines.append(f"{name:<10}{1e3 * figures[0]:>10.2f}{1e3 * figures[1]:>12.2f}{1e3 * figures[2]:>10.2f}")
    ratio = statistics.median(turn.cpp_s for turn in turns) / statistics.median(
        turn.python_s for turn in turns
    )
    own_ms = 1e3 * statistics.median(turn.own_s_a_step for turn in turns)
    return "\n".join([*lines, f"c++ / python {ratio:.3f}; c++ outside ONNX Runtime {own_ms:.4f} ms a step"])


def export_geometry(config: Path, bundle: Path, precisions: tuple[str, ...]) -> None:
    """Export random weights of a geometry, in a process whose memory nobody measures.

    Args:
        config: directory of its config.json.
        bundle: what to write.
        precisions: what it is to hold; empty leaves that to export-s2t.

    Raises:
        BenchmarkError: the export failed.
    """
    program = "import sys; from exporter.commands.export import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        program,
        "--random-weights",
        str(config),
        "-o",
        str(bundle),
        "--no-check",
        # Random weights say nothing of accuracy: no search for what to leave in float32.
        "--budget",
        "0.5",
        *(("--precision", ",".join(precisions)) if precisions else ()),
    ]
    if subprocess.run(command, check=False).returncode != 0:
        raise BenchmarkError(f"{config} could not be exported to {bundle}; its own message stands above")


@dataclass(frozen=True)
class Comparison:
    """What is asked for on the command line, whose help explains each."""

    bundle: Path
    audio: Path
    program: Path
    config: Path | None
    precisions: tuple[str, ...]
    num_beams: int
    new_tokens: int | None
    threads: int
    repeats: int

    @property
    def options(self) -> dict[str, Any]:
        """Decoding options of both hosts."""
        exactly = (
            {}
            if self.new_tokens is None
            else dict.fromkeys(("min_new_tokens", "max_new_tokens"), self.new_tokens)
        )
        return {"num_beams": self.num_beams, **exactly}


def compare(asked: Comparison) -> None:
    """Print a report for each precision.

    Raises:
        BenchmarkError: the bundle cannot be made, or the hosts cannot be compared.
    """
    if asked.config is not None and not asked.bundle.exists():
        export_geometry(asked.config, asked.bundle, asked.precisions)
    for precision in asked.precisions or (None,):
        with s2t_runtime.load(asked.bundle, precision=precision, threads=asked.threads) as model:
            chosen = precision or model.manifest.default_precision
            samples = read_audio(
                asked.audio, sampling_rate=None, target_rate=model.manifest.audio.sampling_rate
            )
            with cpp_host(asked.program, asked.bundle, asked.audio, chosen, asked.threads) as host:
                turns = take_turns(model, host, samples, asked.options, asked.repeats)
        click.echo(
            f"{asked.audio.name}, {asked.num_beams} beams, {chosen}, {asked.threads} threads, {asked.repeats} turns"
        )
        click.echo(report(turns))


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("audio", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--program", type=click.Path(path_type=Path), default=Path("build/cpp/s2t-bench"), show_default=True
)
@click.option(
    "--random-weights",
    "config",
    type=click.Path(exists=True, path_type=Path),
    help="Make BUNDLE first where it does not exist, with random weights of this geometry.",
)
@click.option(
    "--precision", "precisions", multiple=True, help="Of the bundle; left out, its default. Repeatable."
)
@click.option("--num-beams", type=click.IntRange(1), default=5, show_default=True)
@click.option("--new-tokens", type=click.IntRange(1), help="Decode exactly so many; left out, until the end.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True)
def main(**values: Any) -> None:
    """Decode AUDIO with BUNDLE in Python and in C++, in turns, and print how long each takes."""
    with user_errors("cpp_host"):
        compare(Comparison(**values))


if __name__ == "__main__":
    main()
