"""run-s2t: every flag, both outputs, bad recordings among good ones, and the exit codes."""

from __future__ import annotations

import io
import json
import math
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import click
import pytest
from click.testing import CliRunner
from click.testing import Result as Invocation

from s2t_runtime import cli_run, load
from s2t_runtime.errors import AudioError, BundleError, OptionError, S2TError, SessionError
from s2t_runtime.options import GenerationOptions
from s2t_runtime.results import Hypothesis, Result

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "onnxruntime", "soundfile", "soxr", "tokenizers", "rich", "s2t_runtime.model")
COMMAND = "from s2t_runtime.cli_run import main; main()"


def result_of(name: str, count: int = 1) -> Result:
    hypotheses = tuple(
        Hypothesis(f"text {rank} of {name} 四百二十七", (2, 7 + rank, 2), -0.25 - rank, (-0.5, -0.25))
        for rank in range(count)
    )
    best = hypotheses[0]
    timings_s = {"encoder": 0.25, "first_step": 0.125, "decode": 0.125, "total": 0.5}
    return Result(best.text, best.tokens, best.score, "ja", hypotheses, timings_s, 2.0)


@dataclass
class FakeModel:
    """Says what it was asked, and refuses audio called bad*, as one bad member spoils a batch."""

    calls: list[tuple[list[Any], Mapping[str, Any]]] = field(default_factory=list)
    refused: Mapping[str, S2TError] = field(default_factory=dict)
    answer: Callable[[str], Result] = result_of
    plan_error: OptionError | None = None
    closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def plan(self, **_: Any) -> None:
        if self.plan_error is not None:
            raise self.plan_error

    def generate(self, audio: list[Any], **options: Any) -> list[Result]:
        assert isinstance(audio, list)
        self.calls.append((audio, options))
        for source in audio:
            if source in self.refused:
                raise self.refused[source]
        return [self.answer(source if isinstance(source, str) else "bytes") for source in audio]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr(cli_run, "_load", lambda _: fake)
    return fake


def invoke(*args: str, stdin: bytes | None = None) -> Invocation:
    return CliRunner().invoke(cli_run.main, list(args), input=stdin)


def records(invocation: Invocation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in invocation.stdout.splitlines()]


def run_process(*args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **settings,
    )


# Flags


FLAGS: list[tuple[list[str], str, object]] = [
    (["--language", "de"], "language", "de"),
    (["--num-beams", "5"], "num_beams", 5),
    (["--num-return-sequences", "3"], "num_return_sequences", 3),
    (["--max-length", "40"], "max_length", 40),
    (["--max-new-tokens", "30"], "max_new_tokens", 30),
    (["--min-length", "0"], "min_length", 0),
    (["--min-new-tokens", "2"], "min_new_tokens", 2),
    (["--length-penalty", "-0.5"], "length_penalty", -0.5),
    (["--early-stopping", "true"], "early_stopping", True),
    (["--early-stopping", "False"], "early_stopping", False),
    (["--early-stopping", "NEVER"], "early_stopping", "never"),
    (["--forced-bos-token-id", "7"], "forced_bos_token_id", 7),
    (["--forced-eos-token-id", "2"], "forced_eos_token_id", (2,)),
    (["--eos-token-id", "2,3"], "eos_token_id", (2, 3)),
    (["--decoder-start-token-id", "0"], "decoder_start_token_id", 0),
    (["--decoder-prompt-ids", "2, 9"], "decoder_prompt_ids", (2, 9)),
    (["--suppress-tokens", "4", "--suppress-tokens", "5,6"], "suppress_tokens", (4, 5, 6)),
    (["--suppress-tokens", ""], "suppress_tokens", ()),
    (["--begin-suppress-tokens", "4"], "begin_suppress_tokens", (4,)),
    (["--no-repeat-ngram-size", "3"], "no_repeat_ngram_size", 3),
    (["--repetition-penalty", "1.5"], "repetition_penalty", 1.5),
    (["--bad-words-ids", "[[5, 6], [7]]"], "bad_words_ids", [[5, 6], [7]]),
    (["--bad-words-ids", ""], "bad_words_ids", []),
]


