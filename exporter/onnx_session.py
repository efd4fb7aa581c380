"""The only exporter file that imports onnxruntime: runs one graph on numpy arrays, to compare it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporter.errors import GraphError

Array = NDArray[Any]


class GraphRunner:
    """One graph on the CPU."""

    def __init__(self, path: Path) -> None:
        """Load the graph.

        Raises:
            GraphError: ONNX Runtime refuses the file.
        """
        self._name = path.name
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise GraphError(f"ONNX Runtime cannot load {path.name}: {error}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name.

        Raises:
            GraphError: ONNX Runtime failed.
        """
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except Exception as error:
            shapes = ", ".join(f"{name} {list(np.shape(value))}" for name, value in feeds.items())
            raise GraphError(f"ONNX Runtime failed in {self._name} on {shapes}: {error}") from error
        return dict(zip(self._outputs, values, strict=True))
