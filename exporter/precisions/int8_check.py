"""int8 graphs against the float32 ones that they were made from, in ONNX Runtime, which is where they will run.

Unlike float16, int8 is computed on a CPU as it is meant: ONNX Runtime's kernels are the judge.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from exporter.onnx.editing.int8_weights import Roundings
from exporter.onnx.session import Array, GraphRunner
from exporter.precisions.fp16_check import Trial
from exporter.precisions.int8_graphs import float32_convolutions, product_sizes, write_trial_graphs
from exporter.reference.hard_audio import AudioCase
from exporter.reference.step_errors import counted_steps, log_softmax, step_count, step_errors
from graphs.precision.blocks import PrecisionAssignment
from s2t_runtime.bundles.manifest import BlockPrecision, PrecisionErrors

_STEPS: Final = 20
_SAVED_BYTES: Final = 3
"""A weight in float32 is so much larger than in int8."""
_PAST: Final = re.compile(r"^past_")


@dataclass(frozen=True)
class _Decoded:
    """A case, decoded greedily: the tokens fed in each step and the float32 log-probabilities of each."""

    case: AudioCase
    tokens: tuple[Array, ...]
    """int64 [batch, 1, new] each."""
    log_probs: Array
    """[steps, batch, columns of the logits]."""
    chosen: NDArray[np.int64]
    """The best tokens of each step, [steps, batch]."""


class Int8Check:
    """Runs the int8 graphs of a float32 bundle with any set of blocks left in float32."""

    def __init__(
        self,
        float32: Path,
        working: Path,
        cases: Sequence[AudioCase],
        *,
        prompt: Sequence[int],
        end_tokens: Collection[int],
        max_positions: int | None = None,
    ) -> None:
        """Decode every case with the float32 graphs.

        Args:
            float32: directory of the three float32 graphs.
            working: a directory for int8 graphs, made and deleted by each trial.
            cases: audio, within the model's limits.
            prompt: token ids that decoding begins with.
            end_tokens: ids that end an utterance; what is behind them does not count.
            max_positions: tokens that can be fed to the decoder, prompt included; None: any number.
        """
        self.norms = frozenset[str]()
        """Norms multiply no matrices; they are float32 in any assignment."""
        self.peaks: Mapping[str, float] = {}
        """Nothing overflows."""
        self._float32, self._working = float32, working
        self._roundings = Roundings()
        self._sizes = product_sizes(float32)
        self.left_out: Mapping[str, BlockPrecision] = {
            block: BlockPrecision("float32", reason, _SAVED_BYTES * size)
            for block, (reason, size) in float32_convolutions(float32).items()
        }
        """Convolutions that have no form in int8."""
        self.assignment = PrecisionAssignment(tuple(self._sizes))
        """Every block in int8."""
        self._steps = step_count(_STEPS, len(prompt), max_positions)
        self._prompt = np.array(prompt, dtype=np.int64)
        self._end_tokens = frozenset(end_tokens)
        encoder = self._runner(float32, "encoder")
        encoded = [self._encode(encoder, case) for case in cases]
        del encoder  # one graph's weights at a time
        decoder = self._runner(float32, "decoder_with_past")
        self._references = [
            self._decode(decoder, case, feeds, None) for case, feeds in zip(cases, encoded, strict=True)
        ]
        self._hardest = self._references[0]

    def trial(self, assignment: PrecisionAssignment) -> Trial:
        """Run all cases under ``assignment``."""
        errors = self._errors(assignment.float32, self._references)
        worst = max(range(len(errors)), key=lambda index: errors[index].log_prob_difference)
        self._hardest = self._references[worst]
        steps = [int(self._counted(reference).sum()) for reference in self._references]
        agreed = sum(one.token_agreement * count for one, count in zip(errors, steps, strict=True))
        return Trial(None, PrecisionErrors(errors[worst].log_prob_difference, agreed / sum(steps)))

    def harm(self, assignment: PrecisionAssignment) -> float:
        """Largest log-probability difference under ``assignment``, on the case where the last trial had its largest."""
        return self._errors(assignment.float32, [self._hardest])[0].log_prob_difference

    def extra_bytes(self, blocks: Collection[str]) -> int:
        """How much larger the weights of these blocks are in float32 than in int8."""
        return sum(_SAVED_BYTES * self._sizes.get(block, 0) for block in blocks)

    def _errors(self, float32: Collection[str], references: Sequence[_Decoded]) -> list[PrecisionErrors]:
        self._working.mkdir()
        try:
            write_trial_graphs(self._float32, self._working, float32=float32, roundings=self._roundings)
            encoder = self._runner(self._working, "encoder")
            encoded = [self._encode(encoder, reference.case) for reference in references]
            del encoder
            decoder = self._runner(self._working, "decoder_with_past")
            return [
                self._compare(self._decode(decoder, one.case, feeds, one.tokens), one)
                for one, feeds in zip(references, encoded, strict=True)
            ]
        finally:
            shutil.rmtree(self._working)

    def _compare(self, got: _Decoded, reference: _Decoded) -> PrecisionErrors:
        counted = self._counted(reference)
        return step_errors(got.log_probs[counted], reference.log_probs[counted])

    def _counted(self, reference: _Decoded) -> NDArray[np.bool_]:
        return counted_steps(reference.chosen, self._end_tokens)

    @staticmethod
    def _runner(directory: Path, graph: str) -> GraphRunner:
        return GraphRunner(directory / f"{graph}.onnx")

    @staticmethod
    def _encode(encoder: GraphRunner, case: AudioCase) -> dict[str, Array]:
        """What every decoder step attends to."""
        lengths = np.array([len(waveform) for waveform in case.waveforms], dtype=np.int64)
        audio = np.zeros((len(lengths), int(lengths.max())), dtype=np.float32)
        for row, waveform in enumerate(case.waveforms):
            audio[row, : len(waveform)] = waveform
        outputs = encoder.run({"audio": audio, "audio_lengths": lengths})
        return {name: value for name, value in outputs.items() if name != "encoder_states"}

    def _decode(
        self,
        decoder: GraphRunner,
        case: AudioCase,
        attended: Mapping[str, Array],
        given: Sequence[Array] | None,
    ) -> _Decoded:
        """Greedily, or along the given tokens."""
        batch = len(case.waveforms)
        fed = [np.tile(self._prompt, (batch, 1, 1)) if given is None else given[0]]
        rows = np.arange(batch, dtype=np.int64)[:, None]
        feeds = {**attended, "beam_index": rows, "candidates": np.array(1, dtype=np.int64)}
        past = {
            name: np.zeros((batch, shape[1], 0, shape[3]), dtype=np.float32)
            for name, shape in decoder.input_shapes.items()
            if _PAST.match(name)
        }
        scored, chosen = [], []
        for step in range(self._steps):
            outputs = decoder.run({**feeds, **past, "input_ids": fed[-1]})
            scored.append(log_softmax(outputs["logits"][:, 0]))
            past = {name: outputs[name.replace("past_", "present_", 1)] for name in past}
            # Not the best column of the logits, which may be of some tokens only.
            best = outputs["candidate_ids"].astype(np.int64)
            chosen.append(best[:, 0, 0])
            fed.append(best if given is None or step + 1 >= len(given) else given[step + 1])
        return _Decoded(case, tuple(fed[: self._steps]), np.stack(scored), np.stack(chosen))
