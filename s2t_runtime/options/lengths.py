"""How long a search may and must be: a call's lengths over a bundle's, within the decoder's positions.

What a call asks for and cannot have is refused. A bundle's default gives way: it is cut at what the decoder
takes, and at the length that the call asks for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions

DEFAULT_NEW_TOKENS = 20  # transformers' length where neither the call nor the bundle sets one

_T = TypeVar("_T")


@dataclass(frozen=True)
class Lengths:
    """Of one search, in tokens."""

    longest: int  # in all, prompt included
    least: int  # in all, prompt included; at most longest
    least_new: int


def longest_sequence(positions: int) -> int:
    """Tokens of a sequence at most, prompt included: the last one is never fed, so it needs no position."""
    return positions + 1


def plan_lengths(
    defaults: GenerationOptions, overrides: GenerationOptions, prompt: int, positions: int | None
) -> Lengths:
    """Resolve a call's lengths over a bundle's, and those over transformers' own.

    Args:
        defaults: what the bundle sets.
        overrides: what the call sets.
        prompt: tokens of the prompt.
        positions: positions that the decoder has, None where it has no limit.

    Raises:
        OptionError: the call asks for more than the decoder takes, for two lengths of which one would be ignored,
            or for a minimum above the maximum; or the prompt leaves no room.
    """
    for end in ("max", "min"):
        _refuse_both(end, overrides)
    longest = _longest(defaults, overrides, prompt, positions)
    return Lengths(longest, _least(defaults, overrides, prompt, longest), _least_new(defaults, overrides))


def _longest(
    defaults: GenerationOptions, overrides: GenerationOptions, prompt: int, positions: int | None
) -> int:
    limit = math.inf if positions is None else longest_sequence(positions)
    asked = _in_all(overrides.max_length, overrides.max_new_tokens, prompt)
    stored = _in_all(defaults.max_length, defaults.max_new_tokens, prompt)
    length = asked if asked is not None else int(min(_or(stored, prompt + DEFAULT_NEW_TOKENS), limit))
    if prompt >= min(length, limit):
        raise OptionError(
            f"a prompt of {prompt} tokens leaves no room to decode within {min(length, limit)} tokens, "
            "wanted a shorter one; shorten decoder_prompt_ids or raise max_length"
        )
    if length > limit:
        new = overrides.max_new_tokens
        source = "" if new is None else f" (max_new_tokens {new} and a prompt of {prompt})"
        raise OptionError(
            f"max_length {length}{source} is beyond the {limit} tokens that the decoder's {positions} positions "
            f"allow; ask for at most max_length={limit} or max_new_tokens={int(limit) - prompt}"
        )
    return length


def _least(defaults: GenerationOptions, overrides: GenerationOptions, prompt: int, longest: int) -> int:
    asked = _in_all(overrides.min_length, overrides.min_new_tokens, prompt)
    if asked is None:
        # As in transformers, which warns: no end token comes before the last one.
        return min(_or(_in_all(defaults.min_length, defaults.min_new_tokens, prompt), 0), longest)
    if asked > longest:
        raise OptionError(
            f"a minimum length of {asked} tokens is more than the maximum length of {longest}, prompt "
            "included; lower min_length or min_new_tokens, or raise max_length or max_new_tokens"
        )
    return asked


def _least_new(defaults: GenerationOptions, overrides: GenerationOptions) -> int:
    outranked = overrides.min_length is not None
    return _or(overrides.min_new_tokens, 0 if outranked else _or(defaults.min_new_tokens, 0))


def _in_all(length: int | None, new: int | None, prompt: int) -> int | None:
    """A length with its prompt: of one holder's two, the number of new tokens goes before the other."""
    return length if new is None else prompt + new


def _refuse_both(end: str, overrides: GenerationOptions) -> None:
    length, new = getattr(overrides, f"{end}_length"), getattr(overrides, f"{end}_new_tokens")
    if length is not None and new is not None:
        raise OptionError(
            f"{end}_length {length} would be ignored: the call has {end}_new_tokens {new}, which goes before it; "
            "pass one of them"
        )


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value
