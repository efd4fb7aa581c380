"""Word and character error rates against the plain definition, and the file of references."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.errors import BenchmarkError
from benchmarks.measuring.word_errors import edit_distance, normalised, rates, read_references, word_errors


def plain_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """By the definition, prefix by prefix."""

    @functools.cache
    def least(left: int, right: int) -> int:
        if not left or not right:
            return left + right
        changed = first[left - 1] != second[right - 1]
        return min(
            least(left - 1, right) + 1, least(left, right - 1) + 1, least(left - 1, right - 1) + changed
        )

    return least(len(first), len(second))


@settings(max_examples=60, deadline=None)
@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_distances_are_those_of_the_definition(first: str, second: str) -> None:
    assert edit_distance(first, second) == plain_distance(first, second)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("flaw", "lawn", 2)],
)
def test_distances_that_everybody_knows(first: str, second: str, wanted: int) -> None:
    assert edit_distance(first, second) == wanted


def test_rates_are_errors_over_the_references_length() -> None:
    found = word_errors(["the cat sat", "a b"], ["The cat sat down.", "a b c d"])
    assert (found.words, found.word_errors) == (8, 3)
    assert rates(found)["word_error_rate"] == 3 / 8
    assert rates(found)["character_error_rate"] == (5 + 4) / (16 + 7)


def test_more_can_be_wrong_than_was_said() -> None:
    assert word_errors(["a b c"], ["d"]).word_error_rate == 3.0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  Der  Hund, bellt!  ", "der hund bellt"),
        ("don’t 'quote'", "don't quote"),
        ("STRASSE straße", "strasse strasse"),
        ("ﬁne ４２", "fine 42"),
        ("well-known + more", "well known more"),
        ("四百。", "四百"),
    ],
)
def test_what_does_not_count(text: str, wanted: str) -> None:
    assert normalised(text) == wanted


def test_references_are_read(tmp_path: Path) -> None:
    path = tmp_path / "references.tsv"
    path.write_text("\ufeffa.wav\tone two\n\nb.wav\tthree\nc.wav\tnot asked for\n", encoding="utf-8")
    assert read_references(path, ["b.wav", "a.wav"]) == {"b.wav": "three", "a.wav": "one two"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.wav one", "{path}, line 1: got 'a.wav one', wanted a recording's file name, a tab and its text"),
        (
            "\na.wav\t...",
            "{path}, line 2: got 'a.wav\\t...', wanted a recording's file name, a tab and its text",
        ),
        ("a.wav\tone", "{path} has no text for b.wav: add a line with the name, a tab and the text"),
    ],
)
def test_references_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "references.tsv"
    path.write_text(content, encoding="utf-8")
    wanted = f"--references {message.format(path=path)}"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(wanted)}$"):
        read_references(path, ["a.wav", "b.wav"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r"^--references .* cannot be read \(.*\): give a text file in UTF-8$"
    ):
        read_references(tmp_path / "none.tsv", [])
    path = tmp_path / "latin.tsv"
    path.write_bytes(b"a.wav\t\xe4\n")
    with pytest.raises(BenchmarkError, match=r"cannot be read \('utf-8' codec"):
        read_references(path, [])
