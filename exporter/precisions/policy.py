"""Finds which blocks of a model must not compute in float16, and records each with its reason and its cost.

Half arithmetic is run over hard audio. The search stops at the first value that float16 cannot hold, in the
order of computation, gives the block to blame float32, and begins again. Once everything is finite it widens
further, the most harmful part of the model first, until log-probabilities and tokens are near enough to
float32's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import PrecisionError
from exporter.onnx.block_names import OWN
from exporter.options import DEFAULT_BUDGET
from exporter.precisions.fp16_check import Fault, Fp16Check, Trial
from exporter.reference.hard_audio import AudioCase
from graphs.precision.blocks import LARGEST_HALF, PrecisionAssignment
from s2t_runtime.bundles.manifest import BlockPrecision, PrecisionErrors, PrecisionPolicy

TOKEN_AGREEMENT: Final = 0.95
"""Share of steps with float32's best token that a precision must have."""
Base: TypeAlias = Literal["float16", "int8"]
_NORMS = "norms"
_FEATURES = "normalisation of the samples and log-mel spectra need float32's digits"
_FIXED: Mapping[Base, Mapping[str, str]] = {
    "float16": {
        "features": _FEATURES,
        "softmax": "sums over many frames",
        "scores": "logits, log-probabilities and candidates are float32 in every graph",
        _NORMS: "sums of squares leave float16's range, and lose digits before that",
    },
    "int8": {
        "features": _FEATURES,
        "attention": "multiplies activations with activations; what it sums over many frames needs float32's digits",
        "scores": "logits, log-probabilities and candidates are float32 in every graph",
        _NORMS: "they multiply no matrices",
    },
}
_REMEDIES: Mapping[Base, str] = {
    "float16": "or allow more with --budget",
    "int8": "allow more with --budget, or have it judged by recordings of yours alone with --audio",
}
FIXED_BLOCKS = frozenset(name for fixed in _FIXED.values() for name in fixed)
"""Parts that compute in float32 in every graph of a precision."""


class Check(Protocol):
    """What the search needs of Fp16Check."""

    assignment: PrecisionAssignment
    """Every block in the lower type."""
    left_out: Mapping[str, BlockPrecision]
    """Blocks that have no lower form, as the manifest holds them."""
    norms: frozenset[str]
    """Blocks that compute in float32 in any assignment."""
    peaks: Mapping[str, float]
    """Block -> the largest magnitude that it returns in float32."""

    def trial(self, assignment: PrecisionAssignment) -> Trial:
        """Run the model under a assignment."""

    def harm(self, assignment: PrecisionAssignment) -> float:
        """Largest log-probability difference under a assignment, on the hardest case alone."""

    def extra_bytes(self, blocks: Collection[str]) -> int:
        """How much larger the weights of these blocks are in float32."""


@dataclass(frozen=True)
class FoundPolicy:
    """What the search came to: for the trace, and for the manifest."""

    assignment: PrecisionAssignment
    record: PrecisionPolicy


def fp16_policy(
    checkpoint: Checkpoint,
    cases: Sequence[AudioCase],
    *,
    prompt: Sequence[int],
    max_positions: int | None,
    output_ids: Tensor | None = None,
    budget: PrecisionErrors | None = None,
) -> FoundPolicy:
    """Search what float16 cannot hold of a checkpoint.

    Args:
        checkpoint: stays as it is.
        cases: audio to try, within the model's limits.
        prompt: token ids that decoding begins with.
        max_positions: of the decoder; None: any number.
        output_ids: int64, ascending: tokens that the output projection is restricted to; None: all.
        budget: what float16 may change; None: the usual.

    Raises:
        PrecisionError: no choice of blocks keeps the model finite and within the budget.
    """
    check = Fp16Check(checkpoint, cases, prompt=prompt, max_positions=max_positions, output_ids=output_ids)
    return search_policy(check, budget or allowed())


def allowed(log_prob_difference: float = DEFAULT_BUDGET) -> PrecisionErrors:
    """The budget of a precision below float32."""
    return PrecisionErrors(log_prob_difference, TOKEN_AGREEMENT)


def search_policy(check: Check, budget: PrecisionErrors, base: Base = "float16") -> FoundPolicy:
    """Widen the float32 set block by block until the model is finite and within ``budget``.

    Args:
        check: runs the model with any set of blocks in float32.
        budget: what the others may change.
        base: the type of the others.

    Raises:
        PrecisionError: it never is.
    """
    search = _Search(check, check.assignment, base)
    remaining: list[_Part] | None = None
    while True:
        trial = check.trial(search.assignment)
        if trial.fault is not None:
            search.give_way(trial.fault)
            continue
        errors = trial.errors
        assert errors is not None  # noqa: S101 - a trial has either
        if within(errors, budget):
            return FoundPolicy(search.assignment, search.record(budget, errors))
        if remaining is None:
            remaining = search.by_harm()
        if not remaining:
            raise PrecisionError(
                f"{base} does not keep its budget with any choice of blocks: largest log-probability difference "
                f"{errors.log_prob_difference:.4g} (allowed {budget.log_prob_difference:.4g}), token agreement "
                f"{errors.token_agreement:.1%} (at least {budget.token_agreement:.1%}); export --precision fp32, "
                f"{_REMEDIES[base]}"
            )
        search.widen(remaining.pop(0))


