"""make soak: an hour of random trouble, seeded; it goes on where it stopped.

Rounds of four kinds take turns, each in a process of its own: drawn models decoded by eager, Python and C++ (pairs),
damaged files for every reader (readers), exports killed at random moments (kills), and thousands of calls while memory
is watched (memory). The record is DIRECTORY/rounds.jsonl, the page DIRECTORY/summary.md; the folder of a round that
found something is kept.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
from support.places import ROOT
from support.soak.child import BUNDLE, CPP_FUZZERS, CPP_PROGRAM, CPP_TESTS, KINDS
from support.soak.outcome import Round
from support.soak.schedule import Running, keep, next_of, read_rounds
from support.soak.summary import summary

from exporter.versions import installed_version
from s2t_runtime.machine import describe_machine

_PROGRAMS = {
    BUNDLE: "bundle",
    CPP_TESTS: "cpp_tests",
    CPP_PROGRAM: "cpp_program",
    CPP_FUZZERS: "cpp_fuzzers",
}
_PACKAGES = ("export-s2t", "torch", "transformers", "onnxruntime")


def _soak(seconds: float, seed: int, directory: Path, jobs: int, kinds: list[str]) -> list[Round]:
    rounds, running = read_rounds(directory), list[Running]()
    left = seconds * jobs - sum(one.seconds for one in rounds)
    ends = time.monotonic() + left / jobs
    try:
        while running or time.monotonic() < ends:
            while len(running) < jobs and time.monotonic() < ends:
                kind, number = next_of(rounds, [(one.kind, one.number) for one in running], kinds)
                running.append(Running.start(kind, number, seed, directory))
            time.sleep(0.2)
            for one in list(running):
                done = one.ended()
                if done is not None:
                    running.remove(one)
                    rounds.append(done)
                    keep(directory, done)
                    _tell(done)
    finally:
        for one in running:
            one.stop()
    return rounds


def _tell(done: Round) -> None:
    tried = ", ".join(f"{count} {name}" for name, count in done.outcome.tried.items())
    click.echo(f"{done.kind} {done.number} ({done.seconds:.0f} s): {tried}")
    for sentence in done.outcome.found:
        click.echo(f"  FOUND {sentence}", err=True)


def _once(only: str, seed: int, directory: Path) -> list[Round]:
    kind, _, number = only.partition(":")
    if kind not in KINDS or not number.isdecimal():
        raise click.BadParameter(
            f"{only!r} is no round: give KIND:NUMBER, for example pairs:3; kinds: {', '.join(KINDS)}"
        )
    running = Running.start(kind, int(number), seed, directory / "again")
    while (done := running.ended()) is None:
        time.sleep(0.2)
    _tell(done)
    return [done]


@click.command(help=__doc__)
@click.option(
    "--seconds", type=float, default=3600.0, show_default=True, help="How long, earlier runs included."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--directory", type=click.Path(path_type=Path), default=ROOT / "build" / "soak", show_default="build/soak"
)
@click.option("--jobs", type=int, default=2, show_default=True, help="Rounds side by side.")
@click.option("--kinds", default=",".join(KINDS), show_default=True)
@click.option("--only", default=None, help="KIND:NUMBER: this round again, into DIRECTORY/again.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The example's, all precisions.",
)
@click.option(
    "--cpp-tests",
    type=click.Path(path_type=Path),
    default=None,
    help="s2t-tests; without it C++ is left out.",
)
@click.option("--cpp-program", type=click.Path(path_type=Path), default=None, help="s2t-cli.")
@click.option(
    "--cpp-fuzzers", type=click.Path(path_type=Path), default=None, help="Directory of fuzz targets."
)
def main(
    seconds: float,
    seed: int,
    directory: Path,
    jobs: int,
    kinds: str,
    only: str | None,
    **programs: Path | None,
) -> None:
    """Run rounds until the time is used up, and write the summary; exit 1 where something was found."""
    directory.mkdir(parents=True, exist_ok=True)
    for variable, name in _PROGRAMS.items():
        if (program := programs[name]) is not None:
            os.environ[variable] = str(program.resolve())
    chosen = kinds.split(",")
    if unknown := [kind for kind in chosen if kind not in KINDS]:
        raise click.BadParameter(f"unknown kinds: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    rounds = _once(only, seed, directory) if only else _soak(seconds, seed, directory, jobs, chosen)
    versions = ", ".join(f"{name} {installed_version(name) or 'unknown'}" for name in _PACKAGES)
    page = summary(rounds, describe_machine().cpu.model, versions)
    if not only:
        (directory / "summary.md").write_text(page, encoding="utf-8")
    click.echo(page)
    sys.exit(any(one.outcome.found for one in rounds))


if __name__ == "__main__":
    main()
