"""The search: from a plan and a step function to hypotheses, and nothing of models or sessions."""

from __future__ import annotations

from collections.abc import Callable

from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search.beam_search import BeamSearch
from s2t_runtime.search.greedy import greedy_search
from s2t_runtime.search.outcome import Observer, ScoredSequence, SearchResult
from s2t_runtime.search.sampling import sample
from s2t_runtime.sessions.protocol import StepFunction

__all__ = ["Observer", "ScoredSequence", "SearchResult", "search"]


def search(
    step: StepFunction,
    plan: SearchPlan,
    batch: int,
    *,
    max_candidates: int,
    stop: Callable[[], bool] | None = None,
    observe: Observer | None = None,
) -> SearchResult:
    """Decode a batch of utterances: beams or single sequences, the best tokens or drawn ones.

    Every utterance ends exactly as it would alone.

    Args:
        step: the decoder, at the beginning of its utterances.
        plan: what to decode.
        batch: utterances.
        max_candidates: most candidates to ask of the decoder; where the rules would need more, the
            logits of the whole vocabulary are fetched instead.
        stop: asked before each decoder step but the first; True ends the search, and the running beams
            count as finished at the length they have.
        observe: told of what each step found; its exceptions end the search.

    Raises:
        OptionError: nothing is left to draw, or prefix_allowed_tokens_fn returned no list of ids.
    """
    if plan.num_beams > 1:
        return BeamSearch(step, plan, batch, max_candidates=max_candidates).run(stop, observe)
    decode = greedy_search if plan.sampling is None else sample
    return decode(step, plan, batch, max_candidates=max_candidates, stop=stop, observe=observe)
