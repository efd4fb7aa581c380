"""A bundle's log-probabilities against eager's, step by step along the same tokens, audio to candidates."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from exporter.onnx.session import Array
from exporter.reference.eager import EagerReference
from exporter.reference.step_errors import StepMeasure, counted_steps, step_count, step_errors
from exporter.reference.utterance import Utterance
from s2t_runtime.bundles.manifest import PrecisionErrors
from s2t_runtime.sessions.onnxruntime.session import OnnxSession

_STEPS = 20


def compare_steps(
    reference: EagerReference,
    session: OnnxSession,
    utterances: Sequence[Utterance],
    prompt: Sequence[int],
    max_positions: int | None,
    measure: StepMeasure,
    ends: Collection[int],
) -> PrecisionErrors:
    """Decode greedily in eager, feed the same tokens to the bundle and compare every step.

    A search would hide how near the log-probabilities are: once one token differs, all later ones may.

    Args:
        reference: the checkpoint.
        session: of the precision to judge.
        utterances: audio, each decoded alone.
        prompt: token ids that decoding begins with.
        max_positions: tokens that can be fed to the decoder, prompt included; None: any number.
        measure: what is held to the budget.
        ends: ids that end an utterance.
    """
    count = step_count(_STEPS, len(prompt), max_positions)
    differences, agreed, steps = [], 0.0, 0
    for utterance in utterances:
        tokens, wanted = _eager_steps(reference, utterance, prompt, count)
        got = _session_steps(session, utterance, tokens[:count])
        if measure.to_the_end:
            chosen = np.array(tokens[1:])[:, -1:]
            counted = counted_steps(chosen, ends)[:, 0]
            got, wanted = got[counted], wanted[counted]
        errors = step_errors(got, wanted, measure.tokens)
        differences.append(errors.log_prob_difference)
        agreed += errors.token_agreement * len(wanted)
        steps += len(wanted)
    return PrecisionErrors(max(differences), agreed / steps)


def _eager_steps(
    reference: EagerReference, utterance: Utterance, prompt: Sequence[int], count: int
) -> tuple[list[list[int]], Array]:
    """Tokens fed in each step and those chosen last, and float32 log-probabilities [steps, columns]."""
    encoding, cache = reference.encode([utterance.samples]), reference.new_cache()
    tokens, rows = [list(prompt)], []
    for _ in range(count):
        logits = reference.decode(torch.tensor([tokens[-1]]), encoding, cache)
        rows.append(torch.log_softmax(logits[0], -1))
        tokens.append([int(reference.tokens(rows[-1].argmax()))])
    return tokens, torch.stack(rows).numpy()


def _session_steps(session: OnnxSession, utterance: Utterance, tokens: Sequence[Sequence[int]]) -> Array:
    audio = utterance.samples[None]
    state = session.start(session.encode(audio, np.array([audio.shape[1]], dtype=np.int64)))
    row, scored = np.zeros((1, 1), dtype=np.int64), []
    for fed in tokens:
        result = state(np.array([[fed]], dtype=np.int64), row, 1, with_logits=True)
        assert result.logits is not None  # noqa: S101 - they were asked for
        scored.append(torch.log_softmax(torch.from_numpy(result.logits[0, 0]), -1).numpy())
    return np.stack(scored)
