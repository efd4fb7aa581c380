"""Each graph against eager PyTorch, output by output, at shapes that were not traced."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import EncoderDecoderCache

from exporter.eager_reference import EagerEncoding, EagerReference
from exporter.onnx_session import Array, GraphRunner
from exporter.probe_audio import probe_utterance
from graphs import DecoderGeometry
from graphs.cache_layout import tensors_from_cache

RELATIVE_TOLERANCE = {"fp32": 5e-4}
"""Largest difference, as a share of the reference's largest value. fp32 graphs of trained models stay near
1e-6 (small) to 1e-4 (24 layers); a wrong mask, position or layer is off by 1e-1 and more."""


@dataclass
class Differences:
    """Differences of one graph output, gathered over all cases."""

    output: str
    tolerance: float
    values: list[NDArray[np.float64]] = field(default_factory=list)
    scale: float = 0.0
    mismatched_shapes: list[str] = field(default_factory=list)

    def add(self, got: Array, wanted: Array) -> None:
        """Compare one case."""
        if got.shape != wanted.shape:
            self.mismatched_shapes.append(f"{list(got.shape)} for {list(wanted.shape)}")
            return
        mine, theirs = got.astype(np.float64), wanted.astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = np.where(mine == theirs, 0.0, np.abs(mine - theirs))  # equal infinities are equal
        # NaN compares as false everywhere; it must not pass as equal.
        self.values.append(np.where(np.isnan(difference), np.inf, difference).ravel())
        # An infinite scale would let every difference pass.
        finite = np.abs(theirs[np.isfinite(theirs)])
        self.scale = max(self.scale, float(finite.max(initial=0.0)))

    def summary(self) -> GraphRow:
        """Maximum, mean and 99th percentile, and whether they are within tolerance."""
        values = np.concatenate(self.values) if self.values else np.zeros(0)
        worst = float(values.max(initial=0.0))
        limit = self.tolerance * max(self.scale, 1e-3)
        passed = bool(len(values)) and worst <= limit and not self.mismatched_shapes
        return GraphRow(
            output=self.output,
            maximum=worst,
            mean=float(values.mean()) if len(values) else 0.0,
            # Not interpolated: next to an infinite difference that would give NaN.
            percentile_99=float(np.percentile(values, 99, method="lower")) if len(values) else 0.0,
            scale=self.scale,
            limit=limit,
            passed=passed,
            note="; ".join(self.mismatched_shapes),
        )


@dataclass(frozen=True)
class GraphRow:
    """One line of the report: an output's differences over all cases."""

    output: str
    maximum: float
    mean: float
    percentile_99: float
    scale: float
    """Largest magnitude of the reference."""
    limit: float
    """Largest difference allowed."""
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class _Case:
    durations_s: tuple[float, ...]
    """Of each utterance in the padded batch."""
    prompt: int
    beams: int
    steps: int


# Batch sizes, lengths, paddings, beams and past lengths other than those that were traced.
_CASES = (
    _Case((0.7,), prompt=1, beams=5, steps=4),
    _Case((1.9, 0.6, 1.3), prompt=1, beams=1, steps=3),
    _Case((2.6, 1.1), prompt=3, beams=4, steps=2),
    _Case((0.31, 0.31), prompt=2, beams=2, steps=9),
)


def compare_graphs(
    reference: EagerReference, directory: Path, geometry: DecoderGeometry, *, min_samples: int, precision: str
) -> tuple[GraphRow, ...]:
    """Run every case through the three graphs and through eager.

    Args:
        reference: the checkpoint.
        directory: holds the precision's three graphs.
        geometry: of the decoder.
        min_samples: shortest audio; an utterance near it is part of the cases.
        precision: chooses the tolerance.
    """
    comparison = _Comparison(reference, directory, geometry, RELATIVE_TOLERANCE[precision])
    for seed, case in enumerate(_CASES):
        comparison.run(case, seed, min_samples)
    return tuple(differences.summary() for differences in comparison.rows.values())


