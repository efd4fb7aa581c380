"""run-s2t: recordings to text, as a table or as JSON lines."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import click

from s2t_runtime.commands.decoding_flags import DECODING_FLAGS, decoding_flags
from s2t_runtime.commands.run_output import Outcome, Output, one_line, open_output
from s2t_runtime.errors import AudioError, OptionError, S2TError, SessionError
from s2t_runtime.results import TokenEvent

if TYPE_CHECKING:  # run() imports numpy and onnxruntime: --help needs neither
    from s2t_runtime.audio import AudioSource
    from s2t_runtime.model import SpeechToText
    from s2t_runtime.options.call import DecodingOptions

STANDARD_INPUT: Final = "-"


@dataclass(frozen=True)
class RunRequest:
    """What a command line asks for."""

    bundle: str
    audio: tuple[str, ...]  # paths; at most one is "-", standard input
    options: DecodingOptions  # those given; the bundle's defaults hold for the others
    precision: str | None = None
    provider: str = "cpu"
    threads: int | None = None
    spin: bool | None = None
    cuda_graphs: bool = False
    batch_size: int = 1
    verify: Literal["fast", "full"] = "fast"
    weights: Literal["mapped", "memory"] = "mapped"
    as_json: bool = False
    stream: bool = False


def _one_standard_input(_: click.Context, __: click.Parameter, audio: tuple[str, ...]) -> tuple[str, ...]:
    if audio.count(STANDARD_INPUT) > 1:
        raise click.BadParameter("standard input (-) can be read only once")
    return audio


@click.command("run-s2t", context_settings={"max_content_width": 110, "show_default": True})
@click.argument("bundle", type=click.Path())
@click.argument("audio", nargs=-1, required=True, type=click.Path(), callback=_one_standard_input)
@decoding_flags
@click.option("--precision", metavar="NAME", help="One that the bundle holds; left out, its default.")
@click.option(
    "--provider",
    metavar="NAME",
    default="cpu",
    help="Where to run: cpu, cuda, tensorrt (engines of compile-s2t), tensorrt-ep or nv-tensorrt-rtx (onnxruntime's).",
)
@click.option(
    "--threads",
    type=int,
    metavar="N",
    help="Threads of one operator; left out, one per core that may be used.",
)
@click.option(
    "--spin/--no-spin",
    default=None,
    help="Whether threads spin between operators; left out, for 50 µs at most.",
)
@click.option("--cuda-graphs", is_flag=True, help="With --provider tensorrt: launch kernels as CUDA graphs.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", default=1, help="Files decoded at once.")
@click.option("--verify", type=click.Choice(["fast", "full"]), default="fast", help="full: all hashes.")
@click.option(
    "--weights",
    type=click.Choice(["mapped", "memory"]),
    default="mapped",
    help="memory: read them whole, for file systems where others write.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--stream", is_flag=True, help="Show the text as it comes: on a terminal, or as JSON lines.")
def main(**_: object) -> None:
    """Write down what is said in AUDIO... (wav, flac, ogg or mp3; - is standard input), using BUNDLE.

    Decoding options that are left out are the bundle's own. Options of token ids take commas, may be
    repeated, and are switched off by an empty text.

    A file that cannot be decoded is reported and the others go on. The exit code is then 1, as after
    any other error; after a wrong command line it is 2.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale may lack letters that the text has
    try:
        code = run(_request(click.get_current_context()))
    except S2TError as error:
        click.echo(f"run-s2t: error: {one_line(error)}", err=True)
        code = 1
    except KeyboardInterrupt:
        code = 130  # as of any program that Ctrl-C ends
    sys.exit(code)


def parse(args: Sequence[str]) -> RunRequest:
    """Read a command line, the program's name left out.

    Raises:
        click.UsageError: a flag is unknown, or a value is missing or cannot be read.
    """
    return _request(main.make_context("run-s2t", list(args)))


def run(request: RunRequest) -> int:
    """Decode the recordings and print each outcome in the order given, as soon as it is known.

    Returns:
        The exit code: 1 where a recording failed, else 0.

    Raises:
        S2TError: the bundle or an option is at fault, so that no recording can be decoded.
    """
    failed = False
    piped = functools.cache(_piped_audio)  # a batch may be read twice, standard input cannot
    with _load(request) as model, _quiet_decoders():
        model.plan(**request.options)  # raises before any work
        with open_output(as_json=request.as_json) as output:
            tell = _teller(request, output)
            for start in range(0, len(request.audio), request.batch_size):
                batch = request.audio[start : start + request.batch_size]
                for outcome in _decode(model, batch, request.options, piped, tell):
                    output.write(outcome)
                    failed = failed or isinstance(outcome.answer, S2TError)
    return int(failed)


def _request(context: click.Context) -> RunRequest:
    values = dict(context.params)
    decoding = {name: values.pop(name) for name in DECODING_FLAGS}
    given = {name: value for name, value in decoding.items() if value is not None}
    return RunRequest(options=cast("DecodingOptions", given), **values)


def _load(request: RunRequest) -> SpeechToText:
    from s2t_runtime.model import load  # noqa: PLC0415 - --help needs none of it

    return load(
        request.bundle,
        precision=request.precision,
        provider=request.provider,
        threads=request.threads,
        spin=request.spin,
        cuda_graphs=request.cuda_graphs,
        verify=request.verify,
        weights=request.weights,
    )


@contextlib.contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Say of a damaged file what the error says, and not what libsndfile and mpg123 print besides."""
    from s2t_runtime.audio import around_decoding  # noqa: PLC0415
    from s2t_runtime.commands.silence import silence  # noqa: PLC0415

    before = around_decoding.set(silence)
    try:
        yield
    finally:
        around_decoding.reset(before)


def _teller(request: RunRequest, output: Output) -> Callable[[str, TokenEvent], None] | None:
    if request.stream and output.tell is None:
        raise OptionError(
            "--stream would be ignored: standard output is neither a terminal nor JSON lines; pass --json as "
            "well or leave --stream out"
        )
    return output.tell if request.stream else None


def _decode(
    model: SpeechToText,
    batch: Sequence[str],
    options: DecodingOptions,
    piped: Callable[[], bytes],
    tell: Callable[[str, TokenEvent], None] | None,
) -> list[Outcome]:
    """Decode a batch; where a member spoils it halve it, until the member is alone with its error."""
    try:
        sources: list[AudioSource] = [piped() if name == STANDARD_INPUT else name for name in batch]
        if tell is None:
            results = model.generate(sources, **options)
        else:
            results = model.generate(
                sources, on_token=lambda event: tell(batch[event.utterance], event), **options
            )
    except (AudioError, SessionError) as error:
        if len(batch) == 1:
            return [Outcome(batch[0], error)]
        halves = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        return [outcome for half in halves for outcome in _decode(model, half, options, piped, tell)]
    factor = results[0].timings_s["total"] / sum(result.audio_s for result in results)
    return [Outcome(name, result, factor) for name, result in zip(batch, results, strict=True)]


def _piped_audio() -> bytes:
    try:
        return sys.stdin.buffer.read() if sys.stdin else b""  # None where the caller closed it
    except OSError as error:
        raise AudioError(f"standard input cannot be read ({error}): pipe an audio file into it") from error
