"""Finds the names that weights would have without the wrappers that a model was saved in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Modules that torch and DeepSpeed put around another one, at any depth; no model has a part of such a name."""
_PREFIXES = ("module.", "base_model.model.", "model.", "base_model.", "net.", "speech_encoder_decoder.")
"""What stands in front of all names where a model was saved inside another one."""
_DEPTH = 3


@dataclass(frozen=True)
class Renaming:
    """What to take away from each name; nothing at all where ``removed`` is empty."""

    prefix: str = ""
    wrappers: frozenset[str] = frozenset()

    def __call__(self, name: str) -> str:
        """The name without the wrappers and the prefix."""
        if self.wrappers:
            name = ".".join(part for part in name.split(".") if part not in self.wrappers)
        return name.removeprefix(self.prefix)

    @property
    def removed(self) -> tuple[str, ...]:
        """What is taken away, for people."""
        return (
            *(f"{wrapper}." for wrapper in sorted(self.wrappers)),
            *([self.prefix] if self.prefix else []),
        )


def is_wrapped(names: Collection[str]) -> bool:
    """Whether names look as if they had to be renamed; a look at the model decides."""
    parts = {part for name in names for part in name.split(".")}
    return bool(parts & _WRAPPERS) or any(
        all(name.startswith(prefix) for name in names) for prefix in _PREFIXES
    )


def fitting(names: Collection[str], wanted: Collection[str]) -> Renaming:
    """The renaming behind which most names are those of the model; none where it does not help.

    Args:
        names: in the file.
        wanted: the model's.
    """
    wrappers = frozenset(part for name in names for part in name.split(".")) & _WRAPPERS
    candidates = [Renaming(), Renaming(wrappers=wrappers)]
    prefix = ""
    for _ in range(_DEPTH):
        inner = [Renaming(prefix, wrappers)(name) for name in names]
        found = next((one for one in _PREFIXES if all(name.startswith(one) for name in inner)), None)
        if found is None:
            break
        prefix += found
        candidates.append(Renaming(prefix, wrappers))
    known = set(wanted)
    # The first of equals: what need not be taken away stays.
    return max(candidates, key=lambda renaming: sum(renaming(name) in known for name in names))
