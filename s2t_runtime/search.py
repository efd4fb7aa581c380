"""The search: from a plan and a step function to hypotheses, and nothing of models or sessions."""

from __future__ import annotations

from collections.abc import Callable

from s2t_runtime.beam_search import BeamSearch, Hypothesis, SearchResult
from s2t_runtime.greedy import greedy_search
from s2t_runtime.options import SearchPlan
from s2t_runtime.session import StepFunction

__all__ = ["Hypothesis", "SearchResult", "search"]


def search(
    step: StepFunction,
    plan: SearchPlan,
    batch: int,
    *,
    max_candidates: int,
    stop: Callable[[], bool] | None = None,
) -> SearchResult:
    """Decode a batch of utterances by beam search, or greedily where the plan has one beam.

    Every utterance ends exactly as it would alone.

    Args:
        step: the decoder, at the beginning of its utterances.
        plan: what to decode.
        batch: utterances.
        max_candidates: most candidates to ask of the decoder; where the rules would need more, the
            logits of the whole vocabulary are fetched instead.
        stop: asked before each decoder step but the first; True ends the search, and the running beams
            count as finished at the length they have.
    """
    if plan.num_beams == 1:
        return greedy_search(step, plan, batch, max_candidates=max_candidates, stop=stop)
    return BeamSearch(step, plan, batch, max_candidates=max_candidates).run(stop)
