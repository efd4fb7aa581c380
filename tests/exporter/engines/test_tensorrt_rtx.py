"""TensorRT-RTX builds what the exporter writes, ahead of time and without a GPU."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.graphs.small_graphs import needs_tensorrt_rtx
from support.places import ROOT
from support.tiny.models import PAIRS, Once, Pair
from support.tiny.models import bundle as tiny_bundle

from exporter.engines.build import CompileResult, census_of_bundle, compile_bundle
from exporter.engines.options import AudioSpan, EngineOptions
from exporter.engines.process import ask
from exporter.engines.profiles import profile_table, profiles_of
from exporter.errors import EngineError
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.sessions.profiles.table import bounds_of

pytestmark = needs_tensorrt_rtx
GRAPHS = ["encoder", "decoder_with_past", "decoder_first_step"]
KERNELS = 20e6
"""Bytes at most that a plan of a tiny model holds besides its weights."""


def compile_all(root: Path, targets: tuple[str, ...] | None, precision: str = "fp32") -> CompileResult:
    options = EngineOptions(flavour="tensorrt-rtx", precision=precision, targets=targets, first_step=True)
    return compile_bundle(open_bundle(root), options)


def copied(source: Path, target: Path) -> Path:
    """The bundle again, to write engines into; hard links would not do, which ONNX readers refuse."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("engines")))


def check_engines(bundle: Bundle, result: CompileResult, targets: tuple[str, ...]) -> None:
    assert [engine.record.graph for engine in result.engines] == GRAPHS
    for engine in result.engines:
        record = EngineRecord.from_json((result.folder / f"{engine.record.graph}.json").read_text())
        plan = result.folder / f"{record.graph}.plan"
        declared = getattr(bundle.manifest.graphs[record.precision], record.graph)
        assert record == engine.record
        assert (record.targets, record.plan_size) == (targets, plan.stat().st_size)
        assert 1e6 < record.plan_size < KERNELS + _weights_size(bundle, record)
        for bound, told in ((record.inputs, declared.inputs), (record.outputs, declared.outputs)):
            assert [(one.name, one.dtype, one.axes) for one in bound] == [
                (one.name, one.dtype, one.shape) for one in told
            ]
        assert "NON_ZERO" not in record.census
    assert result.engines[1].record.census["TOPK"] == {"FLOAT": 1}
    assert (
        result.engines[1].record.profiles[0].values["candidates"].max
        == bundle.manifest.decoder.max_candidates
    )


def _weights_size(bundle: Bundle, record: EngineRecord) -> int:
    (name,) = record.weights_sha256
    return bundle.manifest.files[f"{record.precision}/{name}"].size


def types_of(result: CompileResult, kind: str) -> list[set[str]]:
    """The output types of a layer type in each engine."""
    return [set(engine.record.census[kind]) for engine in result.engines]


@pytest.mark.parametrize("targets", [("sm86", "sm89", "sm120"), ()], ids=["three", "portable"])
def test_digits(digits_bundle: Path, tmp_path: Path, targets: tuple[str, ...]) -> None:
    root = copied(digits_bundle, tmp_path / "bundle")
    result = compile_all(root, targets)
    check_engines(open_bundle(root), result, targets)
    assert types_of(result, "MATRIX_MULTIPLY") == [{"FLOAT"}] * 3


@pytest.mark.parametrize("targets", [("sm86", "sm89", "sm120"), ()], ids=["three", "portable"])
def test_digits_in_half(digits_fp16_bundle: Path, tmp_path: Path, targets: tuple[str, ...]) -> None:
    root = copied(digits_fp16_bundle, tmp_path / "bundle")
    result = compile_all(root, targets, "fp16")
    check_engines(open_bundle(root), result, targets)
    assert types_of(result, "MATRIX_MULTIPLY") == [{"HALF"}] * 3
    assert types_of(result, "NORMALIZATION") == types_of(result, "SOFTMAX") == [{"FLOAT"}] * 3
    assert set(result.engines[0].record.census["CONVOLUTION"]) == {"HALF"}


def test_half_that_is_none_is_refused(digits_fp16_bundle: Path) -> None:
    """The fp32 encoder in the place of the fp16 one."""
    bundle = open_bundle(digits_fp16_bundle)
    graphs = bundle.manifest.graphs
    planted = dataclasses.replace(graphs["fp16"], encoder=graphs["fp32"].encoder)
    manifest = dataclasses.replace(bundle.manifest, graphs={**graphs, "fp16": planted})
    with pytest.raises(
        EngineError,
        match=r"^encoder was asked for in fp16, but \d+ matrix products compute in float32 outside the blocks that the "
        r"manifest records \(features, norms, scores, softmax\): encoder\..+/node_",
    ):
        census_of_bundle(Bundle(bundle.root, manifest), EngineOptions(flavour="tensorrt-rtx"))


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(("sm86", "sm89", "sm120"), marks=pytest.mark.broad, id="three"),
        pytest.param((), id="portable"),
    ],
)
@pytest.mark.parametrize("pair", PAIRS[:3], ids=lambda pair: pair.name)
def test_other_families(once: Once, tmp_path: Path, pair: Pair, targets: tuple[str, ...]) -> None:
    root = copied(tiny_bundle(once, pair), tmp_path / "bundle")
    check_engines(open_bundle(root), compile_all(root, targets), targets)


