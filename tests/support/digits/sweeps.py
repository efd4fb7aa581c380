"""Batches of utterances decoded at several widths: by eager one by one, by the runtime alone and together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from support.digits.audio import FIRST_LANGUAGE, Batch
from support.digits.cases import Hypothesis, Pair, Tally
from support.digits.scale import RATE, Waveform
from support.digits.steps import Steps, recorded_steps, reordered

from s2t_runtime import Result

WIDTHS = (1, 2, 4, 5)
BEAM_WIDTHS = WIDTHS[1:]
PENALTIES = (1.0, 2.0, 0.8)
STOPPINGS = (False, True, "never")


@dataclasses.dataclass(frozen=True)
class Traits:
    """What makes a beam search more than a greedy one."""

    reordered: bool
    not_greedy: bool
    finished_early: bool


@dataclasses.dataclass
class Sweep:
    """All batches at one width, compared."""

    alone: Tally = dataclasses.field(default_factory=Tally)
    together: Tally = dataclasses.field(default_factory=Tally)
    traits: list[Traits] = dataclasses.field(default_factory=list)


class Sweeps:
    """Decodes the same batches at any width; what eager says is asked once."""

    def __init__(self, pair: Pair, batches: Sequence[Batch]) -> None:
        self.pair = pair
        self.batches = batches
        self._sweeps: dict[int, Sweep] = {}
        self._eager: dict[tuple[int, int, int], tuple[Hypothesis, ...]] = {}

    def at(self, width: int) -> Sweep:
        if width not in self._sweeps:
            sweep = self._sweeps[width] = Sweep()
            for number in range(len(self.batches)):
                self._alone(number, width, sweep)
                self.together(number, width, sweep.together)
        return self._sweeps[width]

    def options(self, number: int, width: int) -> dict[str, Any]:
        """Of one batch at one width.

        Every batch has its language forced at one width and when decoded greedily. In the other searches
        the model chooses the language as well, where it has no preference: so the beams differ, and what
        is best is not seen at the first token.
        """
        options: dict[str, Any] = {"num_beams": width, "num_return_sequences": width, "max_new_tokens": 28}
        if width == 1 or (number + WIDTHS.index(width)) % 3 == 0:
            options["forced_bos_token_id"] = FIRST_LANGUAGE + number % 12
        if width == 1:
            return options
        turn = number + number // 3  # pairs each penalty with each way to stop
        options["num_return_sequences"] = width - (number % 4 == 3)
        return {**options, "length_penalty": PENALTIES[number % 3], "early_stopping": STOPPINGS[turn % 3]}

    def eager(self, number: int, row: int, width: int) -> tuple[Hypothesis, ...]:
        key = (number, row, width)
        if key not in self._eager:
            waveform, options = self.batches[number].waveforms[row], self.options(number, width)
            self._eager[key] = self.pair.eager.generate(waveform, **options)
        return self._eager[key]

    def _alone(self, number: int, width: int, sweep: Sweep) -> None:
        options = self.options(number, width)
        for row, waveform in enumerate(self.batches[number].waveforms):
            with recorded_steps() as steps:
                result = self.pair.model.generate(waveform, sampling_rate=RATE, **options)
            wanted = self.eager(number, row, width)
            sweep.alone.compare(self.pair.eager, waveform, options, wanted, result)
            if width > 1:
                sweep.traits.append(self._traits(waveform, options, result, steps))

    def _traits(self, waveform: Waveform, options: dict[str, Any], result: Result, steps: Steps) -> Traits:
        greedy = self.pair.model.generate(
            waveform, sampling_rate=RATE, **{**options, "num_beams": 1, "num_return_sequences": 1}
        )
        early = any(len(hypothesis.log_probs) < len(steps) for hypothesis in result.hypotheses)
        return Traits(reordered(steps), result.tokens != greedy.tokens, early)

    def together(self, number: int, width: int, tally: Tally) -> None:
        """Decode as one batch; each utterance is compared with eager's answer to it alone."""
        options, batch = self.options(number, width), self.batches[number]
        results = self.pair.model.generate(batch.waveforms, sampling_rate=RATE, **options)
        assert len(results) == len(batch.waveforms)
        for row, (waveform, result) in enumerate(zip(batch.waveforms, results, strict=True)):
            tally.compare(self.pair.eager, waveform, options, self.eager(number, row, width), result)
