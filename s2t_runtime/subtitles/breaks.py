"""How wide text is on a screen, and where it may be broken."""

from __future__ import annotations

import functools
import unicodedata
from enum import IntEnum
from typing import Final

_SENTENCE_ENDS: Final = frozenset(".?!…。？！｡؟۔।॥")
_CLAUSE_ENDS: Final = frozenset(",;:、，；：､،؛–—")
_CLOSING: Final = frozenset("\"'»”’)]}〉》」』】）］｝")
_OPENING: Final = frozenset("«“‘([{〈《「『【（［｛¿¡")
_SMALL_KANA: Final = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々")
"""What no line begins with, as closing signs."""
_JOINER: Final = "\u200d"


class Break(IntEnum):
    """What stands before a place where text may be broken; the smaller, the better a place it is."""

    SENTENCE = 0
    CLAUSE = 1
    WORD = 2
    CHARACTER = 3


def width(text: str) -> int:
    """Columns of a fixed-width screen: 2 for wide East Asian characters, 0 for marks that stand on another."""
    return sum(map(_width_of, text))


@functools.lru_cache(maxsize=8192)
def _width_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def break_before(text: str, place: int) -> Break | None:
    """Whether ``text`` may be broken before a place within it, and how good that is; None: not there.

    Where there are no spaces (Chinese, Japanese), a line may end behind any character, but none begins with a closing
    sign or ends with an opening one: the rules that JIS X 4051 calls kinsoku, as far as they are needed here.
    """
    before, after = text[place - 1], text[place]
    if before.isspace():
        return _behind(text, place - 1)
    if after.isspace() or _width_of(after) == 0 or before == _JOINER:
        return None
    if after in _CLOSING or after in _SENTENCE_ENDS or after in _CLAUSE_ENDS or after in _SMALL_KANA:
        return None
    if before in _OPENING or not (_is_wide(before) or _is_wide(after)):
        return None
    found = _behind(text, place)
    return Break.CHARACTER if found is Break.WORD else found


def _behind(text: str, end: int) -> Break:
    """What the words before ``end`` end with: quotes and brackets behind a full stop belong to it."""
    while end > 0 and (text[end - 1] in _CLOSING or text[end - 1].isspace()):
        end -= 1
    last = text[end - 1 : end]
    if last in _SENTENCE_ENDS:
        return Break.SENTENCE
    return Break.CLAUSE if last in _CLAUSE_ENDS else Break.WORD


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def cut_by_width(text: str, most: int) -> int:
    """The place behind as much of a text as is no wider than ``most``; between characters, not within one."""
    columns, place = 0, 0
    for index, character in enumerate(text):
        columns += _width_of(character)
        if columns > most and place:
            return place
        follows = text[index + 1 : index + 2]
        if not follows or (_width_of(follows) and character != _JOINER):
            place = index + 1
    return len(text)
