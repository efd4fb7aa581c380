"""Word and character error rate: the least substitutions, insertions and deletions, over the reference's length."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError


@dataclass(frozen=True)
class WordErrors:
    """Of one case over all recordings: sums, so that long recordings count more.

    Attributes:
        words: of the references.
        word_errors: substitutions, insertions and deletions.
        characters: of the references, one space between words.
        character_errors: the same for characters; the figure for languages without spaces.
    """

    words: int
    word_errors: int
    characters: int
    character_errors: int

    @property
    def word_error_rate(self) -> float:
        """Above 1 where far too much was said."""
        return self.word_errors / self.words

    @property
    def character_error_rate(self) -> float:
        """Above 1 where far too much was said."""
        return self.character_errors / self.characters


def word_errors(texts: Sequence[str], references: Sequence[str]) -> WordErrors:
    """Count over pairs of texts, both normalised.

    Args:
        texts: what was decoded.
        references: what was said, in the same order, none of them empty.
    """
    pairs = [(normalised(text), normalised(wanted)) for text, wanted in zip(texts, references, strict=True)]
    return WordErrors(
        words=sum(len(wanted.split()) for _, wanted in pairs),
        word_errors=sum(edit_distance(text.split(), wanted.split()) for text, wanted in pairs),
        characters=sum(len(wanted) for _, wanted in pairs),
        character_errors=sum(edit_distance(text, wanted) for text, wanted in pairs),
    )


def normalised(text: str) -> str:
    """NFKC, case folded, punctuation and symbols out (an apostrophe within a word stays), single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("’", "'")
    kept = [
        letter if letter == "'" or unicodedata.category(letter)[0] not in "PS" else " " for letter in folded
    ]
    return " ".join(word for word in (word.strip("'") for word in "".join(kept).split()) if word)


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Least number of substitutions, insertions and deletions.

    By rows of the table of prefixes (Wagner and Fischer, "The String-to-String Correction Problem", 1974). Insertions
    within a row depend on each other: a running minimum of cost less position takes them all at once.
    """
    ids: dict[str, int] = {}
    left, right = (np.array([ids.setdefault(item, len(ids)) for item in items]) for items in (first, second))
    position = np.arange(len(right) + 1)
    row = position.copy()
    for count, item in enumerate(left, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (right != item))
        row = np.minimum.accumulate(np.concatenate(([count], best)) - position) + position
    return int(row[-1])


def read_references(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Read what was said: a line for each recording, its file's name, a tab, the text.

    Args:
        path: a text file in UTF-8.
        names: of the recordings.

    Returns:
        The text of each of them.

    Raises:
        BenchmarkError: the file cannot be read, a line is none of these, or a recording has no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"--references {path} cannot be read ({error}): give a text file in UTF-8"
        ) from error
    found = dict(_line(path, number, line) for number, line in enumerate(lines, start=1) if line.strip())
    missing = [name for name in names if name not in found]
    if missing:
        raise BenchmarkError(
            f"--references {path} has no text for {', '.join(missing)}: add a line with the name, a tab and the text"
        )
    return {name: found[name] for name in names}


def _line(path: Path, number: int, line: str) -> tuple[str, str]:
    name, tab, text = line.partition("\t")
    if not tab or not normalised(text):
        raise BenchmarkError(
            f"--references {path}, line {number}: got {line[:40]!r}, wanted a recording's file name, a tab and "
            "its text"
        )
    return name.strip(), text


def rates(found: WordErrors) -> Mapping[str, float | int]:
    """As a record keeps them."""
    return {
        **vars(found),
        "word_error_rate": found.word_error_rate,
        "character_error_rate": found.character_error_rate,
    }
