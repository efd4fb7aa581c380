"""From a bundle's engines to tokens through stand-ins of TensorRT and CUDA, and every refusal on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.digits.audio import usual_batches
from support.doubles.tensorrt import REAL, FakeCuda, FakeTensorRt
from support.engines.sets import Limits, engine_set

import s2t_runtime
from s2t_runtime import BundleError, OptionError, SessionError, SpeechToText
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.tensorrt import cuda_calls
from s2t_runtime.sessions.tensorrt import libraries as session_tensorrt
from s2t_runtime.sessions.tensorrt.libraries import cuda_python_problem, open_engines, tensorrt_versions

RATE = 16_000
PROFILES = (Limits("short", (400, 26_000), (1, 90)), Limits("long", (26_001, 480_000), (1, 1500)))
OTHERWISE = "engines cannot run here; the same bundle runs with --provider cpu"


@dataclasses.dataclass
class Host:
    """A bundle with engines, and the machine that they run on."""

    bundle: Path
    folder: Path
    trt: FakeTensorRt
    cuda: FakeCuda


@pytest.fixture
def host(digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    """Make a machine with an Ada GPU, and engines in a copy of the digits bundle."""

    def make(flavour: str = "tensorrt-rtx", **changes: Any) -> Host:
        root = Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))
        opened = open_bundle(root)
        engines = engine_set(
            opened, *PROFILES, first_step=True, folder="engines", flavour=flavour, targets=("sm89",)
        )
        engines.folder.mkdir(parents=True)
        graphs = {}
        for graph, record in engines.records.items():
            plan = graph.encode()
            kept = dataclasses.replace(
                record, plan_size=len(plan), plan_sha256=hashlib.sha256(plan).hexdigest(), **changes
            )
            engines.plan_path(graph).write_bytes(plan)
            (engines.folder / f"{graph}.json").write_text(kept.to_json(), encoding="utf-8")
            graphs[graph] = (kept, opened.graph_path("fp32", graph))
        cuda = FakeCuda()
        trt = FakeTensorRt(cuda, graphs)
        monkeypatch.setattr(session_tensorrt, "cuda_driver_problem", lambda: None)
        monkeypatch.setattr(session_tensorrt, "_cuda_calls", lambda: cuda_calls.CudaCalls(cuda))
        monkeypatch.setattr(session_tensorrt, "tensorrt_modules", lambda: ({flavour: trt}, {}))
        monkeypatch.setenv("S2T_CACHE", str(tmp_path / "cache"))
        return Host(root, engines.folder, trt, cuda)

    return make


@pytest.fixture(scope="module")
def batches() -> list[list[Any]]:
    found = [waveform for batch in usual_batches() for waveform in batch.waveforms]
    return [found[:4], [found[0][:8000], found[1][:8000]], [found[0][:8000], found[1][:8000]]]


def decoded(model: SpeechToText, batches: list[list[Any]]) -> list[Any]:
    results = [model.generate(batch, sampling_rate=RATE, num_beams=4) for batch in batches]
    return [[(h.tokens, h.score) for h in one.hypotheses] for batch in results for one in batch]


@pytest.mark.parametrize("flavour", ["tensorrt-rtx", "tensorrt"])
@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_engines_decode_as_onnx_runtime_does(
    host: Callable[..., Host],
    model: SpeechToText,
    batches: list[list[Any]],
    flavour: str,
    cuda_graphs: bool,
) -> None:
    machine = host(flavour)
    with s2t_runtime.load(machine.bundle, provider="tensorrt", cuda_graphs=cuda_graphs) as engines:
        assert decoded(engines, batches) == decoded(model, batches)
        assert machine.cuda.memory
    assert machine.cuda.memory == {}  # all is freed
    assert machine.cuda.streams == set()
    rtx = flavour == "tensorrt-rtx"
    assert len(machine.trt.contexts) == 3 * len(PROFILES)
    assert {one.cuda_graph_strategy for one in machine.trt.configurations} == (
        {"whole" if cuda_graphs else "disabled"} if rtx else set()
    )
    assert {one.allocation for one in machine.trt.configurations} == ({"user"} if rtx else set())
    # The third batch repeats the second, whose second utterance repeats the shapes of the first one.
    assert (machine.cuda.launches > 0) == (cuda_graphs and not rtx)


def test_what_tensorrt_rtx_compiled_is_kept_for_the_next_process(
    host: Callable[..., Host], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = host()
    s2t_runtime.load(machine.bundle, provider="tensorrt").close()
    files = sorted((tmp_path / "cache" / "tensorrt-rtx").iterdir())
    assert [file.name.split("-")[:2] for file in files] == [["1.7.1.116", "sm89"]] * 3
    assert {file.read_bytes() for file in files} == {b"compiled kernels"}

    s2t_runtime.load(machine.bundle, provider="tensorrt").close()
    assert [one.cache.read for one in machine.trt.configurations[3:]] == [b"compiled kernels"] * 3
    files[0].write_bytes(b"stale")
    with caplog.at_level("INFO", logger="s2t_runtime.tensorrt"):
        s2t_runtime.load(machine.bundle, provider="tensorrt").close()
    assert f"TensorRT-RTX rejected its runtime cache {files[0].name}" in caplog.text
    assert files[0].read_bytes() == b"compiled kernels"


def test_a_cache_that_cannot_be_written_only_costs_time(
    host: Callable[..., Host], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = host()
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    s2t_runtime.load(machine.bundle, provider="tensorrt").close()
    assert "cannot be written" in caplog.text
    assert machine.cuda.memory == {}


def refused(bundle: Path, message: str) -> None:
    with pytest.raises(SessionError, match=f"^{message}$"):
        s2t_runtime.load(bundle, provider="tensorrt")


@pytest.mark.parametrize(
    "problem", ["no NVIDIA driver found", "the NVIDIA driver shows no GPU to this process"]
)
def test_no_driver_is_said_before_anything_else(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    monkeypatch.setattr(session_tensorrt, "cuda_driver_problem", lambda: problem)
    monkeypatch.setattr(session_tensorrt, "tensorrt_modules", lambda: pytest.fail("TensorRT was looked for"))
    refused(digits_bundle, f"{problem}: {OTHERWISE}")


def test_no_cuda_python(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_tensorrt, "cuda_driver_problem", lambda: None)
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    refused(digits_bundle, r"NVIDIA's bindings of CUDA cannot be imported \(.*\): pip install cuda-python")
    assert str(cuda_python_problem()).endswith(": pip install cuda-python")


def test_cuda_python_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = FakeCuda()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    assert cuda_python_problem() is None


def test_no_tensorrt(host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, digits_bundle: Path) -> None:
    machine = host()
    missing = {"tensorrt": "is not installed", "tensorrt-rtx": "cannot be imported (libcudart)"}
    monkeypatch.setattr(session_tensorrt, "tensorrt_modules", lambda: ({}, missing))
    reasons = r"tensorrt is not installed; tensorrt-rtx cannot be imported \(libcudart\)"
    refused(machine.bundle, rf"no TensorRT can be used \({reasons}\): {OTHERWISE}")


def test_flavours_are_found_or_said_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "tensorrt":
                raise ImportError("libnvinfer.so.11: cannot open\n shared object file")

    monkeypatch.setitem(sys.modules, "tensorrt_rtx", SimpleNamespace(Runtime=1, __version__="1.7"))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert tensorrt_versions() == (
        {"tensorrt-rtx": "1.7"},
        {"tensorrt": "cannot be imported (libnvinfer.so.11: cannot open shared object file)"},
    )
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "tensorrt_rtx")
    _, missing = tensorrt_versions()
    assert missing == {
        flavour: f'is not installed (pip install "export-s2t[{flavour}]")'
        for flavour in ("tensorrt", "tensorrt-rtx")
    }


def test_the_json_is_asked_before_tensorrt(host: Callable[..., Host]) -> None:
    machine = host(version="1.6.0.1")
    machine.trt.validity = (machine.trt.EngineValidity["INVALID"], 1)
    with pytest.raises(
        SessionError, match=r"^no engines in .* \(engines: they were built by tensorrt-rtx 1\.6\.0\.1, "
    ):
        s2t_runtime.load(machine.bundle, provider="tensorrt")


def test_tensorrt_holds_a_plan_for_invalid(host: Callable[..., Host]) -> None:
    machine = host()
    machine.trt.validity = (machine.trt.EngineValidity["INVALID"], 2)
    plan = re.escape(str(machine.folder / "encoder.plan"))
    refused(
        machine.bundle,
        rf"{plan} is not valid on NVIDIA L4 \(UNSUPPORTED_CC\): compile engines for it with compile-s2t BUNDLE "
        "--force, or use provider 'cpu'",
    )
    assert machine.cuda.memory == {}
    assert machine.cuda.streams == set()


def test_a_plan_that_was_not_made_for_this_gpu_is_logged(
    host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    machine = host()
    machine.trt.validity = (machine.trt.EngineValidity["SUBOPTIMAL"], 0)
    s2t_runtime.load(machine.bundle, provider="tensorrt").close()
    assert "runs on NVIDIA L4, but was not made for it: engines compiled here are faster" in caplog.text


def test_a_plan_that_does_not_load(host: Callable[..., Host]) -> None:
    machine = host()
    del machine.trt.graphs["decoder_with_past"]
    plan = re.escape(str(machine.folder / "decoder_with_past.plan"))
    refused(
        machine.bundle,
        rf"{plan} cannot be loaded by tensorrt-rtx 1\.7\.1\.116 on NVIDIA L4 \(the plan holds nothing\): compile it "
        "here again with compile-s2t BUNDLE --force, or use provider 'cpu'",
    )
    assert machine.cuda.streams == set()


def test_a_plan_that_is_not_what_its_json_says(host: Callable[..., Host]) -> None:
    machine = host()
    record, path = machine.trt.graphs["encoder"]
    machine.trt.graphs["encoder"] = (dataclasses.replace(record, profiles=record.profiles[:1]), path)
    plan = re.escape(str(machine.folder / "encoder.plan"))
    refused(machine.bundle, f"{plan} has other 1 profiles than its json says: compile-s2t BUNDLE --force")
    machine.trt.graphs["encoder"] = machine.trt.graphs["decoder_with_past"]
    refused(machine.bundle, f"{plan} has other tensors audio, audio_lengths, .* than its json says: .*")


def test_too_little_memory(host: Callable[..., Host]) -> None:
    machine = host()
    machine.cuda.room = 2**20
    refused(
        machine.bundle,
        r"CUDA's cudaMalloc failed with cudaErrorMemoryAllocation \(out of memory\): compile engines for shorter "
        "audio, fewer utterances or fewer beams, or free memory of the GPU",
    )
    assert machine.cuda.memory == {}
    assert machine.cuda.streams == set()


def test_a_run_that_fails(
    host: Callable[..., Host], batches: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host()
    with s2t_runtime.load(machine.bundle, provider="tensorrt") as engines:
        monkeypatch.setattr(REAL["IExecutionContext"], "execute_async_v3", lambda *_: False)
        with pytest.raises(
            SessionError, match=r"^TensorRT's encoder \(profile long\) failed: it gave no reason$"
        ):
            engines.generate(batches[0], sampling_rate=RATE)


def test_an_output_that_does_not_fit(host: Callable[..., Host]) -> None:
    machine = host()
    opened = open_bundle(machine.bundle)
    session = open_engines(opened, None, verify="fast")
    places = session._buffers.encoded
    executor: Any = session._executor
    address = places["encoder_mask"].address
    executor._memory[address] = 10
    with pytest.raises(
        SessionError,
        match=r"^TensorRT's encoder .* would write \(1, \d+\) to encoder_mask, which has 10 bytes: ",
    ):
        session.encode(np.zeros((1, 16_000), dtype=np.float32), np.array([16_000]))


def test_engines_that_are_replaced_while_they_are_loaded(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host()
    real = session_tensorrt.EngineSession

    def built_again(*args: Any, **options: Any) -> Any:
        for path in machine.folder.glob("*.json"):  # compile-s2t --force, with another profile's name
            path.write_text(path.read_text(encoding="utf-8").replace('"short"', '"brief"'), encoding="utf-8")
        return real(*args, **options)

    monkeypatch.setattr(session_tensorrt, "EngineSession", built_again)
    message = (
        f"{machine.folder} was replaced while it was loaded: load it again when nothing is written there"
    )
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        s2t_runtime.load(machine.bundle, provider="tensorrt")
    assert machine.cuda.memory == {}  # all is freed
    s2t_runtime.load(machine.bundle, provider="tensorrt").close()  # the same folder, whole


def test_a_bundle_that_is_replaced_while_its_engines_are_loaded(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host()
    real, loads = session_tensorrt.EngineSession, []

    def touched(*args: Any, **options: Any) -> Any:
        loads.append(0)
        if len(loads) == 1:
            manifest = machine.bundle / "manifest.json"
            text = manifest.read_text(encoding="utf-8")
            manifest.unlink()
            manifest.write_text(text, encoding="utf-8")
        return real(*args, **options)

    monkeypatch.setattr(session_tensorrt, "EngineSession", touched)
    with s2t_runtime.load(machine.bundle, provider="tensorrt"):
        assert len(loads) == 2
    assert machine.cuda.memory == {}  # of the first loading too


def test_options_of_other_providers(digits_bundle: Path) -> None:
    with pytest.raises(OptionError, match=r"^threads is 2, but engines run on the GPU: leave threads unset$"):
        s2t_runtime.load(digits_bundle, provider="tensorrt", threads=2)
    with pytest.raises(OptionError, match=r"^spin is False, but engines run on the GPU: leave spin unset$"):
        s2t_runtime.load(digits_bundle, provider="tensorrt", spin=False)
    message = "cuda_graphs needs provider 'tensorrt', got 'cpu': leave cuda_graphs out"
    with pytest.raises(OptionError, match=f"^{message}$"):
        s2t_runtime.load(digits_bundle, cuda_graphs=True)


def test_the_stand_ins_have_only_what_the_bindings_have() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")
    for name, stand_in in REAL.items():
        used = {member for member, _ in inspect.getmembers(stand_in) if not member.startswith("_")} - {"trt"}
        assert used <= set(dir(getattr(real, name))), name
    for name in ("EngineValidity", "EngineInvalidityDiagnostics", "CudaGraphStrategy", "TensorLocation"):
        wanted = getattr(FakeTensorRt, name)
        members = set(vars(wanted)) if isinstance(wanted, SimpleNamespace) else set(wanted.__members__)
        assert members <= set(getattr(real, name).__members__), name
    assert "USER_MANAGED" in real.ExecutionContextAllocationStrategy.__members__


def test_the_stand_in_of_cuda_has_only_what_the_bindings_have() -> None:
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    used = {member for member in dir(FakeCuda) if member.startswith("cuda")}
    assert used <= set(dir(real))


def test_this_machine_says_why_it_has_no_engines(digits_bundle: Path) -> None:
    """Where there is a driver the digits bundle still has no engines."""
    with pytest.raises(
        SessionError, match=r"runs with --provider cpu$|use provider 'cpu'$|pip install cuda-python$"
    ):
        s2t_runtime.load(digits_bundle, provider="tensorrt")
