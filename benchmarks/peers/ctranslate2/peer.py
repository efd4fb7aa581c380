"""Peer: the checkpoint's two parts in CTranslate2, in float32 and int8; see ``conversion`` for how.

What neither part computes (an adapter, enc_to_dec_proj) numpy does, and it counts in the first step. CTranslate2 tells
no times of its own: a step is (time of all tokens - time of one token) / (tokens - 1), its search included.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import PeerError
from benchmarks.peers.ctranslate2.between import between
from benchmarks.peers.ctranslate2.files import BETWEEN, DECODER, ENCODER
from benchmarks.peers.ctranslate2.search import search_facts
from benchmarks.peers.protocol import Answer, Offer, Run, StageTimes, Task
from s2t_runtime.audio import read_audio
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.default_threads import default_threads
from s2t_runtime.text.loading import load_detokenizer

OFFERS: Final[Mapping[str, tuple[Offer, ...]]] = MappingProxyType(
    {
        "ctranslate2": (
            Offer("CTranslate2 fp32", "fp32", {"quantization": None}),
            Offer("CTranslate2 int8", "int8", {"quantization": "int8"}),
        )
    }
)
_EXTRA: Final = 'pip install "export-s2t[bench]"'
_LEAST_TOKENS: Final = 3
_PARTS: Final = (
    "halves: Wav2Vec2 encoder, then the decoder in Whisper's search; {between}a step is an utterance's mean with the "
    "search in it"
)
_FORBIDDEN_END: Final = (
    "where the end token is forbidden it renormalises scores: only recordings are compared"
)

Float32 = NDArray[np.float32]


class TwoPartPeer:
    """Encoder part, what stands between, decoder part."""

    def __init__(
        self, bundle: Bundle, directory: Path, facts: Mapping[str, Any], threads: int | None
    ) -> None:
        """Load both parts.

        Args:
            bundle: says the sampling rate and what tokens mean.
            directory: of ``prepare``.
            facts: of ``prepare``.
            threads: of each part; None takes as many as a bundle would.
        """
        import ctranslate2  # noqa: PLC0415 - a peer's file is read to know its offers

        count = self._threads = threads or default_threads().count
        self._view: Any = ctranslate2.StorageView.from_array
        self._encoder = ctranslate2.models.Wav2Vec2(str(directory / ENCODER), intra_threads=count)
        self._decoder = ctranslate2.models.Whisper(str(directory / DECODER), intra_threads=count)
        with np.load(directory / BETWEEN) as weights:
            self._between = dict(weights)
        self._rate = bundle.manifest.audio.sampling_rate
        self._detokenize = load_detokenizer(bundle)
        self._facts = facts

    @property
    def threads(self) -> int | None:
        """See ``Peer``."""
        return self._threads

    def run(self, task: Task) -> Run:
        """See ``Peer``."""
        began_s = time.perf_counter()
        states, read_s, encoded_s = self._states(task)
        found = self._search(states, task, self._most(task))
        searched_s = time.perf_counter()
        tokens = self._tokens(found, task)
        for one in tokens:
            self._detokenize(one)
        ended_s = time.perf_counter()
        self._search(states, task, 1)
        one_s = time.perf_counter() - ended_s
        steps = self._steps(found, task)
        step_s = (searched_s - encoded_s - one_s) / (steps - 1) if steps > 1 else 0.0
        times = StageTimes(
            audio_s=read_s - began_s,
            encoder_s=encoded_s - read_s,
            first_step_s=searched_s - encoded_s - step_s * (steps - 1),
            steps_s=(step_s,) * (steps - 1),
            search_s=0.0,
            detokenise_s=ended_s - searched_s,
            total_s=ended_s - began_s,
            first_step_tokens=len(self._facts["prompt"]),
        )
        return Run(times, tokens if self._comparable(task) else ())

    def answer(self, task: Task) -> Answer:
        """See ``Peer``; the score is transformers': the sum of log-probabilities over the generated length."""
        remark = "; ".join(self._remarks(task))
        if not self._comparable(task):
            return Answer((), (), remark)
        states, _, _ = self._states(task)
        found = self._search(states, task, self._most(task))
        tokens = self._tokens(found, task)
        penalty = self._facts["length_penalty"] if task.beams > 1 else 1.0
        scores = [
            one.scores[0] * _scored(one) ** penalty / (len(row) - 1) ** penalty
            for one, row in zip(found, tokens, strict=True)
        ]
        return Answer(tokens, tuple(scores), remark)

    def close(self) -> None:
        """See ``Peer``: the process's end frees all."""

    def _states(self, task: Task) -> tuple[Float32, float, float]:
        """What the decoder attends to, when the audio was there, and when the encoder part had done its work."""
        audio = self._audio(task)
        read_s = time.perf_counter()
        encoded = np.asarray(self._encoder.encode(self._view(audio[:, None]), to_cpu=True))
        encoded_s = time.perf_counter()
        return np.ascontiguousarray(between(encoded, self._between)), read_s, encoded_s

    def _audio(self, task: Task) -> Float32:
        read = [read_audio(Path(path), sampling_rate=None, target_rate=self._rate) for path in task.audio]
        batch = np.stack(read)  # of equal length, as Task says
        if self._facts["normalise"]:
            mean, variance = batch.mean(1, keepdims=True), batch.var(1, keepdims=True)
            batch = (batch - mean) / np.sqrt(variance + 1e-7)  # as Wav2Vec2FeatureExtractor does it
        return np.ascontiguousarray(batch, dtype=np.float32)

    def _most(self, task: Task) -> int:
        """Tokens to generate behind the prompt, which holds the forced first one."""
        return task.tokens - 1

    def _search(self, states: Float32, task: Task, most: int) -> list[Any]:
        vocabulary, end = self._facts["vocabulary"], self._facts["end"]
        prompt = [vocabulary, vocabulary + 1]
        found: list[Any] = self._decoder.generate(
            self._view(states),
            [prompt] * len(states),
            beam_size=task.beams,
            length_penalty=self._facts["length_penalty"],
            max_length=2 * most,  # of which it gives half to what is generated
            suppress_blank=False,
            suppress_tokens=[*prompt, *([end] if task.exact else [])],
            return_scores=True,
        )
        return found

    def _steps(self, found: Sequence[Any], task: Task) -> int:
        """Forwards of the decoder behind the prompt's: the end token took one too."""
        return min(self._most(task), max(len(one.sequences_ids[0]) for one in found) + (not task.exact))

    def _tokens(self, found: Sequence[Any], task: Task) -> tuple[tuple[int, ...], ...]:
        """With prompt and end token, as transformers returns them; the last one may be forced there."""
        rows = []
        for one in found:
            ids, forced = list(one.sequences_ids[0]), self._facts["forced_end"]
            if len(ids) < self._most(task):
                ids.append(self._facts["end"])
            elif forced is not None:
                ids[-1] = forced
            rows.append((*self._facts["prompt"], *ids))
        return tuple(rows)

    def _comparable(self, task: Task) -> bool:
        """Whether its tokens should be transformers': random weights give the end token no noticeable probability."""
        return self._facts["comparable"] and (self._facts["untrained"] or not task.exact)

    def _remarks(self, task: Task) -> list[str]:
        glue = "the adapter is numpy's, in the first step; " if self._between else ""
        remarks = [_PARTS.format(between=glue), *self._facts["remarks"]]
        forbidden = self._facts["comparable"] and not self._comparable(task)
        return [*remarks, _FORBIDDEN_END] if forbidden else remarks


