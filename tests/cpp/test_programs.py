"""What `make cpp` builds: s2t-cli answers as run-s2t does, and an installed library serves another project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.places import ROOT

from s2t_runtime.commands.decoding_flags import DECODING_FLAGS

RECORDINGS = sorted((ROOT / "examples" / "digits" / "recordings").glob("*.wav"))
EMULATOR = shutil.which("qemu-x86_64")
Done = subprocess.CompletedProcess[str]


def _run(*command: str | Path, given: bytes | None = None) -> Done:
    done = subprocess.run([str(part) for part in command], input=given, capture_output=True, check=False)
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def cli(cpp_build: Path) -> Path:
    return cpp_build / "s2t-cli"


def _run_s2t(*arguments: str | Path) -> Done:
    program = "import sys; from s2t_runtime.commands.run import main; sys.argv[0] = 'run-s2t'; main()"
    return _run(sys.executable, "-c", program, *arguments)


def _records(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """Without times, and with scores rounded to what must be equal."""
    record = {name: value for name, value in record.items() if name != "timings_s"}
    if record.get("score") is not None:
        record["score"] = pytest.approx(record["score"], abs=1e-4)
        record["hypotheses"] = [
            {**one, "score": pytest.approx(one["score"], abs=1e-4)} for one in record["hypotheses"]
        ]
    return record


@pytest.mark.parametrize(
    "flags",
    [
        ("--language", "cy", "--num-beams", "5", "--no-spin"),
        (
            "--language=de",
            "--num-beams=4",
            "--num-return-sequences",
            "3",
            "--batch-size",
            "3",
            "--threads",
            "2",
            "--spin",
        ),
        (
            "--num-beams",
            "1",
            "--decoder-prompt-ids",
            "2,9",
            "--suppress-tokens",
            "95",
            "--suppress-tokens",
            "100,364",
        ),
        (
            "--bad-words-ids",
            "[[95],[100,364]]",
            "--sequence-bias",
            "[[[2],-1.5]]",
            "--forced-eos-token-id",
            "",
        ),
        ("--exponential-decay-length-penalty", "3,1.2", "--renormalize-logits", "--early-stopping", "Never"),
        (
            "--max-new-tokens",
            "4",
            "--length-penalty",
            "0.5",
            "--no-repeat-ngram-size",
            "1",
            "--verify",
            "full",
        ),
        ("--stream", "--num-beams", "3"),
    ],
    ids=" ".join,
)
def test_json_is_that_of_run_s2t(cli: Path, cpp_bundle: Path, flags: tuple[str, ...]) -> None:
    arguments = (cpp_bundle, *RECORDINGS[3:6], "--json", *flags)
    ours, theirs = _run(cli, *arguments), _run_s2t(*arguments)
    assert (ours.returncode, ours.stderr) == (0, "")
    got, wanted = _records(ours), _records(theirs)
    assert got == [_comparable(record) | _times(mine) for mine, record in zip(got, wanted, strict=True)]
    assert [list(record) for record in got] == [list(record) for record in wanted]


def test_weights_may_be_read_whole(cli: Path, cpp_bundle: Path) -> None:
    arguments = (cpp_bundle, RECORDINGS[0], "--json", "--weights", "memory")
    ours, theirs = _records(_run(cli, *arguments)), _records(_run_s2t(*arguments))
    assert [record["text"] for record in ours] == [record["text"] for record in theirs]


def _times(record: dict[str, Any]) -> dict[str, Any]:
    if "timings_s" not in record:
        return {}
    assert list(record["timings_s"]) == ["encoder", "first_step", "decode", "total"]
    return {"timings_s": record["timings_s"]}


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64 (Debian: qemu-user)")
def test_int8_is_the_same_on_a_processor_without_vnni(cli: Path, cpp_bundle: Path) -> None:
    """There products of uint8 with int8 overflow, unless ONNX Runtime is told to avoid them."""
    # A recording on which the overflow costs 0.012 of the score.
    command = (cli, cpp_bundle, RECORDINGS[0], "--precision", "int8", "--json")
    here, emulated = _run(*command), _run(str(EMULATOR), "-cpu", "Haswell", *command)
    assert (here.returncode, emulated.returncode) == (0, 0)
    (wanted,), (got,) = _records(here), _records(emulated)
    assert got["tokens"] == wanted["tokens"]
    assert got["score"] == pytest.approx(wanted["score"], abs=1e-5)


def test_every_precision_of_the_bundle_is_decoded_as_by_run_s2t(cli: Path, cpp_bundle: Path) -> None:
    manifest = json.loads((cpp_bundle / "manifest.json").read_text(encoding="utf-8"))
    assert {"fp32", "fp16", "int8"} <= set(manifest["graphs"])
    for precision in manifest["graphs"]:
        # Recordings of different lengths are encoded one by one, and stacked in the precision's own type.
        arguments = (cpp_bundle, *RECORDINGS[2:6], "--batch-size", "4", "--num-beams", "4", "--json")
        done = [run(*arguments, "--precision", precision) for run in (partial(_run, cli), _run_s2t)]
        got, wanted = map(_records, done)
        assert len(got) == 4, done[0].stderr
        assert got == [_comparable(record) | _times(mine) for mine, record in zip(got, wanted, strict=True)]


def test_another_rate_is_refused_where_nothing_resamples(cli: Path, cpp_bundle: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.wav"
    soundfile.write(slow, np.zeros(8000), 8_000)
    done = _run(cli, cpp_bundle, slow)
    message = "has 8000 samples per second, wanted 16000: resample it first, or build s2t with -DS2T_SOXR=ON"
    assert (done.returncode, done.stderr) == (1, f"s2t-cli: {slow}: {slow} {message}\n")


def test_lines_are_those_of_run_s2t(cli: Path, cpp_bundle: Path) -> None:
    arguments = (cpp_bundle, *RECORDINGS[:3], "--language", "de", "--num-return-sequences", "2")
    without_factor = [
        re.sub(r"factor [0-9.]+", "", done.stdout) for done in (_run(cli, *arguments), _run_s2t(*arguments))
    ]
    assert without_factor[0] == without_factor[1]
    assert without_factor[0].count("\n") == 6


def test_a_bad_file_does_not_spoil_its_batch(cli: Path, cpp_bundle: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(100), 16_000)
    arguments = (
        cpp_bundle,
        RECORDINGS[3],
        short,
        "/no/such.wav",
        RECORDINGS[4],
        "--batch-size",
        "4",
        "--json",
    )
    ours, theirs = _run(cli, *arguments), _run_s2t(*arguments)
    assert ours.returncode == theirs.returncode == 1
    got, wanted = _records(ours), _records(theirs)
    assert [record.get("error") for record in got] == [record.get("error") for record in wanted]
    assert [record.get("tokens") for record in got] == [record.get("tokens") for record in wanted]
    plain = _run(cli, cpp_bundle, short)
    assert plain.stderr.startswith(
        f"s2t-cli: {short}: 100 samples (6.2 ms) is shorter than the encoder's minimum"
    )


def test_standard_input_is_read_once(cli: Path, cpp_bundle: Path) -> None:
    data = RECORDINGS[3].read_bytes()
    done = _run(cli, cpp_bundle, "-", "--json", given=data)
    assert (
        _records(done)[0]["tokens"] == _records(_run(cli, cpp_bundle, RECORDINGS[3], "--json"))[0]["tokens"]
    )
    twice = _run(cli, cpp_bundle, "-", "-")
    assert twice.returncode == 2
    assert "standard input (-) can be read only once" in twice.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--num-beams", "0"),
            "num_beams is 0, wanted an integer of at least 1; pass such a value or leave num_beams unset",
        ),
        (("--language", "tlh"), "unknown language 'tlh'; known: ar, ca, cy, de, "),
        (
            ("--do-sample",),
            "do_sample True is not supported: this library takes the best tokens and draws none; ",
        ),
        (
            ("--temperature", "0.5"),
            "temperature 0.5 is not supported: this library takes the best tokens and draws none; ",
        ),
        (("--seed", "3"), "seed 3 is not supported: "),
        (
            ("--stream",),
            "--stream would be ignored: the text goes to standard output line by line; pass --json as well",
        ),
        (("--provider", "tpu"), "provider 'tpu' is unknown; known: cpu, cuda"),
        (("--provider", "tensorrt"), "provider 'tensorrt' is unknown; known: cpu, cuda"),
        (
            ("--provider", "cuda", "--precision", "int8"),
            "precision 'int8' is made for CPUs and provider 'cuda' would compute little of it on the GPU; ",
        ),
        (("--precision", "int2"), "precision 'int2' is not in "),
        (("--threads", "0"), "threads is 0; it must be from 1 to 1024"),
    ],
)
def test_a_wrong_request_is_one_line(
    cli: Path, cpp_bundle: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = _run(cli, cpp_bundle, RECORDINGS[3], *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"s2t-cli: error: {message}")
    assert done.stderr.count("\n") == 1


def test_neutral_options_of_sampling_are_taken(cli: Path, cpp_bundle: Path) -> None:
    assert (
        _run(
            cli, cpp_bundle, RECORDINGS[3], "--no-do-sample", "--temperature", "1", "--top-k", "0"
        ).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "missing argument BUNDLE"),
        (("bundle",), "missing argument AUDIO..."),
        (("bundle", "a.wav", "--beams", "5"), "no such option: --beams"),
        (("bundle", "a.wav", "--num-beams"), "--num-beams requires a value"),
        (("bundle", "a.wav", "--num-beams", "five"), "invalid value for --num-beams: 'five' is no integer"),
        (("bundle", "a.wav", "--length-penalty", "x"), "invalid value for --length-penalty: 'x' is no number"),
        (("bundle", "a.wav", "--bad-words-ids", "{}"), "invalid value for --bad-words-ids: '{}' is no JSON list"),
        (("bundle", "a.wav", "--early-stopping", "no"), "--early-stopping: 'no' is no true, false or never"),
        (("bundle", "a.wav", "--exponential-decay-length-penalty", "1"),
         "invalid value for --exponential-decay-length-penalty: '1' is no START,FACTOR such as 20,1.1"),
        (("bundle", "a.wav", "--batch-size", "0"), "invalid value for --batch-size: '0' is no integer of at least 1"),
        (("bundle", "a.wav", "--weights", "no"),
         "invalid value for --weights: 'no' is no mapped or memory"),
        (("bundle", "a.wav", "--verify", "no"), "invalid value for --verify: 'no' is no fast or full"),
        (("bundle", "a.wav", "--json=1"), "--json takes no value"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_exits_with_2(cli: Path, arguments: tuple[str, ...], message: str) -> None:
    done = _run(cli, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "\n\nError: " in done.stderr
    assert message in done.stderr


def test_every_flag_of_run_s2t_is_a_flag(cli: Path) -> None:
    shown = _run(cli, "--help").stdout
    flags = [f"--{name.replace('_', '-')}" for name in DECODING_FLAGS]
    flags += [
        "--precision",
        "--provider",
        "--threads",
        "--spin",
        "--batch-size",
        "--verify",
        "--json",
        "--stream",
    ]
    assert [flag for flag in flags if not re.search(rf"^  {flag} ", shown, re.MULTILINE)] == []


def test_the_example_writes_down_what_is_said(cpp_build: Path, cpp_bundle: Path) -> None:
    done = _run(cpp_build / "minimal", cpp_bundle, RECORDINGS[3])
    assert done.stdout.startswith("sieben  (score -0.00")
    assert _run(cpp_build / "minimal").returncode == 2
    missing = _run(cpp_build / "minimal", "/no/such", RECORDINGS[3])
    assert missing.returncode == 1
    assert missing.stderr.startswith("minimal: error: /no/such does not exist: ")


def test_an_installed_library_serves_another_project(
    cpp_build: Path, cpp_bundle: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    assert _run("cmake", "--install", cpp_build, "--prefix", prefix).returncode == 0
    cache = (cpp_build / "CMakeCache.txt").read_text(encoding="utf-8")
    root = re.search(r"^ONNXRUNTIME_ROOT:\w+=(.*)$", cache, re.MULTILINE)
    assert root
    configured = _run(
        "cmake", "-S", ROOT / "cpp" / "tests" / "consumer", "-B", tmp_path / "build",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DONNXRUNTIME_ROOT={root[1]}",
    )  # fmt: skip
    assert configured.returncode == 0, configured.stderr
    built = _run("cmake", "--build", tmp_path / "build")
    assert built.returncode == 0, built.stdout + built.stderr
    done = _run(tmp_path / "build" / "application", cpp_bundle, RECORDINGS[3])
    assert done.stdout.startswith("sieben "), done.stderr
    assert os.access(prefix / "bin" / "s2t-cli", os.X_OK)


def test_the_example_of_readme_compiles(tmp_path: Path) -> None:
    snippet = re.search(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert snippet
    source = tmp_path / "readme.cpp"
    source.write_text(
        f"#include <iostream>\n#include <s2t/s2t.h>\nint main() {{\n{snippet[1]}}}\n", encoding="utf-8"
    )
    done = _run("g++", "-std=c++17", "-fsyntax-only", f"-I{ROOT / 'cpp' / 'include'}", source)
    assert done.returncode == 0, done.stderr
