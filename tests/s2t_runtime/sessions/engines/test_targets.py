"""The one rule of which GPU runs which engines."""

from __future__ import annotations

import pytest

from s2t_runtime.sessions.engines.targets import RTX_TARGETS, gpu_problem, rtx_supports, target_of


def test_targets_are_compute_capabilities() -> None:
    assert [target_of(capability) for capability in ("7.5", "8.9", "12.0")] == ["sm75", "sm89", "sm120"]


def test_the_list_is_that_of_the_builder() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    names = {name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert names == set(RTX_TARGETS)


@pytest.mark.parametrize(
    ("target", "supported", "portable"),
    [
        ("sm70", False, False),
        ("sm75", True, False),
        ("sm80", True, True),
        ("sm86", True, True),
        ("sm89", True, True),
        ("sm90", False, False),
        ("sm100", False, False),
        ("sm120", True, True),
        ("sm121", True, True),
        ("sm130", True, True),
        ("sm[N/A]", False, False),
    ],
)
def test_what_tensorrt_rtx_runs_on(target: str, supported: bool, portable: bool) -> None:
    assert rtx_supports(target) is supported
    assert (gpu_problem((), "A GPU", target) is None) is portable


def test_engines_of_named_targets_run_on_these_alone() -> None:
    assert gpu_problem(("sm86", "sm90"), "A GPU", "sm90") is None
    assert gpu_problem(("sm86", "sm89"), "A GPU", "sm120") == (
        "they were built for sm86, sm89, and A GPU is sm120"
    )
    assert gpu_problem((), "A GPU", "sm90") == (
        "portable engines run on sm80, sm86, sm89, sm120, sm121 and later, and A GPU is sm90"
    )
