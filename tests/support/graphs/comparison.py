"""Graphs against eager PyTorch, for ONNX files and for the torch modules behind them alike.

A decoder's reference sees each row's whole history at once, with a cache of its own: nothing of the
graphs' caches, beam orders and positions can hide in it. Where padding tokens are decoded it sees the
history in the same steps instead, as generate() would: RoBERTa's positions depend on that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from support.tiny.decoders import VOCAB
from support.tiny.encoders import SAMPLING_RATE

from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance
from graphs import (
    DecoderGeometry,
    EncoderGraph,
    FirstStepGraph,
    WithPastGraph,
    attention_implementation,
    decoder_geometry,
    encoder_state_width,
    find_cross_attention,
    traceable,
)
from graphs.cache_layout import empty_cache, tensors_from_cache

Array = NDArray[Any]
Feeds = Mapping[str, Array]
Run = Callable[[Feeds], dict[str, Array]]
Differences = dict[str, float]

TOLERANCE = 1e-4
"""Relative to each output's largest value; float32 stays below it, planted bugs are above 1e-2."""


@dataclass(frozen=True)
class Case:
    """A decoding: its beams and new tokens step by step."""

    batch: int
    prompt: int
    beams: tuple[int, ...]
    new: int = 1
    candidates: int = 7
    padding: bool = False
    """Some of the tokens are the decoder's padding token."""


# Traced were 2 utterances, 3 beams, 4 new tokens and 6 cached ones.
CASES = {
    "alone": Case(batch=1, prompt=1, beams=(1,) * 12, candidates=1),
    "alone-prompt-beams": Case(batch=1, prompt=3, beams=(5,) * 6, candidates=VOCAB),
    "batch-greedy": Case(batch=3, prompt=3, beams=(1,) * 4),
    "batch-beams": Case(batch=3, prompt=1, beams=(2,) * 9),
    "batch-of-changing-beams": Case(batch=3, prompt=1, beams=(4, 4, 5, 3, 1, 2)),
    "several-new-tokens": Case(batch=2, prompt=2, beams=(3, 3, 3), new=2),
    "padding-tokens": Case(batch=3, prompt=4, beams=(3, 1, 3, 2), new=3, padding=True),
}


@dataclass
class _Worst:
    """The largest relative difference of each output so far; all layers of a kind count as one."""

    values: Differences = field(default_factory=dict)

    def add(self, name: str, got: Array, wanted: Array) -> None:
        assert got.shape == wanted.shape, f"{name} has shape {got.shape}; eager's is {wanted.shape}"
        assert got.dtype == wanted.dtype, f"{name} is {got.dtype}; eager's is {wanted.dtype}"
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
        scale = max(1.0, float(np.abs(wanted.astype(np.float64)).max(initial=0.0)))
        kind = name.split(".", 1)[0]
        worst = float(difference) / scale if np.isfinite(difference) else np.inf
        self.values[kind] = max(self.values.get(kind, 0.0), worst)


def compare_decoder(decoder: Any, first_step: Run, with_past: Run, case: Case, seed: int = 0) -> Differences:
    """One decoding through both graphs, with random states, tokens and beam orders."""
    comparison = _DecoderComparison(decoder, case, torch.Generator().manual_seed(seed))
    comparison.first_step(first_step, with_past)
    for beams in case.beams:
        comparison.step(with_past, beams)
    return comparison.worst.values


