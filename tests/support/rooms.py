"""The source as a tree of rooms: its modules, what each imports, and what each room says of itself."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.places import ROOT

PACKAGES = ("graphs", "exporter", "s2t_runtime", "benchmarks")
_DOOR = "\nGoes out:\n"


@dataclass(frozen=True)
class Module:
    """One file of Python."""

    name: str
    """As it is imported; a room's ``__init__.py`` has the room's."""
    path: Path
    is_room: bool

    @functools.cached_property
    def docstring(self) -> str:
        return ast.get_docstring(self._tree) or ""

    @property
    def sentence(self) -> str:
        """The first line of its docstring."""
        return self.docstring.split("\n")[0]

    @functools.cached_property
    def import_statements(self) -> tuple[ast.Import | ast.ImportFrom, ...]:
        """All of them, those inside functions too."""
        return tuple(node for node in ast.walk(self._tree) if isinstance(node, ast.Import | ast.ImportFrom))

    @functools.cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))


def modules(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the packages by name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_room = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_room else parts)
            found[name] = Module(name, path, is_room)
    return found


def imports(module: Module, known: Mapping[str, Module]) -> Iterator[tuple[str, str | None]]:
    """What of ours a module imports, inside functions too: (module, name in it; None for the module itself)."""
    for node in module.import_statements:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name in known)
        elif node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, None) if inner in known else (node.module, alias.name)


def cycles(known: Mapping[str, Module]) -> list[list[str]]:
    """Modules that import each other, by whatever way round; nothing where imports are a tree."""
    edges = {name: sorted({target for target, _ in imports(module, known)}) for name, module in known.items()}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:  # Tarjan's strongly connected components
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in edges[name]:
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            place = stack.index(name)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1 or name in edges[name]:
                found.append(sorted(component))

    for name in edges:
        if name not in order:
            visit(name)
    return found


def stated_door(room: Module) -> dict[str, set[str]]:
    """What a room says that leaves it: module -> names; a module without names leaves whole."""
    _, _, door = room.docstring.partition(_DOOR)
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\n {8}", " ", door).splitlines():
        name, _, names = line.strip().partition(":")
        found[name] = {one.strip() for one in names.split(",") if one.strip()}
    return found


def used_door(room: Module, known: Mapping[str, Module]) -> dict[str, set[str]]:
    """What modules outside a room import from its own modules: module -> names."""
    found: dict[str, set[str]] = {}
    for module in known.values():
        if module.name == room.name or module.name.startswith(f"{room.name}."):
            continue
        for target, name in imports(module, known):
            home, _, own = target.rpartition(".")
            if home == room.name and not known[target].is_room:
                found.setdefault(own, set()).update({name} if name else ())
    return found


def unlike(folder: Path) -> set[str]:
    """The modules of a folder, ``__init__`` left out; C++'s header and source are one."""
    files = [path for path in folder.iterdir() if path.suffix in {".py", ".cpp", ".h"}]
    return {path.stem for path in files} - {"__init__", "conftest"}


def stated_visitors(room: Module) -> set[str]:
    """What a room says of who may come in."""
    found = re.search(r"\nOpen to: (.*?)\.\n", room.docstring, re.DOTALL)
    listed = found.group(1).replace("\n", " ") if found else ""
    return {name.strip() for name in listed.split(",") if name.strip()} - {"nobody"}


def visitors(room: Module, known: Mapping[str, Module]) -> set[str]:
    """Who imports from a room: other packages, rooms of its own package, and its neighbours in the room around it."""
    within = room.name.rpartition(".")[0]
    found = set()
    for module in known.values():
        if module.name == room.name or module.name.startswith(f"{room.name}."):
            continue
        if any(_home(target, known) == room.name for target, _ in imports(module, known)):
            found.add(_seen_from(within, module.name if module.is_room else module.name.rpartition(".")[0]))
    return found


def _home(name: str, known: Mapping[str, Module]) -> str:
    return name if known[name].is_room else name.rpartition(".")[0]


def _seen_from(within: str, visitor: str) -> str:
    """A package from outside it; a room from inside its package; a room in a room from inside that."""
    parts = visitor.split(".")
    shared = 0
    for own, other in zip(within.split("."), parts, strict=False):
        if own != other:
            break
        shared += 1
    return ".".join(parts[: shared + 1])