class _Comparison:
    def __init__(
        self, reference: EagerReference, directory: Path, geometry: DecoderGeometry, tolerance: float
    ) -> None:
        self.reference = reference
        self.geometry = geometry
        self.tolerance = tolerance
        self.encoder = GraphRunner(directory / "encoder.onnx")
        self.first_step = GraphRunner(directory / "decoder_first_step.onnx")
        self.with_past = GraphRunner(directory / "decoder_with_past.onnx")
        self.rows: dict[str, Differences] = {}

    def note(self, output: str, got: Array, wanted: Array) -> None:
        # One row for all layers of a kind: cross_key.0, cross_key.1, ... read as one.
        name = output.split(".", 1)[0]
        self.rows.setdefault(name, Differences(name, self.tolerance)).add(got, wanted)

    def run(self, case: _Case, seed: int, min_samples: int) -> None:
        rate = self.reference.checkpoint.extractor.sampling_rate
        waveforms = [
            probe_utterance(max(duration, min_samples / rate), rate, 10 * seed + row)
            for row, duration in enumerate(case.durations_s)
        ]
        encoding, feeds = self._encode(waveforms)
        self._decode(case, seed, encoding, feeds)

    def _encode(self, waveforms: list[NDArray[np.float32]]) -> tuple[EagerEncoding, dict[str, Array]]:
        encoding = self.reference.encode(waveforms)
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        audio = np.zeros((len(waveforms), int(lengths.max())), dtype=np.float32)
        for row, waveform in enumerate(waveforms):
            audio[row, : len(waveform)] = waveform
        outputs = self.encoder.run({"audio": audio, "audio_lengths": lengths})
        self.note("encoder_states", outputs["encoder_states"], encoding.states.numpy())
        self.note("encoder_mask", outputs["encoder_mask"], encoding.mask.numpy())
        cross = {name: value for name, value in outputs.items() if name.startswith("cross_")}
        wanted = self.reference.cross_keys_values(encoding.states)
        for (name, value), tensor in zip(cross.items(), wanted, strict=True):
            self.note(name, value, tensor.numpy())
        # The decoder graphs get eager's own states, so that differences do not add up.
        exact = {name: tensor.numpy() for name, tensor in zip(cross, wanted, strict=True)}
        return encoding, {"encoder_mask": encoding.mask.numpy(), **exact}

    def _decode(self, case: _Case, seed: int, encoding: EagerEncoding, fixed: dict[str, Array]) -> None:
        generator = torch.Generator().manual_seed(seed)
        batch, vocab = len(case.durations_s), self.geometry.vocab_size
        prompt = torch.randint(vocab, (batch, 1, case.prompt), generator=generator)
        cache = self.reference.new_cache()
        logits = self.reference.decode(prompt[:, 0], encoding, cache)[:, None]
        fixed = {**fixed, "candidates": np.asarray(min(vocab, 7), dtype=np.int64)}
        first = self.first_step.run({**fixed, "input_ids": prompt.numpy()})
        self._compare_step(first, logits, cache)
        # The graph with past, given no past, must do the first step as well.
        rows = np.arange(batch, dtype=np.int64)[:, None]
        empty = np.zeros((batch, self.geometry.heads, 0, self.geometry.head_dim), dtype=np.float32)
        past = dict.fromkeys(_past(first), empty)
        outputs = self.with_past.run({**fixed, **past, "input_ids": prompt.numpy(), "beam_index": rows})
        self._compare_step(outputs, logits, cache)
        wide = encoding.repeated(case.beams)
        beam_index = rows.repeat(case.beams, axis=1)
        for _ in range(case.steps):
            tokens = torch.randint(vocab, (batch, case.beams, 1), generator=generator)
            cache.reorder_cache(torch.LongTensor(beam_index.ravel()))
            logits = self.reference.decode(tokens.reshape(-1, 1), wide, cache).reshape(
                batch, case.beams, vocab
            )
            feeds = {**fixed, **_past(outputs), "input_ids": tokens.numpy(), "beam_index": beam_index}
            outputs = self.with_past.run(feeds)
            self._compare_step(outputs, logits, cache)
            order = torch.randint(case.beams, (batch, case.beams), generator=generator).numpy()
            beam_index = rows * case.beams + order

    def _compare_step(
        self, outputs: dict[str, Array], logits: torch.Tensor, cache: EncoderDecoderCache
    ) -> None:
        self.note("logits", outputs["logits"], logits.numpy())
        log_probs = torch.log_softmax(logits, -1)
        count = outputs["candidate_ids"].shape[-1]
        self.note("candidate_log_probs", outputs["candidate_log_probs"], log_probs.topk(count).values.numpy())
        # Near ties may swap ids, so each candidate is held to eager's log-probability of its own id.
        chosen = log_probs.gather(-1, torch.from_numpy(outputs["candidate_ids"]))
        self.note("candidate_ids", outputs["candidate_log_probs"], chosen.numpy())
        present = [value for name, value in outputs.items() if name.startswith("present_")]
        names = [name for name in outputs if name.startswith("present_")]
        wanted = tensors_from_cache(cache.self_attention_cache)
        for name, value, tensor in zip(names, present, wanted, strict=True):
            self.note(name, value, tensor.numpy())


def _past(outputs: dict[str, Array]) -> dict[str, Array]:
    """One step's present keys and values as the next one's past."""
    return {
        name.replace("present_", "past_"): value
        for name, value in outputs.items()
        if name.startswith("present_")
    }
