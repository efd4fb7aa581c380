"""JSON documents that follow frozen dataclasses field by field: the manifest, and an engine's record.

Writing keeps the fields' order and sorts mappings by key, so that the same record gives the same text.
Reading ignores fields that it does not know and names every field that is missing or wrongly typed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

_WANTED: Final[dict[type, str]] = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class OneOf:
    """The values that a text field may take; an annotation, so that writers pass plain ``str``."""

    values: tuple[str, ...]


def text_of(record: object) -> str:
    """The JSON text of a dataclass: indented by 2, fields in order, UTF-8 as it is, a final newline.

    Raises:
        TypeError: a field holds what JSON has no value for.
        ValueError: a field holds NaN or an infinity.
    """
    return json.dumps(plain(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse(text: str) -> object:
    """The document in ``text``.

    Raises:
        ValueError: it is not JSON; NaN and infinities, which Python would take, are not either, nor are numbers
            beyond double precision, which other readers of a bundle cannot hold.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_float, parse_int=_integer)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{_shortened(text)} is beyond double precision")
    return value


def _integer(text: str) -> int:
    _float(text)
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    # Python's parser takes NaN and Infinity; JSON and the other readers of a bundle do not.
    raise ValueError(f"{name} is not a JSON number")


def plain(value: object) -> object:
    """A value as json.dumps takes it: records and mappings as dicts, sequences as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def shown(value: object) -> str:
    """A JSON value in a message: what it is, and the value itself where it is short."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        value = float(value)  # as other readers of JSON see it
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."


class Reader:
    """Builds records from parsed JSON by their annotations, and collects every problem on the way."""

    def __init__(self, subject: str) -> None:
        """``subject`` is what a problem of the whole document names, for example "the manifest"."""
        self.problems: list[str] = []
        self._subject = subject

    def record(self, wanted: type[_T], value: object, path: str) -> _T:
        """An instance of the dataclass ``wanted``; meaningless once ``problems`` is not empty."""
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return typing.cast("_T", None)
        hints = typing.get_type_hints(wanted, include_extras=True)
        read: dict[str, Any] = {}
        for field in dataclasses.fields(typing.cast("Any", wanted)):
            inside = f"{path}.{field.name}" if path else field.name
            if field.name in value:
                read[field.name] = self._value(hints[field.name], value[field.name], inside)
            elif field.default is dataclasses.MISSING:
                self.problems.append(f"{inside} is missing")
                read[field.name] = None
        return wanted(**read)

    def _value(self, wanted: Any, value: object, path: str) -> object:
        origin = typing.get_origin(wanted)
        if wanted is object:
            return value
        if dataclasses.is_dataclass(wanted):
            return self.record(typing.cast("type[object]", wanted), value, path)
        if origin is Mapping:
            return self._mapping(typing.get_args(wanted)[1], value, path)
        if origin is tuple:
            return self._sequence(typing.get_args(wanted)[0], value, path)
        if origin in {typing.Union, types.UnionType}:
            return self._union(typing.get_args(wanted), value, path)
        return self._scalar(wanted, value, path)

    def _mapping(self, wanted: object, value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return {}
        return {key: self._value(wanted, item, f"{path}.{key}") for key, item in value.items()}

    def _sequence(self, wanted: object, value: object, path: str) -> tuple[object, ...]:
        if not isinstance(value, list):
            self.wrong(path, value, "an array")
            return ()
        return tuple(self._value(wanted, item, f"{path}[{index}]") for index, item in enumerate(value))

    def _union(self, options: tuple[Any, ...], value: object, path: str) -> object:
        if value is None and types.NoneType in options:
            return None
        rest = [option for option in options if option is not types.NoneType]
        if len(rest) == 1:
            return self._value(rest[0], value, path)
        if type(value) not in rest:
            self.wrong(path, value, " or ".join(_WANTED[option] for option in rest))
        return value

    def _scalar(self, wanted: Any, value: object, path: str) -> object:
        allowed = getattr(wanted, "__metadata__", (None,))[0]
        kind = getattr(wanted, "__origin__", wanted)
        if kind is float and type(value) is int:
            return float(value)  # other writers leave out a fraction of zero
        # Not isinstance: true is not an integer. What 64 bits do not hold is none for other hosts.
        if type(value) is not kind or (type(value) is int and not -(2**63) <= value < 2**63):
            self.wrong(path, value, _WANTED[kind])
        elif isinstance(allowed, OneOf) and value not in allowed.values:
            self.wrong(path, value, "one of " + ", ".join(allowed.values))
        return value

    def wrong(self, path: str, value: object, wanted: str) -> None:
        """Note a problem."""
        self.problems.append(f"{path or self._subject} is {shown(value)}, wanted {wanted}")
