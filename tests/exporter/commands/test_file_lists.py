"""Options that take several files: where a list begins and where it ends."""

from __future__ import annotations

import pytest

from exporter.commands.file_lists import repeated

VALUES = {"--audio": 1, "--text": 1, "-o": 1, "--two": 2, "--quiet": 0, "--from": 1}


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("B --audio a b c", "B --audio a --audio b --audio c"),
        ("B --audio a --audio b", "B --audio a --audio b"),
        ("B --audio=a b", "B --audio=a --audio b"),
        ("B --audio a b --quiet c", "B --audio a --audio b --quiet c"),
        ("B --audio a b --text c d", "B --audio a --audio b --text c --text d"),
        # The value of another option is no argument, and an option between two files no file.
        ("-o out --audio a B", "-o out --audio a B"),
        ("--two 1 2 --audio a B", "--two 1 2 --audio a B"),
        ("--quiet B -o out --audio a b -o out", "--quiet B -o out --audio a --audio b -o out"),
        # Nothing says what BUNDLE is but the word behind the file.
        ("--audio a B", "--audio a B"),
        ("--audio a B b", "--audio a B b"),
        ("--from x --audio a b", "--from x --audio a --audio b"),
        ("--audio a b --from x", "--audio a --audio b --from x"),
        ("--from=x --audio a b", "--from=x --audio a --audio b"),
        ("B --audio a -- b", "B --audio a -- b"),
        ("B -- --audio a b", "B -- --audio a b"),
        ("B --audio", "B --audio"),
        ("B --unknown a b", "B --unknown a b"),
        ("", ""),
    ],
)
def test_an_option_is_repeated_before_each_of_its_files(line: str, read: str) -> None:
    assert repeated(line.split(), VALUES, {"--audio", "--text"}, 1, {"--from"}) == read.split()


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("A --audio a B", "A --audio a B"),
        ("A B --audio a b", "A B --audio a --audio b"),
        ("--from x --from y --audio a B", "--from x --from y --audio a B"),
        ("--from x B --audio a b", "--from x B --audio a --audio b"),
    ],
)
def test_every_argument_comes_first(line: str, read: str) -> None:
    assert repeated(line.split(), VALUES, {"--audio"}, 2, {"--from"}) == read.split()
