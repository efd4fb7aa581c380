"""HOW: checkpoint -> bundle; precisions; parity.

from pathlib import Path
from exporter import ExportOptions, export_checkpoint

export_checkpoint("facebook/wav2vec2-xls-r-300m-en-to-15", ExportOptions(output=Path("bundle")))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.options import ExportOptions
    from exporter.pipeline.export_checkpoint import ExportResult, export_checkpoint

__all__ = ["ExportOptions", "ExportResult", "export_checkpoint"]


def __getattr__(name: str) -> object:
    """Import on first use: the commands' --help must not wait for torch."""
    if name == "ExportOptions":
        from exporter.options import ExportOptions  # noqa: PLC0415

        return ExportOptions
    if name in {"ExportResult", "export_checkpoint"}:
        from exporter.pipeline import export_checkpoint as pipeline  # noqa: PLC0415# noqa: PLC0415

        return getattr(pipeline, name)
    raise AttributeError(f"module 'exporter' has no attribute {name!r}")
