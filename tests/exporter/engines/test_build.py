"""Where engines are kept, when they are used again, and what is left of a build that fails."""

from __future__ import annotations

import dataclasses
import fcntl
import shutil
import threading
from pathlib import Path

import pytest
from support.doubles.engine_builder import FakeTensorRt

from exporter.engines import build as engine_build
from exporter.engines.build import CompileResult, census_of_bundle, compile_bundle
from exporter.engines.options import AudioSpan, EngineOptions
from exporter.errors import EngineError, OutputError
from exporter.pipeline.bundle_writer import write_manifest
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.bundles.verification import sha256_of
from s2t_runtime.errors import OptionError

OPTIONS = EngineOptions(flavour="tensorrt-rtx", precision="fp32")
BOTH = ["encoder", "decoder_with_past"]


@pytest.fixture
def bundle(digits_bundle: Path, tmp_path: Path) -> Bundle:
    """A copy to write engines into."""
    shutil.copytree(digits_bundle, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


@pytest.fixture
def fake(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(bundle.manifest)
    monkeypatch.setattr(engine_build, "ask", fake)
    monkeypatch.setattr(engine_build, "choose_flavour", lambda asked: asked or "tensorrt-rtx")
    return fake


def reused(result: CompileResult) -> dict[str, bool]:
    return {engine.record.graph: engine.reused for engine in result.engines}


def content(bundle: Bundle) -> dict[str, bytes]:
    engines = bundle.root / "engines"
    return {
        path.relative_to(engines).as_posix(): path.read_bytes()
        for path in engines.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def records(folder: Path) -> dict[str, EngineRecord]:
    return {path.stem: EngineRecord.from_json(path.read_text()) for path in folder.glob("*.json")}


def test_a_folder_says_what_it_holds(bundle: Bundle, fake: FakeTensorRt) -> None:
    result = compile_bundle(bundle, OPTIONS)
    name, _, digits = result.folder.name.rpartition("-")
    assert name == "tensorrt-rtx-1.7.1.116-fp32-sm86+sm89+sm120"
    assert len(digits) == 10
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "decoder_with_past.json",
        "decoder_with_past.plan",
        "encoder.json",
        "encoder.plan",
    ]
    assert reused(result) == dict.fromkeys(BOTH, False)
    assert records(result.folder) == {engine.record.graph: engine.record for engine in result.engines}


def test_a_record_says_what_its_engine_was_built_from(bundle: Bundle, fake: FakeTensorRt) -> None:
    found = records(compile_bundle(bundle, OPTIONS).folder)
    files, graphs = bundle.manifest.files, bundle.manifest.graphs["fp32"]
    for graph, weights in (("encoder", "encoder.onnx.data"), ("decoder_with_past", "decoder.onnx.data")):
        record = found[graph]
        assert record.source_path == f"fp32/{graph}.onnx"
        assert record.source_sha256 == files[record.source_path].sha256
        assert record.weights_sha256 == {weights: files[f"fp32/{weights}"].sha256}
        declared = getattr(graphs, graph)
        assert [(tensor.name, tensor.axes) for tensor in record.inputs] == [
            (tensor.name, tensor.shape) for tensor in declared.inputs
        ]


def test_what_matches_is_used_again(bundle: Bundle, fake: FakeTensorRt) -> None:
    compile_bundle(bundle, OPTIONS)
    before = content(bundle)
    fake.built()
    result = compile_bundle(bundle, OPTIONS)
    assert (fake.built(), reused(result), content(bundle)) == ([], dict.fromkeys(BOTH, True), before)


def test_force_builds_again(bundle: Bundle, fake: FakeTensorRt) -> None:
    compile_bundle(bundle, OPTIONS)
    fake.built()
    result = compile_bundle(bundle, dataclasses.replace(OPTIONS, force=True))
    assert (fake.built(), reused(result)) == (BOTH, dict.fromkeys(BOTH, False))


def test_the_first_step_joins_the_others(bundle: Bundle, fake: FakeTensorRt) -> None:
    before = compile_bundle(bundle, OPTIONS)
    fake.built()
    result = compile_bundle(bundle, dataclasses.replace(OPTIONS, first_step=True))
    assert (fake.built(), result.folder) == (["decoder_first_step"], before.folder)
    assert reused(result) == {**dict.fromkeys(BOTH, True), "decoder_first_step": False}
    assert set(records(result.folder)) == {*BOTH, "decoder_first_step"}
    # And it stays where it is not asked for again, even if others are built.
    assert reused(compile_bundle(bundle, OPTIONS)) == dict.fromkeys(BOTH, True)
    compile_bundle(bundle, dataclasses.replace(OPTIONS, force=True))
    assert fake.built() == BOTH
    assert set(records(result.folder)) == {*BOTH, "decoder_first_step"}


def test_a_changed_graph_forces_a_rebuild(bundle: Bundle, fake: FakeTensorRt) -> None:
    folder = compile_bundle(bundle, OPTIONS).folder
    fake.built()
    path = bundle.root / "fp32/encoder.onnx"
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(bytes([0x32, 0x01, 0x20]))  # doc_string " ": the graph computes what it did
    changed = dataclasses.replace(
        bundle.manifest.files["fp32/encoder.onnx"],
        size=path.stat().st_size,
        sha256=sha256_of(path),
    )
    manifest = dataclasses.replace(
        bundle.manifest, files={**bundle.manifest.files, "fp32/encoder.onnx": changed}
    )
    write_manifest(manifest, bundle.root)
    result = compile_bundle(open_bundle(bundle.root), OPTIONS)
    assert (fake.built(), result.folder) == (["encoder"], folder)
    assert records(folder)["encoder"].source_sha256 == changed.sha256


def test_changed_weights_force_a_rebuild(bundle: Bundle, fake: FakeTensorRt) -> None:
    compile_bundle(bundle, OPTIONS)
    fake.built()
    files = bundle.manifest.files
    changed = dataclasses.replace(files["fp32/decoder.onnx.data"], sha256="0" * 64)
    manifest = dataclasses.replace(bundle.manifest, files={**files, "fp32/decoder.onnx.data": changed})
    compile_bundle(Bundle(bundle.root, manifest), OPTIONS)
    assert fake.built() == ["decoder_with_past"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "no json", "another json"])
def test_a_broken_plan_is_built_again(bundle: Bundle, fake: FakeTensorRt, damage: str) -> None:
    folder = compile_bundle(bundle, OPTIONS).folder
    fake.built()
    plan, text = folder / "encoder.plan", folder / "encoder.json"
    if damage == "cut":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif damage == "flipped":
        plan.write_bytes(plan.read_bytes()[::-1])
    elif damage == "gone":
        plan.unlink()
    else:
        text.write_text("{}" if damage == "another json" else "not json")
    compile_bundle(bundle, OPTIONS)
    assert fake.built() == ["encoder"]
    assert plan.stat().st_size == records(folder)["encoder"].plan_size


@pytest.mark.parametrize(
    "options",
    [
        dataclasses.replace(OPTIONS, targets=("sm86",)),
        dataclasses.replace(OPTIONS, targets=()),
        dataclasses.replace(OPTIONS, max_batch=1),
        dataclasses.replace(OPTIONS, spans=(AudioSpan("short", 1, 5), AudioSpan("long", 5, 30))),
    ],
    ids=["targets", "portable", "batch", "profiles"],
)
def test_other_engines_never_overwrite(bundle: Bundle, fake: FakeTensorRt, options: EngineOptions) -> None:
    first = compile_bundle(bundle, OPTIONS)
    before = content(bundle)
    second = compile_bundle(bundle, options)
    assert first.folder != second.folder
    assert content(bundle).items() > before.items()


def test_another_version_of_tensorrt_has_its_own_folder(bundle: Bundle, fake: FakeTensorRt) -> None:
    first = compile_bundle(bundle, OPTIONS)
    fake.version = "1.8.0.1"
    assert compile_bundle(bundle, OPTIONS).folder != first.folder


def test_portable_is_part_of_the_name(bundle: Bundle, fake: FakeTensorRt) -> None:
    result = compile_bundle(bundle, dataclasses.replace(OPTIONS, targets=()))
    assert "-fp32-portable-" in result.folder.name
    assert fake.requests[-1]["targets"] == ()


def test_full_tensorrt_is_named_after_the_gpu_that_is_here(
    bundle: Bundle, fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"version": "11.4.0.106", "targets": ["sm90"]}
    answer = fake.__call__
    monkeypatch.setattr(
        engine_build,
        "ask",
        lambda flavour, task, *rest, **named: (
            told if task == "describe" else answer(flavour, task, *rest, **named)
        ),
    )
    result = compile_bundle(bundle, EngineOptions(flavour="tensorrt", precision="fp32"))
    assert result.folder.name.startswith("tensorrt-11.4.0.106-fp32-sm90-")
    assert records(result.folder)["encoder"].targets == ("sm90",)


# What fails.


def test_an_unknown_target(bundle: Bundle, fake: FakeTensorRt) -> None:
    with pytest.raises(EngineError) as caught:
        compile_bundle(bundle, dataclasses.replace(OPTIONS, targets=("sm86", "sm90")))
    assert str(caught.value) == (
        "target sm90 is unknown to TensorRT-RTX 1.7.1.116: choose from sm80, sm86, sm89, sm120, or portable alone"
    )
    assert not (bundle.root / "engines").exists()


def test_a_precision_that_the_bundle_has_not(bundle: Bundle, fake: FakeTensorRt) -> None:
    with pytest.raises(
        OptionError, match=r"^precision 'fp16' is not in .+, which has fp32: choose one of these"
    ):
        compile_bundle(bundle, dataclasses.replace(OPTIONS, precision="fp16"))


def test_a_failed_build_leaves_what_was_there(bundle: Bundle, fake: FakeTensorRt) -> None:
    compile_bundle(bundle, OPTIONS)
    before = content(bundle)
    fake.error = EngineError("no")
    with pytest.raises(EngineError, match=r"^no$"):
        compile_bundle(bundle, dataclasses.replace(OPTIONS, force=True))
    assert content(bundle) == before


def test_a_failed_first_build_leaves_no_folder(bundle: Bundle, fake: FakeTensorRt) -> None:
    fake.error = EngineError("no")
    with pytest.raises(EngineError, match=r"^no$"):
        compile_bundle(bundle, OPTIONS)
    assert content(bundle) == {}


def test_a_bundle_that_cannot_be_written(bundle: Bundle, fake: FakeTensorRt) -> None:
    (bundle.root / "engines").write_text("a file in its place")
    with pytest.raises(OutputError) as caught:
        compile_bundle(bundle, OPTIONS)
    assert str(caught.value) == f"{bundle.root / 'engines'} cannot be written: File exists"


def test_what_killed_builds_left_is_deleted(bundle: Bundle, fake: FakeTensorRt) -> None:
    for name in (".unfinished-abc", ".replaced-abc"):
        (bundle.root / "engines" / name).mkdir(parents=True)
        (bundle.root / "engines" / name / "encoder.plan").touch()
    folder = compile_bundle(bundle, OPTIONS).folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]


