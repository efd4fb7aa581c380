"""What a model of the real size costs to export: time, peak memory, bytes on disk, parity.

    python -m benchmarks.full_size CONFIG_DIRECTORY [BUNDLE] [--vocab-tokens IDS] [--output FIGURES.json]

Random weights of the exact geometry stand in for the download. The export runs in a process of its own. A folder of
3 GB is written, and removed unless BUNDLE says where it stays; what it costs to load and to run it is bench-s2t's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

_MODULE = "benchmarks.full_size"
_BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class ExportFigures:
    """One export, parity check included."""

    export_s: float
    peak_bytes: int
    """Largest resident set of the exporting process."""
    parameters: int
    graph_bytes: int
    """The fp32 folder."""
    written_tokens: int
    """That the decoder can write: columns of its logits."""
    decodings: int
    identical: int
    ties: int
    worst_score_difference: float
    stages_s: dict[str, float]

    @property
    def weight_bytes(self) -> int:
        """Of the checkpoint's parameters in float32."""
        return _BYTES_PER_WEIGHT * self.parameters


def export_random(config: Path, bundle: Path, vocab_tokens: Path | None = None) -> ExportFigures:
    """Export random weights of a geometry in a process of its own, with all tokens or those of a list."""
    started_s = time.perf_counter()
    listed = [] if vocab_tokens is None else ["--vocab-tokens", str(vocab_tokens)]
    peak = _peak_of([sys.executable, "-m", _MODULE, "--stage", "export", *listed, str(config), str(bundle)])
    export_s = time.perf_counter() - started_s
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (parity,) = json.loads((bundle / "parity.json").read_text(encoding="utf-8"))
    decodings = parity["decodings"]
    return ExportFigures(
        export_s=export_s,
        peak_bytes=peak,
        parameters=manifest["model"]["parameters"],
        graph_bytes=sum(path.stat().st_size for path in (bundle / "fp32").iterdir()),
        written_tokens=parity["written_tokens"] or manifest["decoder"]["vocab_size"],
        decodings=decodings["compared"],
        identical=decodings["identical_tokens"],
        ties=decodings["ties"],
        worst_score_difference=decodings["worst_score_difference"],
        stages_s=json.loads((bundle.parent / "stages.json").read_text(encoding="utf-8")),
    )


def _peak_of(command: list[str]) -> int:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise click.ClickException(f"{' '.join(command[1:])} failed; its own message stands above")
    return usage.ru_maxrss * 1024


def _export_stage(config: Path, bundle: Path, vocab_tokens: Path | None) -> None:
    from exporter import ExportOptions, export_checkpoint  # noqa: PLC0415 - only this process needs torch
    from exporter.checkpoints.sources.kinds import RandomWeightsSource  # noqa: PLC0415

    options = ExportOptions(output=bundle, vocab_tokens=vocab_tokens)
    result = export_checkpoint(RandomWeightsSource(str(config)), options)
    (bundle.parent / "stages.json").write_text(json.dumps(result.stage_times_s), encoding="utf-8")


@click.command()
@click.argument("config", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--stage", type=click.Choice(["export"]), hidden=True)
@click.option(
    "--vocab-tokens",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Let the decoder write these token ids only, as export-s2t does; `seq 30000` makes a list.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(
    config: Path, bundle: Path | None, stage: str | None, vocab_tokens: Path | None, output: Path | None
) -> None:
    """Measure the export of random weights with the geometry of CONFIG, a directory with config.json."""
    if stage is not None and bundle is not None:
        _export_stage(config, bundle, vocab_tokens)
        return
    with tempfile.TemporaryDirectory() as directory:
        exported = export_random(config, bundle or Path(directory) / "bundle", vocab_tokens)
    text = json.dumps(dataclasses.asdict(exported), indent=2)
    click.echo(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
