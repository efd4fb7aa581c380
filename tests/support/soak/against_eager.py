"""The bundle of a drawn model against eager ``generate()`` over drawn recordings and options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from support.reference.double import DoubleReference
from support.soak import drawing
from support.soak.outcome import Outcome
from support.tiny.encoders import SAMPLING_RATE

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.parity.decodings import LOG_MEL_SCORE_TOLERANCE, SCORE_TOLERANCE, as_generate_takes_them
from exporter.parity.differences import OWN_SPREAD_TIMES
from exporter.reference.eager import EagerHypotheses, EagerReference
from s2t_runtime import Result, SpeechToText
from s2t_runtime.sessions.protocol import Float32

_MOVES = (1, 1, 1, OWN_SPREAD_TIMES, OWN_SPREAD_TIMES)
"""Units of the last place by which samples are moved, to see what becomes of the result."""
_FORBIDDEN = -1e8
"""A score below this is that of a hypothesis that every rule forbids: such have no order."""


@dataclass(frozen=True)
class Case:
    """Recordings that are decoded as one batch, each by its name, and the options."""

    audio: tuple[str, ...]
    options: dict[str, Any]

    def described(self) -> str:
        """For whoever looks for it again."""
        return f"{json.dumps(self.options)} on {', '.join(self.audio)}"


def draw_cases(
    rng: np.random.Generator, names: Sequence[str], count: int, stored: Mapping[str, Any] | None = None
) -> list[Case]:
    """Random options, each with one to three recordings.

    ``stored`` are the model's own defaults. What they force is not suppressed: eager refuses that even behind a prompt,
    where nothing is forced.
    """
    forced = {(stored or {}).get(name) for name in ("forced_bos_token_id", "forced_eos_token_id")}
    cases = []
    for _ in range(count):
        chosen = rng.choice(len(names), size=int(rng.integers(1, min(3, len(names)) + 1)), replace=False)
        options = drawing.options(rng)
        if "suppress_tokens" in options:
            options["suppress_tokens"] = [
                token for token in options["suppress_tokens"] if token not in forced
            ]
        cases.append(Case(tuple(names[index] for index in chosen), options))
    return cases


class Judge:
    """Compares, and counts into an outcome."""

    def __init__(self, checkpoint: Checkpoint, audio: Mapping[str, Float32], outcome: Outcome) -> None:
        """``audio`` holds the recordings by name, float32 [samples] at the model's rate."""
        self._eager = EagerReference(checkpoint)
        self._double: DoubleReference | None = None
        self._audio, self._outcome = audio, outcome
        log_mel = self._eager.input_name != "input_values"
        self._allowed = LOG_MEL_SCORE_TOLERANCE if log_mel else SCORE_TOLERANCE

    def compare(self, model: SpeechToText, case: Case) -> None:
        """Decode a case on both sides: the same tokens in the same order with the same scores, or an error on both."""
        self._outcome.tried["cases"] += 1
        try:
            wanted = [self._generate(self._eager, self._audio[name], case.options) for name in case.audio]
        except (ValueError, RuntimeError, IndexError) as error:
            self._compare_error(model, case, error)
            return
        results = model.generate(
            [self._audio[name] for name in case.audio], sampling_rate=SAMPLING_RATE, **case.options
        )
        for name, hypotheses, result in zip(case.audio, wanted, results, strict=True):
            self._outcome.tried["decodings"] += 1
            self._outcome.tried["hypotheses"] += len(hypotheses.tokens)
            self._judge(case, name, hypotheses, result)

    def _compare_error(self, model: SpeechToText, case: Case, error: Exception) -> None:
        self._outcome.tried["errors of eager"] += 1
        try:
            model.generate(
                [self._audio[name] for name in case.audio], sampling_rate=SAMPLING_RATE, **case.options
            )
        except ValueError:  # OptionError and AudioError are
            return
        said = str(error).splitlines()[0][:200]
        self._outcome.found.append(
            f"eager raises ({type(error).__name__}: {said}) and the bundle decodes: {case.described()}"
        )

    @staticmethod
    def _generate(reference: EagerReference, samples: Float32, options: Mapping[str, Any]) -> EagerHypotheses:
        return reference.generate([samples], do_sample=False, **as_generate_takes_them(options))[0]

    def _judge(self, case: Case, name: str, wanted: EagerHypotheses, result: Result) -> None:
        got = EagerHypotheses(
            tuple(hypothesis.tokens for hypothesis in result.hypotheses),
            tuple(hypothesis.score for hypothesis in result.hypotheses),
        )
        if len(got.tokens) != len(wanted.tokens):
            sentence = f"{len(got.tokens)} hypotheses for {len(wanted.tokens)} of eager: {case.described()}"
            self._outcome.found.append(sentence)
            return
        possible = [place for place, score in enumerate(wanted.scores) if score > _FORBIDDEN]
        same = all(got.tokens[place] == wanted.tokens[place] for place in possible)
        lengths = np.array([max(len(result.hypotheses[place].log_probs), 1) for place in possible])
        to_means = lengths ** (float(case.options.get("length_penalty", 1.0)) - 1.0)

        def apart(one: EagerHypotheses) -> float:
            """The largest difference from eager's scores, as means of log-probabilities; NaN where there is one."""
            rows = [abs(one.scores[place] - wanted.scores[place]) for place in possible]
            return float(np.max(np.array(rows) * to_means, initial=0.0))

        off = apart(got)
        if same and off <= self._allowed:
            figure = "largest score difference"
            self._outcome.figures[figure] = max(self._outcome.figures.get(figure, 0.0), off)
            return
        others = self._rounded_otherwise(name, case.options)
        if any(one.tokens != wanted.tokens for one in others):
            self._outcome.tried["decodings that eager's own rounding decides"] += 1
            return
        spread = max(map(apart, others[: 1 + _MOVES.count(1)]))
        if same and off <= OWN_SPREAD_TIMES * spread:
            self._outcome.tried["decodings within eager's own spread"] += 1
            return
        what = f"scores off by {off:.2e}" if same else f"{[*got.tokens]} and eager {[*wanted.tokens]}"
        sentence = f"{what} (eager's own spread: {spread:.1e}): {name} of {case.described()}"
        self._outcome.found.append(sentence)

    def _rounded_otherwise(self, name: str, options: Mapping[str, Any]) -> list[EagerHypotheses]:
        """Eager in float64, and on samples that are moved by a few units of their last place: what rounding does."""
        if self._double is None:
            self._double = DoubleReference(self._eager)
        found = [self._generate(self._double, self._audio[name], options)]
        rng, samples = np.random.default_rng(0), self._audio[name]
        for units in _MOVES:
            signs = np.where(rng.random(samples.shape) < 0.5, units, -units)
            moved = (samples + signs * np.spacing(samples)).astype(np.float32)
            found.append(self._generate(self._eager, moved, options))
        return found

    def compare_scores(self, model: SpeechToText, precision: str, budget: float) -> None:
        """Score the bundle's own greedy tokens in eager: on average a log-probability may be off by the budget.

        Of single steps the budget holds for the audio that the export was checked with.
        """
        for name, samples in self._audio.items():
            result = model.generate(samples, sampling_rate=SAMPLING_RATE, num_beams=1, max_new_tokens=20)
            got = np.array(result.hypotheses[0].log_probs)
            own = self._log_probs(samples, result.tokens, len(result.tokens) - len(got))
            chosen = got != 0  # the others were forced
            off = float(np.abs(got - own)[chosen].mean()) if chosen.any() else 0.0
            self._outcome.tried[f"decodings in {precision}"] += 1
            figure = f"log-probability off in {precision}, mean of a text"
            self._outcome.figures[figure] = max(off, self._outcome.figures.get(figure, 0.0))
            if not off <= budget:
                self._outcome.found.append(
                    f"{precision}: log-probabilities off by {off:.2f} on average: {name}"
                )

    def _log_probs(self, samples: Float32, tokens: Sequence[int], prompt: int) -> Any:
        """Eager's log-probability of each token behind the prompt, float32 [tokens - prompt], fed one by one."""
        encoding, cache = self._eager.encode([samples]), self._eager.new_cache()
        sequence = torch.tensor([tokens])
        parts = sequence[:, :-1].split((prompt, *[1] * (len(tokens) - 1 - prompt)), dim=1)
        logits = torch.cat([self._eager.decode(part, encoding, cache) for part in parts])
        return torch.log_softmax(logits, -1).gather(-1, sequence[0, prompt:, None])[:, 0].numpy()
