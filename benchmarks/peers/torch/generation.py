"""transformers' ``generate`` with the time of every stage, eager or through torch.compile, on any device."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peers.protocol import Answer, Run, StageTimes, Task, best_of
from exporter.checkpoints.checkpoint import Checkpoint
from exporter.parity.decodings import eager_options
from exporter.reference.eager import EagerReference, Waveform
from s2t_runtime.audio import read_audio

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
        kept: NDArray[np.int64] | None = None,
    ) -> None:
        """Move a checkpoint's model to the device; it is changed.

        Args:
            checkpoint: loaded, in float32.
            device: "cuda" or "cpu".
            precision: a key of DTYPES.
            mode: "compile" puts torch.compile around the encoder and the decoder, with dynamic shapes.
            kept: the only tokens to be written, where the bundle has no others: all the others' logits become
                -inf, as if the output projection had no rows for them. None: every token.
        """
        self._device = device
        self._tokenizer = checkpoint.tokenizer
        self._rate = checkpoint.extractor.sampling_rate
        model = checkpoint.model.to(device, DTYPES[precision])
        self._reference = DeviceReference(checkpoint)
        self._remark = "" if kept is None else _keep(model.decoder.get_output_embeddings(), kept)
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

    @property
    def threads(self) -> int | None:
        """See ``Peer``."""
        return torch.get_num_threads() if self._device == "cpu" else None

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
        return best_of([(one.tokens[0], one.scores[0]) for one in found], self._remark)

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


def _keep(projection: nn.Module, kept: NDArray[np.int64]) -> str:
    """Mask a projection's logits to some tokens; what to say of it."""
    weight = next(projection.parameters())
    mask = torch.full((weight.shape[0],), -torch.inf, dtype=weight.dtype, device=weight.device)
    # A copy: a bundle's ids are read-only, of which torch warns.
    mask[torch.from_numpy(kept.copy()).to(weight.device)] = 0
    projection.register_forward_hook(lambda _module, _inputs, logits: logits + mask)
    return f"computes all {weight.shape[0]:,} logits and masks those that the bundle lacks, which has {len(kept):,}"
