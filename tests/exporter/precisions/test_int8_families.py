"""int8 of other encoders and decoders than the digits model's: every product is in int8, and near float32."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.tiny import models as tiny_models
from support.tiny.decoders import FAMILIES
from support.tiny.models import MARKED_PAIRS, PAIRS, Once, Pair

from exporter.onnx.session import Array, GraphRunner
from exporter.parity.differences import RELATIVE_TOLERANCE
from exporter.precisions.int8_graphs import product_sizes, write_int8_graphs

GRAPHS = ("encoder.onnx", "decoder_first_step.onnx", "decoder_with_past.onnx")
OTHER_DECODERS = sorted(set(FAMILIES) - {pair.decoder for pair in PAIRS})
SIZES = {"batch": 1, "beams": 2, "new": 1, "rows": 2, "past": 3, "prompt": 2, "frames": 7, "samples": 4000}


def in_both(once: Once, pair: Pair, decoder: str, directory: Path) -> tuple[Path, Path]:
    """Directories of a pair's graphs in float32, with this decoder, and of the same in int8."""
    float32, int8 = directory / "fp32", directory / "int8"
    for graphs in (tiny_models.encoder_graph(once, pair), tiny_models.decoder_graphs(once, decoder)):
        shutil.copytree(graphs, float32, dirs_exist_ok=True)
    int8.mkdir()
    write_int8_graphs(float32, int8)
    return float32, int8


def float32_products(path: Path) -> list[str]:
    """Products that have a constant float32 matrix, as it is or turned."""
    found = []
    for node in ir.load(path).graph:
        sides = [value for value in node.inputs if value is not None]
        turned = [made for side in sides if (made := side.producer()) and made.op_type == "Transpose"]
        sides += [node.inputs[0] for node in turned if node.inputs[0] is not None]
        tensors = [side.const_value for side in sides if side.const_value is not None]
        matrices = [one for one in tensors if len(one.shape) == 2 and one.dtype == ir.DataType.FLOAT]
        if node.op_type in {"MatMul", "Gemm", "Einsum", "FusedMatMul"} and matrices:
            found.append(str(node.name))
    return found


def feeds(graph: GraphRunner) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    given: dict[str, Array] = {}
    for name, axes in graph.input_shapes.items():
        shape = tuple(SIZES.get(str(axis), axis) for axis in axes)
        if name == "input_ids":
            given[name] = rng.integers(5, 40, shape)
        elif name == "beam_index":
            given[name] = np.arange(SIZES["beams"]).reshape(shape)
        elif name == "candidates":
            given[name] = np.array(4)
        elif name == "audio_lengths":
            given[name] = np.full(shape, SIZES["samples"])
        else:
            given[name] = (
                np.ones(shape, bool) if "mask" in name else rng.normal(0, 0.5, shape).astype(np.float32)
            )
    return given


def assert_near(float32: Path, int8: Path) -> None:
    graph = GraphRunner(float32)
    given = feeds(graph)
    wanted, found = graph.run(given), GraphRunner(int8).run(given)
    for output, value in wanted.items():
        if value.dtype == np.float32:
            off = np.linalg.norm(found[output] - value) / np.linalg.norm(value)
            assert off < RELATIVE_TOLERANCE["int8"], output


@pytest.mark.parametrize("pair", MARKED_PAIRS, ids=lambda pair: pair.name)
def test_both_halves_multiply_in_int8_alone(once: Once, tmp_path: Path, pair: Pair) -> None:
    float32, int8 = in_both(once, pair, pair.decoder, tmp_path)
    listed = product_sizes(float32)
    for name in GRAPHS:
        blocks = {product.rpartition("/")[0] for product in float32_products(float32 / name)}
        assert blocks
        assert blocks <= set(listed)
        assert not float32_products(int8 / name)
        assert_near(float32 / name, int8 / name)


@pytest.mark.broad
@pytest.mark.parametrize("decoder", OTHER_DECODERS)
def test_every_decoder_multiplies_in_int8_alone(once: Once, tmp_path: Path, decoder: str) -> None:
    float32, int8 = in_both(once, PAIRS[0], decoder, tmp_path)
    for name in GRAPHS[1:]:
        assert float32_products(float32 / name)
        assert not float32_products(int8 / name)
    assert_near(float32 / GRAPHS[2], int8 / GRAPHS[2])
