"""Runs a model with most of its blocks in float16 and the others in float32, in eager and under a trace alike.

A **block** is a module that is called: what it computes itself and the parameters that it owns. Modules
inside it are blocks of their own. At its entry a block casts what it is given to its own type, at its exit
what it returns to the type of the block that called it, unless that cannot hold it. So a residual stream
in float32 is nothing but layers that compute in float32 themselves while their attention and
feed-forward stay in float16.

Norms and softmax always compute in float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers.utils.generic import ModelOutput

from graphs.precision.weights import FULL, HALF, half_parameters, named_modules

LARGEST_HALF = float(torch.finfo(HALF).max)
"""65504."""
_FLOATS = (HALF, FULL)
_NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - of batch and instance norms; there is no public base
)
_PASSED_THROUGH = (nn.Dropout, nn.Identity)
_FULL_FUNCTIONS = frozenset(
    {
        torch.softmax,
        Tensor.softmax,
        nn.functional.softmax,
        torch.layer_norm,
        nn.functional.layer_norm,
        nn.functional.group_norm,
        nn.functional.batch_norm,
        nn.functional.instance_norm,
        nn.functional.rms_norm,
    }
)
_PRODUCTS = frozenset(
    {
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        torch.bmm,
        Tensor.bmm,
        torch.baddbmm,
        torch.einsum,
    }
)


@dataclass(frozen=True)
class PrecisionAssignment:
    """Which blocks compute in which type.

    Names are those of the checkpoint's modules: ``encoder.encoder.layers.0.attention``.
    """

    blocks: tuple[str, ...]
    """Every block, in the order in which they are first called."""
    float32: frozenset[str] = frozenset()
    """Those that compute in float32; norms do without being named."""
    unbounded: frozenset[str] = frozenset()
    """Those of them whose results do not fit float16, so that they are handed on in float32."""

    def widened(self, names: Iterable[str], unbounded: Iterable[str] = ()) -> PrecisionAssignment:
        """The assignment with more blocks in float32."""
        return replace(
            self, float32=self.float32 | frozenset(names), unbounded=self.unbounded | frozenset(unbounded)
        )

    def narrowed(self, names: Iterable[str]) -> PrecisionAssignment:
        """The assignment with these blocks in float16."""
        return replace(self, float32=self.float32 - frozenset(names))


@dataclass(frozen=True)
class Crossing:
    """Tensors at the border of a block, before and after its cast."""

    block: str
    caller: str | None
    """The block that called it."""
    returned: bool
    """What it gives back, not what it is given."""
    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]


Watch = Callable[[Crossing], None]


@dataclass
class BlockCalls:
    """The blocks that are being run, outermost first."""

    running: list[str] = field(default_factory=list)


class _BlockFunctions(TorchFunctionMode):
    """Softmax and norms in float32 wherever a model calls them as functions, and products of two types.

    Caches are float16 in every assignment, and no arguments that a block could cast as it is entered. So where a
    block computes in float32 its products take them in as sums do, by promotion; elsewhere torch refuses.
    """

    def __init__(self, precisions: Mapping[str, torch.dtype], calls: BlockCalls) -> None:
        super().__init__()
        self.precisions, self.calls = precisions, calls

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _COMPOSITES:
            with self:  # torch takes a mode off while it handles a call
                return _COMPOSITES[func](*args, **named)
        if func in _FULL_FUNCTIONS:
            given = _tensors((args, named))
            result = func(*_cast(args, FULL), **_cast(named, FULL))
            keeps = named.get("dtype") is None and given[0].dtype is HALF
            return result.to(HALF) if keeps else result
        if func in _PRODUCTS and self._in_float32():
            args, named = _cast(args, FULL), _cast(named, FULL)
        return func(*args, **named)

    def _in_float32(self) -> bool:
        return bool(self.calls.running) and self.precisions[self.calls.running[-1]] is FULL


def _seen_through(function: Any) -> Any:
    """The same function, which lets a mode see what it calls instead of handing itself to the mode."""
    seen = {**function.__globals__, "has_torch_function": lambda _: False}
    copy = FunctionType(
        function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


# WavLM's attention; its softmax would be missed inside.
_COMPOSITES = {
    nn.functional.multi_head_attention_forward: _seen_through(nn.functional.multi_head_attention_forward)
}


def model_roots(model: nn.Module) -> dict[str, nn.Module]:
    """The parts of a SpeechEncoderDecoderModel, by the names that they have in it."""
    return dict(model.named_children())


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises, so that it computes in float32 at any precision."""
    return isinstance(module, _NORMS) or type(module).__name__.endswith("RMSNorm")


