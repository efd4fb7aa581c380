"""The only runtime file that imports onnxruntime: loads the graphs, encodes, and steps the decoder.

Keys and values stay OrtValues from one run to the next; only candidates (and logits, where a rule
needs them) come back to numpy. Sessions are shared by threads; each decoding owns its cache.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnxruntime as ort

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.manifest import DecoderInfo, PrecisionInfo
from s2t_runtime.errors import SessionError
from s2t_runtime.processes import LoadingProcess, keep_in_forks
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader, mapped_errors
from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST
from s2t_runtime.sessions.protocol import Candidates, Float32, Int64, Request

_NUMPY_TYPES = {"float32": np.float32, "float16": np.float16}


def runtime_description() -> dict[str, object]:
    """Version of onnxruntime and the execution providers of its build."""
    return {"version": ort.__version__, "providers": list(ort.get_available_providers())}


@dataclass(frozen=True)
class Encoded:
    """Encoded utterances: what every decoder step attends to.

    Attributes:
        mask: bool [batch, frames].
        cross: cross_key.N, cross_value.N [batch, heads, frames, head_dim], layer by layer.
    """

    mask: ort.OrtValue
    cross: tuple[ort.OrtValue, ...]

    @property
    def batch(self) -> int:
        """Utterances."""
        return int(self.mask.shape()[0])


class OnnxSession:
    """The encoder and the decoder of one precision, loaded once.

    The graph with past also serves the first step, with an empty past, so that the decoder's weights
    are held once.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str,
        *,
        provider: str,
        threads: int | None,
        spin: bool | None = None,
        weights: Literal["mapped", "memory"] = "mapped",
    ) -> None:
        """Load the graphs.

        Args:
            bundle: an opened bundle.
            precision: one that the bundle holds.
            provider: a key of ``EXECUTION_PROVIDERS``.
            threads: of ONNX Runtime's pool for one operator; None takes the cores that this process may use.
            spin: whether they wait for the next operator by spinning; None takes the default.
            weights: "memory" reads the files of weights, of which nothing stays mapped then.

        Raises:
            OptionError: unknown provider or impossible thread count.
            SessionError: this onnxruntime cannot use the provider, or a graph cannot be loaded.
        """
        graphs: PrecisionInfo = bundle.precision(precision)
        loader = GraphLoader(ort, provider, bundle, precision, threads, spin=spin, weights=weights)
        self.device, self._limits = loader.device, loader.limits
        loaded = {graph: loader.load(graph) for graph in larger_first(bundle, precision)}
        self._encoder, self._decoder = loaded[ENCODER], loaded[WITH_PAST]
        self._process = LoadingProcess()
        for session in loaded.values():
            keep_in_forks(session)
        self._cross_names = [
            tensor.name for tensor in graphs.encoder.outputs if tensor.name.startswith("cross_")
        ]
        self._decoder_info = bundle.manifest.decoder
        past = [tensor for tensor in graphs.decoder_with_past.inputs if tensor.name.startswith("past_")]
        self._past_names = [tensor.name for tensor in past]
        self._past_type = _NUMPY_TYPES[past[0].dtype]

    @property
    def max_candidates(self) -> int:
        """Most candidates per beam: what the graph allows."""
        return self._decoder_info.max_candidates

    def decoding(self, request: Request) -> AbstractContextManager[None]:
        """Nothing to hold, since every call has its own memory.

        Raises:
            AudioError, OptionError: the request is outside the profile of a TensorRT provider.
            SessionError: this is a fork of the process that loaded the graphs.
        """
        self._process.check()
        if self._limits is not None:
            self._limits.check(request)
        return contextlib.nullcontext()

    def close(self) -> None:
        """Nothing to do: ONNX Runtime frees its memory with the last call that uses it."""

    def encode(self, audio: Float32, lengths: Int64) -> Encoded:
        """Run the encoder graph.

        Args:
            audio: float32 [batch, samples], zero behind each utterance's end.
            lengths: int64 [batch].

        Raises:
            SessionError: ONNX Runtime refused or failed.
        """
        with mapped_errors(f"encoding {audio.shape[0]} x {audio.shape[1]} samples"):
            binding = self._encoder.io_binding()
            # Named, so that the arrays live until the run is over: the binding looks at their memory.
            samples = np.ascontiguousarray(audio, dtype=np.float32)
            sizes = np.ascontiguousarray(lengths, dtype=np.int64)
            binding.bind_cpu_input("audio", samples)
            binding.bind_cpu_input("audio_lengths", sizes)
            for name in ("encoder_mask", *self._cross_names):
                binding.bind_output(name, self.device)
            self._encoder.run_with_iobinding(binding)
            mask, *cross = binding.get_outputs()
        return Encoded(mask, tuple(cross))

    def stack(self, parts: Sequence[Encoded]) -> Encoded:
        """Join encoded utterances into one decoder batch, padded to the longest.

        Padded frames are masked, so they never reach a result.
        """
        if len(parts) == 1:
            return parts[0]
        masks = [part.mask.numpy() for part in parts]
        frames = max(mask.shape[1] for mask in masks)
        with mapped_errors("stacking encoded utterances"):
            mask = self._to_device(np.concatenate([_padded(mask, 1, frames) for mask in masks]))
            cross = tuple(
                self._to_device(np.concatenate([_padded(value.numpy(), 2, frames) for value in layer]))
                for layer in zip(*(part.cross for part in parts), strict=True)
            )
        return Encoded(mask, cross)

    def start(self, encoded: Encoded) -> DecoderState:
        """Begin to decode these utterances."""
        info = self._decoder_info
        with mapped_errors("making an empty cache"):
            shape = (encoded.batch, info.heads, 0, info.head_dim)
            empty = self._to_device(np.empty(shape, dtype=self._past_type))
        cross = dict(zip(self._cross_names, encoded.cross, strict=True))
        fixed = {"encoder_mask": encoded.mask, **cross}
        past = dict.fromkeys(self._past_names, empty)
        state = DecoderState(self._decoder, self.device, info, fixed, past)
        keep_in_forks(state)  # its values are the session's memory, and a callback may fork
        return state

    def _to_device(self, array: np.ndarray[Any, Any]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.device, 0)


