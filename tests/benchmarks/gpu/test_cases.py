"""Which cases are measured, for every kind of machine, and what is said of the others."""

from __future__ import annotations

import dataclasses

from benchmarks.gpu.cases import Problems, choose_cases
from s2t_runtime.sessions.engines.choice import engine_precision

NO_RTX = 'tensorrt-rtx is not installed (pip install "export-s2t[tensorrt-rtx]")'
FULL = Problems(None, None, None, {"tensorrt": None, "tensorrt-rtx": None})
BOTH = ("fp32", "fp16")


def test_a_machine_that_has_everything() -> None:
    choice = choose_cases("b", BOTH, ("c",), FULL)
    assert [case.name for case in choice.cases] == [
        "eager fp32",
        "eager fp16",
        "torch.compile fp16",
        "onnxruntime cuda fp32",
        "onnxruntime cuda fp16",
        "tensorrt fp16",
        "tensorrt-rtx fp16",
    ]
    assert choice.references == ("eager fp32", "eager fp16")
    assert choice.left_out == {}
    assert all(case.timed for case in choice.cases)
    settings = {case.name: case.settings for case in choice.cases}
    assert settings["torch.compile fp16"] == {
        "bundle": "b", "against": ["c"], "device": "cuda", "precision": "fp16", "mode": "compile"
    }  # fmt: skip
    assert settings["onnxruntime cuda fp32"] == {"bundle": "b", "provider": "cuda", "precision": "fp32"}
    assert settings["tensorrt-rtx fp16"] == {
        "bundle": "b", "provider": "tensorrt", "precision": "fp16", "flavour": "tensorrt-rtx"
    }  # fmt: skip
    assert {case.precision for case in choice.cases if "fp16" in case.name} == {"fp16"}


def test_every_kind_has_a_file_with_what_its_settings_say() -> None:
    import inspect

    from benchmarks.peers.runtime import peer as peer_runtime
    from benchmarks.peers.torch import peer as peer_torch

    homes = {"torch": peer_torch.open_peer, "runtime": peer_runtime.open_peer}
    for case in choose_cases("b", BOTH, (), FULL).cases:
        inspect.signature(homes[case.kind]).bind(**case.settings)


def test_a_machine_without_tensorrt_measures_the_rest_and_says_why() -> None:
    problems = dataclasses.replace(FULL, engines={"tensorrt": "no wheel", "tensorrt-rtx": NO_RTX})
    choice = choose_cases("b", BOTH, (), problems)
    assert choice.left_out == {"tensorrt fp16": "no wheel", "tensorrt-rtx fp16": NO_RTX}
    assert choice.references == ("eager fp32", "eager fp16")
    assert len(choice.cases) == 5


def test_a_bundle_without_fp16() -> None:
    choice = choose_cases("b", ("fp32",), (), FULL)
    assert choice.left_out == {
        "onnxruntime cuda fp16": "the bundle has no fp16: export-s2t --precision fp32,fp16"
    }
    assert [case.name for case in choice.cases][-2:] == ["tensorrt fp32", "tensorrt-rtx fp32"]


def test_without_a_checkpoint_the_bundle_on_the_cpu_is_the_reference() -> None:
    problem = "the bundle was exported from a local directory"
    choice = choose_cases("b", BOTH, (), dataclasses.replace(FULL, checkpoint=problem))
    assert choice.references == ("onnxruntime cpu fp32",)
    (reference,) = [case for case in choice.cases if not case.timed]
    assert (reference.name, reference.settings["provider"]) == ("onnxruntime cpu fp32", "cpu")
    assert choice.left_out == dict.fromkeys(("eager fp32", "eager fp16", "torch.compile fp16"), problem)


def test_pytorch_without_cuda() -> None:
    choice = choose_cases("b", ("fp16",), (), dataclasses.replace(FULL, torch="built without CUDA"))
    assert choice.references == ("onnxruntime cpu fp16",)
    assert choice.left_out["eager fp16"] == "built without CUDA"
    assert choice.left_out["onnxruntime cuda fp32"].startswith("the bundle has no fp32")


def test_engines_are_in_half_where_the_bundle_is() -> None:
    assert engine_precision(BOTH) == "fp16"
    assert engine_precision(("fp32",)) == "fp32"
