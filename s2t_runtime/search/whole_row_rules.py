"""The rules that may raise a token's score, and so need whole rows: scores float32 [batch, beams, width].

``width`` is the vocabulary, or what a restricted output projection has of it: then column and id differ.
Copies of transformers' logits processors, with the same float32 operations in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.bundles.output_vocabulary import columns_of, outside
from s2t_runtime.errors import OptionError
from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.options.values import PrefixFunction
from s2t_runtime.sessions.protocol import Float32, Int64

Mask = NDArray[np.bool_]


class SequenceBias:
    """``SequenceBiasLogitsProcessor``: a number added where a sequence may be completed."""

    def __init__(self, plan: SearchPlan) -> None:
        self._output_ids = plan.output_ids
        self._single = np.zeros(plan.width, dtype=np.float32)
        groups: dict[int, list[tuple[tuple[int, ...], float]]] = {}
        for sequence, bias in plan.sequence_bias:
            if len(sequence) == 1:
                self._single[columns_of(sequence, plan.output_ids)] = bias
            else:
                groups.setdefault(len(sequence), []).append((sequence, bias))
        # By length in the order of first appearance, because the sums are rounded.
        self._long = [
            (np.array([sequence for sequence, _ in group]), np.array([b for _, b in group], dtype=np.float32))
            for group in groups.values()
        ]

    def __call__(self, histories: Int64, scores: Float32) -> Float32:
        """Scores and bias, after histories int64 [batch, beams, length]."""
        bias = np.zeros_like(scores) + self._single
        for sequences, biases in self._long:
            prefix = sequences.shape[1] - 1
            if prefix > histories.shape[-1]:
                continue
            completes = (histories[:, :, None, -prefix:] == sequences[:, :-1]).all(axis=-1)
            for number, column in enumerate(columns_of(sequences[:, -1].tolist(), self._output_ids)):
                with np.errstate(over="ignore"):
                    bias[..., column] += np.where(completes[..., number], biases[number], np.float32(0))
        with np.errstate(over="ignore", invalid="ignore"):
            return scores + bias


class PrefixConstraint:
    """``PrefixConstrainedLogitsProcessor``: a function says which tokens may follow.

    Where the rules before it left none of the allowed tokens of any beam of an utterance, the allowed
    tokens score 0. The function is given the utterance's index in the call, where transformers counts
    sampled sequences as utterances, and is not asked for hypotheses that have ended or are forced.
    """

    def __init__(self, plan: SearchPlan, function: PrefixFunction) -> None:
        self._function = function
        self._plan = plan

    def __call__(self, histories: Int64, scores: Float32, active: Mask) -> Float32:
        """Scores with -inf for all other tokens.

        Args:
            histories: int64 [batch, beams, length].
            scores: float32 [batch, beams, width].
            active: bool [batch, beams], the hypotheses that have not ended.

        Raises:
            OptionError: the function returned no token, or something that is no list of ids.
        """
        mask = np.full_like(scores, -np.inf)
        for utterance, beam in np.argwhere(active).tolist():
            allowed = self._allowed(utterance, histories[utterance, beam])
            mask[utterance, beam, columns_of(allowed, self._plan.output_ids)] = 0.0
        mask[~active] = 0.0
        constrained = scores + mask
        impossible = np.isneginf(constrained.max(axis=-1))
        if self._plan.num_beams > 1:
            impossible = np.broadcast_to(impossible.all(axis=-1, keepdims=True), impossible.shape)
        return np.where((impossible & active)[..., None], mask, constrained)

    def _allowed(self, utterance: int, tokens: Int64) -> list[int]:
        allowed = self._function(utterance, tokens.copy())
        try:
            ids = [int(token) for token in allowed]
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"prefix_allowed_tokens_fn returned {allowed!r} for utterance {utterance}, wanted a list of "
                "token ids; return one"
            ) from error
        if not ids:
            raise OptionError(
                f"prefix_allowed_tokens_fn returned no token for utterance {utterance} after "
                f"{tokens.tolist()}, wanted at least one that may follow; return an end token to stop"
            )
        wrong = [token for token in ids if not 0 <= token < self._plan.vocab_size]
        if wrong:
            raise OptionError(
                f"prefix_allowed_tokens_fn returned token {wrong[0]} for utterance {utterance}, wanted ids "
                f"from 0 to {self._plan.vocab_size - 1}; correct the id"
            )
        absent = outside(ids, self._plan.output_ids)
        if absent:
            raise OptionError(
                f"prefix_allowed_tokens_fn returned token {absent[0]} for utterance {utterance}, which this bundle "
                f"cannot write: it was exported with {self._plan.width} of {self._plan.vocab_size} tokens; return "
                "those among SpeechToText.output_token_ids"
            )
        return ids


def decayed(
    scores: Float32, length: int, decay: tuple[int, float], end_columns: Sequence[int] | Int64
) -> Float32:
    """``ExponentialDecayLengthPenalty``: end tokens gain more with every token past the start.

    Args:
        scores: float32 [batch, beams, width].
        length: tokens so far, prompt included.
        decay: the length behind which they gain, and the factor.
        end_columns: of the end tokens.
    """
    start, factor = decay
    if length <= start:
        return scores
    # Doubled ones count once, as in an assignment by index.
    eos = list(end_columns)
    gain = np.zeros_like(scores)
    with np.errstate(over="ignore", invalid="ignore"):
        ends = scores[..., eos]
        grown = np.abs(ends) * np.float32(_power(factor, length - start) - 1)
        gain[..., eos] = np.where(np.isfinite(ends), grown, np.float32(0))
        return scores + gain


def _power(factor: float, exponent: int) -> float:
    try:
        return float(factor**exponent)
    except OverflowError:
        return float("inf")
