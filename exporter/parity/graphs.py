"""Each graph against eager PyTorch, output by output, at shapes that were not traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EncoderDecoderCache

from exporter.onnx.session import Array, GraphRunner
from exporter.parity.differences import RELATIVE_TOLERANCE, Differences, GraphRow
from exporter.reference.eager import EagerEncoding, EagerReference
from exporter.reference.own_spread import own_spread
from exporter.reference.probe_audio import probe_utterance
from graphs import DecoderGeometry
from graphs.cache_layout import tensors_from_cache


@dataclass(frozen=True)
class _Case:
    durations_s: tuple[float, ...]
    """Of each utterance in the padded batch."""
    prompt_length: int
    beams: int
    steps: int


# Batch sizes, lengths, paddings, beams and past lengths other than those that were traced.
_CASES = (
    _Case((0.7,), prompt_length=1, beams=5, steps=4),
    _Case((1.9, 0.6, 1.3), prompt_length=1, beams=1, steps=3),
    _Case((2.6, 1.1), prompt_length=3, beams=4, steps=2),
    _Case((0.31, 0.31), prompt_length=2, beams=2, steps=9),
)


def compare_graphs(
    reference: EagerReference,
    directory: Path,
    geometry: DecoderGeometry,
    *,
    min_samples: int,
    precision: str,
    weights: Sequence[Path] = (),
) -> tuple[GraphRow, ...]:
    """Run every case through the three graphs and through eager.

    Args:
        reference: the checkpoint.
        directory: holds the precision's three graphs.
        geometry: of the decoder.
        min_samples: shortest audio; an utterance near it is part of the cases.
        precision: chooses the tolerance.
        weights: the files beside the graphs, where they may be links.
    """
    comparison = _Comparison(reference, geometry, RELATIVE_TOLERANCE[precision], weights)
    cases = comparison.encode(directory / "encoder.onnx", min_samples)
    comparison.first_steps(directory / "decoder_first_step.onnx", cases)
    comparison.steps_with_past(directory / "decoder_with_past.onnx", cases)
    return tuple(differences.summary() for differences in comparison.rows.values())


@dataclass(frozen=True)
class _Encoded:
    """A case behind the encoder: what both decoders start from, and eager's first step."""

    case: _Case
    encoding: EagerEncoding
    feeds: dict[str, Array]
    """Encoder mask, cross keys and values, candidates: the same in every step."""
    prompt: Tensor
    logits: Tensor
    """float32 [batch, 1, columns], eager's for the prompt."""
    cache: EncoderDecoderCache
    """Eager's after the prompt."""
    generator: torch.Generator