def test_two_builds_wait_for_each_other(bundle: Bundle, fake: FakeTensorRt) -> None:
    (bundle.root / "engines").mkdir()
    waiting, stages = threading.Event(), []

    def on_stage(name: str) -> None:
        stages.append(name)
        if name.startswith("wait"):
            waiting.set()

    with (bundle.root / "engines" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=lambda: compile_bundle(bundle, OPTIONS, on_stage=on_stage))
        other.start()
        assert waiting.wait(60)
        assert fake.built() == []
    other.join(60)
    assert fake.built() == BOTH
    assert stages[1] == "wait for another compile-s2t"


def test_a_census_builds_nothing(bundle: Bundle, fake: FakeTensorRt) -> None:
    census = census_of_bundle(bundle, dataclasses.replace(OPTIONS, first_step=True))
    assert census == {graph: {"SHAPE": {"INT64": 3}} for graph in (*BOTH, "decoder_first_step")}
    assert fake.built() == []
    assert not (bundle.root / "engines").exists()


def test_the_recorded_fp32_blocks_are_handed_on(
    bundle: Bundle, fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = type("Policy", (), {"base": "float16", "fp32_blocks": {"features": "always"}})
    graphs = dataclasses.replace(bundle.manifest.graphs["fp32"], policy=policy)
    manifest = dataclasses.replace(bundle.manifest, graphs={"fp32": graphs})
    census_of_bundle(Bundle(bundle.root, manifest), OPTIONS)
    assert fake.requests[-1]["fp32_blocks"] == {"features": "always"}
