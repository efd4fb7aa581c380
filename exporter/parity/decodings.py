"""Whole decodings: the bundle against eager ``generate()``, token by token and score by score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from exporter.checkpoints.companions.generation_defaults import SUPPORTED, is_harmless
from exporter.reference.eager import EagerHypotheses, EagerReference
from exporter.reference.utterance import Utterance
from s2t_runtime.bundles.manifest import Manifest
from s2t_runtime.model import SpeechToText
from s2t_runtime.options.lengths import longest_sequence
from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.results import Result

TIE_MARGIN = 1e-5
"""Two hypotheses that eager itself holds closer than this may change places."""
MAX_TIES_SHARE = 1e-3
SCORE_TOLERANCE = 1e-4
"""On sequences_scores at length_penalty 1, where they are means of log-probabilities."""
LOG_MEL_SCORE_TOLERANCE = 1e-3
"""The same behind log-mel features, which eager computes in float64 and a graph in float32: of a few frames' features
the fifth digit differs."""


@dataclass(frozen=True)
class Allowance:
    """How near a decoding must come to eager's."""

    score: float = SCORE_TOLERANCE
    """Of each hypothesis's score."""
    margin_per_token: float = 0.0
    """Per token: two hypotheses that eager itself holds closer than this, or than TIE_MARGIN in all, may change
    places."""
    hypotheses: int | None = None
    """How many of the best hypotheses are compared; None: all that were asked for."""


EXACT = Allowance()
"""float32's own."""


@dataclass(frozen=True)
class GenerateRow:
    """One decoding: what was asked and how it compares."""

    utterance: str
    options: Mapping[str, Any]
    hypotheses: int
    tokens: int
    same_tokens: bool
    tie: bool
    """The tokens differ, but eager's own margin between both hypotheses is within what is allowed."""
    score_difference: float
    """The largest, of scores at length_penalty 1: other penalties scale a score, its rounding errors included."""
    text: str
    allowed_score_difference: float = SCORE_TOLERANCE

    @property
    def passed(self) -> bool:
        """Equal tokens (or a tie), and equal scores."""
        return (self.same_tokens or self.tie) and self.score_difference <= self.allowed_score_difference


def compare_decodings(
    reference: EagerReference,
    model: SpeechToText,
    utterances: Sequence[Utterance],
    options: Sequence[Mapping[str, Any]],
    allowance: Allowance = EXACT,
) -> list[GenerateRow]:
    """Decode every utterance with every option set, alone and once more all together as one batch.

    Options of the checkpoint that the export was told to ignore are switched off in eager as well.
    """
    rows = []
    without, ranked = _left_out(reference, _ignored(model.manifest)), _not_drawn(reference)
    for asked in ({**ranked, **one} for one in options):
        told = as_generate_takes_them({**without, **asked})
        expected = [reference.generate([utterance.samples], **told)[0] for utterance in utterances]
        rate = reference.checkpoint.extractor.sampling_rate
        alone = [model.generate(utterance.samples, sampling_rate=rate, **asked) for utterance in utterances]
        together = model.generate(
            [utterance.samples for utterance in utterances], sampling_rate=rate, **asked
        )
        for utterance, wanted, single, batched in zip(utterances, expected, alone, together, strict=True):
            batch = {**asked, "batch": len(utterances)}
            rows.append(_compare(reference, utterance, asked, wanted, single, allowance))
            rows.append(_compare(reference, utterance, batch, wanted, batched, allowance))
    return rows


def compare_beginnings(
    reference: EagerReference,
    model: SpeechToText,
    utterance: Utterance,
    options: Sequence[Mapping[str, Any]],
    allowance: Allowance = EXACT,
) -> list[GenerateRow]:
    """Decode one utterance with every option set, alone.

    Args:
        reference: the checkpoint.
        model: the bundle, in float32: behind tokens that training never saw, lower precisions need not agree.
        utterance: audio.
        options: as ``beginnings`` makes them.
        allowance: how near the two must come.
    """
    rate = reference.checkpoint.extractor.sampling_rate
    without, ranked = _left_out(reference, _ignored(model.manifest)), _not_drawn(reference)
    rows = []
    for asked in ({**ranked, **one} for one in options):
        told = as_generate_takes_them({**without, **asked})
        wanted = reference.generate([utterance.samples], **told)[0]
        result = model.generate(utterance.samples, sampling_rate=rate, **asked)
        rows.append(_compare(reference, utterance, asked, wanted, result, allowance))
    return rows


def compare_defaults(
    reference: EagerReference,
    model: SpeechToText,
    utterance: Utterance,
    most_new: int,
    allowance: Allowance = EXACT,
) -> GenerateRow:
    """Decode with nothing set, as run-s2t does and ``generate()`` without arguments.

    Eager is told what the bundle stores otherwise on purpose: the width and the length that the user chose, the length
    that was cut, what the export was told to ignore.

    Args:
        reference: the checkpoint.
        model: the bundle.
        utterance: audio.
        most_new: tokens behind the prompt at most, set only where the defaults allow more.
        allowance: how near the two must come.
    """
    asked = _not_drawn(reference)
    plan = model.plan(**asked)
    new = plan.max_length - len(plan.prompt)
    if new > most_new:
        asked, new = {**asked, "max_new_tokens": most_new}, most_new
    told = {
        **_left_out(reference, _ignored(model.manifest)),
        **asked,
        **_otherwise(reference, model, plan, new),
    }
    wanted = reference.generate([utterance.samples], **told)[0]
    rate = reference.checkpoint.extractor.sampling_rate
    result = model.generate(utterance.samples, sampling_rate=rate, **asked)
    return _compare(reference, utterance, asked, wanted, result, allowance)


