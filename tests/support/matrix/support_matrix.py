"""make matrix: every encoder variant with every decoder family, decoded and compared with eager generate().

Tiny random weights. Encoders and decoders are exported once each; a pair's encoder graph is the encoder's with
the decoder's cross projections behind it. A pair's result is one JSON line, so that an interrupted run goes on
where it stopped, and shards (``--shard 1/4``) may run side by side. Last, docs/support.md is written.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnx.compose
import onnx_ir as ir
import torch
from filelock import FileLock
from support.graphs.comparison import utterances
from support.matrix.support_page import Result, read_results, render
from support.places import ROOT
from support.reference.double import DoubleReference
from support.tiny import models as tiny_models
from support.tiny.decoders import FAMILIES, tiny_decoder
from support.tiny.encoders import ENCODERS, SAMPLING_RATE
from support.tiny.models import Once, Pair
from torch import Tensor, nn

import s2t_runtime
from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.onnx.export import onnx_from_graph
from exporter.onnx.graph_exports import GraphExport
from exporter.parity.check import allowance_for
from exporter.reference.audio_limits import min_samples
from exporter.reference.eager import EagerHypotheses, EagerReference
from exporter.versions import installed_version
from graphs import (
    EncoderGraph,
    GraphSignature,
    TensorSpec,
    attention_implementation,
    decoder_geometry,
    encoder_state_width,
    find_cross_attention,
    traceable,
)
from graphs.signature import cross_specs

PACKAGES = ("transformers", "torch", "onnx", "onnxscript", "onnxruntime")
GAINS = (1.0, 1.5, 2.0)
"""Of the encoders in turns: what amplifies rounding errors would hide a fault, or look like one."""
SPOKEN_S = (0.2, 0.05, 0.13, 0.31)
OPTIONS = {"max_new_tokens": 12, "no_repeat_ngram_size": 2}


def pairs() -> list[Pair]:
    """The whole product, in the order in which it is run: one that is stopped early has seen everything."""
    decoders = list(FAMILIES)
    return [
        Pair(
            encoder,
            decoders[(number + shift) % len(decoders)],
            return_attention_mask=number % 3 > 0,
            gain=GAINS[number // 3 % len(GAINS)],
        )
        for shift in range(len(decoders))
        for number, encoder in enumerate(ENCODERS)
    ]


def once_in(directory: Path) -> Once:
    """``once(name, make)``: what ``make(path)`` filled earlier, in this run or another, is kept."""

    def get(name: str, make: Callable[[Path], None]) -> Path:
        path, done = directory / name, directory / f"{name}.done"
        with FileLock(directory / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)
                make(path)
                done.touch()
        return path

    return get


class CrossProjections(nn.Module):
    """The encoder graph's last part alone: encoder states -> cross keys and values."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, states: Tensor) -> tuple[Tensor, ...]:
        return tuple(EncoderGraph.cross_keys_values(self, states))  # type: ignore[arg-type]


def cross_projections(once: Once, name: str) -> Path:
    """Directory with the decoder's cross.onnx."""

    def make(path: Path) -> None:
        path.mkdir()
        decoder = tiny_decoder(name)
        width = encoder_state_width(decoder.config)
        states = TensorSpec("encoder_states", "float32", ("batch", "frames", width))
        export = GraphExport(
            GraphSignature("cross", (states,), cross_specs(decoder_geometry(decoder))),
            CrossProjections(decoder).eval(),
            (torch.randn((2, 5, width)),),
            {"states": {0: "batch", 1: "frames"}},
        )
        with attention_implementation(decoder, "eager"), traceable(decoder):
            ir.save(onnx_from_graph(export), path / "cross.onnx")

    return once(f"cross-{name}", make)


def join(encoder: Path, cross: Path, target: Path) -> None:
    """Put the cross projections of another decoder behind an encoder graph."""
    whole = onnx.load(encoder)
    kept = [output.name for output in whole.graph.output if not output.name.startswith("cross_")]
    # The encoder graph was exported with the projections of one decoder, which go.
    model = onnx.utils.Extractor(whole).extract_model([value.name for value in whole.graph.input], kept)
    behind = onnx.compose.add_prefix(onnx.load(cross), "behind/", rename_inputs=False, rename_outputs=False)
    model.graph.node.extend(behind.graph.node)
    model.graph.initializer.extend(behind.graph.initializer)
    model.graph.output.extend(behind.graph.output)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def bundle(once: Once, pair: Pair, path: Path) -> Any:
    """Write a bundle of the pair; returns its checkpoint."""
    pair.save(path / "checkpoint")
    checkpoint = load_checkpoint(locate_checkpoint(str(path / "checkpoint")))
    first = dataclasses.replace(pair, decoder="bart")
    shutil.copytree(tiny_models.decoder_graphs(once, pair.decoder), path / "bundle" / "fp32")
    join(
        tiny_models.encoder_graph(once, first) / "encoder.onnx",
        cross_projections(once, pair.decoder) / "cross.onnx",
        path / "bundle" / "fp32" / "encoder.onnx",
    )
    tiny_models._complete_bundle(checkpoint, path / "bundle")
    return checkpoint


