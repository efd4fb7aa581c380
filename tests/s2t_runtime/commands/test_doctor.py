"""doctor-s2t: what it finds, concludes, prints, and how it fails."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from support.command_line import runner
from support.places import ROOT

from s2t_runtime import machine
from s2t_runtime.bundles.bundle import GRAPH_NAMES
from s2t_runtime.bundles.manifest import (
    AudioInfo,
    DecoderInfo,
    FileInfo,
    GraphInfo,
    Manifest,
    ModelInfo,
    PrecisionInfo,
)
from s2t_runtime.bundles.verification import sha256_of
from s2t_runtime.commands import doctor as cli_doctor
from s2t_runtime.commands.doctor import main, plain_text, sections
from s2t_runtime.commands.doctor_abilities import EXPORT_PACKAGES, OTHER_PACKAGES
from s2t_runtime.default_threads import DefaultThreads
from s2t_runtime.machine import Cpu, Gpu, Machine

ADA = Gpu("NVIDIA L4", 23034, "580.1", "8.9")
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, "580.1", "9.0")
NO_DRIVER = "no NVIDIA driver is installed (nvidia-smi was not found)"
NO_CUDA = (
    "this onnxruntime has no CUDAExecutionProvider: "
    "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
)
NO_TENSORRT_EP = NO_CUDA.replace("CUDAExecutionProvider", "TensorrtExecutionProvider")
NO_BINDINGS = "NVIDIA's bindings of CUDA cannot be imported (No module named 'cuda'): pip install cuda-python"
NO_TENSORRT = {
    "tensorrt": "cannot be imported (libnvinfer.so.11: cannot open shared object file)",
    "tensorrt-rtx": 'is not installed (pip install "export-s2t[tensorrt-rtx]")',
}
RTX = {"tensorrt-rtx": "1.7.1.116"}
ALL_INSTALLED = dict.fromkeys((*EXPORT_PACKAGES, *OTHER_PACKAGES), "1.0")


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the machine has."""

    def give(
        *,
        gpus: tuple[Gpu, ...] = (),
        providers: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        flavours: Mapping[str, str] = MappingProxyType({}),
        bindings: str | None = None,
    ) -> None:
        cpu = Cpu("Some processor", 4, 8, 6)
        threads = DefaultThreads(2, 3, 6, 1.5)
        no_gpu, no_cuda = (None, None) if gpus else (NO_DRIVER, "no NVIDIA driver found")
        found = Machine(
            "3.11.7", "Linux", cpu, 8 * 2**30, gpus, no_gpu, "13.1" if gpus else None, no_cuda, threads
        )
        lacking = {flavour: reason for flavour, reason in NO_TENSORRT.items() if flavour not in flavours}
        versions = {name: None if name in missing else version for name, version in ALL_INSTALLED.items()}
        monkeypatch.setattr(machine, "describe_machine", lambda: found)
        monkeypatch.setattr(machine, "installed_versions", lambda names: {n: versions.get(n) for n in names})
        monkeypatch.setattr(cli_doctor, "_onnxruntime", lambda: ("1.32.0", providers, ""))
        monkeypatch.setattr(cli_doctor, "_tensorrt", lambda: (dict(flavours), lacking, bindings))

    return give


def abilities() -> dict[str, tuple[bool, str]]:
    found = cli_doctor.diagnose(None).abilities
    return {ability.name: (ability.available, ability.reason) for ability in found}


def test_a_machine_with_everything(has: Callable[..., None]) -> None:
    providers = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    has(gpus=(ADA,), providers=providers, flavours={"tensorrt": "11.4.0.1", **RTX})
    found = {
        one.name: (one.available, one.reason, one.command) for one in cli_doctor.diagnose(None).abilities
    }
    run = "run-s2t BUNDLE AUDIO"
    assert found == {
        "export": (True, "torch 1.0, on the CPU", "export-s2t CHECKPOINT -o BUNDLE"),
        "run on the CPU": (True, "CPUExecutionProvider of onnxruntime", run),
        "run with CUDA": (True, ADA.name, f"{run} --provider cuda"),
        "compile with TensorRT": (True, "tensorrt 11.4.0.1", "compile-s2t BUNDLE --flavour tensorrt"),
        "compile with TensorRT-RTX": (
            True, "tensorrt-rtx 1.7.1.116", "compile-s2t BUNDLE --flavour tensorrt-rtx --targets sm89"
        ),
        "run TensorRT engines": (
            True, f"tensorrt 11.4.0.1, tensorrt-rtx 1.7.1.116 on {ADA.name}", f"{run} --provider tensorrt"
        ),
        "run with onnxruntime's TensorRT": (True, ADA.name, f"{run} --provider tensorrt-ep"),
        "run with onnxruntime's TensorRT-RTX": (True, ADA.name, f"{run} --provider nv-tensorrt-rtx"),
    }  # fmt: skip


