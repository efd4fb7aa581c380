"""Turns a log-softmax that is written out into ONNX's operator, for CPUs."""

from __future__ import annotations

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import made_by, only_reader, remove_unread, take_over


def fuse_log_softmax(model: ir.Model) -> tuple[ir.Model, bool]:
    """Rank what one LogSoftmax gives, in place: the graphs have ``topk(x - max(x)) - log(sum(exp(x - max(x))))``.

    They do because TensorRT computes the operator as log(softmax(x)), which underflows. ONNX
    Runtime computes it in one pass that stays in the processor's cache, row by row.

    Args:
        model: a decoder graph; changed.
    """
    graph, changed = model.graph, False
    for top in [node for node in graph if node.op_type == "TopK"]:
        shifted = made_by(top.inputs[0], "Sub")
        last = only_reader(top.outputs[0], "Sub")
        if shifted is None or last is None or not _is_log_sum(last.inputs[1], shifted):
            continue
        fused = ir.node("LogSoftmax", [shifted.inputs[0]], {"axis": -1}, name=f"{top.name}_log_softmax")
        logits, result = shifted.inputs[0], fused.outputs[0]
        if logits is not None:  # others look at how long its rows are
            result.type, result.shape = logits.type, logits.shape
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
    log = made_by(value, "Log")
    total = None if log is None else made_by(log.inputs[0], "ReduceSum")
    exponent = None if total is None else made_by(total.inputs[0], "Exp")
    peak = made_by(shifted.inputs[1], "ReduceMax")
    return (
        exponent is not None
        and exponent.inputs[0] is shifted.outputs[0]
        and peak is not None
        and peak.inputs[0] is shifted.inputs[0]
    )
