"""Turns a log-softmax that is written out into ONNX's operator, for CPUs."""

from __future__ import annotations

import onnx_ir as ir

from exporter.passes.int8_products import remove_unread, take_over


def fuse_log_softmax(model: ir.Model) -> tuple[ir.Model, bool]:
    """Rank what one LogSoftmax gives, in place: the graphs have ``topk(x - max(x)) - log(sum(exp(x - max(x))))``.

    They do because TensorRT computes the operator as log(softmax(x)), which underflows. ONNX
    Runtime computes it in one pass that stays in the processor's cache, row by row.

    Args:
        model: a decoder graph; changed.
    """
    graph, changed = model.graph, False
    for top in [node for node in graph if node.op_type == "TopK"]:
        shifted = _producer(top.inputs[0], "Sub")
        last = _only_reader(top.outputs[0], "Sub")
        if shifted is None or last is None or not _is_log_sum(last.inputs[1], shifted):
            continue
        fused = ir.node("LogSoftmax", [shifted.inputs[0]], {"axis": -1}, name=f"{top.name}_log_softmax")
        graph.insert_before(top, [fused])
        top.replace_input_with(0, fused.outputs[0])
        take_over(last.outputs[0], top.outputs[0])
        normaliser = last.inputs[1]
        graph.remove(last, safe=True)
        remove_unread(graph, None if normaliser is None else normaliser.producer())
        changed = True
    return model, changed


def _is_log_sum(value: ir.Value | None, shifted: ir.Node) -> bool:
    """Whether this is log(sum(exp(shifted))), and ``shifted`` its input less the maximum of each row."""
    total = _producer(_input_of(value, "Log"), "ReduceSum")
    exponent = None if total is None else _producer(total.inputs[0], "Exp")
    peak = _producer(shifted.inputs[1], "ReduceMax")
    return (
        exponent is not None
        and exponent.inputs[0] is shifted.outputs[0]
        and peak is not None
        and peak.inputs[0] is shifted.inputs[0]
    )


def _producer(value: ir.Value | None, kind: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == kind else None


def _input_of(value: ir.Value | None, kind: str) -> ir.Value | None:
    node = _producer(value, kind)
    return None if node is None else node.inputs[0]


def _only_reader(value: ir.Value, kind: str) -> ir.Node | None:
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node if uses[0].node.op_type == kind and uses[0].idx == 0 else None
