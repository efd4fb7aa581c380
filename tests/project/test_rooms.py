"""The rooms of the source: small, without cycles, each with a door that says what leaves it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.places import ROOT
from support.rooms import (
    PACKAGES,
    cycles,
    imports,
    modules,
    stated_door,
    stated_visitors,
    unlike,
    used_door,
    visitors,
)
from support.tree_page import BEGIN, END, PAGE
from support.tree_page import tree as drawn_tree

MOST = 12
OF_ONE_KIND = {"exporter/onnx/passes", "cpp/tests"}
"""Folders whose modules are alike; how many there are says nothing."""
KNOWN = modules()
ROOMS = sorted(module.name for module in KNOWN.values() if module.is_room and module.name not in PACKAGES)
CPP = ROOT / "cpp" / "src"
CPP_ROOMS = ("search", "segmentation", "text", "options", "sessions", "bundles", "audio", "messages")
BELOW = {
    "search": {"options", "sessions", "bundles", "messages"},
    "segmentation": {"messages"},
    "text": {"bundles", "messages"},
    "options": {"bundles", "messages"},
    "sessions": {"bundles", "messages"},
    "audio": {"bundles", "messages"},
    "bundles": {"messages"},
    "messages": set(),
}
"""C++ room -> the rooms that it may include; model.cpp may include all."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy to plant bugs in."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_no_module_imports_itself_by_any_way_round() -> None:
    assert cycles(KNOWN) == []


def test_a_cycle_is_found_even_inside_functions(tree: Path) -> None:
    append(
        tree / "exporter" / "checkpoints" / "sources" / "files.py",
        "\n\ndef _planted() -> None:\n    from exporter.checkpoints.load import load_source\n",
    )
    (found,) = cycles(modules(tree))
    assert {"exporter.checkpoints.sources.files", "exporter.checkpoints.load"} <= set(found)


@pytest.mark.parametrize("name", ROOMS)
def test_a_rooms_door_is_what_leaves_it(name: str) -> None:
    room = KNOWN[name]
    assert re.fullmatch(r"[A-Z`].*\.", room.sentence), f"{name} says in one sentence what it is for"
    assert stated_door(room) == used_door(room, KNOWN)


def test_a_door_bites(tree: Path) -> None:
    append(tree / "exporter" / "options.py", "\nfrom exporter.onnx.session import _options\n")
    changed = modules(tree)
    room = changed["exporter.onnx"]
    assert used_door(room, changed)["session"] - stated_door(room)["session"] == {"_options"}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_who_may_come_in(name: str) -> None:
    room = KNOWN[name]
    assert re.search(r"\nGiven: [^\n]+\.\nOpen to: ", room.docstring), (
        f"{name} says what it is given, then who may come in"
    )
    assert stated_visitors(room) == visitors(room, KNOWN)


def test_a_new_visitor_is_noticed(tree: Path) -> None:
    append(
        tree / "exporter" / "tokenizers" / "files.py", "\nfrom exporter.onnx.session import open_session\n"
    )
    changed = modules(tree)
    room = changed["exporter.onnx"]
    assert visitors(room, changed) - stated_visitors(room) == {"exporter.tokenizers"}


def folders() -> list[str]:
    roots = [*PACKAGES, "cpp/src", "cpp/programs", "tests"]
    found = {
        path.parent for root in roots for path in (ROOT / root).rglob("*") if path.suffix in {".py", ".cpp"}
    }
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def test_rooms_are_no_halls() -> None:
    sizes = {folder: len(unlike(ROOT / folder)) for folder in folders() if folder not in OF_ONE_KIND}
    assert {folder: size for folder, size in sizes.items() if size > MOST} == {}
    assert len(unlike(ROOT / "exporter" / "onnx" / "passes")) > MOST  # so the exception is one


def test_every_module_says_what_it_is() -> None:
    assert [module.name for module in KNOWN.values() if not module.sentence.endswith((".", ":"))] == []


def test_passes_do_not_know_each_other() -> None:
    passes = [module for module in KNOWN.values() if module.name.startswith("exporter.onnx.passes.")]
    known = {f"exporter.onnx.passes.{module.path.stem}" for module in passes}
    assert {m.name: t for m in passes for t, _ in imports(m, KNOWN) if t in known} == {}


def included(path: Path) -> set[str]:
    """The rooms of cpp/src that a file includes."""
    found = re.findall(r'#include "(\w+)/', path.read_text(encoding="utf-8"))
    return {room for room in found if room in CPP_ROOMS}


def violations(source: Path) -> list[str]:
    return [
        f"{path.relative_to(source)} includes {room}"
        for name in CPP_ROOMS
        for path in sorted((source / name).iterdir())
        for room in sorted(included(path) - BELOW[name] - {name})
    ]


def test_cpp_has_the_rooms_of_the_runtime() -> None:
    assert sorted(path.name for path in CPP.iterdir() if path.is_dir()) == sorted(CPP_ROOMS)
    shared = [path.name for path in CPP.iterdir() if (ROOT / "s2t_runtime" / path.name).is_dir()]
    assert sorted(shared) == ["bundles", "options", "search", "segmentation", "sessions", "text"]


def test_cpp_rooms_are_layers() -> None:
    assert violations(CPP) == []
    searched = [path for path in (CPP / "search").iterdir() if "sessions" in included(path)]
    names = {name for path in searched for name in re.findall(r'"sessions/(\w+\.h)"', path.read_text())}
    assert names == {"step.h"}  # the search knows a step function, and no session


def test_cpp_layers_bite(tmp_path: Path) -> None:
    source = Path(shutil.copytree(CPP, tmp_path / "src"))
    append(source / "bundles" / "manifest.h", '#include "search/rows.h"\n')
    assert violations(source) == ["bundles/manifest.h includes search"]


def test_architecture_md_has_the_tree() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    drawn, mark, _ = rest.partition(END)
    assert mark
    assert drawn == f"\n{drawn_tree()}\n", "make tree writes it anew"


def test_tests_lie_where_the_source_lies() -> None:
    folders = {path.parent for package in PACKAGES for path in (ROOT / "tests" / package).rglob("test_*.py")}
    strange = [path for path in folders if not (ROOT / path.relative_to(ROOT / "tests")).is_dir()]
    assert strange == []


def test_what_tests_share_lies_in_support() -> None:
    tests = ROOT / "tests"
    between = [
        path.relative_to(tests).as_posix()
        for path in sorted(tests.rglob("*.py"))
        if not path.name.startswith("test_") and path.name != "conftest.py"
    ]
    assert [name for name in between if not name.startswith("support/")] == []
