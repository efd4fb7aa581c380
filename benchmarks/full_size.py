"""What a model of the real size costs to export and to load: time, peak memory, bytes on disk, parity.

    python -m benchmarks.full_size CONFIG_DIRECTORY [--vocab-tokens IDS] [--output FIGURES.json]

Random weights of the exact geometry stand in for the download. Export and loading run in processes of
their own, so that neither's memory is counted for the other. A folder of 3 GB is written and removed.
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
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.process_memory import process_memory

if TYPE_CHECKING:
    from s2t_runtime import SpeechToText

_MODULE = "benchmarks.full_size"
_BYTES_PER_WEIGHT = 4
_UTTERANCES = 10
_NEW_TOKENS = 20
_SECONDS = (1.6, 3.1)
_BEAMS = 5


@dataclass(frozen=True)
class LoadFigures:
    """One process that loads a bundle and decodes ten utterances."""

    load_s: float
    """Until the sessions are ready."""
    anonymous_bytes: int
    """RssAnon after the last utterance: memory that no file stands behind."""
    resident_bytes: int
    """VmRSS after the last utterance, mapped files included."""
    decode_s: float
    """All utterances, five beams, twenty tokens each."""
    step_s: float
    """Median over the utterances of a decoder step's mean time, the search's included, the first step's not."""


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


def load_and_decode(bundle: Path) -> LoadFigures:
    """Load a bundle and decode in a process of its own."""
    command = [sys.executable, "-m", _MODULE, "--stage", "load", str(bundle), str(bundle)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return LoadFigures(**json.loads(done.stdout))


def _peak_of(command: list[str]) -> int:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise click.ClickException(f"{' '.join(command[1:])} failed; its own message stands above")
    return usage.ru_maxrss * 1024


def _export_stage(config: Path, bundle: Path, vocab_tokens: Path | None) -> None:
    from exporter import ExportOptions, export_checkpoint  # noqa: PLC0415 - only this process needs torch
    from exporter.sources import RandomWeightsSource  # noqa: PLC0415

    options = ExportOptions(output=bundle, vocab_tokens=vocab_tokens)
    result = export_checkpoint(RandomWeightsSource(str(config)), options)
    (bundle.parent / "stages.json").write_text(json.dumps(result.stage_times_s), encoding="utf-8")


def _load_stage(bundle: Path) -> None:
    import s2t_runtime  # noqa: PLC0415 - its import counts as loading

    _warm_page_cache(bundle)
    started_s = time.perf_counter()
    with s2t_runtime.load(bundle) as model:
        load_s = time.perf_counter() - started_s
        rate = model.manifest.audio.sampling_rate
        generator = np.random.default_rng(0)
        steps_s = []
        started_s = time.perf_counter()
        for number in range(_UTTERANCES):
            samples = generator.standard_normal(round(_SECONDS[number % 2] * rate)).astype(np.float32)
            steps_s.append(_step_s(model, 0.1 * samples, rate))
        decode_s = time.perf_counter() - started_s
        memory = process_memory()
    figures = LoadFigures(load_s, memory["RssAnon"], memory["VmRSS"], decode_s, float(np.median(steps_s)))
    click.echo(json.dumps(dataclasses.asdict(figures)))


def _step_s(model: SpeechToText, samples: NDArray[np.float32], rate: int) -> float:
    """Decode, and return the mean time of a step, search included, from the second to the last but one."""
    asked_s: list[float] = []

    def go_on() -> bool:
        asked_s.append(time.perf_counter())
        return False

    model.generate(
        samples,
        sampling_rate=rate,
        num_beams=_BEAMS,
        min_new_tokens=_NEW_TOKENS,
        max_new_tokens=_NEW_TOKENS,
        stop=go_on,  # asked before each step but the first
    )
    return (asked_s[-1] - asked_s[0]) / (len(asked_s) - 1)


def _warm_page_cache(bundle: Path) -> None:
    for path in sorted((bundle / "fp32").iterdir()):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


@click.command()
@click.argument("config", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--stage", type=click.Choice(["export", "load"]), hidden=True)
@click.option(
    "--vocab-tokens",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Let the decoder write these token ids only, as export-s2t does; `seq 30000` makes a list.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(
    config: Path, bundle: Path | None, stage: str | None, vocab_tokens: Path | None, output: Path | None
) -> None:
    """Measure export and loading of random weights with the geometry of CONFIG, a directory with config.json."""
    if stage is not None and bundle is not None:
        _export_stage(config, bundle, vocab_tokens) if stage == "export" else _load_stage(bundle)
        return
    with tempfile.TemporaryDirectory() as directory:
        target = bundle or Path(directory) / "bundle"
        exported = export_random(config, target, vocab_tokens)
        loaded = load_and_decode(target)
    figures = {"export": dataclasses.asdict(exported), "load": dataclasses.asdict(loaded)}
    text = json.dumps(figures, indent=2)
    click.echo(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
