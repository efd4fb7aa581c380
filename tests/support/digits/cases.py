"""The digits model both ways, eager ``generate()`` and the runtime, compared hypothesis by hypothesis."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.digits.scale import RATE, TOLERANCE, Waveform
from transformers import AutoFeatureExtractor, SpeechEncoderDecoderModel
from transformers.utils import logging

import s2t_runtime
from s2t_runtime import Result, SpeechToText

Options = Mapping[str, Any]

TIE_MARGIN = 1e-5  # two hypotheses that eager itself holds closer than this may change places
MAX_TIES_SHARE = 1e-3
# With these alone a hypothesis is scored by its raw log-probabilities, so that any tokens can be scored.
_PLAIN = frozenset(
    {"num_beams", "num_return_sequences", "length_penalty", "early_stopping", "max_new_tokens",
     "forced_bos_token_id"}
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One of eager's answers: tokens without padding, score, log-probability of each new token."""

    tokens: tuple[int, ...]
    score: float
    log_probs: tuple[float, ...]


class Eager:
    """The checkpoint as a user of transformers runs it."""

    def __init__(self, checkpoint: Path) -> None:
        torch.set_num_threads(1)
        logging.set_verbosity_error()  # it warns of options that greedy decoding ignores
        logging.disable_progress_bar()
        self.model = SpeechEncoderDecoderModel.from_pretrained(checkpoint).eval()
        self.extractor = AutoFeatureExtractor.from_pretrained(checkpoint)

    def generate(self, audio: Waveform, **options: Any) -> tuple[Hypothesis, ...]:
        """All hypotheses of one utterance; lists of ids may be tuples, prompts are lists of ids."""
        options = {name: _as_lists(value) for name, value in options.items()}
        prompt = options.pop("decoder_prompt_ids", None)
        if prompt is not None:
            options["decoder_input_ids"] = torch.tensor([prompt])
        with torch.no_grad():
            output = self.model.generate(
                **self._inputs(audio), return_dict_in_generate=True, output_scores=True, output_logits=True,
                do_sample=False, **options,
            )  # fmt: skip
        if getattr(output, "beam_indices", None) is None:
            return (self._greedy(output, options),)
        return self._beams(output)

    def score(self, audio: Waveform, tokens: Sequence[int], options: Options) -> float:
        """Eager's own score of any tokens; the options are such that no rule changes scores."""
        sequence = torch.tensor([tokens])
        with torch.no_grad():
            logits = self.model(**self._inputs(audio), decoder_input_ids=sequence[:, :-1]).logits[0].float()
        chosen = logits.log_softmax(-1).gather(-1, sequence[0, 1:, None])[:, 0]
        if options.get("forced_bos_token_id") is not None:
            chosen[0] = 0.0
        if len(chosen) == options["max_new_tokens"] and self.model.generation_config.forced_eos_token_id:
            chosen[-1] = 0.0
        return float(chosen.sum() / len(chosen) ** options.get("length_penalty", 1.0))

    def _inputs(self, audio: Waveform) -> dict[str, torch.Tensor]:
        return dict(self.extractor(audio, sampling_rate=RATE, return_tensors="pt"))

    def _beams(self, output: Any) -> tuple[Hypothesis, ...]:
        chosen = self.model.compute_transition_scores(output.sequences, output.scores, output.beam_indices)
        found = []
        for row, parents in enumerate(output.beam_indices):
            new = int((parents >= 0).sum())
            prompt = output.sequences.shape[1] - len(parents)
            tokens = tuple(output.sequences[row, : prompt + new].tolist())
            score = float(output.sequences_scores[row])
            found.append(Hypothesis(tokens, score, tuple(chosen[row, :new].tolist())))
        return tuple(found)

    def _greedy(self, output: Any, options: dict[str, Any]) -> Hypothesis:
        """Its score is the runtime's own definition; transformers has none."""
        defaults = self.model.generation_config
        ends = set(np.atleast_1d(options.get("eos_token_id", defaults.eos_token_id)).tolist())
        tokens = output.sequences[0].tolist()
        prompt = len(tokens) - len(output.scores)
        new = next((n for n, token in enumerate(tokens[prompt:], 1) if token in ends), len(output.scores))
        chosen = self.model.compute_transition_scores(output.sequences, output.logits, normalize_logits=True)[
            0, :new
        ]
        for step, scores in enumerate(output.scores[:new]):
            # A forced token leaves zero for itself and -inf for the others.
            if scores[0][scores[0].isfinite()].abs().sum() == 0:
                chosen[step] = 0.0
        penalty = options.get("length_penalty", defaults.length_penalty)
        score = float(chosen.sum() / new ** (1.0 if penalty is None else penalty))
        return Hypothesis(tuple(tokens[: prompt + new]), score, tuple(chosen.tolist()))


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


@dataclasses.dataclass(frozen=True)
class Pair:
    """The checkpoint in eager PyTorch and its bundle in the runtime."""

    eager: Eager
    model: SpeechToText


@functools.cache
def open_pair(checkpoint: Path, bundle: Path) -> Pair:
    """Both, loaded once per process."""
    return Pair(Eager(checkpoint), s2t_runtime.load(bundle, threads=1))


@dataclasses.dataclass
class Tally:
    """What comparisons came to; ``faults`` says each in words."""

    hypotheses: int = 0
    ties: int = 0
    worst_difference: float = 0.0
    faults: list[str] = dataclasses.field(default_factory=list)

    def compare(
        self, eager: Eager, audio: Waveform, options: Options, wanted: Sequence[Hypothesis], got: Result
    ) -> None:
        """Compare every hypothesis: tokens, score and each token's log-probability."""
        if len(got.hypotheses) != len(wanted):
            self.faults.append(f"{options}: {len(got.hypotheses)} hypotheses, eager has {len(wanted)}")
        for rank, (mine, theirs) in enumerate(zip(got.hypotheses, wanted, strict=False)):
            self.hypotheses += 1
            if mine.tokens != theirs.tokens:
                if not is_tie(eager, audio, options, wanted, rank, mine.tokens):
                    self.faults.append(f"{options} #{rank}: {mine.tokens}, eager has {theirs.tokens}")
                    continue
                self.ties += 1
            self._compare_scores(f"{options} #{rank}", mine, theirs)

    def _compare_scores(self, name: str, mine: Any, theirs: Hypothesis) -> None:
        difference = abs(mine.score - theirs.score)
        if mine.tokens == theirs.tokens:
            by_token = np.abs(np.subtract(mine.log_probs, theirs.log_probs))
            difference = max(difference, float(by_token.max()))
        self.worst_difference = max(self.worst_difference, difference)
        if not difference <= TOLERANCE:  # NaN is a fault too
            self.faults.append(f"{name}: scores differ by {difference}")


def is_tie(
    eager: Eager,
    audio: Waveform,
    options: Options,
    wanted: Sequence[Hypothesis],
    rank: int,
    tokens: tuple[int, ...],
) -> bool:
    """Whether eager scores ``tokens`` as it scores the hypothesis of that rank, within TIE_MARGIN."""
    known = {hypothesis.tokens: hypothesis.score for hypothesis in wanted}
    if tokens in known:
        score = known[tokens]
    elif set(options) <= _PLAIN:
        score = eager.score(audio, tokens, options)
    else:
        return False
    return abs(score - wanted[rank].score) < TIE_MARGIN