class _Comparison:
    """One graph is loaded at a time: three at once would need the memory of several models."""

    def __init__(
        self, reference: EagerReference, geometry: DecoderGeometry, tolerance: float, weights: Sequence[Path]
    ) -> None:
        self.weights = weights
        self.reference = reference
        self.geometry = geometry
        self.tolerance = tolerance
        self.rows: dict[str, Differences] = {}

    def note(self, output: str, got: Array, wanted: Array, own: Array | None = None) -> None:
        # One row for all layers of a kind: cross_key.0, cross_key.1, ... read as one.
        name = output.split(".", 1)[0]
        self.rows.setdefault(name, Differences(name, self.tolerance)).add(got, wanted, own)

    def encode(self, path: Path, min_samples: int) -> list[_Encoded]:
        """Compare the encoder graph on every case."""
        graph = GraphRunner(path, self.weights)
        return [self._encode_case(graph, case, seed, min_samples) for seed, case in enumerate(_CASES)]

    def first_steps(self, path: Path, cases: Sequence[_Encoded]) -> None:
        """Compare the prompt's step of the first-step graph."""
        graph = GraphRunner(path, self.weights)
        for case in cases:
            outputs = graph.run({**case.feeds, "input_ids": case.prompt.numpy()})
            self._compare_step(outputs, case.logits, case.cache)

    def steps_with_past(self, path: Path, cases: Sequence[_Encoded]) -> None:
        """Compare the graph with past: the prompt's step, given no past, and those that follow."""
        graph = GraphRunner(path, self.weights)
        for case in cases:
            self._steps(graph, case)

    def _encode_case(self, graph: GraphRunner, case: _Case, seed: int, min_samples: int) -> _Encoded:
        rate = self.reference.checkpoint.extractor.sampling_rate
        waveforms = [
            probe_utterance(max(duration, min_samples / rate), rate, 10 * seed + row)
            for row, duration in enumerate(case.durations_s)
        ]
        encoding = self.reference.encode(waveforms)
        outputs = graph.run(_padded(waveforms))
        cross = {name: value for name, value in outputs.items() if name.startswith("cross_")}
        wanted = self.reference.cross_keys_values(encoding.states)
        own, own_cross = self._own(waveforms, encoding, outputs["encoder_states"])
        self.note("encoder_states", outputs["encoder_states"], encoding.states.numpy(), own)
        self.note("encoder_mask", outputs["encoder_mask"], encoding.mask.numpy())
        for (name, value), tensor, spread in zip(cross.items(), wanted, own_cross, strict=True):
            self.note(name, value, tensor.numpy(), spread)
        # The decoder graphs get eager's own states, so that differences do not add up.
        exact = {name: tensor.numpy() for name, tensor in zip(cross, wanted, strict=True)}
        generator, vocab = torch.Generator().manual_seed(seed), self.geometry.vocab_size
        prompt = torch.randint(vocab, (len(waveforms), 1, case.prompt_length), generator=generator)
        prompt[0, 0, : case.prompt_length - 1] = self._padding(prompt)
        cache = self.reference.new_cache()
        logits = self.reference.decode(prompt[:, 0], encoding, cache)[:, None]
        count = np.asarray(min(logits.shape[-1], 7), dtype=np.int64)
        feeds = {**exact, "encoder_mask": encoding.mask.numpy(), "candidates": count}
        return _Encoded(case, encoding, feeds, prompt, logits, cache, generator)

    def _own(
        self, waveforms: Sequence[NDArray[np.float32]], encoding: EagerEncoding, states: Array
    ) -> tuple[Array | None, Sequence[Array | None]]:
        """Eager's own spread, where the graph is further from it than an ordinary model's would be: it takes time."""
        wanted = encoding.states.numpy()
        if (
            states.shape != wanted.shape
            or np.abs(states - wanted).max() <= self.tolerance * np.abs(wanted).max()
        ):
            return None, [None] * (2 * self.geometry.layers)
        own, cross = own_spread(self.reference, waveforms, encoding)
        return own.numpy(), [tensor.numpy() for tensor in cross]

    def _steps(self, graph: GraphRunner, encoded: _Encoded) -> None:
        case, cache = encoded.case, encoded.cache
        batch, vocab = len(case.durations_s), self.geometry.vocab_size
        rows = np.arange(batch, dtype=np.int64)[:, None]
        empty = np.zeros((batch, self.geometry.heads, 0, self.geometry.head_dim), dtype=np.float32)
        past = dict.fromkeys(_past_names(self.geometry), empty)
        feeds = {**encoded.feeds, **past, "input_ids": encoded.prompt.numpy(), "beam_index": rows}
        outputs = graph.run(feeds)
        self._compare_step(outputs, encoded.logits, cache)
        wide = encoded.encoding.repeated(case.beams)
        beam_index = rows.repeat(case.beams, axis=1)
        for _ in range(case.steps):
            tokens = torch.randint(vocab, (batch, case.beams, 1), generator=encoded.generator)
            tokens[0, -1] = self._padding(tokens)
            cache.reorder_cache(torch.LongTensor(beam_index.ravel()))
            logits = self.reference.decode(tokens.reshape(-1, 1), wide, cache)
            feeds = {
                **encoded.feeds,
                **_past(outputs),
                "input_ids": tokens.numpy(),
                "beam_index": beam_index,
            }
            outputs = graph.run(feeds)
            self._compare_step(outputs, logits.reshape(batch, case.beams, -1), cache)
            order = torch.randint(case.beams, (batch, case.beams), generator=encoded.generator).numpy()
            beam_index = rows * case.beams + order

    def _padding(self, tokens: Tensor) -> int:
        """The decoder's padding token, which some give no position; another token where it has none."""
        padding = self.reference.model.config.decoder.pad_token_id
        has_one = padding is not None and 0 <= padding < self.geometry.vocab_size
        return int(padding if has_one else tokens.flatten()[0])

    def _compare_step(
        self, outputs: dict[str, Array], logits: torch.Tensor, cache: EncoderDecoderCache
    ) -> None:
        self.note("logits", outputs["logits"], logits.numpy())
        log_probs = torch.log_softmax(logits, -1)
        count = outputs["candidate_ids"].shape[-1]
        self.note("candidate_log_probs", outputs["candidate_log_probs"], log_probs.topk(count).values.numpy())
        # Near ties may swap ids, so each candidate is held to eager's log-probability of its own id.
        chosen = self.reference.of_tokens(log_probs, torch.from_numpy(outputs["candidate_ids"]))
        self.note("candidate_ids", outputs["candidate_log_probs"], chosen.numpy())
        present = [value for name, value in outputs.items() if name.startswith("present_")]
        names = [name for name in outputs if name.startswith("present_")]
        wanted = tensors_from_cache(cache.self_attention_cache)
        for name, value, tensor in zip(names, present, wanted, strict=True):
            self.note(name, value, tensor.numpy())


def _padded(waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Array]:
    lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    audio = np.zeros((len(waveforms), int(lengths.max())), dtype=np.float32)
    for row, waveform in enumerate(waveforms):
        audio[row, : len(waveform)] = waveform
    return {"audio": audio, "audio_lengths": lengths}


def _past_names(geometry: DecoderGeometry) -> list[str]:
    return [f"past_{kind}.{layer}" for layer in range(geometry.layers) for kind in ("key", "value")]


def _past(outputs: dict[str, Array]) -> dict[str, Array]:
    """One step's present keys and values as the next one's past."""
    return {
        name.replace("present_", "past_"): value
        for name, value in outputs.items()
        if name.startswith("present_")
    }
