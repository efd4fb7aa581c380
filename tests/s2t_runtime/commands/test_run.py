"""run-s2t: every flag, how bundles are loaded, errors that stop, and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from support.command_line import runner
from support.doubles.model import ROOT, FakeModel, invoke, records, result_of, run_process

from s2t_runtime.commands import run as cli_run
from s2t_runtime.commands.decoding_flags import DECODING_FLAGS
from s2t_runtime.errors import BundleError, OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.results import Result

HEAVY = ("numpy", "onnxruntime", "soundfile", "soxr", "tokenizers", "rich", "s2t_runtime.model")


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
    (["--do-sample"], "do_sample", True),
    (["--no-do-sample"], "do_sample", False),
    (["--temperature", "0.7"], "temperature", 0.7),
    (["--top-k", "0"], "top_k", 0),
    (["--top-p", "0.9"], "top_p", 0.9),
    (["--min-p", "0.1"], "min_p", 0.1),
    (["--typical-p", "0.5"], "typical_p", 0.5),
    (["--top-h", "0.4"], "top_h", 0.4),
    (["--epsilon-cutoff", "0.01"], "epsilon_cutoff", 0.01),
    (["--eta-cutoff", "0.02"], "eta_cutoff", 0.02),
    (["--seed", "3"], "seed", 3),
    (["--sequence-bias", "[[[5, 6], -2.5], [[7], 1]]"], "sequence_bias", [[[5, 6], -2.5], [[7], 1]]),
    (["--sequence-bias", ""], "sequence_bias", []),
    (["--exponential-decay-length-penalty", "20, 1.1"], "exponential_decay_length_penalty", (20, 1.1)),
    (["--exponential-decay-length-penalty", ""], "exponential_decay_length_penalty", ()),
    (["--renormalize-logits"], "renormalize_logits", True),
    (["--no-renormalize-logits"], "renormalize_logits", False),
]


@pytest.mark.parametrize(("args", "name", "value"), FLAGS, ids=[" ".join(flag) for flag, _, _ in FLAGS])
def test_each_flag_reaches_generate(fake_model: FakeModel, args: list[str], name: str, value: object) -> None:
    invocation = invoke("bundle", "a.wav", *args)
    assert invocation.exit_code == 0, invocation.output
    [(audio, options)] = fake_model.calls
    assert audio == ["a.wav"]
    assert options == {name: value}
    assert type(options[name]) is type(value)
    GenerationOptions.from_dict(options)


def test_the_flags_are_the_decoding_options() -> None:
    internal = {"bos_token_id", "pad_token_id", "prefix_allowed_tokens_fn"}
    assert set(DECODING_FLAGS) == {one.name for one in fields(GenerationOptions)} - internal
    assert {name for _, name, _ in FLAGS} == set(DECODING_FLAGS)


def test_parse_without_options_leaves_all_to_the_bundle() -> None:
    assert cli_run.parse(["bundle", "a.wav", "-"]) == cli_run.RunRequest("bundle", ("a.wav", "-"), options={})


def test_parse_reads_how_to_load() -> None:
    args = (
        "bundle a.wav --precision fp16 --provider cuda --threads 2 --spin --batch-size 3 --verify full --json "
        "--stream --weights memory"
    )
    assert cli_run.parse(args.split()) == cli_run.RunRequest(
        "bundle",
        ("a.wav",),
        options={},
        precision="fp16",
        provider="cuda",
        threads=2,
        spin=True,
        batch_size=3,
        verify="full",
        weights="memory",
        as_json=True,
        stream=True,
    )


def test_load_is_called_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("s2t_runtime.model.load", lambda *args, **settings: seen.append((args, settings)))
    request = cli_run.parse(
        ["bundle", "a.wav", "--precision", "fp16", "--threads", "2", "--no-spin", "--verify", "full"]
    )
    cli_run._load(request)
    cli_run._load(cli_run.parse(["bundle", "a.wav", "--provider", "tensorrt", "--cuda-graphs"]))
    wanted = {
        "precision": "fp16",
        "provider": "cpu",
        "threads": 2,
        "spin": False,
        "cuda_graphs": False,
        "verify": "full",
        "weights": "mapped",
    }
    engines = {
        "precision": None,
        "provider": "tensorrt",
        "threads": None,
        "spin": None,
        "cuda_graphs": True,
        "verify": "fast",
        "weights": "mapped",
    }
    assert seen == [(("bundle",), wanted), (("bundle",), engines)]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["bundle"], "Missing argument 'AUDIO...'"),
        ([], "Missing argument 'BUNDLE'"),
        (["bundle", "a.wav", "--beams", "3"], "No such option"),  # click 8.1 quotes it in another way
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
        (
            ["bundle", "a.wav", "--sequence-bias", "5,6"],
            "'5,6' is no JSON list of biases such as [[[5,6],-2.5]",
        ),
        (
            ["bundle", "a.wav", "--exponential-decay-length-penalty", "20"],
            "'20' is no START,FACTOR such as 20,1.1",
        ),
        (["bundle", "a.wav", "--batch-size", "0"], "0 is not in the range x>=1"),
        (["bundle", "a.wav", "--weights", "no"], "'no' is not one of 'mapped', 'memory'"),
        (["bundle", "a.wav", "--verify", "no"], "'no' is not one of 'fast', 'full'"),
        (["bundle", "-", "a.wav", "-"], "standard input (-) can be read only once"),
    ],
)
def test_a_wrong_command_line_exits_with_2(fake_model: FakeModel, args: list[str], message: str) -> None:
    invocation = invoke(*args)
    assert invocation.exit_code == 2
    assert message in invocation.stderr
    assert invocation.stdout == ""
    assert not fake_model.calls
    with pytest.raises(click.UsageError):
        cli_run.parse(args)


def test_help_lists_every_flag_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom s2t_runtime.commands.run import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy: []\n")
    others = ("precision", "provider", "threads", "batch-size", "verify", "weights", "json", "stream", "help")
    for flag in (*(name.replace("_", "-") for name in DECODING_FLAGS), *others):
        assert f"\n  --{flag} " in done.stdout


# Errors that stop


def test_an_option_error_stops_before_any_work(fake_model: FakeModel) -> None:
    fake_model.plan_error = OptionError("unknown language 'xx';\nknown: de, ja")
    invocation = invoke("bundle", "a.wav", "b.wav", "--language", "xx", "--json")
    assert invocation.exit_code == 1
    assert invocation.stderr == "run-s2t: error: unknown language 'xx'; known: de, ja\n"
    assert invocation.stdout == ""
    assert not fake_model.calls
    assert fake_model.closed


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


def test_a_bug_keeps_its_traceback(fake_model: FakeModel) -> None:
    def broken(name: str) -> Result:
        raise ZeroDivisionError(name)

    fake_model.answer = broken
    assert isinstance(invoke("bundle", "a.wav").exception, ZeroDivisionError)


def test_an_interruption_is_quiet(fake_model: FakeModel) -> None:
    def interrupted(name: str) -> Result:
        if name == "b":
            raise KeyboardInterrupt
        return result_of(name)

    fake_model.answer = interrupted
    invocation = invoke("bundle", "a", "b", "c", "--json")
    assert invocation.exit_code == 130
    assert invocation.stderr == ""
    assert [record["audio"] for record in records(invocation)] == ["a"]


@pytest.mark.parametrize("output", ["--json", "--batch-size=1"])
def test_a_reader_that_went_away_is_quiet(output: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from s2t_runtime.commands import run as cli_run\nfrom support.doubles.model import FakeModel\n"
        "cli_run._load = lambda _: FakeModel()\n"
        "cli_run.main()"
    )
    reader, writer = os.pipe()
    os.close(reader)  # as head does once it has its lines
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "tests"), "bundle", "a.wav", "b.wav", output],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_file_name_that_is_no_text(fake_model: FakeModel) -> None:
    name = os.fsdecode(b"a\xff.wav")
    [record] = records(invoke("bundle", name, "--json"))
    assert record["audio"] == "a?.wav"
    assert fake_model.calls[0][0] == [name]
    assert invoke("bundle", name).stdout.startswith("a?.wav: text")


def test_letters_that_the_locale_lacks_are_replaced(fake_model: FakeModel) -> None:
    latin = runner(charset="latin-1")
    invocation = latin.invoke(cli_run.main, ["bundle", "a.wav"])
    assert invocation.exit_code == 0, invocation.output
    assert invocation.stdout.startswith("a.wav: text 0 of a.wav ?????  (ja")
