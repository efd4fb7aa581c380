"""The graphs of every precision of a bundle, each with the policy that it needs."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.onnx.checks import check_graph
from exporter.onnx.passes.fuse_attention import FUSED
from exporter.onnx.write_graphs import OnStage, WrittenGraphs, write_graphs
from exporter.options import DEFAULT_BUDGET
from exporter.precisions.int8_check import Int8Check
from exporter.precisions.int8_graphs import write_int8_graphs
from exporter.precisions.policy import Base, FoundPolicy, allowed, fp16_policy, search_policy
from exporter.reference.hard_audio import AudioCase, hard_audio, recorded
from exporter.reference.step_errors import MEASURES
from exporter.reference.utterance import Utterance
from graphs import (
    DecoderGeometry,
    encoder_signature,
    encoder_state_width,
    find_cross_attention,
    first_step_signature,
    with_past_signature,
)
from graphs.precision.blocks import PrecisionAssignment

_FLOAT32: Final = "fp32"
_FLOAT16: Final = "fp16"
_INT8: Final = "int8"


@dataclass(frozen=True)
class AudioLimits:
    """What audio a bundle takes, in samples at ``rate`` Hz, and the user's own recordings."""

    rate: int
    shortest: int
    longest: int
    recordings: tuple[Utterance, ...] = ()


@dataclass
class PrecisionGraphs:
    """Writes the graphs of one bundle, precision by precision.

    Attributes:
        checkpoint: the loaded model.
        geometry: of its decoder.
        audio: what the bundle takes.
        prompt: token ids that decoding begins with.
        end_tokens: ids that end an utterance.
        directory: of the bundle; each precision gets a folder of its name.
        on_stage: told the name of each stage as it starts.
        budget: the largest change of a log-probability that a precision below float32 may cause.
        float32: the float32 graphs of a bundle that has them; None where they are written here, if at all.
        output_ids: int64, ascending: tokens that the output projection is restricted to; None: all.
        written: precision -> its graphs.
        policies: precision -> what its search found; of precisions below float32.
    """

    checkpoint: Checkpoint
    geometry: DecoderGeometry
    audio: AudioLimits
    prompt: Sequence[int]
    end_tokens: Collection[int]
    directory: Path
    on_stage: OnStage
    budget: float = DEFAULT_BUDGET
    float32: Path | None = None
    output_ids: Tensor | None = None
    written: dict[str, WrittenGraphs] = field(default_factory=dict)
    policies: dict[str, FoundPolicy] = field(default_factory=dict)

    def write(self, precisions: Sequence[str]) -> None:
        """Write all of these; int8 comes last, because it is made from the float32 graphs.

        Raises:
            GraphError: a graph cannot be exported or breaks its contract.
            PrecisionError: the model cannot be held in one of them.
        """
        for precision in sorted(precisions, key=lambda name: name == _INT8):
            (self.directory / precision).mkdir()
            if precision == _INT8:
                self._round_to_int8()
                continue
            assignment = None
            if precision == _FLOAT16:
                self.on_stage("find what fp16 cannot hold")
                self.policies[precision] = fp16_policy(
                    self.checkpoint,
                    self._cases("float16"),
                    prompt=self.prompt,
                    max_positions=self.geometry.max_positions,
                    output_ids=self.output_ids,
                    budget=allowed(self.budget),
                )
                assignment = self.policies[precision].assignment
            several = f" in {precision}" if len(precisions) > 1 else ""
            self.written[precision] = self._trace(self.directory / precision, several, assignment)

    def _cases(self, base: Base) -> tuple[AudioCase, ...]:
        recordings = recorded(self.audio.recordings)
        if recordings and MEASURES[base].recordings_alone:
            return recordings
        cases = hard_audio(
            self.audio.rate,
            min_samples=self.audio.shortest,
            max_samples=self.audio.longest,
            parameters=sum(parameter.numel() for parameter in self.checkpoint.model.parameters()),
        )
        return (*cases, *recordings)

    def _trace(
        self, directory: Path, suffix: str, assignment: PrecisionAssignment | None = None
    ) -> WrittenGraphs:
        return write_graphs(
            self.checkpoint,
            self.geometry,
            min_samples=self.audio.shortest,
            max_samples=self.audio.longest,
            directory=directory,
            on_stage=lambda graph: self.on_stage(f"export {graph}{suffix}"),
            assignment=assignment,
            output_ids=self.output_ids,
        )

    def _round_to_int8(self) -> None:
        # Beside the graphs and not in the system's temporary directory, which may be small or in memory.
        with tempfile.TemporaryDirectory(prefix=".", dir=self.directory) as temporary:
            source = self._float32_graphs(Path(temporary) / _FLOAT32)
            self.on_stage("find what int8 cannot hold")
            check = Int8Check(
                source,
                Path(temporary) / _INT8,
                self._cases("int8"),
                prompt=self.prompt,
                end_tokens=self.end_tokens,
                max_positions=self.geometry.max_positions,
            )
            found = search_policy(check, allowed(self.budget), "int8")
            self.on_stage("round to int8")
            target = self.directory / _INT8
            write_int8_graphs(source, target, float32=found.assignment.float32)
        written = self._contracts()
        for signature in (written.encoder, written.decoder_first_step, written.decoder_with_past):
            check_graph(target / f"{signature.name}.onnx", signature, beyond_onnx=(FUSED,))
        self.written[_INT8], self.policies[_INT8] = written, found

    def _float32_graphs(self, otherwise: Path) -> Path:
        """Where the float32 graphs are; they are written ``otherwise`` where there are none."""
        if self.float32 is not None:
            return self.float32
        if _FLOAT32 in self.written:
            return self.directory / _FLOAT32
        otherwise.mkdir()
        self._trace(otherwise, " in fp32, to round")
        return otherwise

    def _contracts(self) -> WrittenGraphs:
        """Those of float32: int8 is inside the graphs alone."""
        if _FLOAT32 in self.written:
            return self.written[_FLOAT32]
        decoder = self.checkpoint.model.decoder
        return WrittenGraphs(
            encoder_signature(self.geometry, encoder_state_width(decoder.config)),
            first_step_signature(self.geometry),
            with_past_signature(self.geometry),
            find_cross_attention(decoder).mode,
        )
