"""What decoding returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One of the n best answers to an utterance."""

    text: str
    """Decoded without special tokens."""
    tokens: tuple[int, ...]
    """The ids that generate() returns without padding: prompt and end token included."""
    score: float
    """Sum of the log-probabilities / generated tokens ** length_penalty (``sequences_scores``)."""
    log_probs: tuple[float, ...]
    """Of each generated token, as compute_transition_scores gives them (greedy: log-softmax of raw logits)."""


@dataclass(frozen=True)
class Result:
    """The answer to one utterance; its first hypothesis is spelled out in text, tokens and score."""

    text: str
    tokens: tuple[int, ...]
    score: float
    language: str | None
    """Code of the forced first token, where it is one of the bundle's languages."""
    hypotheses: tuple[Hypothesis, ...]
    """Best first, as many as num_return_sequences."""
    timings_s: Mapping[str, float]
    """Seconds for "encoder", "first_step", "decode" (the later steps, search included) and "total"; in
    the batch form those of the whole batch."""
    audio_s: float
    """Length of the utterance in seconds."""
    stopped: bool = False
    """Whether ``stop`` ended the search before it was done."""
