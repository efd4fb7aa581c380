"""doctor-s2t: what it finds, concludes, prints, and how it fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s2t_runtime import cli_doctor, machine
from s2t_runtime.bundle import GRAPH_NAMES, sha256_of
from s2t_runtime.cli_doctor import EXPORT_PACKAGES, main, plain_text, sections
from s2t_runtime.machine import Cpu, Gpu, Machine
from s2t_runtime.manifest import (
    AudioInfo,
    DecoderInfo,
    FileInfo,
    GraphInfo,
    Manifest,
    ModelInfo,
    PrecisionInfo,
)

ROOT = Path(__file__).parents[2]
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, "580.1", "9.0")
NO_DRIVER = "no NVIDIA driver is installed (nvidia-smi was not found)"
NO_CUDA = (
    "this onnxruntime has no CUDAExecutionProvider: "
    "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
)
ALL_INSTALLED = dict.fromkeys((*EXPORT_PACKAGES, "onnxruntime-gpu", "tensorrt", "tensorrt-rtx"), "1.0")


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the machine has."""

    def give(
        *, gpus: tuple[Gpu, ...] = (), providers: tuple[str, ...] = (), missing: tuple[str, ...] = ()
    ) -> None:
        cpu = Cpu("Some processor", 4, 8, 6)
        found = Machine("3.11.7", "Linux", cpu, 8 * 2**30, gpus, None if gpus else NO_DRIVER)
        versions = {name: None if name in missing else version for name, version in ALL_INSTALLED.items()}
        monkeypatch.setattr(machine, "describe_machine", lambda: found)
        monkeypatch.setattr(machine, "installed_versions", lambda names: {n: versions.get(n) for n in names})
        monkeypatch.setattr(cli_doctor, "_onnxruntime", lambda: ("1.32.0", providers, ""))

    return give


def abilities() -> dict[str, tuple[bool, str]]:
    found = cli_doctor.diagnose(None).abilities
    return {ability.name: (ability.available, ability.reason) for ability in found}