def _otherwise(reference: EagerReference, model: SpeechToText, plan: SearchPlan, new: int) -> dict[str, Any]:
    """What eager is told besides, where the bundle's own width or length is not the checkpoint's."""
    config, stored = reference.model.generation_config, model.manifest.generation
    told: dict[str, Any] = {}
    if stored.get("num_beams") != config.num_beams:
        told["num_beams"] = plan.num_beams
    positions = model.manifest.decoder.max_positions
    at_limit = positions is not None and plan.max_length == longest_sequence(positions)
    if at_limit or any(
        stored.get(name) != getattr(config, name) for name in ("max_length", "max_new_tokens")
    ):
        told["max_new_tokens"] = new
    return told


def as_generate_takes_them(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a bundle's call as those of eager's ``generate``, which takes a prompt as a tensor."""
    told = dict(options)
    prompt = told.pop("decoder_prompt_ids", None)
    return told if prompt is None else {**told, "decoder_input_ids": torch.tensor([prompt])}


def eager_options(reference: EagerReference, ignored: Collection[str] = ()) -> dict[str, Any]:
    """What eager's ``generate`` is always told, to decode as a bundle of its checkpoint does.

    Options that no bundle obeys are switched off, and so is sampling, whose draws cannot be compared.

    Args:
        reference: the checkpoint.
        ignored: options that a bundle obeys, but that the export was told to ignore.
    """
    return {**_left_out(reference, ignored), **_not_drawn(reference)}


def _left_out(reference: EagerReference, ignored: Collection[str]) -> dict[str, Any]:
    config = reference.model.generation_config
    defaults = GenerationConfig()._get_default_generation_params()  # noqa: SLF001 - None does not switch all off
    return {
        name: defaults.get(name)
        for name, value in config.to_dict().items()
        if not is_harmless(name, value) or (value is not None and name in ignored and name in SUPPORTED)
    }


def _ignored(manifest: Manifest) -> frozenset[str]:
    """Generation options that a bundle's export was told to leave out."""
    options = manifest.provenance.get("options")
    names = options.get("ignored_generation_options") if isinstance(options, dict) else None
    return frozenset(names if isinstance(names, list) else ())


def _not_drawn(reference: EagerReference) -> dict[str, Any]:
    """What switches sampling off, where it is the checkpoint's default: draws cannot be compared."""
    config = reference.model.generation_config
    if not config.do_sample:
        return {}
    return {"do_sample": False, **({"num_return_sequences": 1} if config.num_return_sequences else {})}


def _compare(
    reference: EagerReference,
    utterance: Utterance,
    options: Mapping[str, Any],
    wanted: EagerHypotheses,
    result: Result,
    allowance: Allowance,
) -> GenerateRow:
    found, expected = result.hypotheses[: allowance.hypotheses], wanted.tokens[: allowance.hypotheses]
    got = tuple(hypothesis.tokens for hypothesis in found)
    same = got == expected
    tie = not same and _is_tie(reference, utterance, got, expected, allowance)
    scores = [hypothesis.score for hypothesis in found]
    penalty = float(options.get("length_penalty", _default_penalty(reference)))
    to_means = [max(len(hypothesis.log_probs), 1) ** (penalty - 1.0) for hypothesis in found]
    # Not max(): it would lose a NaN that is not the first.
    difference = float(np.max(np.abs(np.subtract(scores, wanted.scores[: len(scores)])) * to_means))
    return GenerateRow(
        utterance=utterance.name,
        options=dict(options),
        hypotheses=len(got),
        tokens=sum(map(len, got)),
        same_tokens=same,
        tie=tie,
        score_difference=difference,
        text=result.text,
        allowed_score_difference=allowance.score,
    )


def _default_penalty(reference: EagerReference) -> float:
    penalty = reference.model.generation_config.length_penalty
    return 1.0 if penalty is None else penalty


def _is_tie(
    reference: EagerReference,
    utterance: Utterance,
    got: Sequence[tuple[int, ...]],
    wanted: Sequence[tuple[int, ...]],
    allowance: Allowance,
) -> bool:
    """Whether eager rates every differing pair of hypotheses within the allowed margin of each other."""
    for mine, theirs in zip(got, wanted, strict=True):
        if mine == theirs:
            continue
        prompt = _common_prefix(mine, theirs)
        if not prompt:
            return False
        margins = [reference.log_probability(utterance.samples, tokens, 1) for tokens in (mine, theirs)]
        allowed = max(TIE_MARGIN, allowance.margin_per_token * max(len(mine), len(theirs)))
        if abs(margins[0] - margins[1]) >= allowed:
            return False
    return True


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    return next(
        (place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(second)),
    )