@pytest.mark.parametrize(("args", "name", "value"), FLAGS, ids=[" ".join(flag) for flag, _, _ in FLAGS])
def test_each_flag_reaches_generate(model: FakeModel, args: list[str], name: str, value: object) -> None:
    invocation = invoke("bundle", "a.wav", *args)
    assert invocation.exit_code == 0, invocation.output
    [(audio, options)] = model.calls
    assert audio == ["a.wav"]
    assert options == {name: value}
    assert type(options[name]) is type(value)
    GenerationOptions.from_dict(options)


def test_the_flags_are_the_decoding_options() -> None:
    internal = {"bos_token_id", "pad_token_id"}
    assert set(cli_run.DECODING_FLAGS) == {one.name for one in fields(GenerationOptions)} - internal
    assert {name for _, name, _ in FLAGS} == set(cli_run.DECODING_FLAGS)


def test_parse_without_options_leaves_all_to_the_bundle() -> None:
    assert cli_run.parse(["bundle", "a.wav", "-"]) == cli_run.RunRequest("bundle", ("a.wav", "-"), options={})


def test_parse_reads_how_to_load() -> None:
    args = "bundle a.wav --precision fp16 --provider cuda --threads 2 --batch-size 3 --verify full --json"
    assert cli_run.parse(args.split()) == cli_run.RunRequest(
        "bundle",
        ("a.wav",),
        options={},
        precision="fp16",
        provider="cuda",
        threads=2,
        batch_size=3,
        verify="full",
        as_json=True,
    )


def test_load_is_called_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("s2t_runtime.model.load", lambda *args, **settings: seen.append((args, settings)))
    request = cli_run.parse(["bundle", "a.wav", "--precision", "fp16", "--threads", "2", "--verify", "full"])
    cli_run._load(request)
    assert seen == [
        (("bundle",), {"precision": "fp16", "provider": "cpu", "threads": 2, "verify": "full"}),
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["bundle"], "Missing argument 'AUDIO...'"),
        ([], "Missing argument 'BUNDLE'"),
        (["bundle", "a.wav", "--beams", "3"], "No such option '--beams'"),
        (["bundle", "a.wav", "--num-beams", "many"], "'many' is not a valid integer"),
        (["bundle", "a.wav", "--early-stopping", "1"], "'1' is not one of 'true', 'false', 'never'"),
        (["bundle", "a.wav", "--early-stopping", "yes"], "'yes' is not one of 'true', 'false', 'never'"),
        (["bundle", "a.wav", "--eos-token-id", "2,x"], "'2,x' is no list of token ids such as 5,6,7"),
        (["bundle", "a.wav", "--eos-token-id", "2,,3"], "'2,,3' is no list of token ids such as 5,6,7"),
        (
            ["bundle", "a.wav", "--bad-words-ids", "5,6"],
            "'5,6' is no JSON list of lists of token ids such as",
        ),
        (
            ["bundle", "a.wav", "--bad-words-ids", "null"],
            "'null' is no JSON list of lists of token ids such as",
        ),
        (["bundle", "a.wav", "--batch-size", "0"], "0 is not in the range x>=1"),
        (["bundle", "a.wav", "--verify", "no"], "'no' is not one of 'fast', 'full'"),
        (["bundle", "-", "a.wav", "-"], "standard input (-) can be read only once"),
    ],
)
def test_a_wrong_command_line_exits_with_2(model: FakeModel, args: list[str], message: str) -> None:
    invocation = invoke(*args)
    assert invocation.exit_code == 2
    assert message in invocation.stderr
    assert invocation.stdout == ""
    assert not model.calls
    with pytest.raises(click.UsageError):
        cli_run.parse(args)


def test_help_lists_every_flag_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom s2t_runtime.cli_run import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy: []\n")
    others = ("precision", "provider", "threads", "batch-size", "verify", "json", "help")
    for flag in (*(name.replace("_", "-") for name in cli_run.DECODING_FLAGS), *others):
        assert f"\n  --{flag} " in done.stdout


# Output


def test_json_lines(model: FakeModel) -> None:
    model.answer = lambda name: result_of(name, count=2)
    invocation = invoke("bundle", "a.wav", "b.wav", "--json")
    assert invocation.exit_code == 0
    assert invocation.stderr == ""
    first, second = records(invocation)
    assert first == {
        "audio": "a.wav",
        "text": "text 0 of a.wav 四百二十七",
        "language": "ja",
        "score": -0.25,
        "tokens": [2, 7, 2],
        "hypotheses": [
            {"text": "text 0 of a.wav 四百二十七", "tokens": [2, 7, 2], "score": -0.25},
            {"text": "text 1 of a.wav 四百二十七", "tokens": [2, 8, 2], "score": -1.25},
        ],
        "audio_s": 2.0,
        "timings_s": {"encoder": 0.25, "first_step": 0.125, "decode": 0.125, "total": 0.5},
    }
    assert list(first) == [
        "audio",
        "text",
        "language",
        "score",
        "tokens",
        "hypotheses",
        "audio_s",
        "timings_s",
    ]
    assert second["audio"] == "b.wav"
    assert "四百二十七" in invocation.stdout  # as it is, not escaped
    assert model.closed


