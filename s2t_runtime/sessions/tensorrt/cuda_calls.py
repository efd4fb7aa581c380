"""CUDA's runtime through cuda-python, with errors raised; the module itself is handed in."""

from __future__ import annotations

from typing import Any

from s2t_runtime.errors import SessionError


class CudaCalls:
    """Calls of CUDA's runtime."""

    def __init__(self, runtime: Any) -> None:
        """Wrap ``cuda.bindings.runtime``."""
        self.runtime = runtime

    def __call__(self, name: str, *arguments: object) -> Any:
        """Call a function; returns what it returns behind the error code.

        Raises:
            SessionError: CUDA reported an error.
        """
        error, *results = getattr(self.runtime, name)(*arguments)
        if error != self.runtime.cudaError_t.cudaSuccess:
            raise SessionError(
                f"CUDA's {name} failed with {error.name} ({self._text(error)}){self._hint(error)}"
            )
        return results[0] if results else None

    def device(self) -> tuple[str, tuple[int, int]]:
        """Name and compute capability of the GPU that this thread uses.

        Raises:
            SessionError: CUDA reported an error.
        """
        index = self("cudaGetDevice")
        names = self.runtime.cudaDeviceAttr
        major = self("cudaDeviceGetAttribute", names.cudaDevAttrComputeCapabilityMajor, index)
        minor = self("cudaDeviceGetAttribute", names.cudaDevAttrComputeCapabilityMinor, index)
        return _decoded(self("cudaGetDeviceProperties", index).name), (int(major), int(minor))

    def _text(self, error: Any) -> str:
        return _decoded(self.runtime.cudaGetErrorString(error)[1])

    def _hint(self, error: Any) -> str:
        if error != self.runtime.cudaError_t.cudaErrorMemoryAllocation:
            return ""
        return (
            ": compile engines for shorter audio, fewer utterances or fewer beams, or free memory of the GPU"
        )


def _decoded(text: object) -> str:
    return text.rstrip(b"\0").decode(errors="replace") if isinstance(text, bytes) else str(text)
