"""A model in torch's own half arithmetic, against float32: where it leaves the number range, and how far it is off.

ONNX Runtime's CPU provider computes float16 nodes in float32, so that an overflow cannot be seen there. torch
rounds at every operation, as a GPU does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.reference.hard_audio import AudioCase
from exporter.reference.step_errors import step_count
from graphs import (
    EncoderGraph,
    WithPastGraph,
    attention_implementation,
    find_cross_attention,
    restricted_output,
    traceable,
)
from graphs.precision.blocks import (
    BlockCalls,
    Crossing,
    PrecisionAssignment,
    blocks_of,
    in_precisions,
    is_norm,
    model_roots,
)
from graphs.precision.weights import FULL, HALF, named_modules, own_parameters
from s2t_runtime.bundles.manifest import BlockPrecision, PrecisionErrors

_STEPS = 8
_BEST = 8
"""Tokens per step whose log-probabilities are compared: those that a search could choose."""


@dataclass(frozen=True)
class Fault:
    """The first value in the order of computation that float16 cannot hold."""

    block: str
    """To blame: the block whose own computation gave it, or whose entry or exit it did not pass."""
    at_exit: bool
    """It is what the block returns, which was finite before the cast."""
    case: str
    """The audio."""


@dataclass(frozen=True)
class Trial:
    """One run of all cases: a fault, or how far the result is from float32."""

    fault: Fault | None
    errors: PrecisionErrors | None


@dataclass
class _Reference:
    """A case in float32: what half arithmetic must come near to."""

    case: AudioCase
    tokens: list[Tensor]
    """int64 [batch, 1] of each step, the first one given, the others the best ones."""
    log_probs: list[Tensor]
    """float32 [batch, columns] of each step."""
    finite: list[bool]
    """Of every crossing in order: masks may well hold -inf in float32 as well."""


class _Overflow(Exception):  # noqa: N818 - it ends a run and never leaves this file
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass
class _Run:
    """Counts the crossings of one case and holds each against the same one in float32."""

    case: str
    finite: Sequence[bool] | None
    seen: list[bool] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)

    def watch(self, crossing: Crossing) -> None:
        number = len(self.seen)
        before = _all_finite(crossing.before)
        after = before and _all_finite(
            [new for old, new in zip(crossing.before, crossing.after, strict=True) if new is not old]
        )
        self.seen.append(after)
        if self.finite is None:
            if crossing.returned:
                peak = max((_peak(tensor) for tensor in crossing.before), default=0.0)
                self.peaks[crossing.block] = max(self.peaks.get(crossing.block, 0.0), peak)
            return
        if self.seen[-1] or not self.finite[number]:
            return
        raise _Overflow(self._fault(crossing, before_finite=before))

    def _fault(self, crossing: Crossing, *, before_finite: bool) -> Fault:
        if crossing.returned or before_finite or crossing.caller is None:
            return Fault(crossing.block, at_exit=crossing.returned and before_finite, case=self.case)
        # Given what is not finite, by blocks that gave finite results: the caller's own doing.
        return Fault(crossing.caller, at_exit=False, case=self.case)


class Fp16Check:
    """Runs a checkpoint under any assignment of precisions, on the same audio and the same tokens."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        cases: Sequence[AudioCase],
        *,
        prompt: Sequence[int],
        max_positions: int | None = None,
        output_ids: Tensor | None = None,
    ) -> None:
        """Run every case in float32.

        Args:
            checkpoint: stays as it is.
            cases: audio, within the model's limits.
            prompt: token ids that decoding begins with.
            max_positions: tokens that can be fed to the decoder, prompt included; None: any number.
            output_ids: int64, ascending: tokens that the output projection is restricted to; None: all.
        """
        model = checkpoint.model
        self._output_ids = output_ids
        self.left_out: Mapping[str, BlockPrecision] = {}
        """Every block has a form in float16."""
        self._steps = step_count(_STEPS, len(prompt), max_positions)
        self._model = model
        longest = max(len(waveform) for case in cases for waveform in case.waveforms)
        self._encoder = EncoderGraph(model, checkpoint.features, max_samples=longest).eval()
        self._cross_attention = find_cross_attention(model.decoder)
        self._decoder = WithPastGraph(model.decoder, self._cross_attention, output_ids).eval()
        self._prompt = torch.tensor([list(prompt)])
        self.roots = model_roots(model)
        with self._as_exported():
            blocks = blocks_of(self.roots, lambda: self._decode(cases[0], None))
        self.assignment = PrecisionAssignment(blocks)
        """Every block in float16."""
        modules = dict(named_modules(self.roots))
        self.norms = frozenset(block for block in blocks if is_norm(modules[block]))
        """Blocks that compute in float32 in any assignment."""
        self.peaks: Mapping[str, float]
        """Block -> the largest magnitude that it returns in float32."""
        self._references, self.peaks = self._run_in_float32(cases)
        self._hardest = self._references[0]

    def trial(self, assignment: PrecisionAssignment) -> Trial:
        """Run all cases under ``assignment``, up to the first fault.

        Raises:
            RuntimeError: torch cannot run the model in this assignment.
        """
        worst, agreed, steps = 0.0, 0, 0
        for reference, outcome in self._outcomes(assignment, self._references):
            if isinstance(outcome, Fault):
                return Trial(outcome, None)
            if not outcome.log_prob_difference <= worst:
                worst, self._hardest = outcome.log_prob_difference, reference
            count = len(reference.log_probs) * len(reference.case.waveforms)
            agreed += round(outcome.token_agreement * count)
            steps += count
        return Trial(None, PrecisionErrors(worst, agreed / steps))

    def harm(self, assignment: PrecisionAssignment) -> float:
        """Largest log-probability difference under ``assignment``, on the case where the last trial had its largest."""
        ((_, outcome),) = self._outcomes(assignment, [self._hardest])
        return float("inf") if isinstance(outcome, Fault) else outcome.log_prob_difference

    def _outcomes(
        self, assignment: PrecisionAssignment, references: Sequence[_Reference]
    ) -> list[tuple[_Reference, Fault | PrecisionErrors]]:
        """Each case's errors; the first fault is the last entry."""
        self._encoder.state_type = HALF
        runs = [_Run(reference.case.name, reference.finite) for reference in references]
        current = [runs[0]]
        outcomes: list[tuple[_Reference, Fault | PrecisionErrors]] = []

        def watch(crossing: Crossing) -> None:
            current[0].watch(crossing)

        with self._as_exported(), in_precisions(self.roots, assignment, watch) as calls:
            for reference, current[0] in zip(references, runs, strict=True):
                try:
                    log_probs = self._decode(reference.case, reference.tokens)[1]
                except _Overflow as overflow:
                    outcome: Fault | PrecisionErrors = overflow.fault
                except RuntimeError as error:
                    outcome = _mixed_types(error, calls, assignment, reference.case.name)
                else:
                    outcome = _errors(log_probs, reference.log_probs)
                outcomes.append((reference, outcome))
                if isinstance(outcome, Fault):
                    break
        return outcomes

    def extra_bytes(self, blocks: Collection[str]) -> int:
        """How much larger the parameters of these blocks are in float32 than in float16; shared ones count once."""
        owners = own_parameters(dict(named_modules(self.roots)), self.assignment.blocks)
        with self._as_exported():  # a restricted projection has weights of its own
            held = [getattr(module, name) for block in blocks for module, name in owners.get(block, ())]
        return sum(2 * parameter.numel() for parameter in {id(one): one for one in held}.values())

    def _run_in_float32(self, cases: Sequence[AudioCase]) -> tuple[list[_Reference], dict[str, float]]:
        everything = self.assignment.widened(self.assignment.blocks)
        self._encoder.state_type = FULL
        references: list[_Reference] = []
        peaks: dict[str, float] = {}
        for case in cases:
            run = _Run(case.name, None, peaks=peaks)
            with self._as_exported(), in_precisions(self.roots, everything, run.watch):
                tokens, log_probs = self._decode(case, None)
            references.append(_Reference(case, tokens, log_probs, run.seen))
        return references, peaks

    @contextmanager
    def _as_exported(self) -> Iterator[None]:
        decoder = self._model.decoder
        with (
            attention_implementation(self._model.encoder, "eager"),
            attention_implementation(decoder, self._cross_attention.implementation),
            traceable(decoder),
            restricted_output(decoder, self._output_ids),
            torch.no_grad(),
        ):
            yield

    def _decode(self, case: AudioCase, given: Sequence[Tensor] | None) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens and log-probabilities of every step: greedy, or along the given tokens."""
        lengths = torch.tensor([len(waveform) for waveform in case.waveforms])
        audio = torch.zeros((len(lengths), int(lengths.max())))
        for row, waveform in enumerate(case.waveforms):
            audio[row, : len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
        _states, mask, *cross = self._encoder(audio, lengths)
        tokens = [self._prompt.expand(len(lengths), -1) if given is None else given[0]]
        log_probs: list[Tensor] = []
        past: list[Tensor] = []
        for step in range(self._steps):
            logits, past = self._decoder.decode(tokens[-1][:, None], mask, cross, past)
            log_probs.append(torch.log_softmax(logits[:, 0], -1))
            best = self._decoder.tokens(log_probs[-1].argmax(-1, keepdim=True))
            tokens.append(best if given is None else given[step + 1])
        return tokens, log_probs


def _errors(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> PrecisionErrors:
    worst, agreed, rows = 0.0, 0, 0
    for mine, theirs in zip(got, wanted, strict=True):
        best = theirs.topk(min(_BEST, theirs.shape[-1]), -1).indices
        difference = float((mine - theirs).gather(-1, best).abs().max())
        worst = difference if not difference <= worst else worst  # NaN stays
        agreed += int((mine.argmax(-1) == theirs.argmax(-1)).sum())
        rows += len(theirs)
    return PrecisionErrors(worst, agreed / rows)


def _mixed_types(error: RuntimeError, calls: BlockCalls, assignment: PrecisionAssignment, case: str) -> Fault:
    """Blames a block that mixes float16 with the float32 of a block whose results do not fit."""
    block = calls.running[-1] if calls.running else None
    says_so = any(words in str(error) for words in ("dtype", "scalar type", "weight type"))
    if not says_so or block is None or block in assignment.float32:
        raise error
    return Fault(block, at_exit=False, case=case)


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def _peak(tensor: Tensor) -> float:
    if not tensor.numel():
        return 0.0
    return float(torch.nan_to_num(tensor.abs(), posinf=0.0).max())