def test_a_machine_without_gpu_compiles_and_cannot_run_engines(has: Callable[..., None]) -> None:
    has(providers=("CPUExecutionProvider",), flavours=RTX, bindings=NO_BINDINGS)
    found = abilities()
    assert found["compile with TensorRT-RTX"] == (True, "tensorrt-rtx 1.7.1.116")
    assert found["compile with TensorRT"] == (
        False, f"tensorrt {NO_TENSORRT['tensorrt']}; {NO_DRIVER}"
    )  # fmt: skip
    assert found["run TensorRT engines"] == (False, f"{NO_DRIVER}; {NO_BINDINGS}")
    assert found["run with onnxruntime's TensorRT"] == (False, f"{NO_DRIVER}; {NO_TENSORRT_EP}")


def test_tensorrt_rtx_builds_on_a_hopper_gpu_and_does_not_run_there(has: Callable[..., None]) -> None:
    has(gpus=(H100,), flavours=RTX)
    found = {one.name: one for one in cli_doctor.diagnose(None).abilities}
    assert found["compile with TensorRT-RTX"].command == "compile-s2t BUNDLE --flavour tensorrt-rtx"
    assert found["run TensorRT engines"].reason == (
        f"TensorRT-RTX does not support {H100.name} (sm90); tensorrt {NO_TENSORRT['tensorrt']}"
    )
    has(gpus=(H100,), flavours={"tensorrt": "11.4.0.1", **RTX})
    assert abilities()["run TensorRT engines"][0]
    has(gpus=(ADA,), flavours=RTX)
    assert abilities()["run TensorRT engines"] == (True, f"tensorrt-rtx 1.7.1.116 on {ADA.name}")


def test_what_is_missing_for_tensorrt_is_named_with_the_line_to_type(has: Callable[..., None]) -> None:
    plugin = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
    has(gpus=(H100,), missing=("polygraphy", plugin))
    found = abilities()
    lacking = [f"{flavour} {reason}" for flavour, reason in NO_TENSORRT.items()]
    polygraphy = 'polygraphy is not installed (pip install "export-s2t[{}]")'
    assert found["compile with TensorRT"] == (False, f"{lacking[0]}; {polygraphy.format('tensorrt')}")
    assert found["compile with TensorRT-RTX"] == (
        False, f"{lacking[1]}; {polygraphy.format('tensorrt-rtx')}"
    )  # fmt: skip
    assert found["run TensorRT engines"] == (False, "; ".join(lacking))
    assert found["run with onnxruntime's TensorRT-RTX"] == (
        False, f"{plugin} is not installed: pip install {plugin}"
    )  # fmt: skip


def test_commands_name_the_bundle(has: Callable[..., None], bundle: Path) -> None:
    has(providers=("CPUExecutionProvider",), flavours=RTX)
    commands = [one.command for one in cli_doctor.diagnose(str(bundle)).abilities if one.available]
    assert commands == [
        "export-s2t CHECKPOINT -o BUNDLE",
        f"run-s2t {bundle} AUDIO",
        f"compile-s2t {bundle} --flavour tensorrt-rtx",
    ]


def test_a_gpu_that_this_process_may_not_use(
    has: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(gpus=(ADA,), providers=("CUDAExecutionProvider",))
    hidden = "the NVIDIA driver shows no GPU to this process"
    seen = dataclasses.replace(machine.describe_machine(), cuda_problem=hidden)
    monkeypatch.setattr(machine, "describe_machine", lambda: seen)
    assert abilities()["run with CUDA"] == (False, hidden)


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
    monkeypatch.setitem(
        sys.modules, "s2t_runtime.sessions.onnxruntime.session", None
    )  # makes its import fail
    available, reason = abilities()["run on the CPU"]
    assert not available
    assert reason.startswith("onnxruntime cannot be imported (")
    assert reason.endswith("): pip install --force-reinstall onnxruntime")


def test_an_onnxruntime_that_is_too_old_can_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"version": "1.18.1", "providers": ["CPUExecutionProvider"]}
    monkeypatch.setattr("s2t_runtime.sessions.onnxruntime.session.runtime_description", lambda: told)
    available, reason = abilities()["run on the CPU"]
    assert not available
    assert reason.startswith("onnxruntime 1.18.1 is installed, wanted 1.19 or newer: ")


