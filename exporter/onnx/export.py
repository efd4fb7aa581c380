"""The single place where a torch module becomes an ONNX model."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch

from exporter.errors import GraphError
from exporter.onnx.graph_exports import GraphExport
from exporter.onnx.passes.apply_signature import apply_signature
from exporter.onnx.passes.finite_constants import finite_constants
from exporter.onnx.passes.name_blocks import name_blocks
from exporter.onnx.passes.strip_metadata import strip_metadata

OPSET = 20
"""The first opset with Gelu as one operator; 18 spells it out in Erf, which optimisers then miss."""


def onnx_from_graph(export: GraphExport) -> ir.Model:
    """Trace one graph and give it the names of its signature.

    Returns:
        The model, its weights in memory.

    Raises:
        GraphError: torch could not trace or translate the module.
    """
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                export.module,
                export.arguments,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=export.dynamic_shapes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise GraphError(
            f"torch.onnx.export cannot translate the {export.signature.name} graph: {error}"
        ) from error
    if program is None:
        raise GraphError(f"torch.onnx.export returned nothing for the {export.signature.name} graph")
    model, _changed = apply_signature(program.model, export.signature)
    model, _changed = finite_constants(model)
    return strip_metadata(name_blocks(model)[0])[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes on torchvision and on renamed dimensions for the time of one trace."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "torch._dynamo")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