def run_pair(once: Once, pair: Pair) -> Result:
    """Decode with one beam and three, alone and as a padded batch, at lengths that were not traced."""
    result = Result(
        pair.encoder, pair.decoder, find_cross_attention(tiny_decoder(pair.decoder)).mode, versions()
    )
    with tempfile.TemporaryDirectory() as directory:
        try:
            checkpoint = bundle(once, pair, Path(directory))
            result = dataclasses.replace(result, allowed_score_difference=allowance_for(checkpoint).score)
            reference = EagerReference(checkpoint)
            shortest = min_samples(checkpoint) / SAMPLING_RATE
            spoken = utterances(*(max(duration, shortest) for duration in SPOKEN_S), seed=40)
            with s2t_runtime.load(Path(directory) / "bundle", threads=1) as model:
                for beams in (1, 3):
                    options = {"num_beams": beams, "num_return_sequences": beams, **OPTIONS}
                    result = _compare(result, reference, model, spoken, options)
        except Exception as error:  # noqa: BLE001 - a pair that fails must not stop the others
            return result.failed(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return result


def eager_rounding(reference: EagerReference, samples: Any, wanted: EagerHypotheses) -> float:
    """How far eager's own scores are from those that it gives in float64."""
    exact = DoubleReference(reference)
    return max(
        abs(score - exact.log_probability(samples, tokens, 1) / (len(tokens) - 1))
        for tokens, score in zip(wanted.tokens, wanted.scores, strict=True)
    )


def _compare(result: Result, reference: Any, model: Any, spoken: Any, options: Mapping[str, Any]) -> Result:
    expected = [reference.generate([samples], **options)[0] for samples in spoken]
    alone = [model.generate(samples, sampling_rate=SAMPLING_RATE, **options) for samples in spoken]
    together = model.generate(spoken, sampling_rate=SAMPLING_RATE, **options)
    for samples, wanted, single, batched in zip(spoken, expected, alone, together, strict=True):
        for got in (single, batched):
            same = [hypothesis.tokens for hypothesis in got.hypotheses] == list(wanted.tokens)
            scores = np.array([hypothesis.score for hypothesis in got.hypotheses])
            difference = float(np.abs(scores - np.array(wanted.scores)).max()) if same else 0.0
            result = result.with_decoding(identical=same, score_difference=difference)
            if difference > result.allowed_score_difference:
                result = result.with_rounding(eager_rounding(reference, samples, wanted))
    return result


def versions() -> dict[str, str]:
    return {name: installed_version(name) or "unknown" for name in PACKAGES}


def share(all_pairs: list[Pair], shard: str) -> list[Pair]:
    """Every n-th pair, from the i-th on, for ``i/n``."""
    try:
        number, count = (int(part) for part in shard.split("/"))
    except ValueError:
        number, count = 0, 0
    if not 1 <= number <= count:
        raise click.BadParameter(f"{shard!r} is no shard: give i/n, for example 2/4 for the second of four")
    return all_pairs[number - 1 :: count]


def still_to_run(wanted: list[Pair], done: Mapping[tuple[str, str], Result]) -> Iterator[Pair]:
    """Those that have no result under the installed versions."""
    current = versions()
    for pair in wanted:
        result = done.get((pair.encoder, pair.decoder))
        if result is None or result.error or result.versions != current:
            yield pair


@click.command()
@click.option("--shard", default="1/1", help="i/n: run every n-th pair, from the i-th on.")
@click.option("--directory", type=click.Path(path_type=Path), default=ROOT / "build" / "support-matrix")
@click.option("--page", type=click.Path(path_type=Path), default=ROOT / "docs" / "support.md")
@click.option("--at-most", type=int, default=None, help="Stop after so many pairs.")
def main(shard: str, directory: Path, page: Path, at_most: int | None) -> None:
    """Run what has no result yet and write the page."""
    torch.set_num_threads(1)
    (directory / "parts").mkdir(parents=True, exist_ok=True)
    results = directory / f"results-{shard.replace('/', '-of-')}.jsonl"
    once = once_in(directory / "parts")
    todo = list(still_to_run(share(pairs(), shard), read_results(directory)))[:at_most]
    for number, pair in enumerate(todo, 1):
        result = run_pair(once, pair)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result.record()) + "\n")
        click.echo(f"{number}/{len(todo)} {pair.encoder} {pair.decoder}: {result.cell()}")
    found = read_results(directory)
    page.write_text(render(list(ENCODERS.items()), list(FAMILIES), found), encoding="utf-8")
    failed = [key for key, result in found.items() if not result.passed]
    if failed:
        click.echo("failed: " + ", ".join(f"{encoder} {decoder}" for encoder, decoder in failed), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
