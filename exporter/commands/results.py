"""What an export prints when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from exporter.commands.console import readable_size

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.parity.report import ParityReport
    from exporter.pipeline.export_checkpoint import ExportResult
    from s2t_runtime.bundles.manifest import Manifest

_ALWAYS: Final = {"float16": "norms and softmax", "int8": "norms, attention and scores"}
"""Base of a precision policy -> what is float32 in every graph."""


def parity_lines(reports: Sequence[ParityReport]) -> list[str]:
    """One line for each precision that was compared; or that none was."""
    if not reports:
        return ["parity: not checked (--no-check); check-s2t does it any time"]
    return [
        f"parity {report.precision}: {report.identical} of {len(report.decodings)} decodings with identical "
        f"tokens, {report.ties} ties, largest score difference {report.worst_score_difference:.1e}"
        + (f"; step by step {report.spelt_steps}" if report.spelt_steps else "")
        for report in reports
    ]


def precision_lines(manifest: Manifest, precisions: Iterable[str]) -> list[str]:
    """What had to stay in float32, beyond what always does."""
    from exporter.precisions.policy import FIXED_BLOCKS  # noqa: PLC0415

    lines = []
    for precision in precisions:
        policy = manifest.graphs[precision].policy
        if policy is None:
            continue
        blocks = [(name, block) for name, block in policy.blocks.items() if name not in FIXED_BLOCKS]
        count = "1 block" if len(blocks) == 1 else f"{len(blocks) or 'no'} blocks"
        lines.append(f"{precision}: {count} in float32 besides {_ALWAYS[policy.base]}")
        lines += [f"  {name}: {block.reason} (+{readable_size(block.extra_bytes)})" for name, block in blocks]
    return lines


def show_result(console: Console, result: ExportResult) -> None:
    """The closing table: files, sizes, parity, licence, and the next command to type."""
    from rich.table import Table  # noqa: PLC0415

    manifest = result.manifest
    table = Table("file", "size", title=f"{result.bundle}", title_justify="left")
    for path, info in sorted(manifest.files.items()):
        table.add_row(path, readable_size(info.size))
    table.add_section()
    table.add_row("in all", readable_size(sum(info.size for info in manifest.files.values())))
    console.print(table)
    written = manifest.decoder.output_vocabulary
    if written is not None:
        console.print(
            f"vocabulary: the decoder writes {written.count:,} of {manifest.decoder.vocab_size:,} tokens",
            highlight=False,
        )
    for line in [*parity_lines(result.parity), *precision_lines(manifest, manifest.graphs)]:
        console.print(line, soft_wrap=True, highlight=False)
    console.print(f"model: {manifest.model.id}, {manifest.model.parameters:,} parameters", highlight=False)
    console.print(f"licence: {manifest.model.licence or 'not stated by the checkpoint'}", highlight=False)
    language = next(iter(sorted(manifest.languages)), None)
    choice = f" --language {language}" if language else ""
    console.print(
        f"next: run-s2t {shlex.quote(str(result.bundle))} AUDIO.wav{choice}", highlight=False, soft_wrap=True
    )
