"""What a machine can do with a bundle, why not, and the command for it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from s2t_runtime.sessions.engines.targets import RTX_TARGETS, rtx_supports, target_of

if TYPE_CHECKING:
    from s2t_runtime.machine import Machine

EXPORT_PACKAGES: Final = (
    "huggingface_hub",
    "msgpack",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "optimum",
    "safetensors",
    "sentencepiece",
    "torch",
    "transformers",
)
"""The export extra of pyproject.toml."""
OTHER_PACKAGES: Final = (
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "polygraphy",
    "cuda-python",
)
"""What the other abilities rest on, beside the modules of TensorRT themselves."""
FLAVOURS: Final = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
_EXPORT_LINE: Final = 'pip install "export-s2t[export]"'


@dataclass(frozen=True)
class Ability:
    """Something that this machine can do or not, why, and the command that does it."""

    name: str
    available: bool
    reason: str
    command: str = ""


@dataclass(frozen=True)
class Found:
    """What abilities follow from.

    Attributes:
        machine: its GPU and driver.
        packages: distribution -> version, None where it is not installed.
        providers: of onnxruntime.
        onnxruntime_problem: why it cannot be imported or used; empty where it can.
        flavours: flavour -> version of the TensorRT that can be imported.
        missing: flavour -> why it cannot be.
        cuda_python_problem: why NVIDIA's bindings of CUDA cannot be imported; None where they can.
    """

    machine: Machine
    packages: Mapping[str, str | None]
    providers: Sequence[str]
    onnxruntime_problem: str
    flavours: Mapping[str, str]
    missing: Mapping[str, str]
    cuda_python_problem: str | None


def abilities(found: Found, bundle: str | None) -> tuple[Ability, ...]:
    """All abilities; ``bundle`` is the path that the commands name."""
    name = "BUNDLE" if bundle is None else shlex.quote(bundle)
    run = f"run-s2t {name} AUDIO"
    return (
        _export(found),
        _ability("run on the CPU", _cpu_problems(found), "CPUExecutionProvider of onnxruntime", run),
        _ability("run with CUDA", _cuda_problems(found), _gpu(found), f"{run} --provider cuda"),
        *(_compile(found, flavour, name) for flavour in FLAVOURS),
        _engines(found, f"{run} --provider tensorrt"),
        _ability(
            "run with onnxruntime's TensorRT",
            [
                *_gpu_problems(found),
                *_provider_problem(found, "TensorrtExecutionProvider", "onnxruntime-gpu"),
            ],
            _gpu(found),
            f"{run} --provider tensorrt-ep",
        ),
        _ability(
            "run with onnxruntime's TensorRT-RTX",
            [*_gpu_problems(found), *_plugin_problem(found)],
            _gpu(found),
            f"{run} --provider nv-tensorrt-rtx",
        ),
    )


def _ability(name: str, problems: Sequence[str], reason: str, command: str) -> Ability:
    if problems:
        return Ability(name, available=False, reason="; ".join(problems))
    return Ability(name, available=True, reason=reason, command=command)


def _export(found: Found) -> Ability:
    missing = [name for name in EXPORT_PACKAGES if found.packages[name] is None]
    problems = [f"{', '.join(missing)} not installed: {_EXPORT_LINE}"] if missing else []
    command = "export-s2t CHECKPOINT -o BUNDLE"
    return _ability("export", problems, f"torch {found.packages['torch']}, on the CPU", command)


def _cpu_problems(found: Found) -> list[str]:
    if found.onnxruntime_problem:
        return [found.onnxruntime_problem]
    return (
        [] if "CPUExecutionProvider" in found.providers else ["this onnxruntime has no CPUExecutionProvider"]
    )


def _cuda_problems(found: Found) -> list[str]:
    return [*_gpu_problems(found), *_provider_problem(found, "CUDAExecutionProvider", "onnxruntime-gpu")]


def _gpu_problems(found: Found) -> list[str]:
    machine = found.machine
    if not machine.gpus:
        return [machine.gpu_problem or "no NVIDIA GPU"]
    return [machine.cuda_problem] if machine.cuda_problem else []


def _provider_problem(found: Found, provider: str, package: str) -> list[str]:
    if provider in found.providers:
        return [found.onnxruntime_problem] if found.onnxruntime_problem else []
    return [f"this onnxruntime has no {provider}: pip uninstall onnxruntime, then pip install {package}"]


def _plugin_problem(found: Found) -> list[str]:
    package = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
    return [] if found.packages[package] else [f"{package} is not installed: pip install {package}"]


def _compile(found: Found, flavour: str, bundle: str) -> Ability:
    """Full TensorRT builds for the GPU that is there; TensorRT-RTX needs none to build."""
    problems = [f"{flavour} {found.missing[flavour]}"] if flavour in found.missing else []
    if found.packages["polygraphy"] is None:
        problems.append(f'polygraphy is not installed (pip install "export-s2t[{flavour}]")')
    if flavour == "tensorrt":
        problems += _gpu_problems(found)
    command = f"compile-s2t {bundle} --flavour {flavour}"
    if flavour == "tensorrt-rtx" and found.machine.gpus:
        target = target_of(found.machine.gpus[0].compute_capability)
        if target in RTX_TARGETS:
            command += f" --targets {target}"
    version = found.flavours.get(flavour, "")
    return _ability(f"compile with {FLAVOURS[flavour]}", problems, f"{flavour} {version}", command)


def _engines(found: Found, command: str) -> Ability:
    problems = _gpu_problems(found)
    if found.cuda_python_problem is not None:
        problems.append(found.cuda_python_problem)
    if not found.flavours:
        problems += [f"{flavour} {reason}" for flavour, reason in found.missing.items()]
    elif found.machine.gpus and "tensorrt" not in found.flavours:
        target = target_of(found.machine.gpus[0].compute_capability)
        if not rtx_supports(target):
            lacking = found.missing["tensorrt"]
            problems.append(f"TensorRT-RTX does not support {_gpu(found)} ({target}); tensorrt {lacking}")
    versions = ", ".join(f"{flavour} {version}" for flavour, version in found.flavours.items())
    return _ability("run TensorRT engines", problems, f"{versions} on {_gpu(found)}", command)


def _gpu(found: Found) -> str:
    return found.machine.gpus[0].name if found.machine.gpus else ""
