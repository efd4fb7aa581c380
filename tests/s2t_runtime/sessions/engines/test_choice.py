"""Which engine folder is run, and what is said of those that are not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
from support.engines.sets import Limits, engine_set

from s2t_runtime import BundleError, OptionError, SessionError
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.verification import FAST_HASH_LIMIT
from s2t_runtime.sessions.engines.choice import EngineHost, check_plans, choose_engines, find_engines
from s2t_runtime.sessions.engines.engine_set import EngineSet

PLAN = b"a plan"
RTX = "1.7.1.116"
ADA = EngineHost("NVIDIA L4", (8, 9), {"tensorrt-rtx": RTX}, {"tensorrt": "is not installed"})
COMPILE = "compile-s2t {} --flavour tensorrt-rtx --precision fp32 --targets sm89"


@pytest.fixture
def bundle(digits_bundle: Path, tmp_path: Path) -> Bundle:
    opened = open_bundle(digits_bundle)
    return Bundle(tmp_path / "bundle", opened.manifest)


def add(bundle: Bundle, folder: str, *limits: Limits, **changes: Any) -> EngineSet:
    """Write the folder as compile-s2t does."""
    kept = {"plan_size": len(PLAN), "plan_sha256": hashlib.sha256(PLAN).hexdigest(), **changes}
    engines = engine_set(bundle, *limits, folder=folder, **kept)
    engines.folder.mkdir(parents=True)
    for graph, record in engines.records.items():
        (engines.folder / f"{graph}.json").write_text(record.to_json(), encoding="utf-8")
        engines.plan_path(graph).write_bytes(PLAN)
    return engines


def none_fits(bundle: Bundle, host: EngineHost, reason: str, precision: str | None = None) -> None:
    message = (
        f"no engines in {bundle.root} run here (engines: {reason}): `{COMPILE.format(bundle.root)}` builds some that "
        "do; or use provider 'cpu'"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        choose_engines(bundle, precision, host)


def test_engines_that_fit_are_taken(bundle: Bundle) -> None:
    engines = add(bundle, "engines", targets=("sm86", "sm89"))
    assert choose_engines(bundle, None, ADA) == choose_engines(bundle, "fp32", ADA) == engines


def test_those_that_take_the_most_go_first(bundle: Bundle) -> None:
    add(bundle, "a", Limits(samples=(400, 80_000), batch=16))
    longest = add(bundle, "b", Limits(batch=1))
    assert choose_engines(bundle, None, ADA) == longest
    more = add(bundle, "c", Limits(batch=2))
    assert choose_engines(bundle, None, ADA) == more
    add(bundle, "e", Limits(batch=2))
    own = add(bundle, "d", Limits(batch=2), targets=("sm89",))
    assert choose_engines(bundle, None, ADA) == own


def test_the_default_precision_goes_before_others(bundle: Bundle) -> None:
    half = add(bundle, "half", precision="fp32")
    for path in half.folder.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**document, "precision": "fp16"}), encoding="utf-8")
    assert choose_engines(bundle, None, ADA).precision == "fp16"
    add(bundle, "own", Limits(batch=1))
    assert choose_engines(bundle, None, ADA).precision == "fp32"
    with pytest.raises(OptionError, match=r"^precision 'fp16' is not in .*, which has fp32: "):
        choose_engines(bundle, "fp16", ADA)


def test_a_bundle_without_engines(bundle: Bundle) -> None:
    message = (
        f"{bundle.root} holds no engines: `{COMPILE.format(bundle.root)}` builds them; or use provider 'cpu'"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        choose_engines(bundle, None, ADA)


def test_no_targets_are_named_for_full_tensorrt(bundle: Bundle) -> None:
    host = EngineHost("NVIDIA H100", (9, 0), {"tensorrt": "11.4"}, {})
    with pytest.raises(
        SessionError, match=r"`compile-s2t \S+ --flavour tensorrt --precision fp32` builds them"
    ):
        choose_engines(bundle, None, host)


def test_engines_of_another_gpu(bundle: Bundle) -> None:
    add(bundle, "engines", targets=("sm86", "sm120"))
    none_fits(bundle, ADA, "they were built for sm86, sm120, and NVIDIA L4 is sm89")


@pytest.mark.parametrize(("gpu", "capability"), [("NVIDIA T4", (7, 5)), ("NVIDIA H100", (9, 0))])
def test_portable_engines_of_a_gpu_that_they_leave_out(
    bundle: Bundle, gpu: str, capability: tuple[int, int]
) -> None:
    add(bundle, "engines")
    host = dataclasses.replace(ADA, gpu=gpu, capability=capability)
    message = f"portable engines run on sm80, sm86, sm89, sm120, sm121 and later, and {gpu} is {host.target}"
    with pytest.raises(SessionError, match=re.escape(f"(engines: {message})")):
        choose_engines(bundle, None, host)


def test_the_command_suits_the_gpu(bundle: Bundle) -> None:
    lines = {}
    for capability in ((9, 0), (8, 9), (13, 0)):
        with pytest.raises(SessionError) as caught:
            choose_engines(bundle, None, dataclasses.replace(ADA, capability=capability))
        lines[capability] = str(caught.value).split("`")[1].partition(" --")[2]
    assert lines == {
        (9, 0): "flavour tensorrt --precision fp32",
        (8, 9): "flavour tensorrt-rtx --precision fp32 --targets sm89",
        (13, 0): "flavour tensorrt-rtx --precision fp32 --targets portable",
    }


def test_engines_of_another_version(bundle: Bundle) -> None:
    add(bundle, "engines", version="1.6.0.1")
    none_fits(bundle, ADA, f"they were built by tensorrt-rtx 1.6.0.1, and {RTX} is installed")


def test_engines_of_a_flavour_that_is_missing(bundle: Bundle) -> None:
    add(bundle, "engines", flavour="tensorrt", targets=("sm89",))
    none_fits(bundle, ADA, "they need tensorrt, which is not installed")


def test_engines_of_another_precision(bundle: Bundle) -> None:
    add(bundle, "engines")
    graphs = {**bundle.manifest.graphs, "fp16": bundle.manifest.graphs["fp32"]}
    both = Bundle(bundle.root, dataclasses.replace(bundle.manifest, graphs=graphs))
    with pytest.raises(SessionError, match=r"\(engines: they are fp32, not fp16\): .* --precision fp16 "):
        choose_engines(both, "fp16", ADA)


@pytest.mark.parametrize("which", ["source_sha256", "weights_sha256"])
def test_engines_of_an_earlier_export(bundle: Bundle, which: str) -> None:
    changed = {"source_sha256": "f" * 64, "weights_sha256": {"encoder.onnx.data": "f" * 64}}[which]
    add(bundle, "engines", **{which: changed})
    none_fits(bundle, ADA, "they were built from another fp32/encoder.onnx than the bundle holds")


def test_every_folder_is_named_with_its_reason(bundle: Bundle) -> None:
    add(bundle, "a", version="1.6.0.1")
    add(bundle, "b", targets=("sm86",))
    with pytest.raises(SessionError, match=r"\(a: they were built by .*; b: they were built for sm86, and "):
        choose_engines(bundle, None, ADA)


def test_unfinished_folders_are_passed_over(bundle: Bundle) -> None:
    engines = add(bundle, "engines")
    (bundle.root / "engines" / "notes.txt").write_text("", encoding="utf-8")
    (bundle.root / "engines" / "empty").mkdir()
    shutil.copytree(engines.folder, bundle.root / "engines" / "engines.unfinished-1")
    assert find_engines(bundle) == (engines,)


def test_damaged_records(bundle: Bundle) -> None:
    engines = add(bundle, "engines")
    (engines.folder / "encoder.json").write_text("{", encoding="utf-8")
    path = re.escape(str(engines.folder / "encoder.json"))
    with pytest.raises(BundleError, match=rf"^{path} is not JSON \(.*\): run compile-s2t BUNDLE --force$"):
        find_engines(bundle)
    (engines.folder / "encoder.json").write_bytes(b"\xff")
    with pytest.raises(BundleError, match=rf"^{path} cannot be read \(.*\): run compile-s2t BUNDLE --force$"):
        find_engines(bundle)
    (engines.folder / "encoder.json").unlink()
    message = f"{engines.folder} has no encoder.json: run compile-s2t BUNDLE --force"
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        find_engines(bundle)


@pytest.mark.parametrize(
    ("damage", "verify", "problem"),
    [
        (b"a plan.", "fast", "has 7 bytes, wanted 6"),
        (b"b plan", "fast", f"has sha256 {hashlib.sha256(b'b plan').hexdigest()}, wanted "),
        (None, "fast", "is missing"),
    ],
)
def test_a_damaged_plan(
    bundle: Bundle, damage: bytes | None, verify: Literal["fast", "full"], problem: str
) -> None:
    engines = add(bundle, "engines")
    check_plans(engines, "full")
    path = engines.plan_path("decoder_with_past")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(BundleError) as caught:
        check_plans(engines, verify)
    assert str(caught.value).startswith(f"{path} {problem}")
    assert str(caught.value).endswith(f": `{engines.compile_line()} --force` builds it again")


def test_large_plans_are_hashed_on_request(bundle: Bundle) -> None:
    engines = add(bundle, "engines", plan_size=FAST_HASH_LIMIT)
    for graph in engines.records:
        with engines.plan_path(graph).open("wb") as file:
            file.truncate(FAST_HASH_LIMIT)
    check_plans(engines, "fast")
    with pytest.raises(BundleError, match="has sha256"):
        check_plans(engines, "full")


def test_large_plans_behind_a_link_that_leaves_are_always_hashed(bundle: Bundle, tmp_path: Path) -> None:
    engines = add(bundle, "engines", plan_size=FAST_HASH_LIMIT)
    stored = tmp_path / "store"
    for graph in engines.records:
        path = engines.plan_path(graph)
        with (bundle.root / f"{graph}.plan").open("wb") as file:
            file.truncate(FAST_HASH_LIMIT)
        path.unlink(missing_ok=True)
        path.symlink_to(bundle.root / f"{graph}.plan")
    check_plans(engines, "fast")
    path = engines.plan_path("encoder")
    path.resolve().rename(stored)
    path.unlink()
    path.symlink_to(stored)
    with pytest.raises(BundleError) as caught:
        check_plans(engines, "fast")
    assert str(caught.value).startswith(f"{path} (a link to {stored}) has sha256 ")
    stored.unlink()
    with pytest.raises(BundleError, match=r"encoder\.plan \(a link to .*store\) is missing: `compile-s2t"):
        check_plans(engines, "fast")
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(BundleError, match=r"encoder\.plan cannot be read \(.*loop.*\): `compile-s2t"):
        check_plans(engines, "fast")
