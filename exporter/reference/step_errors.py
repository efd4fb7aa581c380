"""How far a precision's log-probabilities are off along float32's own tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from exporter.onnx.session import Array
from s2t_runtime.bundles.manifest import PrecisionErrors
from s2t_runtime.options.generation import GenerationOptions


@dataclass(frozen=True)
class StepMeasure:
    """What of single steps is held to a budget.

    Attributes:
        tokens: how many of float32's best tokens of each step.
        to_the_end: only steps up to the end token count.
        recordings_alone: the user's recordings, where there are any, are all that is measured on.
    """

    tokens: int
    to_the_end: bool
    recordings_alone: bool


MEASURES: Final[Mapping[str, StepMeasure]] = {
    "float16": StepMeasure(tokens=8, to_the_end=False, recordings_alone=False),
    "int8": StepMeasure(tokens=1, to_the_end=True, recordings_alone=True),
}
"""Base of a precision policy -> its measure. float16 is near everywhere: of each step all tokens that a search could
choose, and hard audio always, since it finds what overflows. int8 rounds coarsely what is improbable anyway: the
tokens that are chosen, whose log-probabilities a result reports, as far as a result goes. Nothing overflows, so that
what a model makes of noise or silence does not count where there is speech to judge it by."""


def step_errors(got: Array, wanted: Array, tokens: int = 1) -> PrecisionErrors:
    """Compare single steps.

    Args:
        got: log-probabilities to judge, [steps, columns of the logits].
        wanted: float32's, of the same steps.
        tokens: how many of float32's best tokens of each step are compared.

    Returns:
        The largest difference among those, infinite where one is no number; and the share of steps with the same
        best token.
    """
    count = min(tokens, wanted.shape[1])
    best = np.argpartition(-wanted, count - 1, axis=1)[:, :count]
    differences = np.take_along_axis(got - wanted, best, axis=1)
    worst = np.abs(np.where(np.isfinite(differences), differences, np.inf)).max()
    return PrecisionErrors(float(worst), float(np.mean(got.argmax(axis=1) == wanted.argmax(axis=1))))


def step_count(most: int, prompt: int, max_positions: int | None) -> int:
    """Decoder steps, the prompt's among them, that the positions allow: each but the first feeds one token.

    Args:
        most: steps at most.
        prompt: tokens of the prompt.
        max_positions: tokens that can be fed to the decoder, prompt included; None: any number.
    """
    return most if max_positions is None else min(most, max_positions - prompt + 1)


def end_tokens(options: GenerationOptions) -> tuple[int, ...]:
    """Ids that end an utterance."""
    ids = options.eos_token_id
    return () if ids is None else (ids,) if isinstance(ids, int) else tuple(ids)


def counted_steps(chosen: NDArray[np.int64], end_tokens: Collection[int]) -> NDArray[np.bool_]:
    """Which steps a decoding has: those up to the end token, which is the last that counts.

    Behind it a trained model writes what it was never trained for, and nothing of it reaches a user.

    Args:
        chosen: the tokens that float32 chooses, int64 [steps, batch].
        end_tokens: ids that end an utterance.

    Returns:
        bool [steps, batch].
    """
    ended = np.isin(chosen, list(end_tokens)).astype(np.int64)
    counted: NDArray[np.bool_] = ended.cumsum(axis=0) == ended
    return counted


def log_softmax(logits: Array) -> Array:
    """Over the last axis, in float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