@dataclass(eq=False)
class DecoderState:
    """One decoding in progress: a StepFunction that owns its key/value cache."""

    session: ort.InferenceSession
    device: str
    info: DecoderInfo
    fixed: dict[str, ort.OrtValue]
    """Inputs that stay the same: encoder mask, cross keys and values."""
    past: dict[str, ort.OrtValue]
    """The cache, [rows, heads, past, head_dim] each."""
    step_times_s: list[float] = field(default_factory=list)
    """Seconds that each step took, in order."""
    process: LoadingProcess = field(default_factory=LoadingProcess)

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """See ``StepFunction``.

        Raises:
            SessionError: beam_index points outside the cache, ONNX Runtime failed, or a callback has forked and this
                is the child.
        """
        started_s = time.perf_counter()
        self.process.check()
        self._check_rows(beam_index)
        with mapped_errors("running a decoder step"):
            outputs = self._run(tokens, beam_index, candidates, with_logits=with_logits)
            scored = Candidates(
                outputs["candidate_log_probs"].numpy(),
                outputs["candidate_ids"].numpy(),
                outputs["logits"].numpy() if with_logits else None,
            )
        self.past = {name: outputs[name.replace("past_", "present_", 1)] for name in self.past}
        self.step_times_s.append(time.perf_counter() - started_s)
        return scored

    def _check_rows(self, beam_index: Int64) -> None:
        # The graph gathers by these rows without a check of its own.
        rows = int(next(iter(self.past.values())).shape()[0])
        if beam_index.min() < 0 or beam_index.max() >= rows:
            raise SessionError(
                f"beam_index runs from {beam_index.min()} to {beam_index.max()}, but the cache has {rows} rows"
            )

    def _run(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool
    ) -> dict[str, ort.OrtValue]:
        binding = self.session.io_binding()
        # Named, so that the arrays live until the run is over: the binding looks at their memory.
        feeds = {
            "input_ids": np.ascontiguousarray(tokens, dtype=np.int64),
            "beam_index": np.ascontiguousarray(beam_index, dtype=np.int64),
            "candidates": np.asarray(candidates, dtype=np.int64),
        }
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for name, value in (*self.fixed.items(), *self.past.items()):
            binding.bind_ortvalue_input(name, value)
        # Scores are read on the host; keys and values stay where they are computed. Outputs that are
        # not bound are not fetched: the vocabulary-wide logits stay inside the graph.
        scores = ["candidate_log_probs", "candidate_ids", *(["logits"] if with_logits else [])]
        present = [name.replace("past_", "present_", 1) for name in self.past]
        for name in scores:
            binding.bind_output(name, "cpu")
        for name in present:
            binding.bind_output(name, self.device)
        self.session.run_with_iobinding(binding)
        return dict(zip([*scores, *present], binding.get_outputs(), strict=True))


def larger_first(bundle: Bundle, precision: str) -> list[str]:
    """The two graphs in the order in which they are loaded.

    For a moment a session holds its weights twice, in the mapped file and packed: at the real size the
    peak is half a gigabyte lower where the smaller graph pays that with the larger one already there.
    """

    def weights(graph: str) -> int:
        # Both decoder graphs share one file: fp32/decoder.onnx.data.
        stem = f"{precision}/{graph.partition('_')[0]}.onnx.data"
        return bundle.manifest.files[stem].size if stem in bundle.manifest.files else 0

    return sorted(("encoder", "decoder_with_past"), key=weights, reverse=True)


def _padded(array: np.ndarray[Any, Any], axis: int, size: int) -> np.ndarray[Any, Any]:
    if array.shape[axis] == size:
        return array
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return np.pad(array, widths)
