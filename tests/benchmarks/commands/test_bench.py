"""bench-s2t's command line: what it asks for, what it refuses, and how a comparison ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from support.records.latency_records import PLAIN, TASKS, latency_record

from benchmarks.bench.request import BenchRequest, CompareRequest
from benchmarks.commands import bench as cli_bench
from benchmarks.commands.bench import main, parse


def test_defaults() -> None:
    assert parse(["b"]) == BenchRequest(Path("b"))
    assert parse(["b", "--audio", "x.wav"]) == BenchRequest(Path("b"), durations_s=(), audio=(Path("x.wav"),))
    assert parse(["b", "--against", "c"]) == BenchRequest(Path("b"), against=("c",), peers=("eager",))


def test_everything_can_be_said() -> None:
    arguments = (
        "b --against c --peers compile,eager --provider cuda,cpu --precision fp32,int8 --durations 2,10 "
        "--durations 30 --batch 1,4 --beams 5 --threads 2 --no-spin --tokens 7 --audio x.wav --audio y.wav "
        "--references r.tsv --language de --warmups 1 --repetitions 3 -o out"
    )
    assert parse(arguments.split()) == BenchRequest(
        bundle=Path("b"),
        against=("c",),
        peers=("compile", "eager"),
        providers=("cuda", "cpu"),
        precisions=("fp32", "int8"),
        durations_s=(2.0, 10.0, 30.0),
        batches=(1, 4),
        beams=(5,),
        threads=2,
        spin=False,
        tokens=7,
        audio=(Path("x.wav"), Path("y.wav")),
        references=Path("r.tsv"),
        language="de",
        warmups=1,
        repetitions=3,
        output=Path("out"),
    )
    assert parse(["b", "--first-token", "7", "--against", "c", "--peers", "ctranslate2"]) == BenchRequest(
        Path("b"), against=("c",), peers=("ctranslate2",), first_token=7
    )
    assert parse(["--compare", "a", "b", "--max-regression", "5"]) == CompareRequest(
        Path("a"), Path("b"), 5.0
    )


def test_recordings_as_a_shell_writes_them() -> None:
    wanted = (Path("x.wav"), Path("y.wav"), Path("z.wav"))
    assert parse(["b", "--audio", "x.wav", "y.wav", "z.wav", "--beams", "1"]).audio == wanted
    assert parse(["b", "--audio", "x.wav", "--audio", "y.wav", "--audio", "z.wav"]).audio == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give BUNDLE to measure it, or --compare OLD.json NEW.json"),
        (["b", "--compare", "x", "y"], "--compare reads two records and measures nothing: leave BUNDLE out"),
        (
            ["b", "--max-regression", "5"],
            "--max-regression judges a comparison: give --compare OLD.json NEW.json",
        ),
        (["b", "--references", "r"], "--references says what recordings say: give them with --audio"),
        (["b", "x.wav"], "got x.wav behind BUNDLE: give recordings with --audio"),
        (
            ["b", "--language", "de", "--first-token", "7"],
            "--language and --first-token both say what comes first: give one",
        ),
        (["b", "--peers", "eager"], "--peers run the checkpoint: give it with --against CHECKPOINT"),
        (
            ["b", "--against", "c", "--peers", "magic"],
            "unknown peer magic: choose from eager, compile, ctranslate2",
        ),
        (["b", "--provider", "cpu,tpu"], "unknown provider tpu: choose from cpu, cuda, tensorrt,"),
        (["b", "--durations", "2,x"], "could not convert string to float: 'x': write numbers above 0"),
        (["b", "--durations", "inf"], "write numbers above 0, with commas between them"),
        (["b", "--batch", "0"], "write numbers above 0, with commas between them"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse(arguments)
    assert message in caught.value.format_message()
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from benchmarks.commands.bench import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--max-regression PERCENT" in done.stdout


def test_a_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = cli_bench.require_export_extra.__globals__["importlib"].util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else find_spec(name))
    result = CliRunner().invoke(main, ["b", "--against", "c"])
    line = 'bench-s2t: torch not installed; run: pip install "export-s2t[export]"\n'
    assert (result.exit_code, result.stderr, result.stdout) == (1, line, "")


def test_an_error_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path / "none")])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"bench-s2t: error: {tmp_path / 'none'} does not exist")
    assert result.stderr.count("\n") == 1


def written(path: Path, record: dict[str, Any]) -> str:
    path.write_text(json.dumps(record), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("old") / "old.json"
    return written(path, latency_record(seed=1, tasks=TASKS[:1]))


def test_a_comparison_ends_with_1_past_the_limit(old: str, tmp_path: Path) -> None:
    slower = latency_record(seed=2, tasks=TASKS[:1], slower={PLAIN.name: 1.2})
    new = written(tmp_path / "new.json", slower)
    judged = CliRunner().invoke(main, ["--compare", old, new, "--max-regression", "10"])
    assert judged.exit_code == 1
    assert "| REGRESSION |" in judged.stdout
    assert CliRunner().invoke(main, ["--compare", old, new, "--max-regression", "40"]).exit_code == 0
    told = CliRunner().invoke(main, ["--compare", old, new])
    assert told.exit_code == 0
    assert "| slower |" in told.stdout


def test_a_comparison_ends_with_1_where_a_case_or_quality_is_lost(old: str, tmp_path: Path) -> None:
    fewer = latency_record(seed=1, tasks=TASKS[:1])
    worse = latency_record(seed=1, tasks=TASKS[:1])
    fewer["rows"] = [row for row in fewer["rows"] if row["case"] != PLAIN.name]
    fewer["left_out"] = {PLAIN.name: "out of memory"}
    next(row for row in worse["rows"] if row["case"] == PLAIN.name)["parity"]["eager fp32"]["agreeing"] = 0
    for name, record, said in (
        ("fewer.json", fewer, "though the new run was asked for it: out of memory\n"),
        ("worse.json", worse, "tokens as eager fp32 12/12 -> 0/12\n"),
    ):
        new = written(tmp_path / name, record)
        judged = CliRunner().invoke(main, ["--compare", old, new, "--max-regression", "1000"])
        assert (judged.exit_code, said in judged.stdout) == (1, True)
        assert "- REGRESSION: " in judged.stdout
        told = CliRunner().invoke(main, ["--compare", old, new])
        assert (told.exit_code, said in told.stdout, "REGRESSION" in told.stdout) == (0, True, False)


def test_the_same_again_passes(old: str, tmp_path: Path) -> None:
    new = written(tmp_path / "new.json", latency_record(seed=3, tasks=TASKS[:1]))
    result = CliRunner().invoke(main, ["--compare", old, new, "--max-regression", "5"])
    assert result.exit_code == 0, result.stdout
    assert "None are slower by more than 5 %." in result.stdout


def test_what_cannot_be_judged_is_not_passed(old: str, tmp_path: Path) -> None:
    new = written(tmp_path / "new.json", latency_record(seed=3, tasks=TASKS[:1], repetitions=3))
    result = CliRunner().invoke(main, ["--compare", old, new, "--max-regression", "5"])
    message = (
        "bench-s2t: error: --max-regression cannot be judged, no intervals: a row has 3 repetitions, wanted at "
        "least 5 (--repetitions)\n"
    )
    assert (result.exit_code, result.stderr) == (1, message)
    assert CliRunner().invoke(main, ["--compare", old, new]).exit_code == 0
