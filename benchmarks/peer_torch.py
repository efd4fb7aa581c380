"""Peer: the checkpoint in PyTorch, eager or through torch.compile, as a user of transformers runs it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.errors import PeerError
from benchmarks.peer import Answer, Run, StageTimes, Task, best_of
from exporter.checkpoint import Checkpoint
from exporter.console import quiet_libraries
from exporter.eager_reference import EagerReference, Waveform
from exporter.load_source import load_source
from exporter.parity_generate import eager_options
from exporter.recorded_source import source_of
from s2t_runtime.audio import read_audio
from s2t_runtime.bundle import open_bundle

DTYPES: Final = {"fp32": torch.float32, "fp16": torch.float16}
Mode = Literal["eager", "compile"]
_Arguments = ParamSpec("_Arguments")
_Returned = TypeVar("_Returned")


class DeviceReference(EagerReference):
    """The reference on any device and in any precision; the feature extractor stays on the host, in float32."""

    def features(self, waveforms: Sequence[Waveform]) -> dict[str, Tensor]:
        """As ``EagerReference.features``, where the model is and in its type."""
        model, found = self.model, super().features(waveforms)
        return {
            name: value.to(model.device) if name == "attention_mask" else value.to(model.device, model.dtype)
            for name, value in found.items()
        }


class TorchPeer:
    """Calls transformers' ``generate`` and takes the time around the encoder and every forward of the decoder.

    A GPU computes behind the host's back, so the device is waited for before the clock is read at each border. In the
    steps this adds next to nothing: ``generate`` itself asks the device after every step whether it may stop.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        precision: str,
        mode: Mode,
        output_ids: NDArray[np.int64] | None = None,
    ) -> None:
        """Move a checkpoint's model to the device; it is changed.

        Args:
            checkpoint: loaded, in float32.
            device: "cuda" or "cpu".
            precision: a key of DTYPES.
            mode: "compile" puts torch.compile around the encoder and the decoder, with dynamic shapes.
            output_ids: int64, ascending: the tokens that a bundle is restricted to, and so its answer; times are those
                of the whole projection. None: all.
        """
        self._device = device
        self._tokenizer = checkpoint.tokenizer
        self._rate = checkpoint.extractor.sampling_rate
        model = checkpoint.model.to(device, DTYPES[precision])
        self._reference = DeviceReference(checkpoint, output_ids)
        self._always = eager_options(self._reference)
        if mode == "compile":
            for half in (model.encoder, model.decoder):
                half.forward = torch.compile(half.forward, dynamic=True)
        self._encoder_s: list[float] = []
        self._steps_s: list[float] = []
        # The whole model's forward is a step: it projects the encoder's states anew in each of them.
        model.encoder.forward = self._timed(model.encoder.forward, self._encoder_s)
        model.forward = self._timed(model.forward, self._steps_s)
        self._model = model

    def run(self, task: Task) -> Run:
        """See ``Peer``."""
        self._encoder_s.clear()
        self._steps_s.clear()
        began_s = self._now_s()
        features = self._reference.features(self._read(task))
        read_s = self._now_s()
        with torch.inference_mode():
            found = self._model.generate(
                features[self._reference.input_name],
                attention_mask=features.get("attention_mask"),
                **{**self._always, **task.decoding_options},
            )
        searched_s = self._now_s()
        self._tokenizer.batch_decode(found, skip_special_tokens=True)
        ended_s = time.perf_counter()
        (encoder_s,), (first_s, *later) = self._encoder_s, self._steps_s
        times = StageTimes(
            audio_s=read_s - began_s,
            encoder_s=encoder_s,
            first_step_s=first_s,
            steps_s=tuple(later),
            search_s=searched_s - read_s - encoder_s - first_s - sum(later),
            detokenise_s=ended_s - searched_s,
            total_s=ended_s - began_s,
        )
        return Run(times, tuple(tuple(row) for row in found.tolist()))

    def answer(self, task: Task) -> Answer:
        """See ``Peer``; in greedy decoding by the logits of every step."""
        options = {**self._always, **task.decoding_options}
        found = self._reference.generate(self._read(task), **options)
        return best_of([(one.tokens[0], one.scores[0]) for one in found])

    def close(self) -> None:
        """See ``Peer``: the process's end frees the device."""

    def _read(self, task: Task) -> list[Waveform]:
        return [read_audio(Path(path), sampling_rate=None, target_rate=self._rate) for path in task.audio]

    def _now_s(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _timed(
        self, function: Callable[_Arguments, _Returned], spent_s: list[float]
    ) -> Callable[_Arguments, _Returned]:
        # wraps: generate() looks at the signature of forward.
        @functools.wraps(function)
        def call(*args: _Arguments.args, **keywords: _Arguments.kwargs) -> _Returned:
            started_s = self._now_s()
            result = function(*args, **keywords)
            spent_s.append(self._now_s() - started_s)
            return result

        return call


def open_peer(
    *,
    bundle: str,
    against: Sequence[str] = (),
    device: str = "cuda",
    precision: str = "fp32",
    mode: Mode = "eager",
    threads: int | None = None,
) -> TorchPeer:
    """Load the checkpoint behind a bundle.

    Args:
        bundle: its directory.
        against: what stands for the source that its manifest names, as ``check-s2t --against`` takes it.
        device: "cuda" or "cpu".
        precision: a key of DTYPES.
        mode: "eager" or "compile".
        threads: of PyTorch on the CPU.

    Raises:
        PeerError: this PyTorch cannot use the device.
        S2TError: the bundle or the checkpoint cannot be read.
    """
    problem = torch_problem() if device == "cuda" else None
    if problem is not None:
        raise PeerError(problem)
    quiet_libraries(quiet=True)
    if threads is not None:
        torch.set_num_threads(threads)
    # float32 means float32: TF32 products have 10 bits, and eager is what the others are measured against.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    opened = open_bundle(bundle)
    checkpoint = load_source(source_of(opened.manifest, tuple(against)))
    return TorchPeer(
        checkpoint, device=device, precision=precision, mode=mode, output_ids=opened.output_ids()
    )


def torch_problem() -> str | None:
    """Why PyTorch cannot use a GPU; None where it can."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install PyTorch's CUDA build"
    return None if torch.cuda.is_available() else f"torch {torch.__version__} finds no GPU that it can use"
