"""Writes the tree of the source into docs/architecture.md: every room and module with its first line.

PYTHONPATH=.:tests python -m support.tree_page
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from support.places import ROOT
from support.rooms import PACKAGES, modules

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: begin -->\n", "<!-- tree: end -->\n"
_COLUMN = 36


def line(depth: int, name: str, sentence: str) -> str:
    place = "  " * depth + name
    return f"    {place.ljust(_COLUMN - 1)} {sentence}".rstrip()


def place_of(name: str, rooms: Collection[str]) -> list[tuple[bool, str]]:
    """For sorting: the modules of a folder come before its rooms."""
    parts = name.split(".")
    return [(".".join(parts[: place + 1]) in rooms, part) for place, part in enumerate(parts)]


def python_lines() -> Iterator[str]:
    for package in PACKAGES:
        known = {name: one for name, one in modules().items() if name.split(".")[0] == package}
        rooms = {name for name, one in known.items() if one.is_room}
        for name in sorted(known, key=functools.partial(place_of, rooms=rooms)):
            depth = name.count(".")
            yield line(depth, name.rpartition(".")[2] + ("/" if name in rooms else ""), known[name].sentence)
        yield ""


def first_sentence(path: Path) -> str:
    """Of the comment that a C++ file begins with, which may go on over several lines."""
    comment = []
    for text in path.read_text(encoding="utf-8").splitlines():
        if not text.startswith("//"):
            break
        comment.append(text.lstrip("/ "))
    return re.split(r"(?<=\.) ", " ".join(comment))[0]


def cpp_lines() -> Iterator[str]:
    source = ROOT / "cpp" / "src"
    said = dict(
        re.findall(r"^- `(\w+)/`: (.*)$", (source / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    yield line(0, "cpp/src/", "The C++ runtime: the same rooms; include/s2t/ has its public headers.")
    for folder in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        depth = 1 if folder == source else 2
        if depth == 2:
            sentence = re.split(r"(?<=\.) ", said[folder.name])[0]
            yield line(1, f"{folder.name}/", sentence[0].upper() + sentence[1:])
        for stem in sorted({path.stem for path in folder.iterdir() if path.suffix in {".h", ".cpp"}}):
            files = [
                folder / f"{stem}.h",
                folder / f"{stem}.cpp",
                ROOT / "cpp" / "include" / "s2t" / f"{stem}.h",
            ]
            sentences = (first_sentence(path) for path in files if path.exists())
            yield line(depth, stem, next(filter(None, sentences), ""))


def tree() -> str:
    """The section between the marks."""
    return "\n".join([*python_lines(), *cpp_lines()]) + "\n"


def main() -> None:
    """Put it in place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{tree()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
