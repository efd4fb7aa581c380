"""Multinomial sampling: transformers' ``_sample`` with do_sample, and the random numbers of both ways to draw.

The random stream is numpy's, so that draws have transformers' distribution and not its values. Every
utterance has generators of its own, seeded alike: a seed gives an utterance the same answer alone, in any
batch and from any thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import OptionError
from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search.greedy import Choice, Mask, TokenByToken
from s2t_runtime.search.outcome import Observer, SearchResult
from s2t_runtime.search.rows import Rows, RowSource
from s2t_runtime.sessions.protocol import Float32, StepFunction


def generators(seed: int | None, batch: int, sequences: int) -> list[list[np.random.Generator]]:
    """A generator for each sequence of each utterance; fresh ones where there is no seed.

    The first sequences draw the same however many there are.
    """
    roots = [np.random.SeedSequence(seed) for _ in range(batch)]
    return [[np.random.default_rng(child) for child in root.spawn(sequences)] for root in roots]


def sample(
    step: StepFunction,
    plan: SearchPlan,
    batch: int,
    *,
    max_candidates: int,
    stop: Callable[[], bool] | None = None,
    observe: Observer | None = None,
) -> SearchResult:
    """Draw a token at each step until every sequence has ended.

    Hypotheses come as they were drawn. ``log_probs`` are the log-probabilities that the tokens were drawn
    with, as transformers' ``compute_transition_scores(..., normalize_logits=True)`` gives them: of the
    scores behind all rules. The score, which transformers does not give, is greedy decoding's: the sum of
    the tokens' log-probabilities (of the raw logits; 0 for a forced token) / new tokens ** length_penalty.

    Args:
        step: the decoder.
        plan: what to decode; its num_beams is 1 and its sampling is set.
        batch: utterances.
        max_candidates: most candidates to ask of the decoder.
        stop: asked before each step but the first; True ends every sequence where it is.
        observe: told of every token.

    Raises:
        OptionError: the rules leave no token to draw.
    """
    source = RowSource(step, plan, keep=1, max_candidates=max_candidates)
    sequences = plan.num_return_sequences
    sampler = Sampler(plan.sampling.seed if plan.sampling else None, batch, sequences)
    return TokenByToken(plan, source, batch, sequences, sampler).run(stop, observe)


class Sampler:
    """Draws the next token of every sequence, as ``torch.multinomial`` of a softmax."""

    def __init__(self, seed: int | None, batch: int, sequences: int) -> None:
        self._generators = generators(seed, batch, sequences)

    def __call__(self, rows: Rows, running: Mask) -> Choice:
        """Draw by inverting the running sum of the probabilities, tokens in the order of their ids.

        Raises:
            OptionError: a sequence that has not ended has no token to draw.
        """
        best = rows.scores.max(axis=-1, keepdims=True)
        check_drawable(best[..., 0], running)
        with np.errstate(invalid="ignore"):  # rows of sequences that have ended may hold no token
            weights = np.exp((rows.scores - best).astype(np.float64))
        sums = np.cumsum(weights, axis=-1)
        total = sums[..., -1:]
        bound = self._uniform()[..., None] * total
        # The product may round to the total itself: then the last token of any weight is drawn.
        place = np.minimum((sums <= bound).sum(axis=-1), (sums < total).sum(axis=-1))[..., None]

        def drawn(values: NDArray[np.generic]) -> NDArray[np.generic]:
            spread = np.broadcast_to(values, (*place.shape[:-1], values.shape[-1]))
            return np.take_along_axis(spread, place, axis=-1)[..., 0]

        with np.errstate(invalid="ignore"):
            log_probs = (rows.scores - best) - np.log(total).astype(np.float32)
        return Choice(drawn(rows.ids), drawn(log_probs), drawn(rows.log_probs))  # type: ignore[arg-type]

    def _uniform(self) -> NDArray[np.float64]:
        """One number in [0, 1) for each sequence, those that have ended included: streams stay in step."""
        return np.array([[generator.random() for generator in row] for row in self._generators])


def check_drawable(best: Float32, running: Mask) -> None:
    """Refuse to draw where ``torch.multinomial`` would.

    Args:
        best: float32 [batch, any], the greatest score of each row.
        running: bool [batch, any], rows that a token is drawn from.

    Raises:
        OptionError: a row has no token, or scores that are not finite.
    """
    wrong = ~np.isfinite(best) & running
    if not wrong.any():
        return
    utterance = int(np.argwhere(wrong)[0, 0])
    value = float(np.broadcast_to(best, wrong.shape)[wrong][0])
    if value == -np.inf:
        raise OptionError(
            f"the rules leave no token to draw for utterance {utterance}, wanted one at least; loosen "
            "suppress_tokens, bad_words_ids, no_repeat_ngram_size or prefix_allowed_tokens_fn"
        )
    raise OptionError(
        f"the scores of utterance {utterance} are not finite ({value}), wanted finite ones to draw from; raise "
        "temperature, or lower exponential_decay_length_penalty"
    )
