"""The options of sampling, resolved, as transformers' ``_get_logits_processor`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions

DEFAULT_TOP_K: Final = 50  # transformers' own, where neither the call nor the bundle sets one


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; the defaults switch each option off.

    Attributes:
        min_tokens_to_keep: tokens that top_k, top_p, min_p, typical_p, epsilon_cutoff and eta_cutoff
            leave at least: 1, in beam sampling one more than there are end tokens and 2 at least.
        seed: of the random numbers of every utterance, or None for fresh ones.
    """

    temperature: float = 1.0
    top_h: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    min_tokens_to_keep: int = 1
    seed: int | None = None


_OFF: Final[Mapping[str, object]] = {
    field.name: field.default for field in fields(Sampling) if field.name != "min_tokens_to_keep"
}


def plan_sampling(
    overrides: GenerationOptions, merged: GenerationOptions, num_beams: int, end_tokens: int
) -> Sampling | None:
    """The sampling of a plan, None where tokens are not drawn.

    A bundle's defaults of sampling wait for do_sample; those of a call are meant to act.

    Args:
        overrides: what the call sets.
        merged: what the call sets over what the bundle sets.
        num_beams: beams of the plan.
        end_tokens: how many end tokens the plan has.

    Raises:
        OptionError: the call sets an option of sampling and tokens are not drawn.
    """
    if not merged.do_sample:
        _refuse_idle(overrides)
        return None
    given = {name: getattr(merged, name) for name in _OFF if getattr(merged, name) is not None}
    keep = 1 if num_beams == 1 else max(2, 1 + end_tokens)
    return Sampling(**{"top_k": DEFAULT_TOP_K, **given, "min_tokens_to_keep": keep})


def _refuse_idle(overrides: GenerationOptions) -> None:
    idle = {name: getattr(overrides, name) for name in _OFF}
    named = [f"{name} {value}" for name, value in idle.items() if value is not None and value != _OFF[name]]
    if named:
        raise OptionError(
            f"{' and '.join(named)} would be ignored: tokens are not drawn, because do_sample is "
            f"{'False' if overrides.do_sample is False else 'not set'}; pass do_sample=True or leave "
            f"{'it' if len(named) == 1 else 'them'} out"
        )
