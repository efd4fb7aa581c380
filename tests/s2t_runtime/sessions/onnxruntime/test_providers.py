"""ONNX Runtime's other providers: what they are told, and every way in which they fail to start."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import s2t_runtime
from s2t_runtime import AudioError, OptionError, SessionError, SpeechToText
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader
from s2t_runtime.sessions.onnxruntime.providers import EXECUTION_PROVIDERS, provider_options, version_problem
from s2t_runtime.sessions.open import PROVIDERS
from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST

TENSORRT = "TensorrtExecutionProvider"
needs_plugins = pytest.mark.skipif(
    not hasattr(ort, "register_execution_provider_library"),
    reason=f"needs onnxruntime 1.23 or newer, this is {ort.__version__}",
)
PLUGIN = "NvTensorRTRTXExecutionProvider"
LOOK = "doctor-s2t says what this machine has; use provider 'cpu'"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2T_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refused(bundle: Path, provider: str, message: str) -> None:
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        s2t_runtime.load(bundle, provider=provider)


def test_every_name_is_one_of_a_session() -> None:
    assert set(PROVIDERS) == {*EXECUTION_PROVIDERS, "tensorrt"}


def test_float32_products_on_cuda_are_float32(digits_bundle: Path) -> None:
    opened = open_bundle(digits_bundle)
    told = provider_options(EXECUTION_PROVIDERS["cuda"], opened, "fp32", ENCODER, None)
    assert told == {"use_tf32": "0"}
    assert provider_options(EXECUTION_PROVIDERS["cpu"], opened, "fp32", ENCODER, None) == {}


def test_cuda_libraries_of_pip_are_loaded_first_and_in_silence(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []

    def preload_dlls() -> None:
        loaded.append("cuda")
        print("Failed to load libcudnn.so.9")  # noqa: T201 - as onnxruntime does

    monkeypatch.setattr(ort, "preload_dlls", preload_dlls, raising=False)
    monkeypatch.setattr(
        ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    opened = open_bundle(digits_bundle)
    GraphLoader(ort, "cpu", opened, "fp32", 1)
    assert loaded == []
    GraphLoader(ort, "cuda", opened, "fp32", 1)
    assert loaded == ["cuda"]
    assert capsys.readouterr().out == ""


def test_tensorrt_is_told_profiles_of_the_table(
    digits_bundle: Path, model: SpeechToText, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT])
    opened = open_bundle(digits_bundle)
    loader = GraphLoader(ort, "tensorrt-ep", opened, "fp32", 1)
    limits = loader.limits
    assert limits is not None
    provider = EXECUTION_PROVIDERS["tensorrt-ep"]
    told = provider_options(provider, opened, "fp32", ENCODER, limits.profiles[ENCODER][0])
    assert told["trt_profile_min_shapes"] == "audio:1x400,audio_lengths:1"
    assert told["trt_profile_opt_shapes"] == "audio:1x160000,audio_lengths:1"
    assert told["trt_profile_max_shapes"] == "audio:4x480000,audio_lengths:4"
    assert Path(told["trt_engine_cache_path"]).parents[2] == cache
    assert Path(told["trt_engine_cache_path"]).is_dir()

    told = provider_options(provider, opened, "fp32", WITH_PAST, limits.profiles[WITH_PAST][0])
    inputs = [tensor.name for tensor in opened.manifest.graphs["fp32"].decoder_with_past.inputs]
    largest = dict(part.split(":") for part in told["trt_profile_max_shapes"].split(","))
    smallest = dict(part.split(":") for part in told["trt_profile_min_shapes"].split(","))
    assert list(largest) == list(smallest) == inputs
    assert (smallest["past_key.0"], largest["past_key.0"]) == ("1x4x0x40", "20x4x127x40")
    assert (smallest["candidates"], largest["candidates"]) == ("1", "400")  # values, not shapes
    session: Any = model._session
    longest = session.encode(np.zeros((1, 480_000), dtype=np.float32), np.array([480_000]))
    assert largest["encoder_mask"] == f"4x{longest.mask.shape()[1]}"


def test_caches_of_other_weights_lie_apart(digits_bundle: Path, cache: Path) -> None:
    import dataclasses

    opened = open_bundle(digits_bundle)
    files = {
        path: dataclasses.replace(file, sha256=file.sha256[::-1])
        for path, file in opened.manifest.files.items()
    }
    other = dataclasses.replace(opened, manifest=dataclasses.replace(opened.manifest, files=files))
    provider = EXECUTION_PROVIDERS["nv-tensorrt-rtx"]
    from s2t_runtime.bundles.engine_record import AxisRange, Profile

    one = AxisRange(1, 1, 1)
    profile = Profile("default", {"batch": one, "samples": one}, {})
    paths = {
        provider_options(provider, bundle, "fp32", ENCODER, profile)["nv_runtime_cache_path"]
        for bundle in (opened, other)
    }
    assert len(paths) == 2


def test_a_request_outside_the_profile_is_refused(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT])
    monkeypatch.setattr(GraphLoader, "load", lambda *_: ModuleType("a session"))
    with s2t_runtime.load(digits_bundle, provider="tensorrt-ep") as loaded:
        audio = np.zeros(16_000 * 40, dtype=np.float32)
        line = f"compile-s2t {digits_bundle} --precision fp32 --max-audio-seconds 40 "
        with pytest.raises(AudioError, match=rf"^samples .* is 640000, .* `{line}.*`"):
            loaded.generate(audio, sampling_rate=16_000)
        with pytest.raises(
            OptionError, match=r"^beams .* is 9, but the profiles of provider 'tensorrt-ep' take 1 \.\. 5"
        ):
            loaded.generate(audio[:16_000], sampling_rate=16_000, num_beams=9)


def test_tensorrt_that_the_build_lacks(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    refused(
        digits_bundle,
        "tensorrt-ep",
        f"provider 'tensorrt-ep' needs {TENSORRT}, but this onnxruntime offers CPUExecutionProvider; install "
        "onnxruntime-gpu in place of onnxruntime, and tensorrt, or use provider 'cpu'",
    )


@needs_plugins
def test_a_plugin_that_is_not_installed(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    refused(
        digits_bundle,
        "nv-tensorrt-rtx",
        f"provider 'nv-tensorrt-rtx' needs {PLUGIN}, and onnxruntime_ep_nv_tensorrt_rtx is not installed; install "
        "onnxruntime-ep-nv-tensorrt-rtx-cu13, or use provider 'cpu'",
    )


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("onnxruntime_ep_nv_tensorrt_rtx")
    module.get_library_path = lambda: "/nowhere/libep.so"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@needs_plugins
@pytest.mark.usefixtures("plugin")
def test_a_plugin_whose_library_does_not_load(digits_bundle: Path) -> None:
    with pytest.raises(SessionError) as caught:
        s2t_runtime.load(digits_bundle, provider="nv-tensorrt-rtx")
    assert str(caught.value).startswith("provider 'nv-tensorrt-rtx' cannot be loaded (")
    assert "/nowhere/libep.so" in str(caught.value)
    assert str(caught.value).endswith(f"); {LOOK}")


@needs_plugins
@pytest.mark.usefixtures("plugin")
def test_a_plugin_without_a_gpu(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[tuple[str, str]] = []
    monkeypatch.setattr(ort, "register_execution_provider_library", lambda *names: registered.append(names))
    refused(
        digits_bundle, "nv-tensorrt-rtx", f"provider 'nv-tensorrt-rtx' finds no GPU that it supports; {LOOK}"
    )
    assert registered == [(PLUGIN, "/nowhere/libep.so")]


class Recorded:
    """An InferenceSession that says which provider took what."""

    parts: tuple[Any, ...] = ()

    def __init__(self, *_: object, providers: object = None) -> None:
        self.providers = providers

    def get_providers(self) -> list[str]:
        return [PLUGIN, TENSORRT, "CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> tuple[Any, ...]:
        return self.parts

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="encoder_mask", shape=[1, 10])]


def part(name: str, *operators: str) -> Any:
    nodes = [SimpleNamespace(op_type=operator) for operator in operators]
    return SimpleNamespace(ep_name=name, get_nodes=lambda: nodes)


@pytest.mark.usefixtures("cache")
def test_matrix_products_elsewhere_are_no_silent_fallback(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT])
    monkeypatch.setattr(ort, "InferenceSession", Recorded)
    loader = GraphLoader(ort, "tensorrt-ep", open_bundle(digits_bundle), "fp32", None)
    # Shapes are computed on the CPU by right.
    monkeypatch.setattr(Recorded, "parts", (part(TENSORRT, "MatMul"), part("CPUExecutionProvider", "Shape")))
    session = loader.load(ENCODER)
    (name, told), behind = session.providers
    assert (name, behind) == (TENSORRT, ("CUDAExecutionProvider", {}))
    assert told["trt_engine_cache_enable"] == "True"

    lost = (
        part("CPUExecutionProvider", "MatMul"),
        part("CUDAExecutionProvider", "Gemm", "MatMul"),
        part("CPUExecutionProvider", "MatMul"),
    )
    monkeypatch.setattr(Recorded, "parts", lost)
    message = (
        f"{TENSORRT} does not take all of encoder.onnx: onnxruntime gave 2 to CPUExecutionProvider, 2 to "
        "CUDAExecutionProvider of its matrix products; use another provider"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        loader.load(ENCODER)


class Silent:
    """An InferenceSession of onnxruntime before 1.24, which does not say it."""

    def __init__(self, *_: object, providers: object = None) -> None:
        pass

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize("version", ["1.18.1", "1.9.0", "0.5"])
def test_an_onnxruntime_that_computes_wrong_tokens_is_refused(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(ort, "__version__", version)
    refused(
        digits_bundle,
        "cpu",
        f"onnxruntime {version} is installed, wanted 1.19 or newer: older ones cannot read the graphs or compute wrong "
        "tokens; pip install 'onnxruntime>=1.19' (or onnxruntime-gpu, where that is installed)",
    )


@pytest.mark.parametrize("version", ["1.19.0", "1.32.0", "2.0", "1.24.0.dev20251013001"])
def test_newer_ones_are_taken(version: str) -> None:
    assert version_problem(version) is None


def test_what_an_older_onnxruntime_leaves_open_is_said(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(Silent().get_providers()))
    monkeypatch.setattr(ort, "InferenceSession", Silent)
    monkeypatch.setattr(ort, "__version__", "1.22.1")
    opened = open_bundle(digits_bundle)
    GraphLoader(ort, "cpu", opened, "fp32", None).load(ENCODER)
    assert not recwarn.list  # the CPU's provider is alone: there is nothing to verify
    message = (
        "onnxruntime 1.22.1 does not tell which provider computes what, so it was not verified that "
        "CUDAExecutionProvider takes all matrix products of encoder.onnx; onnxruntime 1.24 and newer tell"
    )
    with pytest.warns(RuntimeWarning, match=f"^{re.escape(message)}$"):
        GraphLoader(ort, "cuda", opened, "fp32", None).load(ENCODER)


def test_a_plugin_needs_an_onnxruntime_that_registers_it(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ort, "register_execution_provider_library", raising=False)
    monkeypatch.setattr(ort, "__version__", "1.22.1")
    refused(
        digits_bundle,
        "nv-tensorrt-rtx",
        "provider 'nv-tensorrt-rtx' needs onnxruntime 1.23 or newer, this is 1.22.1: install a newer one, or use "
        "provider 'cpu'",
    )


@needs_plugins
@pytest.mark.usefixtures("plugin", "cache")
def test_a_plugin_is_added_by_device(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimpleNamespace(ep_name=PLUGIN)
    added: list[Any] = []
    options = SimpleNamespace(
        add_provider_for_devices=lambda devices, told: added.append((devices, told)),
        add_session_config_entry=lambda *_: None,
        add_free_dimension_override_by_name=lambda *_: None,
    )
    monkeypatch.setattr(ort, "get_ep_devices", lambda: [SimpleNamespace(ep_name="other"), device])
    monkeypatch.setattr(ort, "SessionOptions", lambda: options)
    monkeypatch.setattr(ort, "InferenceSession", Recorded)
    session = GraphLoader(ort, "nv-tensorrt-rtx", open_bundle(digits_bundle), "fp32", None).load(ENCODER)
    assert session.providers is None  # the options name the device
    ((devices, told),) = added
    assert devices == [device]
    assert told["nv_profile_max_shapes"] == "audio:4x480000,audio_lengths:4"
    assert sorted(told) == [
        "nv_profile_max_shapes", "nv_profile_min_shapes", "nv_profile_opt_shapes", "nv_runtime_cache_path"
    ]  # fmt: skip


def test_a_cache_directory_that_cannot_be_made(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    cache.write_text("a file", encoding="utf-8")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT])
    message = (
        rf"^no directory for {TENSORRT}'s cache can be made \(.*\): set S2T_CACHE to one that can be written$"
    )
    with pytest.raises(SessionError, match=message):
        s2t_runtime.load(digits_bundle, provider="tensorrt-ep")


@pytest.mark.skipif(
    not hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"),
    reason=f"needs onnxruntime 1.24 or newer, this is {ort.__version__}",
)
def test_the_cpu_is_what_really_computes(digits_bundle: Path) -> None:
    """The check reads what onnxruntime itself recorded, fused operators too."""
    session = GraphLoader(ort, "cpu", open_bundle(digits_bundle), "fp32", 1).load(WITH_PAST)
    recorded = session.get_provider_graph_assignment_info()
    operators = [node.op_type for one in recorded for node in one.get_nodes()]
    assert "MatMul" in operators
    assert {one.ep_name for one in recorded} == {"CPUExecutionProvider"}