@pytest.mark.parametrize("score", [-math.inf, math.inf, math.nan])
def test_a_score_that_json_cannot_say_is_null(model: FakeModel, score: float) -> None:
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], score=score)
    model.answer = lambda _: replace(result, score=score, hypotheses=(hypothesis,))
    [record] = records(invoke("bundle", "a.wav", "--json"))
    assert record["score"] is None
    assert record["hypotheses"][0]["score"] is None


def test_plain_lines(model: FakeModel) -> None:
    model.answer = lambda name: result_of(name, count=2)
    invocation = invoke("bundle", "a.wav", "--num-return-sequences", "2", "--num-beams", "2")
    assert invocation.stdout.splitlines() == [
        "a.wav: text 0 of a.wav 四百二十七  (ja, score -0.2500, 2.00 s, real-time factor 0.250)",
        "    2. text 1 of a.wav 四百二十七  (score -1.2500)",
    ]


def test_plain_lines_are_whole_and_one_for_each_text(model: FakeModel) -> None:
    text = "a long text, " * 100 + "[bold]no markup[/]\twith\na \x1b[31mbreak"
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], text=text)
    model.answer = lambda _: replace(result, text=text, language=None, hypotheses=(hypothesis,))
    [line] = invoke("bundle", "a.wav").stdout.splitlines()
    said = "a long text, " * 100 + "[bold]no markup[/] with a  [31mbreak"
    assert line == f"a.wav: {said}  (score -0.2500, 2.00 s, real-time factor 0.250)"


def table_of(outcomes: Sequence[cli_run.Outcome], monkeypatch: pytest.MonkeyPatch, width: int = 120) -> str:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("COLUMNS", str(width))
    with cli_run._table() as write:
        for outcome in outcomes:
            write(outcome)
    return output.getvalue()


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        cli_run.Outcome("[a].wav", result_of("[a].wav", count=2), 0.25),
        cli_run.Outcome("bad.wav", AudioError("it is\nnoise")),
    ]
    lines = table_of(outcomes, monkeypatch).splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [cell.strip() for cell in lines[1].split("┃")[1:-1]] == [
        "audio",
        "text",
        "language",
        "score",
        "seconds",
        "real-time factor",
    ]
    assert rows == [
        ["[a].wav", "text 0 of [a].wav 四百二十七", "ja", "-0.2500", "2.00", "0.250"],
        ["", "text 1 of [a].wav 四百二十七", "", "-1.2500", "", ""],
    ]
    assert capsys.readouterr().err == "run-s2t: bad.wav: it is noise\n"


def test_a_narrow_table_folds_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], text="x" * 300)
    outcome = cli_run.Outcome("a.wav", replace(result, hypotheses=(hypothesis,)), 0.25)
    table = table_of([outcome], monkeypatch, width=60)
    assert table.replace("text", "").count("x") == 300
    assert "…" not in table


def test_an_interrupted_table_shows_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)

    def interrupted() -> None:
        with cli_run._table() as write:
            write(cli_run.Outcome("a.wav", result_of("a.wav"), 0.25))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "a.wav" in output.getvalue()