def prepare(
    directory: str,
    tasks: Sequence[Task],
    *,
    bundle: str,
    against: Sequence[str] = (),
    device: str = "cpu",
    quantization: str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Convert the checkpoint; the settings of ``open_peer``.

    Args:
        directory: an empty one, for both parts.
        tasks: that will be asked; all begin with the same tokens.
        bundle: its directory.
        against: what stands for the source that its manifest names, as ``check-s2t --against`` takes it.
        device: "cpu".
        quantization: "int8", or None for float32.
        threads: of each part.

    Raises:
        PeerError: CTranslate2 is not installed, cannot compute the model, or not here.
        S2TError: the bundle or the checkpoint cannot be read.
    """
    _refuse(device, tasks)
    from benchmarks.peers.ctranslate2.conversion import convert_parts  # noqa: PLC0415 - imports torch
    from exporter.checkpoints.load import load_source  # noqa: PLC0415
    from exporter.checkpoints.sources.recorded import load_options_of, source_of  # noqa: PLC0415
    from exporter.commands.console import quiet_libraries  # noqa: PLC0415

    quiet_libraries(quiet=True)
    opened = open_bundle(bundle)
    facts = search_facts(opened, tasks[0])
    checkpoint = load_source(source_of(opened.manifest, tuple(against)), load_options_of(opened.manifest))
    normalise = bool(getattr(checkpoint.extractor, "do_normalize", False))
    convert_parts(
        checkpoint, Path(directory), prompt=facts["prompt"], end=facts["end"], quantization=quantization
    )
    facts["normalise"] = normalise
    return {"bundle": bundle, "directory": directory, "facts": facts, "threads": threads}


def _refuse(device: str, tasks: Sequence[Task]) -> None:
    """What cannot be measured, before anything takes long."""
    if importlib.util.find_spec("ctranslate2") is None:
        raise PeerError(f"ctranslate2 is not installed: {_EXTRA}")
    if device != "cpu":
        raise PeerError("CTranslate2 is measured on the CPU alone: give --provider cpu")
    if min(task.tokens for task in tasks) < _LEAST_TOKENS:
        raise PeerError(
            f"a step of CTranslate2 is the difference of two decodings: give --tokens {_LEAST_TOKENS} or more"
        )


def open_peer(
    *, bundle: str, directory: str, facts: Mapping[str, Any], threads: int | None = None
) -> TwoPartPeer:
    """Load what ``prepare`` made.

    Args:
        bundle: its directory.
        directory: of both parts.
        facts: about the search.
        threads: of each part; None takes as many as a bundle would.

    Raises:
        S2TError: the bundle cannot be read.
    """
    return TwoPartPeer(open_bundle(bundle), Path(directory), facts, threads)


def _scored(found: Any) -> int:
    """Tokens whose number CTranslate2 has divided the sum by."""
    return max(1, len(found.sequences_ids[0]))