def test_export_packages_are_the_extra_of_pyproject() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    base, extra = (
        {re.split("[><=]", line)[0] for line in lines}
        for lines in (
            pyproject["project"]["dependencies"],
            pyproject["project"]["optional-dependencies"]["export"],
        )
    )
    assert sorted(EXPORT_PACKAGES) == sorted(
        extra - base
    )  # the base is there; an export needs newer ones of it


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
        "weights": "mapped from their files while a model runs, which nobody may write to then",
        "model": "a/b at abc",
        "architecture": "wav2vec2 + mbart, 2.6 M parameters",
        "licence": "not stated",
        "precisions": "fp32 (0.0 MiB, the default)",
        "languages": "cy, de",
        "audio": "0.025 .. 30 s at 16000 Hz; batches are encoded without padding",
        "decoder": "128 positions, 400 tokens, at most 400 candidates a beam",
        "engines": "none; compile-s2t builds them",
    }


def test_says_how_many_tokens_a_restricted_decoder_writes(has: Callable[..., None], bundle: Path) -> None:
    has(providers=("CPUExecutionProvider",))
    document = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    document["format_version"] = 3
    document["decoder"]["output_vocabulary"] = {"path": "output_vocabulary.bin", "count": 40}
    (bundle / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    found = dict(sections(cli_doctor.diagnose(str(bundle))))
    assert dict(found[f"bundle {bundle}"])["decoder"] == (
        "128 positions, 400 tokens, 40 of them written, at most 400 candidates a beam"
    )


def test_json_is_one_object(has: Callable[..., None], bundle: Path) -> None:
    has(providers=("CPUExecutionProvider",))
    result = runner().invoke(main, ["--json", str(bundle)])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["machine"]["cpu"] == {
        "model": "Some processor", "physical_cores": 4, "logical_cores": 8, "usable_cores": 6
    }  # fmt: skip
    assert document["machine"]["threads"] == {"count": 2, "cores": 3, "usable": 6, "quota": 1.5}
    assert document["onnxruntime"] == {"version": "1.32.0", "providers": ["CPUExecutionProvider"]}
    assert document["packages"]["torch"] == "1.0"
    assert document["bundle"]["precisions"] == {"fp32": 3072}
    assert document["bundle"]["size"] == 3077
    assert document["bundle"]["languages"] == ["cy", "de"]
    assert document["bundle"]["verified"] == "full"
    assert document["bundle"]["weights"].startswith("mapped from their files while a model runs")
    assert document["tensorrt"] == NO_TENSORRT
    assert document["engines"] == []


def test_plain_lines_when_not_a_terminal(has: Callable[..., None]) -> None:
    has(gpus=(H100,), providers=("CPUExecutionProvider",))
    result = runner().invoke(main, [])
    assert result.exit_code == 0
    assert result.stdout == plain_text(sections(cli_doctor.diagnose(None))) + "\n"
    assert "  cores: 4 physical, 8 logical, 6 usable\n" in result.stdout
    why = "usable processors: 6, their physical cores: 3, quota of the cgroup: 1.5"
    assert f"  threads: 2 by default ({why})\n" in result.stdout
    assert f"  GPU: {H100.name}, 81559 MiB, driver 580.1, compute capability 9.0\n" in result.stdout
    assert "  CUDA driver: CUDA 13.1\n" in result.stdout
    assert f"  tensorrt: {NO_TENSORRT['tensorrt']}\n" in result.stdout
    assert (
        "  run on the CPU: yes: CPUExecutionProvider of onnxruntime: run-s2t BUNDLE AUDIO\n" in result.stdout
    )


def test_tables_on_a_terminal(has: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    has()
    cli_doctor.print_tables([("a [red]path[/red]", (("name", "[bold]text[/bold]"),))])
    shown = capsys.readouterr().out
    assert "a [red]path[/red]" in shown
    assert "[bold]text[/bold]" in shown


def test_an_altered_bundle_is_one_line_on_standard_error(bundle: Path) -> None:
    (bundle / "vocabulary.bin").write_bytes(b"wordz")
    result = runner().invoke(main, [str(bundle)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(
        f"doctor-s2t: error: the bundle {bundle} is damaged: vocabulary.bin has sha256 "
    )
    assert result.stderr.endswith(": copy the bundle again or export again\n")


def test_a_missing_bundle_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "none"
    result = runner().invoke(main, [str(path)])
    assert result.exit_code == 1
    wanted = f"{path} does not exist: pass the directory of a bundle, as export-s2t wrote it"
    assert result.stderr == f"doctor-s2t: error: {wanted}\n"


def test_a_path_that_is_no_text_is_a_user_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from s2t_runtime.commands.doctor import main; main()", b"no\xffpath"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"doctor-s2t: error: no?path does not exist")


def test_an_unknown_option_is_a_usage_error() -> None:
    assert runner().invoke(main, ["--nope"]).exit_code == 2


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(machine, "describe_machine", broken)
    assert isinstance(runner().invoke(main, []).exception, ZeroDivisionError)


def test_help_imports_nothing_heavy() -> None:
    # sys.exit of click's help is caught so that the modules can be looked at afterwards.
    code = (
        "import sys\nfrom s2t_runtime.commands.doctor import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('rich.table', 's2t_runtime.machine') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")