def test_a_terminal_gets_the_table(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli_run.run(cli_run.parse(["bundle", "a.wav"])) == 0
        shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "┃" in shown
    assert "real-time factor" in shown


# Recordings that fail


@pytest.mark.parametrize("error", [AudioError("it is\nnoise"), SessionError("no memory for it")])
def test_a_bad_file_is_reported_and_the_others_go_on(model: FakeModel, error: S2TError) -> None:
    model.refused = {"bad.wav": error}
    invocation = invoke("bundle", "a.wav", "bad.wav", "b.wav", "--json")
    assert invocation.exit_code == 1
    assert invocation.stderr == ""
    first, bad, last = records(invocation)
    assert bad == {"audio": "bad.wav", "error": " ".join(str(error).split())}
    assert (first["audio"], last["audio"]) == ("a.wav", "b.wav")
    assert last["text"] == "text 0 of b.wav 四百二十七"


def test_a_bad_file_in_plain_lines(model: FakeModel) -> None:
    model.refused = {"bad.wav": AudioError("it is\nnoise")}
    invocation = invoke("bundle", "a.wav", "bad.wav", "b.wav")
    assert invocation.exit_code == 1
    assert invocation.stderr == "run-s2t: bad.wav: it is noise\n"
    assert [line.split(":")[0] for line in invocation.stdout.splitlines()] == ["a.wav", "b.wav"]


def test_batches_are_of_the_size_asked_for(model: FakeModel) -> None:
    invocation = invoke("bundle", *"abcde", "--batch-size", "2", "--json")
    assert [audio for audio, _ in model.calls] == [["a", "b"], ["c", "d"], ["e"]]
    assert [record["audio"] for record in records(invocation)] == list("abcde")


def test_bad_members_spoil_no_batch(model: FakeModel) -> None:
    model.refused = {name: AudioError(f"{name} is noise") for name in ("bad1", "bad2")}
    names = ["a", "bad1", "b", "c", "d", "bad2"]
    invocation = invoke("bundle", *names, "--batch-size", "5", "--json")
    assert invocation.exit_code == 1
    found = records(invocation)
    assert [record["audio"] for record in found] == names
    assert [record.get("error") for record in found] == [None, "bad1 is noise", *[None] * 3, "bad2 is noise"]
    assert ["b", "c", "d"] in [audio for audio, _ in model.calls]  # still decoded as one batch


def test_the_real_time_factor_of_a_batch_is_over_its_audio(model: FakeModel) -> None:
    lines = invoke("bundle", "a", "b", "--batch-size", "2").stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["0.125)", "0.125)"]


# Standard input


def test_standard_input_is_passed_as_bytes(model: FakeModel) -> None:
    invocation = invoke("bundle", "a.wav", "-", "--json", stdin=b"RIFF\x00\xff")
    assert [audio for audio, _ in model.calls] == [["a.wav"], [b"RIFF\x00\xff"]]
    assert records(invocation)[1]["audio"] == "-"


def test_standard_input_is_read_once_though_its_batch_is_decoded_again(model: FakeModel) -> None:
    model.refused = {"bad": AudioError("noise")}
    invocation = invoke("bundle", "-", "bad", "--batch-size", "2", "--json", stdin=b"RIFF")
    assert [audio for audio, _ in model.calls] == [[b"RIFF", "bad"], [b"RIFF"], ["bad"]]
    assert records(invocation)[0]["text"] == "text 0 of bytes 四百二十七"


def test_standard_input_that_cannot_be_read_is_a_bad_file(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "file").open("wb") as write_only, open(write_only.fileno(), closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code = cli_run.run(cli_run.parse(["bundle", "-", "a.wav"]))
    assert code == 1
    output = capsys.readouterr()
    assert output.err == (
        "run-s2t: -: standard input cannot be read ([Errno 9] Bad file descriptor): "
        "pipe an audio file into it\n"
    )
    assert output.out.startswith("a.wav: text")


def test_standard_input_that_is_closed_is_empty(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    cli_run.run(cli_run.parse(["bundle", "-"]))
    assert model.calls[0][0] == [b""]


# Errors that stop


def test_an_option_error_stops_before_any_work(model: FakeModel) -> None:
    model.plan_error = OptionError("unknown language 'xx';\nknown: de, ja")
    invocation = invoke("bundle", "a.wav", "b.wav", "--language", "xx", "--json")
    assert invocation.exit_code == 1
    assert invocation.stderr == "run-s2t: error: unknown language 'xx'; known: de, ja\n"
    assert invocation.stdout == ""
    assert not model.calls
    assert model.closed


def test_a_bundle_error_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: cli_run.RunRequest) -> FakeModel:
        raise BundleError(f"{request.bundle} is damaged")

    monkeypatch.setattr(cli_run, "_load", refuse)
    invocation = invoke("bundle", "a.wav")
    assert (invocation.exit_code, invocation.stdout) == (1, "")
    assert invocation.stderr == "run-s2t: error: bundle is damaged\n"


def test_a_missing_bundle_is_one_line(tmp_path: Path) -> None:
    done = run_process(str(tmp_path / "none"), "a.wav")
    assert done.returncode == 1
    assert done.stderr == (
        f"run-s2t: error: {tmp_path / 'none'} does not exist: pass the directory of a bundle, "
        "as export-s2t wrote it\n"
    )
    assert done.stdout == ""


def test_a_bug_keeps_its_traceback(model: FakeModel) -> None:
    def broken(name: str) -> Result:
        raise ZeroDivisionError(name)

    model.answer = broken
    assert isinstance(invoke("bundle", "a.wav").exception, ZeroDivisionError)


def test_an_interruption_is_quiet(model: FakeModel) -> None:
    def interrupted(name: str) -> Result:
        if name == "b":
            raise KeyboardInterrupt
        return result_of(name)

    model.answer = interrupted
    invocation = invoke("bundle", "a", "b", "c", "--json")
    assert invocation.exit_code == 130
    assert invocation.stderr == ""
    assert [record["audio"] for record in records(invocation)] == ["a"]


@pytest.mark.parametrize("output", ["--json", "--batch-size=1"])
def test_a_reader_that_went_away_is_quiet(output: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from s2t_runtime import cli_run\nfrom test_cli_run import FakeModel\n"
        "cli_run._load = lambda _: FakeModel()\n"
        "cli_run.main()"
    )
    reader, writer = os.pipe()
    os.close(reader)  # as head does once it has its lines
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), "bundle", "a.wav", "b.wav", output],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_file_name_that_is_no_text(model: FakeModel) -> None:
    name = os.fsdecode(b"a\xff.wav")
    [record] = records(invoke("bundle", name, "--json"))
    assert record["audio"] == "a?.wav"
    assert model.calls[0][0] == [name]
    assert invoke("bundle", name).stdout.startswith("a?.wav: text")


