"""The weights of a model that computes in float16 and float32: whose they are, and their float16 copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

HALF, FULL = torch.float16, torch.float32


def named_modules(roots: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, by its name in the checkpoint."""
    seen: set[int] = set()
    for prefix, root in roots.items():
        for path, module in root.named_modules():
            # What computes a parametrised weight runs before the block, and in float32.
            if id(module) not in seen and "parametrizations" not in path.split("."):
                seen.add(id(module))
                yield (f"{prefix}.{path}" if path else prefix), module


def own_parameters(
    modules: Mapping[str, nn.Module], blocks: Iterable[str]
) -> dict[str, list[tuple[nn.Module, str]]]:
    """Block -> its own parameters, each as a module and a name in it.

    What a module holds that is never called belongs to the block around it: WavLM's attention reads the
    weights of its projections and does not call them.
    """
    owned: dict[str, list[tuple[nn.Module, str]]] = {name: [] for name in blocks}
    for name, module in modules.items():
        owner = name
        while owner not in owned and "." in owner:
            owner = owner.rpartition(".")[0]
        if owner in owned:
            own = module.named_parameters(recurse=False, remove_duplicate=False)
            owned[owner] += [(module, part) for part, _ in own]
    return owned


@contextmanager
def half_parameters(
    modules: Mapping[str, nn.Module], precisions: Mapping[str, torch.dtype]
) -> Iterator[None]:
    """Put float16 copies of their own parameters into the blocks that compute in float16."""
    copies: dict[int, nn.Parameter] = {}  # tied weights stay tied
    with ExitStack() as stack:
        for block, parameters in own_parameters(modules, precisions).items():
            if precisions[block] is FULL:
                continue
            for module, name in parameters:
                full = getattr(module, name)
                if full.dtype is not FULL:
                    continue
                if id(full) not in copies:
                    copies[id(full)] = nn.Parameter(full.detach().to(HALF), requires_grad=False)
                setattr(module, name, copies[id(full)])
                stack.callback(setattr, module, name, full)
            if parametrize.is_parametrized(modules[block]):
                stack.enter_context(_fixed_parametrizations(modules[block]))
        yield


class _Fixed(nn.Module):
    """Gives a weight that was computed before."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value, requires_grad=False)

    def forward(self) -> Tensor:
        return self.value


@contextmanager
def _fixed_parametrizations(module: Any) -> Iterator[None]:
    """Weight norm, computed once in float32: float16 would lose digits in its sum of squares."""
    kept = dict(module.parametrizations.items())
    with torch.no_grad():
        fixed = {name: _Fixed(getattr(module, name).detach().to(HALF)) for name in kept}
    module.parametrizations.update(fixed)
    try:
        yield
    finally:
        module.parametrizations.update(kept)