def test_two_profiles_in_one_plan(digits_bundle: Path, tmp_path: Path) -> None:
    root = copied(digits_bundle, tmp_path / "bundle")
    spans = (AudioSpan("short", 1, 5), AudioSpan("long", 5, 30))
    options = EngineOptions(flavour="tensorrt-rtx", precision="fp32", spans=spans)
    for engine in compile_bundle(open_bundle(root), options).engines:
        assert [profile.name for profile in engine.record.profiles] == ["short", "long"]


def test_the_tied_embedding_is_stored_once(digits_bundle: Path, tmp_path: Path) -> None:
    """Against the same graph with an output projection of its own, whose plan is larger by just that."""
    bundle = open_bundle(copied(digits_bundle, tmp_path / "bundle"))
    info = bundle.manifest.graphs["fp32"].decoder_with_past
    model = ir.load(bundle.path_of(info.path))
    tied = _plan_size(bundle, bundle.path_of(info.path), tmp_path / "tied.plan")
    (embedding, transpose) = next(
        (value, use.node)
        for value in model.graph.initializers.values()
        for use in value.uses()
        if use.node.op_type == "Transpose" and len(value.uses()) > 1
    )
    assert embedding.const_value is not None
    own = ir.tensor(np.ascontiguousarray(embedding.const_value.numpy().T) * np.float32(0.5), name="own")
    value = ir.Value(name="own", const_value=own, shape=own.shape, type=ir.TensorType(own.dtype))
    model.graph.register_initializer(value)
    transpose.outputs[0].replace_all_uses_with(value)
    model.graph.remove(transpose, safe=True)
    source = bundle.root / "fp32" / "untied.onnx"  # beside the weights that it points into
    ir.save(model, source)
    untied = _plan_size(bundle, source, tmp_path / "untied.plan")
    assert untied - tied == pytest.approx(own.nbytes, rel=0.1)


def _plan_size(bundle: Bundle, source: Path, plan: Path) -> int:
    info = bundle.manifest.graphs["fp32"].decoder_with_past
    (profile,) = profiles_of(
        info, profile_table(bundle.manifest, EngineOptions(), lambda samples: samples // 320)
    )
    bounds = {tensor.name: bounds_of(tensor.name, tensor.shape, profile) for tensor in info.inputs}
    request = {
        "graph": "decoder_with_past",
        "precision": "fp32",
        "fp32_blocks": {},
        "source": str(source),
        "source_path": info.path,
        "plan_path": str(plan),
        "targets": ["sm86"],
        "profiles": [bounds],
    }
    size: int = ask("tensorrt-rtx", "build", request, what="build it")["plan_size"]
    return size


# A build that is killed.


@pytest.fixture
def building(digits_bundle: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """compile-s2t as a process of its own, and the bundle that it works on."""
    root = copied(digits_bundle, tmp_path / "bundle")
    code = "from exporter.commands.compile import main; main(prog_name='compile-s2t')"
    arguments = [str(root), "--precision", "fp32", "--flavour", "tensorrt-rtx", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process, root
    process.kill()  # which does nothing to one that was waited for
    process.wait()


def child_that_builds(parent: int, root: Path) -> int:
    """The process id of the parent's child, once there is a folder that it writes to."""
    while True:
        if list(root.glob("engines/.unfinished-*")) and (children := children_of(parent)):
            return children[0]
        time.sleep(0.005)


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent ...; a name may hold blanks
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(path.parent.name))
    return found


def finished(root: Path) -> list[str]:
    return [path.name for path in (root / "engines").iterdir() if not path.name.startswith(".")]


def test_a_killed_child_leaves_no_engines(building: tuple[subprocess.Popen[str], Path]) -> None:
    process, root = building
    os.kill(child_that_builds(process.pid, root), signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr == (
        "compile-s2t: error: the process to build encoder was killed, most likely because memory ran out: close other "
        "programs, or lower --max-batch and --max-audio-seconds\n"
    )
    assert sorted(path.name for path in (root / "engines").iterdir()) == [".lock"]


def is_alive(process: int) -> bool:
    try:
        # A zombie has ended; in some containers nobody waits for orphans.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_command_leaves_no_engines_and_no_child(
    building: tuple[subprocess.Popen[str], Path],
) -> None:
    process, root = building
    child = child_that_builds(process.pid, root)
    while "libtensorrt_rtx" not in Path(f"/proc/{child}/maps").read_text():
        time.sleep(0.005)
    os.kill(child, signal.SIGSTOP)  # so that it cannot end by having built
    process.kill()
    process.communicate()
    assert finished(root) == []
    try:
        for _ in range(3000):
            if not is_alive(child):
                break
            time.sleep(0.01)
        assert not is_alive(child)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    compile_bundle(open_bundle(root), EngineOptions(flavour="tensorrt-rtx", precision="fp32"))
    assert [name.startswith("tensorrt-rtx-") for name in finished(root)] == [True]
    assert not list(root.glob("engines/.unfinished-*"))