class _DecoderComparison:
    def __init__(self, decoder: Any, case: Case, generator: torch.Generator) -> None:
        self.decoder, self.case, self.generator = decoder, case, generator
        self.geometry = decoder_geometry(decoder)
        self.worst = _Worst()
        lengths = torch.arange(case.batch) * 4 + 3
        frames = int(lengths.max()) + (2 if case.batch > 1 else 0)  # even the longest row is padded
        width = encoder_state_width(decoder.config)
        self.states = torch.randn((case.batch, frames, width), generator=generator) * 1.5
        self.mask = torch.arange(frames)[None, :] < lengths[:, None]
        cache = empty_cache()
        self._eager_pass(torch.zeros((case.batch, 1), dtype=torch.long), self.states, self.mask, cache)
        cross = zip(cross_names(self.geometry), tensors_from_cache(cache.cross_attention_cache), strict=True)
        self.fixed: dict[str, Array] = {
            "encoder_mask": self.mask.numpy(),
            "candidates": np.asarray(case.candidates, dtype=np.int64),
            **{name: tensor.contiguous().numpy() for name, tensor in cross},
        }
        self.histories = self._tokens(case.batch, case.prompt)
        self.steps = [case.prompt]
        self.outputs: dict[str, Array] = {}
        self.previous_beams = 1

    def first_step(self, first_step: Run, with_past: Run) -> None:
        batch, geometry = self.case.batch, self.geometry
        prompt = self.histories.reshape(batch, 1, -1).numpy()
        self._compare(first_step({**self.fixed, "input_ids": prompt}), 1)
        empty = np.zeros((batch, geometry.heads, 0, geometry.head_dim), dtype=np.float32)
        feeds = {
            **self.fixed,
            "input_ids": prompt,
            "beam_index": np.arange(batch, dtype=np.int64)[:, None],
            **dict.fromkeys(past_names(geometry), empty),
        }
        self.outputs = with_past(feeds)
        self._compare(self.outputs, 1)

    def step(self, with_past: Run, beams: int) -> None:
        batch = self.case.batch
        order = torch.randint(self.previous_beams, (batch, beams), generator=self.generator)
        beam_index = order + torch.arange(batch)[:, None] * self.previous_beams
        tokens = self._tokens(batch * beams, self.case.new)
        self.histories = torch.cat((self.histories[beam_index.reshape(-1)], tokens), dim=1)
        self.steps.append(self.case.new)
        past = {
            name.replace("present_", "past_"): value
            for name, value in self.outputs.items()
            if "present" in name
        }
        feeds = {
            **self.fixed,
            **past,
            "input_ids": tokens.reshape(batch, beams, -1).numpy(),
            "beam_index": beam_index.numpy(),
        }
        self.outputs = with_past(feeds)
        self.previous_beams = beams
        self._compare(self.outputs, beams)

    def _tokens(self, rows: int, new: int) -> torch.Tensor:
        padding = self.decoder.config.pad_token_id
        ids = torch.tensor([token for token in range(VOCAB) if token != padding])
        tokens = ids[torch.randint(len(ids), (rows, new), generator=self.generator)]
        if self.case.padding and padding is not None:
            tokens[torch.rand((rows, new), generator=self.generator) < 0.4] = padding
        return tokens

    def _compare(self, outputs: Mapping[str, Array], beams: int) -> None:
        states, mask = (tensor.repeat_interleave(beams, 0) for tensor in (self.states, self.mask))
        cache = empty_cache()
        for tokens in self.histories.split(
            self.steps if self.case.padding else self.histories.shape[1], dim=1
        ):
            logits = self._eager_pass(tokens, states, mask, cache).reshape(self.case.batch, beams, -1)
        self.worst.add("logits", outputs["logits"], logits.numpy())
        log_probs, ids = torch.log_softmax(logits, -1), torch.from_numpy(outputs["candidate_ids"])
        best = log_probs.topk(self.case.candidates).values
        self.worst.add("candidate_log_probs", outputs["candidate_log_probs"], best.numpy())
        # Near ties may change places, so each id is held to eager's log-probability of that id.
        self.worst.add("candidate_ids", outputs["candidate_log_probs"], log_probs.gather(-1, ids).numpy())
        assert all(len(set(row)) == len(row) for row in ids.reshape(-1, self.case.candidates).tolist())
        wanted = tensors_from_cache(cache.self_attention_cache)
        for name, tensor in zip(present_names(self.geometry), wanted, strict=True):
            self.worst.add(name, outputs[name], tensor.numpy())

    @torch.no_grad()
    def _eager_pass(self, tokens: torch.Tensor, states: torch.Tensor, mask: torch.Tensor, cache: Any) -> Any:
        output = self.decoder(
            input_ids=tokens,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits[:, -1]


def cross_names(geometry: DecoderGeometry) -> list[str]:
    return _layered("cross_key", "cross_value", geometry)


def past_names(geometry: DecoderGeometry) -> list[str]:
    return _layered("past_key", "past_value", geometry)


def present_names(geometry: DecoderGeometry) -> list[str]:
    return _layered("present_key", "present_value", geometry)


def _layered(key: str, value: str, geometry: DecoderGeometry) -> list[str]:
    return [f"{stem}.{layer}" for layer in range(geometry.layers) for stem in (key, value)]


@contextmanager
def torch_decoder_graphs(decoder: Any) -> Iterator[tuple[Run, Run]]:
    """The two decoder graphs as torch modules, run like their files.

    The decoder is the graphs' alone in here: the comparison needs another one as its reference.
    """
    geometry, cross_attention = decoder_geometry(decoder), find_cross_attention(decoder)
    first = FirstStepGraph(decoder, cross_attention).eval()
    later = WithPastGraph(decoder, cross_attention).eval()
    names = ["logits", "candidate_log_probs", "candidate_ids", *present_names(geometry)]

    def run_first(feeds: Feeds) -> dict[str, Array]:
        cross = _tensors(feeds, cross_names(geometry))
        return _named(
            names, first(*_tensors(feeds, ("input_ids", "encoder_mask")), cross, *_candidates(feeds))
        )

    def run_later(feeds: Feeds) -> dict[str, Array]:
        given = _tensors(feeds, ("input_ids", "beam_index", "encoder_mask"))
        cross, past = _tensors(feeds, cross_names(geometry)), _tensors(feeds, past_names(geometry))
        return _named(names, later(*given, cross, past, *_candidates(feeds)))

    implementation = attention_implementation(decoder, cross_attention.implementation)
    with implementation, traceable(decoder), torch.no_grad():
        yield run_first, run_later


def torch_encoder_graph(reference: EagerReference) -> Run:
    """The encoder graph as a torch module."""
    checkpoint = reference.checkpoint
    module = EncoderGraph(checkpoint.model, checkpoint.features).eval()
    names = ["encoder_states", "encoder_mask", *cross_names(decoder_geometry(checkpoint.model.decoder))]

    def run(feeds: Feeds) -> dict[str, Array]:
        with torch.no_grad():
            return _named(names, module(*_tensors(feeds, ("audio", "audio_lengths"))))

    return run


def _tensors(feeds: Feeds, names: Sequence[str]) -> list[torch.Tensor]:
    return [torch.from_numpy(feeds[name]) for name in names]


def _candidates(feeds: Feeds) -> list[torch.Tensor]:
    return [torch.tensor(int(feeds["candidates"]))]


def _named(names: Sequence[str], tensors: Sequence[torch.Tensor]) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def compare_encoder(
    reference: EagerReference, run: Run, waveforms: Sequence[NDArray[np.float32]]
) -> Differences:
    """A padded batch through the graph and through feature extractor, eager encoder and projections."""
    lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    # What hosts leave behind an utterance's end must not matter.
    audio = np.full((len(waveforms), int(lengths.max())), 0.7, dtype=np.float32)
    for row, waveform in enumerate(waveforms):
        audio[row, : len(waveform)] = waveform
    outputs = run({"audio": audio, "audio_lengths": lengths})
    encoding = reference.encode(waveforms)
    np.testing.assert_array_equal(outputs["encoder_mask"], encoding.mask.numpy())
    worst = _Worst()
    worst.add("encoder_mask", outputs["encoder_mask"], encoding.mask.numpy())
    worst.add("encoder_states", outputs["encoder_states"], encoding.states.numpy())
    names = cross_names(decoder_geometry(reference.model.decoder))
    for name, tensor in zip(names, reference.cross_keys_values(encoding.states), strict=True):
        worst.add(name, outputs[name], tensor.numpy())
    return worst.values


def utterances(*durations_s: float, seed: int = 0) -> list[NDArray[np.float32]]:
    """Seeded stand-ins for speech."""
    return [
        probe_utterance(duration, SAMPLING_RATE, seed + number) for number, duration in enumerate(durations_s)
    ]
