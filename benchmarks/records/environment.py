"""Where figures come from: machine, driver, versions, commit and bundle, as far as each can be found out."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.machine import describe_machine, installed_versions
from s2t_runtime.sessions.onnxruntime.spinning import spinning
from s2t_runtime.sessions.tensorrt.libraries import tensorrt_versions

PACKAGES: Final = (
    "export-s2t",
    "torch",
    "transformers",
    "onnxruntime",
    "onnxruntime-gpu",
    "ctranslate2",
    "cuda-python",
    "numpy",
    "polygraphy",
)
_OWN_FILE: Final = Path(__file__).resolve()
_ROOT: Final = _OWN_FILE.parents[2]
_GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_GPU_STATE: Final = (
    "pstate",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "power.limit",
    "ecc.mode.current",
    "mig.mode.current",
)
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
_TIMEOUT_S: Final = 20


def describe_environment(
    bundle: Bundle, *, threads: int | None = None, spin: bool | None = None, gpu: str | None = None
) -> dict[str, Any]:
    """All of it, as JSON values; what cannot be found out is None.

    Args:
        bundle: what is measured.
        threads: that every peer was asked to use; None left it to each.
        spin: whether the bundle's threads were asked to spin between operators; None left it to the runtime.
        gpu: PCI bus id of the one that is measured.
    """
    flavours, missing = tensorrt_versions()
    return {
        "date": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            **asdict(describe_machine()),
            "frequency_governor": frequency_governor(),
            "gpu_state": None if gpu is None else gpu_state(gpu),
        },
        "versions": {"python": platform.python_version(), **installed_versions(PACKAGES)},
        "tensorrt": {**flavours, **missing},
        "threads": {"asked": threads, **{name: os.environ.get(name) for name in _THREAD_VARIABLES}},
        "spin": spinning(installed_versions(("onnxruntime",))["onnxruntime"] or "", asked=spin),
        "commit": commit(),
        "bundle": describe_bundle(bundle),
    }


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Which bundle it was: the hash is that of manifest.json, which holds the hash of every other file."""
    manifest = bundle.manifest
    return {
        "model": manifest.model.id,
        "revision": manifest.model.revision,
        "parameters": manifest.model.parameters,
        "vocabulary": manifest.decoder.vocab_size,
        "written_tokens": manifest.decoder.written_tokens,
        "precisions": list(manifest.graphs),
        "sha256": hashlib.sha256((bundle.root / "manifest.json").read_bytes()).hexdigest(),
    }


def frequency_governor(path: Path = _GOVERNOR) -> str | None:
    """How the processor chooses its clock; None where the system does not say, as in most containers."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None


def gpu_state(gpu: str) -> Mapping[str, str] | None:
    """Clocks, power limit and modes of a GPU, by its PCI bus id, as nvidia-smi writes them."""
    query = ("nvidia-smi", "-i", gpu, f"--query-gpu={','.join(_GPU_STATE)}", "--format=csv,noheader")
    said = _said(*query)
    values = [] if said is None else [value.strip() for value in said.split(",")]
    return dict(zip(_GPU_STATE, values, strict=True)) if len(values) == len(_GPU_STATE) else None


def commit() -> str | None:
    """The commit of this source, "-dirty" behind it where files differ; None where no git checkout has it."""
    # Installed into an environment within another project's checkout, git would tell that project's commit.
    if _said("git", "-C", str(_ROOT), "ls-files", "--error-unmatch", "--", str(_OWN_FILE)) is None:
        return None
    return _said("git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None
