"""Whether products of uint8 with int8 overflow is found by computing, and ONNX Runtime told only where they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.places import ROOT

from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.errors import SessionError
from s2t_runtime.sessions.onnxruntime import graph_loader, int8_overflow
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader
from s2t_runtime.sessions.onnxruntime.int8_overflow import EXACT_PRODUCTS, products_overflow
from s2t_runtime.sessions.profiles.limits import ENCODER

Product = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.int32]]


def graph() -> bytes:
    """What the probe is said to be."""
    left, right, result = (
        helper.make_tensor_value_info(name, kind, list(shape))
        for name, kind, shape in (
            ("a", TensorProto.UINT8, "mk"),
            ("b", TensorProto.INT8, "kn"),
            ("y", TensorProto.INT32, "mn"),
        )
    )
    product = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    model = helper.make_model(
        helper.make_graph([product], "g", [left, right], [result]),
        opset_imports=[helper.make_opsetid("", 10)],
        ir_version=5,
        producer_name="",
    )
    return bytes(model.SerializeToString())


def test_the_bytes_are_the_graph_in_python_and_cpp() -> None:
    source = (ROOT / "cpp" / "src" / "sessions" / "int8_overflow.cpp").read_text(encoding="utf-8")
    (array,) = re.findall(r"product_graph\{(.*?)\}", source, re.DOTALL)
    assert graph() == int8_overflow._PRODUCT
    assert bytes(int(one, 16) for one in array.replace("\n", " ").split(",")) == int8_overflow._PRODUCT


def runtime(product: Product) -> Any:
    """An onnxruntime that multiplies in its own way."""

    def run(_: None, given: dict[str, NDArray[Any]]) -> list[NDArray[np.int32]]:
        return [product(given["a"].astype(np.int32), given["b"].astype(np.int32))]

    module: Any = ModuleType("onnxruntime")
    module.SessionOptions = SimpleNamespace
    module.InferenceSession = lambda *_, **__: SimpleNamespace(run=run)
    return module


def saturating(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
    """Intel's VPMADDUBSW: pairs of products are added in 16 bits, and what is beyond is cut off."""
    terms = left[:, :, None] * right[None]
    pairs = np.clip(terms[:, ::2] + terms[:, 1::2], -32768, 32767)
    return np.asarray(pairs.sum(axis=1), np.int32)


def saturating_alone(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
    return saturating(left, right) if len(left) == 1 else left @ right


@pytest.mark.parametrize(
    ("product", "overflow"), [(np.matmul, False), (saturating, True), (saturating_alone, True)]
)
def test_it_is_what_the_kernels_compute(product: Product, overflow: bool) -> None:
    assert products_overflow(runtime(product)) is overflow


CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPUINFO.exists(), reason="needs /proc/cpuinfo, which says what the processor has")
def test_they_overflow_with_avx2_and_without_vnni_and_nowhere_else() -> None:
    processor = CPUINFO.read_text(encoding="utf-8")
    assert products_overflow(ort) is ("avx2" in processor and "vnni" not in processor)


def test_this_processor_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = products_overflow(ort)
    monkeypatch.setattr(ort, "InferenceSession", None)
    assert products_overflow(ort) is answer


@pytest.mark.parametrize("overflow", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_only_int8_that_overflows_takes_the_exact_products(
    digits_int8_bundle: Path, monkeypatch: pytest.MonkeyPatch, precision: str, overflow: bool
) -> None:
    """On a processor with VNNI they would cost half of the speed."""
    monkeypatch.setattr(graph_loader, "products_overflow", lambda _: overflow)
    loader = GraphLoader(ort, "cpu", open_bundle(digits_int8_bundle), precision, 1)
    options = loader.load(ENCODER).get_session_options()
    name, value = EXACT_PRODUCTS
    if precision == "int8" and overflow:
        assert options.get_session_config_entry(name) == value
    else:
        with pytest.raises(RuntimeError, match=name):
            options.get_session_config_entry(name)


def test_an_onnxruntime_that_cannot_say_is_refused(
    digits_int8_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> bool:
        raise RuntimeError("no MatMulInteger")

    monkeypatch.setattr(graph_loader, "products_overflow", refuse)
    loader = GraphLoader(ort, "cpu", open_bundle(digits_int8_bundle), "int8", 1)
    message = "^ONNX Runtime failed while trying a product of uint8 with int8: no MatMulInteger$"
    with pytest.raises(SessionError, match=message):
        loader.load(ENCODER)