def blocks_of(roots: Mapping[str, nn.Module], run: Callable[[], object]) -> tuple[str, ...]:
    """The names of all modules that ``run`` calls, in the order in which it first does."""
    called: dict[str, None] = {}
    with ExitStack() as stack:
        for name, module in named_modules(roots):
            if isinstance(module, _PASSED_THROUGH):
                continue

            def note(_module: nn.Module, _args: Any, name: str = name) -> None:
                called[name] = None

            stack.callback(module.register_forward_pre_hook(note).remove)
        run()
    return tuple(called)


@contextmanager
def in_precisions(
    roots: Mapping[str, nn.Module], assignment: PrecisionAssignment, watch: Watch | None = None
) -> Iterator[BlockCalls]:
    """Let modules compute as the assignment says; afterwards they are as before.

    The float32 parameters stay in memory, beside float16 copies of those that the assignment has in float16.

    Args:
        roots: name -> module, as ``{"encoder": model.encoder}``.
        assignment: of blocks that begin with these names, and maybe others.
        watch: sees every tensor that crosses the border of a block.
    """
    modules = dict(named_modules(roots))
    precisions = {
        name: FULL if name in assignment.float32 or is_norm(modules[name]) else HALF
        for name in assignment.blocks
        if name in modules
    }
    calls = BlockCalls()
    borders = _Borders(precisions, assignment.unbounded, calls, watch)
    with ExitStack() as stack:
        stack.enter_context(half_parameters(modules, precisions))
        for name in precisions:
            module = modules[name]
            arguments = tuple(inspect.signature(module.forward).parameters)
            entry, exit_ = borders.entry(name, arguments), borders.exit(name)
            stack.callback(module.register_forward_pre_hook(entry, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(exit_).remove)
        stack.enter_context(_BlockFunctions(precisions, calls))
        yield calls


class _Borders:
    """The hooks at entry and exit of every block."""

    def __init__(
        self,
        precisions: Mapping[str, torch.dtype],
        unbounded: frozenset[str],
        calls: BlockCalls,
        watch: Watch | None,
    ) -> None:
        self.precisions, self.unbounded = precisions, unbounded
        self.calls, self.watch = calls, watch

    def entry(self, name: str, arguments: Sequence[str]) -> Callable[..., Any]:
        wanted = self.precisions[name]

        def hook(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            caller = self.calls.running[-1] if self.calls.running else None
            # A positional argument has the name that the module's forward gives it.
            named = dict(zip(arguments, args, strict=False))
            cast = {key: _cast_argument(key, value, wanted) for key, value in {**named, **kwargs}.items()}
            new_args = tuple(cast[key] for key in named) + tuple(_cast(args[len(named) :], wanted))
            new_kwargs = {key: cast[key] for key in kwargs}
            self._report(name, caller, (args, kwargs), (new_args, new_kwargs), returned=False)
            self.calls.running.append(name)
            return new_args, new_kwargs

        return hook

    def exit(self, name: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            self.calls.running.pop()
            caller = self.calls.running[-1] if self.calls.running else None
            # What no block takes is the graphs' to cast.
            wanted = None if caller is None or name in self.unbounded else self.precisions[caller]
            new = output if wanted is None else _cast(output, wanted)
            self._report(name, caller, output, new, returned=True)
            return new

        return hook

    def _report(self, name: str, caller: str | None, before: Any, after: Any, *, returned: bool) -> None:
        if self.watch is not None:
            self.watch(Crossing(name, caller, returned, tuple(_tensors(before)), tuple(_tensors(after))))


def _cast_argument(name: str, value: Any, wanted: torch.dtype) -> Any:
    if isinstance(value, Tensor) and wanted is HALF and value.dtype is FULL and "mask" in name:
        # float32's lowest number, which hides a position, would become -inf.
        return value.clamp_min(-LARGEST_HALF).to(HALF)
    return _cast(value, wanted)


def _cast(value: Any, wanted: torch.dtype) -> Any:
    """Floating tensors in tuples, lists, mappings and model outputs; caches are left alone."""
    if isinstance(value, Tensor):
        return value.to(wanted) if value.dtype in _FLOATS and value.dtype is not wanted else value
    if isinstance(value, ModelOutput):
        return type(value)(**{name: _cast(item, wanted) for name, item in value.items()})
    if type(value) is dict:
        return {name: _cast(item, wanted) for name, item in value.items()}
    if type(value) in {tuple, list}:
        return type(value)(_cast(item, wanted) for item in value)
    return value


def _tensors(value: Any) -> list[Tensor]:
    """The floating tensors that ``_cast`` would look at."""
    if isinstance(value, Tensor):
        return [value] if value.dtype in _FLOATS else []
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    if type(value) in {tuple, list}:
        return [tensor for item in value for tensor in _tensors(item)]
    return []
