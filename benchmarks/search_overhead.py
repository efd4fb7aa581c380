"""What the search itself costs per step, with a scripted decoder in place of a model.

    python -m benchmarks.search_overhead

The step function hands out candidates made beforehand, so all that is measured is numpy: ranking,
rules, hypothesis book-keeping. The bound is 0.5 ms a step at batch 1 and 5 beams.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import click
import numpy as np

from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import plan_search
from s2t_runtime.search.search import search
from s2t_runtime.sessions.protocol import Candidates, Int64

VOCAB, STEPS, EOS = 250_054, 40, 2
_POOL = 64


@dataclass
class ScriptedDecoder:
    """A step function whose candidates were drawn beforehand; it counts its own time."""

    batch: int
    seed: int = 0
    spent_s: float = 0.0
    calls: int = 0
    pools: dict[tuple[int, int], list[Candidates]] = field(default_factory=dict)

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """See ``StepFunction``; ``with_logits`` is not among the measured cases."""
        del tokens, with_logits  # what follows was drawn beforehand
        started_s = time.perf_counter()
        key = (beam_index.shape[1], candidates)
        if key not in self.pools:
            self.pools[key] = self._draw(*key)
        answer = self.pools[key][self.calls % _POOL]
        self.calls += 1
        self.spent_s += time.perf_counter() - started_s
        return answer

    def _draw(self, beams: int, count: int) -> list[Candidates]:
        generator = np.random.default_rng(self.seed)
        shape = (_POOL, self.batch, beams, count)
        # Falling scores and distinct ids of a wide vocabulary, none of them the end token.
        scores = -np.sort(generator.exponential(2.0, shape), axis=-1)
        scores = scores.astype(np.float32)
        ids = generator.integers(EOS + 1, VOCAB - count, shape) // count * count + np.arange(count)
        return [Candidates(one, two) for one, two in zip(scores, ids.astype(np.int64), strict=True)]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    batch: int
    options: GenerationOptions


CASES = (
    Case("greedy", 1, GenerationOptions(num_beams=1)),
    Case("5 beams", 1, GenerationOptions(num_beams=5)),
    Case("5 beams, forced first token", 1, GenerationOptions(num_beams=5, forced_bos_token_id=250_003)),
    Case("5 beams, no repeated 3-grams", 1, GenerationOptions(num_beams=5, no_repeat_ngram_size=3)),
    Case(
        "5 beams, 3-grams, bad words, repetition 1.2",
        1,
        GenerationOptions(
            num_beams=5, no_repeat_ngram_size=3, bad_words_ids=((5, 6), (7,)), repetition_penalty=1.2
        ),
    ),
    Case("5 beams", 8, GenerationOptions(num_beams=5)),
)


def own_time_ms(case: Case, repeats: int) -> list[float]:
    """Milliseconds per step of the search alone, one value per whole decoding."""
    defaults = GenerationOptions(decoder_start_token_id=EOS, eos_token_id=EOS, max_new_tokens=STEPS)
    plan = plan_search(defaults, case.options, languages={}, vocab_size=VOCAB, max_positions=None)
    values = []
    pools: dict[tuple[int, int], list[Candidates]] = {}
    for _ in range(repeats + 1):
        decoder = ScriptedDecoder(case.batch, pools=pools)
        started_s = time.perf_counter()
        search(decoder, plan, case.batch, max_candidates=3840)
        values.append((time.perf_counter() - started_s - decoder.spent_s) / decoder.calls * 1e3)
    return values[1:]  # the first one draws the candidates and warms up


@click.command()
@click.option("--repeats", type=click.IntRange(min=1), default=30, show_default=True)
def main(repeats: int) -> None:
    """Print the search's own time per step."""
    click.echo(f"vocabulary {VOCAB:,}, {STEPS} steps, {repeats} decodings each; milliseconds per step")
    click.echo(f"{'case':<46}{'batch':>6}{'min':>8}{'median':>8}{'max':>8}")
    for case in CASES:
        values = own_time_ms(case, repeats)
        figures = f"{min(values):>8.3f}{statistics.median(values):>8.3f}{max(values):>8.3f}"
        click.echo(f"{case.name:<46}{case.batch:>6}{figures}")


if __name__ == "__main__":
    main()
