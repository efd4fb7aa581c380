"""The only exporter file that imports onnxruntime: runs one graph on numpy arrays, or tells its shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporter.errors import GraphError
from s2t_runtime.default_threads import default_threads
from s2t_runtime.sessions.onnxruntime.int8_overflow import EXACT_PRODUCTS, products_overflow
from s2t_runtime.sessions.onnxruntime.linked_weights import linked_weights

Array = NDArray[Any]


def output_shapes(
    path: Path, axes: Mapping[str, int], *, weights: Sequence[Path] = ()
) -> dict[str, tuple[int | str, ...]]:
    """The shapes of a graph's outputs where its dynamic axes have these sizes; nothing is computed.

    ONNX Runtime folds the sizes into the graph while it loads it, by ONNX's own rules for shapes. An axis
    that they do not decide keeps its name.

    Args:
        path: the ONNX file.
        axes: name -> size.
        weights: the files beside it, where they may be links.

    Raises:
        GraphError: ONNX Runtime refuses the file.
    """
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC  # folds constants
    for name, size in axes.items():
        options.add_free_dimension_override_by_name(name, size)
    session = _load(path, options, weights)
    return {output.name: tuple(output.shape) for output in session.get_outputs()}


def _load(path: Path, options: ort.SessionOptions, weights: Sequence[Path]) -> ort.InferenceSession:
    try:
        with linked_weights(options, path, weights):
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise GraphError(f"ONNX Runtime cannot load {path.name}: {error}") from error


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = default_threads().count
    options.log_severity_level = 3
    # As the runtime's graph_loader does: what is measured here must be what a bundle computes.
    if products_overflow(ort):
        options.add_session_config_entry(*EXACT_PRODUCTS)
    return options


class GraphRunner:
    """One graph on the CPU."""

    def __init__(self, path: Path, weights: Sequence[Path] = ()) -> None:
        """Load the graph.

        Args:
            path: the ONNX file.
            weights: the files beside it, where they may be links.

        Raises:
            GraphError: ONNX Runtime refuses the file.
        """
        self._name = path.name
        self._session = _load(path, _options(), weights)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.input_shapes = {given.name: tuple(given.shape) for given in self._session.get_inputs()}
        """Sizes, or the names of axes that are dynamic."""
        self._half = {given.name for given in self._session.get_inputs() if given.type == "tensor(float16)"}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; float arrays are rounded to float16 where the graph takes that.

        Raises:
            GraphError: ONNX Runtime failed.
        """
        given = {
            name: value.astype(np.float16) if name in self._half else value for name, value in feeds.items()
        }
        try:
            values = self._session.run(self._outputs, given)
        except Exception as error:
            shapes = ", ".join(f"{name} {list(np.shape(value))}" for name, value in feeds.items())
            raise GraphError(f"ONNX Runtime failed in {self._name} on {shapes}: {error}") from error
        return dict(zip(self._outputs, values, strict=True))
