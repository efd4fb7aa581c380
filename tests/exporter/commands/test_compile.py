"""compile-s2t: flags, the closing table, and how each kind of failure ends the command."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.doubles.engine_builder import FakeTensorRt
from support.places import ROOT

from exporter.commands import compile as cli_compile
from exporter.commands.engine_flags import can_run
from exporter.engines import build as engine_build
from exporter.engines.options import AudioSpan, EngineOptions
from exporter.errors import EngineError
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.machine import Gpu, Machine


def invoke(*args: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(
        cli_compile.main, [str(arg) for arg in args], terminal_width=120
    )


@pytest.fixture
def root(digits_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))


@pytest.fixture
def fake(root: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(open_bundle(root).manifest)
    monkeypatch.setattr(engine_build, "ask", fake)
    monkeypatch.setattr(engine_build, "choose_flavour", lambda asked: asked or "tensorrt-rtx")
    return fake


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EngineOptions]:
    """The options of each run; nothing is compiled."""
    asked: list[EngineOptions] = []
    monkeypatch.setattr(cli_compile, "run", lambda _path, options, **_: asked.append(options))
    return asked


def test_the_defaults(asked: list[EngineOptions]) -> None:
    assert invoke("bundle").exit_code == 0
    assert asked == [EngineOptions()]


def test_every_flag(asked: list[EngineOptions]) -> None:
    invoke(
        *("bundle", "--flavour", "tensorrt-rtx", "--precision", "fp32", "--targets", "sm89,sm86", "--force"),
        *("--max-batch", 2, "--max-beams", 3, "--max-length", 50, "--max-prompt", 4, "--first-step-engine"),
        *("--profile", "short:1-5s,long:5-30s"),
    )
    assert asked == [
        EngineOptions(
            flavour="tensorrt-rtx",
            precision="fp32",
            targets=("sm86", "sm89"),
            max_batch=2,
            max_beams=3,
            max_length=50,
            max_prompt=4,
            spans=(AudioSpan("short", 1, 5), AudioSpan("long", 5, 30)),
            first_step=True,
            force=True,
        )
    ]
    invoke("bundle", "--max-audio-seconds", 12.5, "--targets", "portable")
    assert asked[-1] == EngineOptions(max_audio_s=12.5, targets=())


def test_the_closing_table(root: Path, fake: FakeTensorRt) -> None:
    result = invoke(root, "--precision", "fp32")
    assert (result.exit_code, result.stderr) == (0, "")
    (folder,) = (path for path in (root / "engines").iterdir() if path.is_dir())
    lines = result.stdout.splitlines()
    stages = [line.rpartition("  ")[0] for line in lines[:4]]
    assert stages == [
        "check profiles and targets",
        "look for engines that match",
        "build encoder",
        "build decoder_with_past",
    ]
    assert lines[4] == str(folder)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [row[:3] for row in rows] == [
        ["encoder", "9 B", "default"],
        ["decoder_with_past", "19 B", "default"],
    ]
    assert all(row[3].startswith("built in ") for row in rows)
    assert lines[-1] == f"next: run-s2t {root} AUDIO.wav --provider tensorrt --precision fp32"
    again = invoke(root, "--precision", "fp32")
    assert again.stdout.count("reused") == 2


def test_quiet(root: Path, fake: FakeTensorRt) -> None:
    assert invoke(root, "--precision", "fp32", "--quiet").output == ""


def test_a_dry_run_prints_the_census_and_builds_nothing(root: Path, fake: FakeTensorRt) -> None:
    result = invoke(root, "--precision", "fp32", "--dry-run", "--quiet")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.strip() for line in lines if "decoder" in line or "encoder" in line] == [
        "encoder",
        "decoder_with_past",
    ]
    assert [line.split() for line in lines if "SHAPE" in line] == [["│", "SHAPE", "│", "3", "│"]] * 2
    assert not (root / "engines").exists()


def test_an_error_is_one_line(root: Path, fake: FakeTensorRt) -> None:
    fake.error = EngineError("tensorrt-rtx cannot build encoder: why")
    result = invoke(root, "--precision", "fp32", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "compile-s2t: error: tensorrt-rtx cannot build encoder: why\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--precision", "fp16"],
            "precision 'fp16' is not in {root}, which has fp32: choose one of these, or add it with "
            "export-s2t --add-precision",
        ),
        (
            ["--precision", "fp32", "--targets", "sm90"],
            "target sm90 is unknown to TensorRT-RTX 1.7.1.116: choose from sm80, sm86, sm89, sm120, or portable alone",
        ),
        (
            ["--precision", "fp32", "--profile", "short:0.01-5s"],
            "profile short: axis samples begins at 160 (0.01 s), below the encoder's minimum of 400: begin at 0.025 s",
        ),
        (
            ["--profile", "short"],
            "profile 'short' is not NAME:MIN-MAXs: write for example short:1-5s,long:5-30s",
        ),
        (
            ["--flavour", "tensorrt", "--targets", "sm86"],
            "full TensorRT builds for the GPU of this machine and takes no targets: leave out --targets, or take "
            "--flavour tensorrt-rtx",
        ),
    ],
)
def test_what_cannot_be_built(root: Path, fake: FakeTensorRt, args: list[str], message: str) -> None:
    result = invoke(root, "--quiet", *args)
    assert result.exit_code == 1
    assert result.stderr == f"compile-s2t: error: {message.format(root=root)}\n"


def test_a_flavour_that_is_not_installed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = invoke(root, "--precision", "fp32", "--flavour", "tensorrt-rtx")
    assert result.exit_code == 1
    assert result.stderr == (
        'compile-s2t: error: tensorrt_rtx, polygraphy not installed; run: pip install "export-s2t[tensorrt-rtx]"\n'
    )


def test_no_bundle(tmp_path: Path) -> None:
    result = invoke(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"compile-s2t: error: {tmp_path} is not a bundle")


@pytest.mark.parametrize("args", [[], ["bundle", "--flavour", "cuda"], ["bundle", "--max-batch", "0"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    assert invoke(*args).exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from exporter.commands.compile import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'transformers', 'onnx', 'onnxruntime', 'numpy', 'rich', 'polygraphy', 'tensorrt_rtx')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "--first-step-engine" in done.stdout


def test_a_run_needs_neither_torch_nor_onnx(root: Path) -> None:
    """The machine where engines will run has the runtime and TensorRT alone."""
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'onnx', 'onnx_ir', 'onnxscript'): sys.modules[name] = None\n"
        "from exporter.engines import build as engine_build\n"
        "from exporter.engines.options import EngineOptions\n"
        "from s2t_runtime.bundles.bundle import open_bundle\n"
        "engine_build.choose_flavour = lambda asked: asked\n"
        "engine_build.ask = lambda *_, **__: {'version': '1', 'targets': ['sm86', 'sm89', 'sm120'], 'census': {}}\n"
        "options = EngineOptions(flavour='tensorrt-rtx', precision='fp32')\n"
        f"print(list(engine_build.census_of_bundle(open_bundle({str(root)!r}), options)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "['encoder', 'decoder_with_past']\n", done.stderr


# Whether this machine can run what it built.


def machine(capability: str | None) -> Machine:
    gpus = () if capability is None else (Gpu("RTX", 1, "590", capability),)
    empty: dict[str, Any] = {
        field.name: None for field in dataclasses.fields(Machine) if field.default is dataclasses.MISSING
    }
    return Machine(
        **{**empty, "gpus": gpus, "gpu_problem": None if gpus else "no NVIDIA driver is installed"}
    )


@pytest.mark.parametrize(
    ("flavour", "targets", "capability", "sentence"),
    [
        (
            "tensorrt-rtx",
            ("sm86",),
            None,
            "this machine cannot run them: no NVIDIA driver is installed",
        ),
        ("tensorrt-rtx", ("sm86", "sm89"), "8.9", "this machine can run them: RTX (sm89)"),
        (
            "tensorrt-rtx",
            ("sm86", "sm89"),
            "12.0",
            "this machine cannot run them: they were built for sm86, sm89, and RTX is sm120",
        ),
        ("tensorrt-rtx", (), "12.0", "this machine can run them: RTX (sm120)"),
        (
            "tensorrt-rtx",
            (),
            "9.0",
            "this machine cannot run them: portable engines run on sm80, sm86, sm89, sm120, sm121 and later, and "
            "RTX is sm90",
        ),
        ("tensorrt", ("sm90",), "9.0", "this machine can run them: RTX (sm90)"),
    ],
)
def test_whether_this_machine_can_run_them(
    flavour: str, targets: tuple[str, ...], capability: str | None, sentence: str
) -> None:
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(EngineRecord)}
    record = EngineRecord(**{**fields, "flavour": flavour, "targets": targets})
    assert can_run(record, machine(capability)) == sentence
