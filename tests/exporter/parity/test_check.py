"""The parity check on the example: planted faults are seen, and nothing else is blamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.parity.check import check_parity
from exporter.parity.graphs import compare_graphs
from exporter.reference.eager import EagerReference
from graphs import decoder_geometry

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def reference(digits_checkpoint: Path) -> EagerReference:
    return EagerReference(load_checkpoint(locate_checkpoint(str(digits_checkpoint))))


def failing_outputs(reference: EagerReference, directory: Path) -> set[str]:
    rows = compare_graphs(
        reference,
        directory,
        decoder_geometry(reference.model.decoder),
        min_samples=400,
        precision="fp32",
    )
    return {row.output for row in rows if not row.passed}


def swap_names(first: str, second: str) -> Callable[[ir.Graph], None]:
    """Two outputs of a graph trade names and places, as a mix-up of layers would give them."""

    def change(graph: ir.Graph) -> None:
        names = [str(output.name) for output in graph.outputs]
        one, other = names.index(first), names.index(second)
        graph.outputs[one].name, graph.outputs[other].name = "swapped", first
        graph.outputs[one].name = second
        graph.outputs[one], graph.outputs[other] = graph.outputs[other], graph.outputs[one]

    return change


def insert(operator: str, output: str, *constants: float) -> Callable[[ir.Graph], None]:
    """One more operator in front of an output."""

    def change(graph: ir.Graph) -> None:
        place = [str(value.name) for value in graph.outputs].index(output)
        old = graph.outputs[place]
        tensors = [ir.tensor(np.float32(constant), name=f"planted_{output}") for constant in constants]
        values = [ir.val(str(tensor.name), const_value=tensor) for tensor in tensors]
        for value in values:
            graph.register_initializer(value)
        node = ir.node(operator, [old, *values])
        old.name = f"{output}_before"
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = output, old.type, old.shape
        graph.append(node)
        graph.outputs[place] = node.outputs[0]

    return change


@pytest.mark.parametrize(
    ("graph", "change", "expected"),
    [
        ("encoder", swap_names("cross_key.0", "cross_key.1"), {"cross_key"}),
        ("encoder", insert("Not", "encoder_mask"), {"encoder_mask"}),
        ("decoder_first_step", insert("Mul", "logits", NAN), {"logits"}),
        (
            "decoder_first_step",
            insert("Mul", "candidate_log_probs", 1.01),
            {"candidate_log_probs", "candidate_ids"},
        ),
        ("decoder_with_past", insert("Mul", "logits", 1.001), {"logits"}),
    ],
    ids=["layers swapped", "mask inverted", "NaN", "candidates off", "logits off"],
)
def test_a_planted_fault_is_seen(
    tmp_path: Path,
    digits_bundle: Path,
    reference: EagerReference,
    graph: str,
    change: Callable[[ir.Graph], None],
    expected: set[str],
) -> None:
    directory = Path(shutil.copytree(digits_bundle / "fp32", tmp_path / "fp32"))
    model = ir.load(directory / f"{graph}.onnx")
    change(model.graph)
    ir.save(model, directory / f"{graph}.onnx")
    assert failing_outputs(reference, directory) == expected


def test_another_decoder_is_refused(digits_bundle: Path, reference: EagerReference, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))
    document = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    document["decoder"]["heads"] = 2
    document["decoder"]["head_dim"] *= 2
    (bundle / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"\(layers, heads, head_dim, vocabulary\) is \(3, 4, 40, 400\), the bundle's"
    ):
        check_parity(reference.checkpoint, bundle, precision="fp32")
