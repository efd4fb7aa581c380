"""run-s2t: recordings to text, as a table or as JSON lines."""

from __future__ import annotations

import functools
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import click

from s2t_runtime.errors import AudioError, S2TError, SessionError
from s2t_runtime.results import Result

if TYPE_CHECKING:  # run() imports numpy and onnxruntime: --help needs neither
    from s2t_runtime.model import DecodingOptions, SpeechToText

STANDARD_INPUT: Final = "-"
_CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")


@dataclass(frozen=True)
class RunRequest:
    """What a command line asks for."""

    bundle: str
    audio: tuple[str, ...]  # paths; at most one is "-", standard input
    options: DecodingOptions  # those given; the bundle's defaults hold for the others
    precision: str | None = None
    provider: str = "cpu"
    threads: int | None = None
    batch_size: int = 1
    verify: Literal["fast", "full"] = "fast"
    as_json: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one recording."""

    audio: str
    answer: Result | S2TError
    real_time_factor: float = math.nan
    """Seconds of work per second of audio, over the batch that the recording was decoded in."""


def _ids(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[int, ...] | None:
    """Token ids by commas or repetition; an empty text is an empty list, which switches a default off."""
    parts = [part for text in texts if text.strip() for part in text.split(",")]
    try:
        return tuple(map(int, parts)) if texts else None
    except ValueError as error:
        raise click.BadParameter(f"{','.join(parts)!r} is no list of token ids such as 5,6,7") from error


def _id_lists(_: click.Context, __: click.Parameter, text: str | None) -> list[list[int]] | None:
    if not text:
        return None if text is None else []
    with suppress(ValueError):
        if isinstance(lists := json.loads(text), list):
            return lists
    raise click.BadParameter(f"{text!r} is no JSON list of lists of token ids such as [[5,6],[7]]")


_Settings: TypeAlias = Mapping[str, Any]
_COUNT: Final[_Settings] = {"type": int, "metavar": "N"}
_NUMBER: Final[_Settings] = {"type": float, "metavar": "X"}
_ID: Final[_Settings] = {"type": int, "metavar": "ID"}
_IDS: Final[_Settings] = {"metavar": "ID,...", "multiple": True, "callback": _ids}
_ID_LISTS: Final[_Settings] = {"metavar": "JSON", "callback": _id_lists}
_CHOICE: Final[_Settings] = {"type": click.Choice([True, False, "never"], case_sensitive=False)}
DECODING_FLAGS: Final[dict[str, tuple[_Settings, str]]] = {
    "language": ({"metavar": "CODE"}, "Language to write: a code that the bundle knows."),
    "num_beams": (_COUNT, "Beams; 1 decodes greedily."),
    "num_return_sequences": (_COUNT, "Hypotheses to return, at most one per beam."),
    "max_length": (_COUNT, "Most tokens in all, prompt included."),
    "max_new_tokens": (_COUNT, "Most tokens after the prompt, in place of --max-length."),
    "min_length": (_COUNT, "Fewest tokens in all, prompt included."),
    "min_new_tokens": (_COUNT, "Fewest tokens after the prompt, in place of --min-length."),
    "length_penalty": (_NUMBER, "A hypothesis scores its log-probability / new tokens ** X."),
    "early_stopping": (_CHOICE, "Stop once num-beams hypotheses have finished; false: later."),
    "forced_bos_token_id": (_ID, "The first token after the start token."),
    "forced_eos_token_id": (_IDS, "The last token, where the maximum length is reached."),
    "eos_token_id": (_IDS, "Tokens that end a hypothesis."),
    "decoder_start_token_id": (_ID, "The first token of the prompt."),
    "decoder_prompt_ids": (_IDS, "Prompt; the start token is put in front where absent."),
    "suppress_tokens": (_IDS, "Tokens that are never chosen."),
    "begin_suppress_tokens": (_IDS, "Tokens that are never chosen first."),
    "no_repeat_ngram_size": (_COUNT, "No N tokens in a row occur twice; 0 switches it off."),
    "repetition_penalty": (_NUMBER, "Above 1 tokens that occurred become less likely."),
    "bad_words_ids": (_ID_LISTS, "Token sequences that never occur, such as [[5,6],[7]]."),
}
"""Each decoding option that is a flag of the same name: how click reads it, and its help."""


def _one_standard_input(_: click.Context, __: click.Parameter, audio: tuple[str, ...]) -> tuple[str, ...]:
    if audio.count(STANDARD_INPUT) > 1:
        raise click.BadParameter("standard input (-) can be read only once")
    return audio


def _decoding_flags(command: Callable[..., object]) -> Callable[..., object]:
    for name in reversed(DECODING_FLAGS):  # click shows the last one first
        settings, text = DECODING_FLAGS[name]
        command = click.option(f"--{name.replace('_', '-')}", name, help=text, **settings)(command)
    return command


@click.command("run-s2t", context_settings={"max_content_width": 110, "show_default": True})
@click.argument("bundle", type=click.Path())
@click.argument("audio", nargs=-1, required=True, type=click.Path(), callback=_one_standard_input)
@_decoding_flags
@click.option("--precision", metavar="NAME", help="One that the bundle holds; left out, its default.")
@click.option("--provider", metavar="NAME", default="cpu", help="Where to run: cpu or cuda.")
@click.option("--threads", **_COUNT, help="Threads of one operator; left out, one per physical core.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", default=1, help="Files decoded at once.")
@click.option("--verify", type=click.Choice(["fast", "full"]), default="fast", help="full: all hashes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
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
        click.echo(f"run-s2t: error: {_line(error)}", err=True)
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
    with _load(request) as model:
        model.plan(**request.options)  # raises before any work
        with _writer(as_json=request.as_json) as write:
            for start in range(0, len(request.audio), request.batch_size):
                batch = request.audio[start : start + request.batch_size]
                for outcome in _decode(model, batch, request.options, piped):
                    write(outcome)
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
        verify=request.verify,
    )


def _decode(
    model: SpeechToText, batch: Sequence[str], options: DecodingOptions, piped: Callable[[], bytes]
) -> list[Outcome]:
    """Decode a batch; where a member spoils it halve it, until the member is alone with its error."""
    try:
        results = model.generate([piped() if name == STANDARD_INPUT else name for name in batch], **options)
    except (AudioError, SessionError) as error:
        if len(batch) == 1:
            return [Outcome(batch[0], error)]
        halves = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        return [outcome for half in halves for outcome in _decode(model, half, options, piped)]
    factor = results[0].timings_s["total"] / sum(result.audio_s for result in results)
    return [Outcome(name, result, factor) for name, result in zip(batch, results, strict=True)]


def _piped_audio() -> bytes:
    try:
        return sys.stdin.buffer.read() if sys.stdin else b""  # None where the caller closed it
    except OSError as error:
        raise AudioError(f"standard input cannot be read ({error}): pipe an audio file into it") from error


def _writer(*, as_json: bool) -> AbstractContextManager[Callable[[Outcome], None]]:
    if as_json:
        return nullcontext(_write_json)
    return _table() if sys.stdout.isatty() else nullcontext(_write_lines)


def _write_json(outcome: Outcome) -> None:
    line = json.dumps(json_record(outcome), ensure_ascii=False, allow_nan=False)
    click.echo(line.encode(errors="replace"))  # UTF-8 as JSON wants it, whatever the locale


def json_record(outcome: Outcome) -> dict[str, object]:
    """The JSON object of an outcome; a score that is not finite, which JSON cannot say, is null."""
    answer = outcome.answer
    if isinstance(answer, S2TError):
        return {"audio": outcome.audio, "error": _line(answer)}
    hypotheses = [
        {"text": one.text, "tokens": one.tokens, "score": one.score if math.isfinite(one.score) else None}
        for one in answer.hypotheses
    ]
    return {
        "audio": outcome.audio,
        "text": answer.text,
        "language": answer.language,
        "score": hypotheses[0]["score"],
        "tokens": answer.tokens,
        "hypotheses": hypotheses,
        "audio_s": answer.audio_s,
        "timings_s": dict(answer.timings_s),
    }


def _write_lines(outcome: Outcome) -> None:
    """For a pipe or a file: the best text with its figures, further hypotheses below it."""
    answer = outcome.answer
    if isinstance(answer, S2TError):
        _complain(outcome.audio, answer)
        return
    times = f"{answer.audio_s:.2f} s", f"real-time factor {outcome.real_time_factor:.3f}"
    figures = ", ".join(filter(None, (answer.language, f"score {answer.score:.4f}", *times)))
    click.echo(f"{_line(outcome.audio)}: {_line(answer.text)}  ({figures})")
    for rank, one in enumerate(answer.hypotheses[1:], start=2):
        click.echo(f"    {rank}. {_line(one.text)}  (score {one.score:.4f})")


@contextmanager
def _table() -> Iterator[Callable[[Outcome], None]]:
    """For a terminal: a table, printed at the end because its widths depend on all rows."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for heading in ("audio", "text", "language", "score", "seconds", "real-time factor"):
        table.add_column(heading, overflow="fold")

    def add(outcome: Outcome) -> None:
        answer = outcome.answer
        if isinstance(answer, S2TError):
            _complain(outcome.audio, answer)
            return
        times = f"{answer.audio_s:.2f}", f"{outcome.real_time_factor:.3f}"
        about = (outcome.audio, answer.language or "", *times)
        for one in answer.hypotheses:
            cells = (about[0], one.text, about[1], f"{one.score:.4f}", *about[2:])
            table.add_row(*(Text(_line(cell)) for cell in cells))  # Text: it may look like rich's markup
            about = ("",) * 4

    try:
        # On standard error, so that the message of a bad file, which rich diverts to it, stays there.
        with Console(stderr=True).status("decoding"):
            yield add
    finally:  # what was decoded before an interruption is shown
        if table.row_count:
            Console().print(table)


def _complain(audio: str, error: S2TError) -> None:
    click.echo(f"run-s2t: {_line(audio)}: {_line(error)}", err=True)


def _line(text: object) -> str:
    """On one line, without what could repaint a terminal or stands for an undecodable file name."""
    return str(text).translate(_CONTROL).encode(errors="replace").decode()