def within(errors: PrecisionErrors, budget: PrecisionErrors) -> bool:
    """Whether both figures hold; NaN never does."""
    return (
        errors.log_prob_difference <= budget.log_prob_difference
        and errors.token_agreement >= budget.token_agreement
    )


@dataclass(frozen=True)
class _Part:
    """A layer, or a module outside of layers."""

    blocks: tuple[str, ...]
    harm: float
    """Largest log-probability difference with these blocks alone in the lower type."""


@dataclass
class _Search:
    check: Check
    assignment: PrecisionAssignment
    base: Base
    reasons: dict[str, str] = field(default_factory=dict)
    """Block -> why it computes in float32."""

    def give_way(self, fault: Fault) -> None:
        """Give the block to blame float32, or let a result that does not fit leave it as float32."""
        block, peak = fault.block, self.check.peaks.get(fault.block, 0.0)
        full = self.assignment.float32 | self.check.norms
        if fault.at_exit and "." in block and block not in self.assignment.unbounded:
            self.assignment = self.assignment.widened((), [block])
            return
        if fault.at_exit or block in full:
            raise PrecisionError(
                f"{block} computes in float32 and still leaves float16's range, which ends at {LARGEST_HALF:.0f} "
                f"(audio: {fault.case}), so that states or caches cannot hold its results: export --precision fp32"
            )
        reason = (
            f"its values reach {peak:.2g}, float16 ends at {LARGEST_HALF:.0f}"
            if peak > LARGEST_HALF
            else f"what it computes on the way leaves float16's range, which ends at {LARGEST_HALF:.0f}"
        )
        self._add([block], f"{reason} (audio: {fault.case})", [block] if peak > LARGEST_HALF else [])

    def widen(self, part: _Part) -> None:
        """Give a part float32 for the budget's sake."""
        self._add(
            part.blocks,
            f"alone in {self.base} it moves a log-probability by {part.harm:.2g}; the budget needs it",
        )

    def by_harm(self) -> list[_Part]:
        """The parts that are not in float32 yet, the most harmful first: each is tried alone in the lower type."""
        parts: dict[str, list[str]] = {}
        for block in self.assignment.blocks:
            if block not in self.assignment.float32 | self.check.norms:
                parts.setdefault(_part_name(block), []).append(block)
        every = frozenset(self.assignment.blocks)
        tried = []
        for blocks in parts.values():
            harm = self.check.harm(self.assignment.widened(every).narrowed(blocks))
            tried.append(_Part(tuple(blocks), harm))
        return sorted(tried, key=lambda part: -part.harm)

    def record(self, budget: PrecisionErrors, measured: PrecisionErrors) -> PrecisionPolicy:
        """The policy as the manifest holds it."""
        extra = self.check.extra_bytes
        norms = extra(self.check.norms & frozenset(self.assignment.blocks))
        blocks = {
            name: BlockPrecision("float32", reason, norms if name == _NORMS else 0)
            for name, reason in _FIXED[self.base].items()
        }
        blocks |= self.check.left_out
        for name, members in self._named().items():
            wide = [member for member in members if member in self.assignment.float32]
            reason = next(self.reasons[member] for member in wide if member in self.reasons)
            blocks[name] = BlockPrecision("float32", reason, extra(wide))
        return PrecisionPolicy(self.base, blocks, budget, measured)

    def _add(self, blocks: Iterable[str], reason: str, unbounded: Iterable[str] = ()) -> None:
        chosen = list(blocks)
        self.reasons |= dict.fromkeys(chosen, reason)
        self.assignment = self.assignment.widened(chosen, unbounded)
        # A module of which every part computes in float32 is left in float32 as a whole.
        for block in reversed(self.assignment.blocks):
            inside = [other for other in self.assignment.blocks if other.startswith(f"{block}.")]
            full = self.assignment.float32 | self.check.norms
            if full.issuperset(inside) and self.assignment.float32.intersection(inside):
                self.assignment = self.assignment.widened([block])

    def _named(self) -> dict[str, tuple[str, ...]]:
        """Name -> blocks: whole modules by the outermost name that says it, others by what they do themselves."""
        full, named = self.assignment.float32 | self.check.norms, dict[str, tuple[str, ...]]()
        for block in self.assignment.blocks:
            if block not in self.assignment.float32 or any(block in members for members in named.values()):
                continue
            whole, name = self._members(block), block
            if not full.issuperset(whole):
                named[f"{block}{OWN}"] = (block,)
                continue
            while "." in name and full.issuperset(self._members(name.rpartition(".")[0])):
                name = name.rpartition(".")[0]
            named[name] = self._members(name)
        return named

    def _members(self, name: str) -> tuple[str, ...]:
        return tuple(
            block for block in self.assignment.blocks if block == name or block.startswith(f"{name}.")
        )


def _part_name(block: str) -> str:
    """The layer that a block belongs to, or the block itself where it is in none."""
    layer = re.match(r".*?\.\d+(?=\.|$)", block)
    return block if layer is None else layer[0]