def test_a_machine_with_everything(has: Callable[..., None]) -> None:
    has(gpus=(H100,), providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert abilities() == {
        "export": (True, "torch 1.0, on the CPU"),
        "run on the CPU": (True, "CPUExecutionProvider of onnxruntime"),
        "run with CUDA": (True, H100.name),
        "run with TensorRT": (False, "not yet available in this version"),
    }


@pytest.mark.parametrize(
    ("gpus", "providers", "reason"),
    [
        ((), ("CUDAExecutionProvider",), NO_DRIVER),
        ((H100,), ("CPUExecutionProvider",), NO_CUDA),
        ((), ("CPUExecutionProvider",), f"{NO_DRIVER}; {NO_CUDA}"),
    ],
)
def test_why_cuda_is_not_available(
    has: Callable[..., None], gpus: tuple[Gpu, ...], providers: tuple[str, ...], reason: str
) -> None:
    has(gpus=gpus, providers=providers)
    assert abilities()["run with CUDA"] == (False, reason)


def test_export_names_what_is_missing_and_the_line_to_type(has: Callable[..., None]) -> None:
    has(missing=("torch", "onnx"))
    assert abilities()["export"] == (False, 'onnx, torch not installed: pip install "export-s2t[export]"')


def test_a_broken_onnxruntime_is_diagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s2t_runtime.session_onnxruntime", None)  # makes its import fail
    available, reason = abilities()["run on the CPU"]
    assert not available
    assert reason.startswith("onnxruntime cannot be imported (")
    assert reason.endswith("): pip install --force-reinstall onnxruntime")


def test_export_packages_are_the_extra_of_pyproject() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = pyproject["project"]["optional-dependencies"]["export"]
    assert sorted(EXPORT_PACKAGES) == sorted(re.split("[><=]", line)[0] for line in extra)


def test_this_machine() -> None:
    found = machine.describe_machine()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.cpu.model
    assert found.cpu.logical_cores
    assert found.memory_bytes
    assert found.memory_bytes > 2**28
    assert bool(found.gpus) == (found.gpu_problem is None)


def test_physical_cores_are_counted_over_sockets() -> None:
    block = "processor\t: 0\nmodel name\t: Xeon\nphysical id\t: {}\ncore id\t\t: {}\n"
    text = "\n".join(block.format(socket, core) for socket in (0, 1) for core in (0, 1) for _thread in (0, 1))
    assert machine._cpu_from_text(text) == ("Xeon", 4)
    assert machine._cpu_from_text("") == ("", None)


@pytest.mark.parametrize(
    ("code", "output", "gpus", "problem"),
    [
        (0, "NVIDIA H100 80GB HBM3, 81559, 580.1, 9.0\n", (H100,), None),
        (0, "A, [N/A], 1, 2\n", (Gpu("A", None, "1", "2"),), None),
        (0, "\n", (), "nvidia-smi lists no GPU"),
        (9, "no driver\nloaded", (), "nvidia-smi failed with exit code 9: no driver loaded"),
    ],
)
def test_gpus_are_read_from_nvidia_smi(
    monkeypatch: pytest.MonkeyPatch, code: int, output: str, gpus: tuple[Gpu, ...], problem: str | None
) -> None:
    answer = subprocess.CompletedProcess((), code, output, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert machine._gpus() == (gpus, problem)


def test_a_machine_without_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert machine._gpus() == ((), NO_DRIVER)


def test_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(subprocess, "run", hangs)
    gpus, problem = machine._gpus()
    assert gpus == ()
    assert str(problem).startswith("nvidia-smi could not be asked (")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    (root / "fp32").mkdir(parents=True)
    for name in GRAPH_NAMES:
        (root / "fp32" / f"{name}.onnx").write_bytes(b"x" * 1024)
    (root / "vocabulary.bin").write_bytes(b"words")
    encoder, first, past = (GraphInfo(f"fp32/{name}.onnx", (), ()) for name in GRAPH_NAMES)
    paths = [path for path in root.rglob("*") if path.is_file()]
    manifest = Manifest(
        format_version=1,
        model=ModelInfo(
            "a/b", "abc", "SpeechEncoderDecoderModel", "wav2vec2", "mbart", 2_600_000, None, None
        ),
        audio=AudioInfo(16000, 400, 480000, padding_safe=False),
        graphs={"fp32": PrecisionInfo(encoder, first, past)},
        files={p.relative_to(root).as_posix(): FileInfo(p.stat().st_size, sha256_of(p)) for p in paths},
        default_precision="fp32",
        decoder=DecoderInfo(3, 4, 40, 400, 128, "shared", 400),
        generation={},
        languages={"de": 5, "cy": 6},
        detokenizer=None,
        provenance={},
    )
    (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return root


def test_describes_a_bundle(has: Callable[..., None], bundle: Path) -> None:
    has(providers=("CPUExecutionProvider",))
    found = dict(sections(cli_doctor.diagnose(str(bundle))))
    assert dict(found[f"bundle {bundle}"]) == {
        "verified": "every hash of 4 files, 0.0 MiB",
        "model": "a/b at abc",
        "architecture": "wav2vec2 + mbart, 2.6 M parameters",
        "licence": "not stated",
        "precisions": "fp32 (0.0 MiB, the default)",
        "languages": "cy, de",
        "audio": "0.025 .. 30 s at 16000 Hz; batches are encoded without padding",
        "decoder": "128 positions, 400 tokens, at most 400 candidates a beam",
    }


def test_json_is_one_object(has: Callable[..., None], bundle: Path) -> None:
    has(providers=("CPUExecutionProvider",))
    result = CliRunner().invoke(main, ["--json", str(bundle)])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["machine"]["cpu"] == {
        "model": "Some processor", "physical_cores": 4, "logical_cores": 8, "usable_cores": 6
    }  # fmt: skip
    assert document["onnxruntime"] == {"version": "1.32.0", "providers": ["CPUExecutionProvider"]}
    assert document["packages"]["torch"] == "1.0"
    assert document["bundle"]["precisions"] == {"fp32": 3072}
    assert document["bundle"]["size"] == 3077
    assert document["bundle"]["languages"] == ["cy", "de"]
    assert document["bundle"]["verified"] == "full"


def test_plain_lines_when_not_a_terminal(has: Callable[..., None]) -> None:
    has(gpus=(H100,), providers=("CPUExecutionProvider",))
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert result.stdout == plain_text(sections(cli_doctor.diagnose(None))) + "\n"
    assert "  cores: 4 physical, 8 logical, 6 usable\n" in result.stdout
    assert f"  GPU: {H100.name}, 81559 MiB, driver 580.1, compute capability 9.0\n" in result.stdout
    assert "  run with TensorRT: no: not yet available in this version\n" in result.stdout


def test_tables_on_a_terminal(has: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    has()
    cli_doctor.print_tables([("a [red]path[/red]", (("name", "[bold]text[/bold]"),))])
    shown = capsys.readouterr().out
    assert "a [red]path[/red]" in shown
    assert "[bold]text[/bold]" in shown


def test_an_altered_bundle_is_one_line_on_standard_error(bundle: Path) -> None:
    (bundle / "vocabulary.bin").write_bytes(b"wordz")
    result = CliRunner().invoke(main, [str(bundle)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(
        f"doctor-s2t: error: the bundle {bundle} is damaged: vocabulary.bin has sha256 "
    )
    assert result.stderr.endswith(": copy the bundle again or export again\n")


def test_a_missing_bundle_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "none"
    result = CliRunner().invoke(main, [str(path)])
    assert result.exit_code == 1
    wanted = f"{path} does not exist: pass the directory of a bundle, as export-s2t wrote it"
    assert result.stderr == f"doctor-s2t: error: {wanted}\n"


def test_a_path_that_is_no_text_is_a_user_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from s2t_runtime.cli_doctor import main; main()", b"no\xffpath"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"doctor-s2t: error: no?path does not exist")


def test_an_unknown_option_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["--nope"]).exit_code == 2


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(machine, "describe_machine", broken)
    assert isinstance(CliRunner().invoke(main, []).exception, ZeroDivisionError)


def test_help_imports_nothing_heavy() -> None:
    # sys.exit of click's help is caught so that the modules can be looked at afterwards.
    code = (
        "import sys\nfrom s2t_runtime.cli_doctor import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('rich.table', 's2t_runtime.machine') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")
