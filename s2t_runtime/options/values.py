"""The values that decoding options can take, whatever the bundle; each check returns the normalised value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import OptionError

PrefixFunction: TypeAlias = Callable[[int, NDArray[np.int64]], Iterable[int]]


LARGEST_INTEGER: Final = 2**63 - 1
"""What an integer of a bundle's JSON can be for every host."""
_LARGEST_SINGLE: Final = float(np.finfo(np.float32).max)
_SMALLEST_SINGLE: Final = float(np.finfo(np.float32).tiny)
_Number: TypeAlias = int | float | np.integer[Any] | np.floating[Any]


def _refused(name: str, value: object, wanted: str) -> OptionError:
    return OptionError(f"{name} is {_shown(value)}, wanted {wanted}; pass such a value or leave {name} unset")


def _shown(value: object) -> str:
    """The value as Python writes it; an integer beyond 64 bits as the number that other readers of JSON see."""
    try:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            return repr(float(value))
        return repr(value)
    except OverflowError:
        return f"an integer of {cast('int', value).bit_length()} bits"
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"a {type(value).__name__} with an integer of thousands of digits"


def _is_number(value: object) -> TypeGuard[_Number]:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _integer(least: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        # numpy compares with a number of its own type, into which ours may not go.
        number = int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None
        if (float(value) if isinstance(value, float | np.floating) else number or 0) > LARGEST_INTEGER:
            raise _refused(name, value, f"an integer of at most {LARGEST_INTEGER}")
        if number is None or number < least:
            raise _refused(name, value, f"an integer of at least {least}")
        return number

    return check


def _number(*, positive: bool) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        try:
            number = float(value) if _is_number(value) else math.nan
        except OverflowError as error:
            raise _refused(name, value, "a number of at most 1.7e+308 in size") from error
        if not math.isfinite(number) or (positive and number <= 0):
            raise _refused(name, value, "a finite number" + " above 0" * positive)
        return number

    return check


def _bias(name: str, value: object) -> float:
    number = _number(positive=False)(name, value)
    if abs(number) > _LARGEST_SINGLE:  # torch would not take it either
        raise _refused(name, value, "a number of single precision, at most 3.4e+38 in size")
    return number


def _temperature(name: str, value: object) -> float:
    number = _number(positive=True)(name, value)
    if not _SMALLEST_SINGLE <= number <= _LARGEST_SINGLE:  # scores would be divided by zero, or by infinity
        raise _refused(name, value, "a number of single precision, from 1.2e-38 to 3.4e+38")
    return number


def _share(*, zero: bool, one: bool) -> Callable[[str, object], float]:
    """A number from 0 to 1, the ends included or not."""
    wanted = f"a number from {'0' if zero else 'above 0'} to {'1' if one else 'below 1'}"

    def check(name: str, value: object) -> float:
        if not _is_number(value) or not (0 <= value <= 1 and (zero or value != 0) and (one or value != 1)):
            raise _refused(name, value, wanted)
        return float(value)

    return check


def _items(value: object) -> tuple[object, ...] | None:
    """The items of a value that holds several; None: it is no such value."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        return None
    try:
        return tuple(value)
    except TypeError:  # numpy's array of no axis says that it can be iterated over
        return None


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _refused(name, value, "True or False")


def _function(name: str, value: object) -> PrefixFunction:
    if callable(value):
        return value
    raise _refused(name, value, "a function of an utterance's index and its tokens so far")


def check_ids(name: str, value: object) -> tuple[int, ...]:
    items = _items(value)
    return tuple(check_id(name, item) for item in ((value,) if items is None else items))


def _words(name: str, value: object) -> tuple[tuple[int, ...], ...]:
    words = _items(value)
    if words is None or any(_items(word) is None for word in words):
        raise _refused(name, value, "a list of lists of token ids")
    result = tuple(check_ids(name, word) for word in words)
    if () in result:
        raise _refused(name, value, "no empty entry")
    return result


def _biases(name: str, value: object) -> tuple[tuple[tuple[int, ...], float], ...]:
    pairs = tuple(value.items()) if isinstance(value, Mapping) else _items(value)
    biases: dict[tuple[int, ...], float] = {}
    for pair in (0,) if pairs is None else pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], list | tuple):
            raise _refused(name, value, "{(ids): bias} or [[[ids], bias], ...]")
        # Of equal sequences the last bias holds, at the first one's place: as a dict of transformers'.
        biases[check_ids(name, pair[0])] = _bias(name, pair[1])
    if () in biases:
        raise _refused(name, value, "no empty sequence")
    return tuple(biases.items())


def _decay(name: str, value: object) -> tuple[int, float] | tuple[()]:
    parts = tuple(value) if isinstance(value, list | tuple) else (None,)
    if not parts:
        return ()
    if len(parts) != 2:
        raise _refused(name, value, "a pair (start, factor)")
    return _integer(0)(name, parts[0]), _number(positive=True)(name, parts[1])


def _early_stopping(name: str, value: object) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value == "never"):
        return value
    raise _refused(name, value, "True, False or 'never'")


def _language(name: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise _refused(name, value, "a language code")


check_id = _integer(0)
CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "num_beams": _integer(1),
    "num_return_sequences": _integer(1),
    "max_length": _integer(1),
    "max_new_tokens": _integer(1),
    "min_length": _integer(0),
    "min_new_tokens": _integer(0),
    "length_penalty": _number(positive=False),
    "early_stopping": _early_stopping,
    "do_sample": _flag,
    "temperature": _temperature,
    "top_k": _integer(0),
    "top_p": _share(zero=True, one=True),
    "min_p": _share(zero=True, one=True),
    "typical_p": _share(zero=False, one=True),
    "top_h": _share(zero=True, one=True),
    "epsilon_cutoff": _share(zero=True, one=False),
    "eta_cutoff": _share(zero=True, one=False),
    "seed": _integer(0),
    "forced_bos_token_id": check_id,
    "forced_eos_token_id": check_ids,
    "eos_token_id": check_ids,
    "decoder_start_token_id": check_id,
    "bos_token_id": check_id,
    "pad_token_id": check_id,
    "decoder_prompt_ids": check_ids,
    "suppress_tokens": check_ids,
    "begin_suppress_tokens": check_ids,
    "no_repeat_ngram_size": _integer(0),
    "repetition_penalty": _number(positive=True),
    "bad_words_ids": _words,
    "sequence_bias": _biases,
    "exponential_decay_length_penalty": _decay,
    "prefix_allowed_tokens_fn": _function,
    "renormalize_logits": _flag,
    "language": _language,
}
