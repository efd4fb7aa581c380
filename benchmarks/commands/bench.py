"""``bench-s2t BUNDLE``: how fast a bundle decodes, with its quality in the same row; ``--compare`` two such records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.bench.request import DURATIONS_S, BenchRequest, CompareRequest, Request
from benchmarks.number_options import numbers_between_commas
from exporter.commands.console import comma_names, require_export_extra, user_errors

COMMAND: Final = "bench-s2t"


def _providers(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from s2t_runtime.sessions.open import PROVIDERS  # noqa: PLC0415 - imports numpy; --help needs none of it

    return _among(PROVIDERS, comma_names(context, parameter, value), "provider")


def _peers(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    names = comma_names(context, parameter, value)
    if not names:
        return ()
    from benchmarks.bench.cases import offered_peers  # noqa: PLC0415

    return _among(offered_peers(), names, "peer")


def _among(known: Any, names: tuple[str, ...], kind: str) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"unknown {kind} {', '.join(unknown)}: choose from {', '.join(known)}")
    return tuple(dict.fromkeys(names))


@click.command(COMMAND, context_settings={"max_content_width": 110})
@click.argument("paths", metavar="BUNDLE", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="CHECKPOINT",
    multiple=True,
    help="Measure eager PyTorch as well, and compare answers with it; named as for check-s2t.",
)
@click.option(
    "--peers",
    metavar="NAME",
    multiple=True,
    callback=_peers,
    help="What to measure of the checkpoint: eager, compile, ctranslate2  [default: eager with --against]",
)
@click.option(
    "--provider",
    "providers",
    metavar="NAME",
    multiple=True,
    default=("cpu",),
    show_default="cpu",
    callback=_providers,
    help="Where the bundle runs: cpu, cuda, tensorrt, tensorrt-ep, nv-tensorrt-rtx.",
)
@click.option(
    "--precision",
    "precisions",
    metavar="NAME",
    multiple=True,
    callback=comma_names,
    help="Of the bundle's  [default: every one]",
)
@click.option(
    "--durations",
    "durations_s",
    metavar="SECONDS",
    multiple=True,
    callback=numbers_between_commas(float),
    help="Of stand-ins for speech  [default: 2,10,30; none with --audio]",
)
@click.option(
    "--batch",
    "batches",
    metavar="N",
    multiple=True,
    default=("1",),
    show_default="1",
    callback=numbers_between_commas(int),
    help="Stand-ins decoded at once.",
)
@click.option(
    "--beams",
    metavar="N",
    multiple=True,
    default=("1", "5"),
    show_default="1,5",
    callback=numbers_between_commas(int),
    help="Sequences per utterance.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Of every case on the CPU  [default: its own]"
)
@click.option(
    "--spin/--no-spin",
    default=None,
    help="Whether threads of the bundle's cases spin between operators  [default: the runtime's]",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    metavar="N",
    default=40,
    show_default=True,
    help="Generated for each stand-in, exactly; for each recording, at most.",
)
@click.option(
    "--audio",
    metavar="FILE...",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recordings to measure with, decoded until they end: --audio *.wav, behind BUNDLE.",
)
@click.option(
    "--references",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What the recordings say, for word error rates: lines of file name, tab, text.",
)
@click.option("--language", metavar="CODE", help="To ask for  [default: the bundle's first]")
@click.option(
    "--first-token",
    type=click.IntRange(min=0),
    metavar="ID",
    help="To force first where the bundle has no languages, as random weights have none.",
)
@click.option(
    "--warmups",
    type=click.IntRange(min=1),
    metavar="N",
    default=2,
    show_default=True,
    help="Of each case and task.",
)
@click.option(
    "--repetitions",
    type=click.IntRange(min=1),
    metavar="N",
    default=10,
    show_default=True,
    help="Of each case and task.",
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path(),
    help="For latency.json, latency.md and latency.html  [default: here]",
)
@click.option(
    "--compare",
    metavar="OLD.json NEW.json",
    nargs=2,
    type=click.Path(path_type=Path),
    help="Measure nothing; say what changed between two records, and what is noise.",
)
@click.option(
    "--max-regression",
    metavar="PERCENT",
    type=click.FloatRange(min=0),
    help="With --compare: exit with 1 where a stage is slower or memory larger by more, beyond the noise, or where "
    "quality or a case is lost.",
)
def main(**_: object) -> None:
    """Measure how fast BUNDLE decodes: every stage, memory, and parity in the same row.

    Cases run in processes of their own and take turns. latency.json is the record; latency.md and latency.html are
    rendered from it.
    """
    request = _request(click.get_current_context())
    if isinstance(request, BenchRequest) and request.against:
        require_export_extra(COMMAND)
    with user_errors(COMMAND):
        text, code = run(request)
        click.echo(text, nl=False)
        sys.exit(code)


def parse(args: Sequence[str]) -> Request:
    """Read a command line, the program's name left out.

    Raises:
        click.UsageError: a flag is unknown, a value cannot be read, or options contradict each other.
    """
    return _request(main.make_context(COMMAND, list(args)))


def run(request: Request) -> tuple[str, int]:
    """Measure or compare.

    Returns:
        What to print, and the exit code: 1 where a comparison found a regression, else 0.

    Raises:
        S2TError: a bundle, an option, a file or the output directory cannot be used.
    """
    if isinstance(request, BenchRequest):
        from benchmarks.bench.bench import measure_bundle  # noqa: PLC0415 - --help must not wait for numpy

        return measure_bundle(request, lambda stage: click.echo(f"{stage} ...", err=True)), 0
    return _compared(request)


def _compared(request: CompareRequest) -> tuple[str, int]:
    from benchmarks.comparison.compare import compare  # noqa: PLC0415
    from benchmarks.comparison.report import comparison_text, passes  # noqa: PLC0415
    from benchmarks.errors import BenchmarkError  # noqa: PLC0415
    from benchmarks.records.read import read_record  # noqa: PLC0415

    found = compare(read_record(request.old), read_record(request.new))
    if request.max_regression is None:
        return comparison_text(found, None), 0
    if found.too_few is not None:
        raise BenchmarkError(f"--max-regression cannot be judged, {found.too_few}")
    return comparison_text(found, request.max_regression), int(not passes(found, request.max_regression))


def _request(context: click.Context) -> Request:
    values = dict(context.params)
    compare, max_regression = values.pop("compare"), values.pop("max_regression")
    paths: tuple[Path, ...] = values.pop("paths")
    if compare is not None:
        if paths:
            raise click.UsageError("--compare reads two records and measures nothing: leave BUNDLE out")
        old, new = compare
        return CompareRequest(old, new, max_regression)
    if not paths:
        raise click.UsageError("give BUNDLE to measure it, or --compare OLD.json NEW.json")
    # A shell writes --audio *.wav as --audio a.wav b.wav c.wav.
    values["bundle"], *further = paths
    if further and not values["audio"]:
        raise click.UsageError(
            f"got {' '.join(map(str, further))} behind BUNDLE: give recordings with --audio"
        )
    values["audio"] = (*values["audio"], *further)
    if max_regression is not None:
        raise click.UsageError("--max-regression judges a comparison: give --compare OLD.json NEW.json")
    if values["references"] is not None and not values["audio"]:
        raise click.UsageError("--references says what recordings say: give them with --audio")
    if values["peers"] and not values["against"]:
        raise click.UsageError("--peers run the checkpoint: give it with --against CHECKPOINT")
    if values["language"] is not None and values["first_token"] is not None:
        raise click.UsageError("--language and --first-token both say what comes first: give one")
    return BenchRequest(**_with_defaults(values))


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Defaults that hang on other options."""
    if values["durations_s"] is None:
        values["durations_s"] = () if values["audio"] else DURATIONS_S
    if values["against"] and not values["peers"]:
        values["peers"] = ("eager",)
    return values
