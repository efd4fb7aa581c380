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
    """Sum of the log-probabilities / generated tokens ** length_penalty: in beam search and beam sampling
    transformers' ``sequences_scores``; greedy decoding and sampling, where transformers gives none, sum
    log-softmax of raw logits, 0 for a forced token."""
    log_probs: tuple[float, ...]
    """Of each generated token: greedy decoding gives log-softmax of raw logits; the others give what
    compute_transition_scores does, of the scores behind all rules: in beam search and beam sampling as they
    are, in sampling with normalize_logits=True, so the log-probability that the token was drawn with."""


@dataclass(frozen=True)
class Result:
    """The answer to one utterance; its first hypothesis is spelled out in text, tokens and score."""

    text: str
    tokens: tuple[int, ...]
    score: float
    language: str | None
    """Code of the forced first token, where it is one of the bundle's languages."""
    hypotheses: tuple[Hypothesis, ...]
    """As many as num_return_sequences: best first, but in the order drawn where num_beams is 1."""
    timings_s: Mapping[str, float]
    """Seconds for "encoder", "first_step" (the prompt, with a forced first token), "decode" (the later steps,
    search included) and "total"; in the batch form those of the whole batch."""
    audio_s: float
    """Length of the utterance in seconds."""
    stopped: bool = False
    """Whether ``stop`` ended the search before it was done."""


@dataclass(frozen=True)
class TokenEvent:
    """What ``on_token`` is called with: one sequence as far as it is decoded."""

    utterance: int
    """Its index in the list of this call, 0 for a single one."""
    sequence: int
    """Its index in ``Result.hypotheses``; always 0 in beam search, for the best hypothesis so far."""
    tokens: tuple[int, ...]
    """Prompt and tokens so far, the newest one last."""
    text: str
    """Of the tokens so far, without special tokens; its end may change once a word is complete."""
    final: bool
    """Whether this is what the result will hold; the last event of this sequence."""
