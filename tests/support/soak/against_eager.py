"""The bundle of a drawn model against eager ``generate()`` over drawn recordings and options."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from support.soak import drawing
from support.soak.outcome import Outcome
from support.tiny.encoders import SAMPLING_RATE
from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.parity.decodings import LOG_MEL_SCORE_TOLERANCE, SCORE_TOLERANCE, as_generate_takes_them
from exporter.reference.eager import EagerHypotheses, EagerReference
from s2t_runtime import Result, SpeechToText
from s2t_runtime.sessions.protocol import Float32

ROUNDING_FACTOR = 3
"""Two computations in float32 may be so many times as far from each other as one of them is from float64."""
_FORBIDDEN = -1e8
"""A score below this is that of a hypothesis that every rule forbids: such have no order."""


class DoubleReference(EagerReference):
    """Eager in float64, which tells its rounding errors in float32 from ours."""

    def __init__(self, reference: EagerReference) -> None:
        model = copy.deepcopy(reference.model).double()
        super().__init__(dataclasses.replace(reference.checkpoint, model=model))

    def features(self, waveforms: Sequence[Any]) -> dict[str, Tensor]:
        """As eager's, in float64."""
        found = super().features(waveforms)
        return {name: value.double() if value.is_floating_point() else value for name, value in found.items()}


@dataclass(frozen=True)
class Case:
    """Recordings that are decoded as one batch, each by its name, and the options."""

    audio: tuple[str, ...]
    options: dict[str, Any]

    def described(self) -> str:
        """For whoever looks for it again."""
        return f"{json.dumps(self.options)} on {', '.join(self.audio)}"


def draw_cases(rng: np.random.Generator, names: Sequence[str], count: int) -> list[Case]:
    """Random options, each with one to three recordings."""
    cases = []
    for _ in range(count):
        chosen = rng.choice(len(names), size=int(rng.integers(1, min(3, len(names)) + 1)), replace=False)
        cases.append(Case(tuple(names[index] for index in chosen), drawing.options(rng)))
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
            wanted = [self._generate(self._eager, name, case.options) for name in case.audio]
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

    def _generate(self, reference: EagerReference, name: str, options: Mapping[str, Any]) -> EagerHypotheses:
        return reference.generate([self._audio[name]], do_sample=False, **as_generate_takes_them(options))[0]

    def _judge(self, case: Case, name: str, wanted: EagerHypotheses, result: Result) -> None:
        got = [hypothesis.tokens for hypothesis in result.hypotheses]
        scores = [hypothesis.score for hypothesis in result.hypotheses]
        possible = [place for place, score in enumerate(wanted.scores) if score > _FORBIDDEN]
        if len(got) != len(wanted.tokens):
            self._outcome.found.append(
                f"{len(got)} hypotheses for {len(wanted.tokens)} of eager: {case.described()}"
            )
            return
        same = all(got[place] == wanted.tokens[place] for place in possible)
        lengths = np.array([max(len(got[place]) - 1, 1) for place in possible])
        to_means = lengths ** (float(case.options.get("length_penalty", 1.0)) - 1.0)
        apart = np.array([scores[place] - wanted.scores[place] for place in possible]) * to_means
        if same and bool((np.abs(apart) <= self._allowed).all()):
            largest = float(np.abs(apart).max(initial=0.0))
            self._outcome.figures["largest score difference"] = max(
                self._outcome.figures.get("largest score difference", 0.0), largest
            )
            return
        self._judge_by_double(case, name, wanted, got, apart, same, to_means, possible)

    def _judge_by_double(
        self,
        case: Case,
        name: str,
        wanted: EagerHypotheses,
        got: Sequence[tuple[int, ...]],
        apart: Any,
        same: bool,
        to_means: Any,
        possible: Sequence[int],
    ) -> None:
        """Where eager in float64 decides otherwise than in float32, rounding decides, and either is right."""
        if self._double is None:
            self._double = DoubleReference(self._eager)
        exact = self._generate(self._double, name, case.options)
        if exact.tokens != wanted.tokens:
            self._outcome.tried["decodings that eager's own rounding decides"] += 1
            return
        own = np.array([exact.scores[place] - wanted.scores[place] for place in possible]) * to_means
        if same and bool((np.abs(apart) <= ROUNDING_FACTOR * np.abs(own).max(initial=0.0)).all()):
            self._outcome.tried["scores within eager's own rounding"] += 1
            return
        what = (
            f"scores off by {np.abs(apart).max():.2e}" if same else f"{got} and eager {list(wanted.tokens)}"
        )
        self._outcome.found.append(f"{what}: {name} of {case.described()}")

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
