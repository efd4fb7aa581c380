"""The floor: which weights a step reads, and what the memory gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.link_layouts import hub_cache

from benchmarks.measuring.bandwidth_floor import (
    Bandwidth,
    copy_bandwidth,
    floor_s,
    read_bandwidth,
    step_bytes,
)
from s2t_runtime.bundles.bundle import open_bundle


def test_the_floor_is_bytes_over_bandwidth() -> None:
    assert floor_s(864_000_000, Bandwidth(3.2e12, "copies")) == pytest.approx(0.00027)


def test_weights_behind_links_count(digits_bundle: Path, tmp_path: Path) -> None:
    linked = open_bundle(hub_cache(digits_bundle, tmp_path))
    assert step_bytes(linked, "fp32") == step_bytes(open_bundle(digits_bundle), "fp32") > 1_000_000


def bundle_of(path: Path, *, tied: bool) -> Any:
    """A graph that looks rows up in a table, and multiplies with a matrix or with the same table."""
    weights = {"table": np.zeros((10, 4), np.float32), "matrix": np.zeros((10, 4), np.float32)}
    product = helper.make_node("Gemm", ["rows", "table" if tied else "matrix"], ["y"], transB=1)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"]), product],
        "step",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weights[name], name) for name in (("table",) if tied else weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return SimpleNamespace(graph_path=lambda *_: path)


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_counts_where_it_is_the_projection_as_well(tmp_path: Path, tied: bool) -> None:
    # One of the two, whichever is multiplied with.
    assert step_bytes(bundle_of(tmp_path / "step.onnx", tied=tied), "fp32") == 160


def test_a_real_decoder_reads_nearly_all_of_its_file(digits_bundle: Path) -> None:
    bundle = open_bundle(digits_bundle)
    size = bundle.manifest.files["fp32/decoder.onnx.data"].size
    # Positions are looked up row by row.
    assert 0.8 * size < step_bytes(bundle, "fp32") < 1.01 * size


def test_the_hosts_bandwidth_is_measured() -> None:
    found = read_bandwidth(2**24, 2, threads=1)
    assert 1e8 < found.bytes_per_s < 1e13
    assert found.how == "sums over 0.0156 GiB of float32, 1 threads"


class FakeEvent:
    """Half a millisecond from one event to the next."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.recorded = self.waited = False

    def record(self) -> None:
        self.recorded = True

    def synchronize(self) -> None:
        assert self.recorded
        self.waited = True

    def elapsed_time(self, end: FakeEvent) -> float:
        assert end.waited, "the time is read before the device has got there"
        return 0.5


def test_a_copy_reads_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    zeros = torch.zeros

    def on_the_host(size: int, *, dtype: torch.dtype, device: str) -> torch.Tensor:
        assert device == "cuda"
        return zeros(size, dtype=dtype)

    monkeypatch.setattr(torch, "zeros", on_the_host)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    found = copy_bandwidth(1_000_000, 3)
    assert found.bytes_per_s == pytest.approx(2_000_000 / 0.5e-3)
    assert found.how.startswith("copies of ")