def test_letters_that_the_locale_lacks_are_replaced(model: FakeModel) -> None:
    runner = CliRunner(charset="latin-1")
    invocation = runner.invoke(cli_run.main, ["bundle", "a.wav"])
    assert invocation.exit_code == 0, invocation.output
    assert invocation.stdout.startswith("a.wav: text 0 of a.wav ?????  (ja")


# The real thing


@pytest.fixture
def recordings() -> list[str]:
    return sorted(map(str, (ROOT / "examples/digits/recordings").glob("*.wav")))


def test_json_of_real_speech(digits_bundle: Path, recordings: list[str], tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no audio")
    chosen = [recordings[0], str(noise), recordings[1]]
    args = [
        "--language",
        "de",
        "--num-beams",
        "3",
        "--num-return-sequences",
        "2",
        "--batch-size",
        "3",
        "--json",
    ]
    invocation = invoke(str(digits_bundle), *chosen, *args)
    assert invocation.exit_code == 1
    first, bad, last = records(invocation)
    assert set(bad) == {"audio", "error"}
    assert bad["error"].startswith(f"{noise} is not audio that can be read; wanted wav, flac, ogg or mp3")
    with load(digits_bundle) as model:
        for record, path in ((first, recordings[0]), (last, recordings[1])):
            result = model.generate(path, language="de", num_beams=3, num_return_sequences=2)
            assert record["text"] == result.text != ""
            assert record["tokens"] == list(result.tokens)
            assert record["score"] == pytest.approx(result.score, abs=1e-4)
            assert [one["text"] for one in record["hypotheses"]] == [one.text for one in result.hypotheses]
            assert record["language"] == "de"
            assert record["audio_s"] == result.audio_s


def test_plain_lines_of_real_speech(digits_bundle: Path, recordings: list[str]) -> None:
    with load(digits_bundle) as model:
        texts = [model.generate(path, language="cy").text for path in recordings]
    invocation = invoke(str(digits_bundle), *recordings, "--language", "cy")
    assert invocation.exit_code == 0, invocation.output
    for line, path, text in zip(invocation.stdout.splitlines(), recordings, texts, strict=True):
        assert line.startswith(f"{path}: {text}  (cy, score ")


def test_real_speech_from_standard_input(digits_bundle: Path, recordings: list[str]) -> None:
    piped = invoke(str(digits_bundle), "-", "--language", "fr", stdin=Path(recordings[0]).read_bytes())
    named = invoke(str(digits_bundle), recordings[0], "--language", "fr")
    assert piped.exit_code == named.exit_code == 0
    said = named.stdout.removeprefix(recordings[0]).split("  (")[0]
    assert piped.stdout.startswith(f"-{said}  (fr, score ")
