"""A loaded bundle: audio in, text out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack, overload

from s2t_runtime.audio import AudioSource, check_audio, read_audio
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.manifest import Manifest
from s2t_runtime.bundles.replacement import load_whole
from s2t_runtime.errors import ClosedError, OptionError, PickleError, SessionError
from s2t_runtime.machine import memory_bytes
from s2t_runtime.options.call import DecodingOptions
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.memory import Memory
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.processes import LoadingProcess
from s2t_runtime.results import Hypothesis, Result, TokenEvent
from s2t_runtime.search.search import Observer, SearchResult, search
from s2t_runtime.sessions.encoder_runs import encoder_runs
from s2t_runtime.sessions.open import open_session
from s2t_runtime.sessions.protocol import Float32, Int64, Request, Session
from s2t_runtime.text.loading import load_detokenizer


def load(
    bundle: str | os.PathLike[str],
    *,
    precision: str | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    verify: Literal["fast", "full"] = "fast",
    cuda_graphs: bool = False,
    spin: bool | None = None,
    weights: Literal["mapped", "memory"] = "mapped",
) -> SpeechToText:
    """Load a bundle; begun again, a few times, where the bundle is replaced meanwhile.

    Args:
        bundle: its directory; a name on the hub is not downloaded, the error says how to get it.
        precision: one of those it holds; None takes its default, and with "tensorrt" the precision of the
            engines where the default has none.
        provider: where to run, a key of ``s2t_runtime.sessions.open.PROVIDERS``: "cpu", "cuda", "tensorrt"
            (engines that compile-s2t built), "tensorrt-ep" or "nv-tensorrt-rtx" (ONNX Runtime's own).
        threads: for one operator; None takes the physical cores that this process may use, and no more than the
            quota of its cgroup.
        verify: "fast" checks every file's size and the SHA-256 of those under 64 MiB, "full" of all.
        cuda_graphs: with "tensorrt" alone: launch kernels as CUDA graphs. TensorRT-RTX captures them by its
            own strategy; with full TensorRT a run is captured that repeats the shapes of the one before.
        spin: whether these threads wait for the next operator by spinning. None lets them for 50 microseconds at most
            (with onnxruntime before 1.26 not at all), which others hardly notice; True is for a machine of its own.
        weights: "mapped" lets the system read weights from their files as they are used, "memory" reads them whole:
            for file systems where others write, since a mapped file that is overwritten changes the results, and
            one that is cut off ends the process (SIGBUS).

    Returns:
        The model; a context manager, safe to share between threads.

    Raises:
        BundleError: the bundle is missing, altered, newer than this runtime or malformed, or replaced again and
            again while it is loaded.
        OptionError: an unknown precision or provider, or an option that it does not have.
        SessionError: ONNX Runtime or TensorRT cannot load the graphs here.
    """

    def load_once() -> SpeechToText:
        opened = open_bundle(bundle, verify=verify)
        session = open_session(
            opened,
            precision,
            provider=provider,
            threads=threads,
            verify=verify,
            cuda_graphs=cuda_graphs,
            spin=spin,
            weights=weights,
        )
        return SpeechToText(opened, session)

    return load_whole(bundle, load_once)


class SpeechToText:
    """A loaded model. ``generate`` may be called from many threads; each call owns its cache.

    It belongs to the process that loaded it: in a fork ``generate`` raises, and all else does no harm.
    """

    def __init__(self, bundle: Bundle, session: Session[Any]) -> None:
        """Wrap an opened bundle; ``load`` is the usual way here."""
        self._bundle = bundle
        self._session: Session[Any] | None = session
        self._process = LoadingProcess()
        self._detokenize = load_detokenizer(bundle)
        self._defaults = GenerationOptions.from_dict(bundle.manifest.generation)
        self._output_ids = bundle.output_ids()
        decoder = bundle.manifest.decoder
        cache_bytes = 2 * 4 * decoder.layers * decoder.heads * decoder.head_dim  # keys and values in float32
        machine_bytes = memory_bytes()
        self._memory = None if machine_bytes is None else Memory(machine_bytes, cache_bytes)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._bundle.manifest

    @property
    def output_token_ids(self) -> Int64 | None:
        """The ids that a bundle with a restricted vocabulary can write, int64 in rising order; None: all."""
        return self._output_ids

    @overload
    def generate(
        self,
        audio: list[AudioSource] | tuple[AudioSource, ...],
        *,
        sampling_rate: int | None = None,
        stop: Callable[[], bool] | None = None,
        on_token: Callable[[TokenEvent], object] | None = None,
        **options: Unpack[DecodingOptions],
    ) -> list[Result]: ...

    @overload
    def generate(
        self,
        audio: AudioSource,
        *,
        sampling_rate: int | None = None,
        stop: Callable[[], bool] | None = None,
        on_token: Callable[[TokenEvent], object] | None = None,
        **options: Unpack[DecodingOptions],
    ) -> Result: ...

    def generate(
        self,
        audio: AudioSource | list[AudioSource] | tuple[AudioSource, ...],
        *,
        sampling_rate: int | None = None,
        stop: Callable[[], bool] | None = None,
        on_token: Callable[[TokenEvent], object] | None = None,
        **options: Unpack[DecodingOptions],
    ) -> Result | list[Result]:
        """Decode one utterance, or a list of them as one batch.

        Every result is what the utterance gives alone, whatever its neighbours in the batch; in int8 it
        is near that, since the activations of a batch are rounded with one scale. With
        do_sample and a seed that holds too, from any thread: each utterance is drawn with random numbers of
        its own, seeded alike. They are numpy's, so that draws have transformers' distribution and not its
        values, and another release of numpy may draw others.

        Args:
            audio: a path, file object, bytes of an audio file, or float32 samples [samples]; a list
                or tuple of these decodes as one batch.
            sampling_rate: Hz, required with samples; files state their own.
            stop: asked before each decoder step but the first; once it returns True the running beams
                count as finished at their present length, and ``Result.stopped`` is set.
            on_token: called from this thread after each decoder step, once for every sequence that the
                step went on with: utterances in order, and in each the sequences that are sampled. In
                greedy decoding and sampling it gets each sequence with its newest token, and these never
                change again. In beam search it gets the best hypothesis so far by score over length, which
                a later step may replace by another one. The last event of each sequence has ``final`` set
                and the tokens of the result; no other has. What it raises ends the call and comes out of it.
            options: decoding options over the bundle's defaults.

        Raises:
            AudioError: unreadable, empty, too short, too long or not finite audio.
            OptionError: an unknown or impossible option, or one that leaves no token to draw.
            SessionError: ONNX Runtime failed, memory ran out, or this is a fork of the process that loaded the model.
            ClosedError: the model was closed.
        """
        started_s = time.perf_counter()
        self._process.check()
        session = self._session  # once: another thread may close the model meanwhile
        if session is None:
            raise ClosedError
        plan = self.plan(**options)
        several = isinstance(audio, list | tuple)
        sources: Sequence[Any] = audio if several else [audio]  # type: ignore[assignment]
        waveforms = [self._read(source, sampling_rate) for source in sources]
        observe = None if on_token is None else self._observer(on_token)
        try:
            results = self._decode(session, waveforms, plan, stop, observe, started_s) if waveforms else []
        except MemoryError as error:
            raise SessionError(
                f"memory ran out while decoding {len(waveforms)} utterances with {plan.num_beams} beams of up to "
                f"{plan.max_length} tokens: decode fewer at once, or pass a smaller num_beams or max_length"
            ) from error
        return results if several else results[0]

    def plan(self, **options: Unpack[DecodingOptions]) -> SearchPlan:
        """Resolve decoding options over the bundle's defaults, without decoding.

        Raises:
            OptionError: an unknown or impossible option.
        """
        given = {name: value for name, value in options.items() if value is not None}
        decoder = self.manifest.decoder
        return plan_search(
            self._defaults,
            GenerationOptions.from_dict(given),
            languages=self.manifest.languages,
            vocab_size=decoder.vocab_size,
            max_positions=decoder.max_positions,
            output_ids=self._output_ids,
            alone_ids=decoder.alone_ids,
            memory=self._memory,
        )

    def close(self) -> None:
        """Let go of the session; calls in progress finish, later ones raise ClosedError. Harmless in a fork."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __reduce__(self) -> NoReturn:
        """Refuse pickle and copy.

        Raises:
            PickleError: always.
        """
        raise PickleError(
            "a loaded model cannot be pickled or copied, because its sessions live in this process alone: hand over "
            f"the path of its bundle, {str(self._bundle.root)!r}, and load that in the other process"
        )

    def __enter__(self) -> Self:
        """Return the model itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the model."""
        self.close()

    def _read(self, source: AudioSource, sampling_rate: int | None) -> Float32:
        if isinstance(source, list | tuple | float | int):
            raise OptionError(
                f"audio holds {type(source).__name__} values; each utterance must be a path, a file object, "
                "bytes or a float32 array: pass numpy.asarray(samples, dtype=numpy.float32)"
            )
        info = self.manifest.audio
        audio = read_audio(source, sampling_rate=sampling_rate, target_rate=info.sampling_rate)
        check_audio(
            audio,
            min_samples=info.min_samples,
            max_samples=info.max_samples,
            sampling_rate=info.sampling_rate,
        )
        return audio

    def _decode(
        self,
        session: Session[Any],
        waveforms: Sequence[Float32],
        plan: SearchPlan,
        stop: Callable[[], bool] | None,
        observe: Observer | None,
        started_s: float,
    ) -> list[Result]:
        runs = encoder_runs(waveforms, padding_safe=self.manifest.audio.padding_safe)
        most = min(session.max_candidates, self.manifest.decoder.max_candidates)
        with session.decoding(_request(runs, plan)):
            encoding_s = time.perf_counter()
            encoded = session.stack([session.encode(audio, lengths) for audio, lengths in runs])
            encoded_s = time.perf_counter()
            state = session.start(encoded)
            found = search(state, plan, len(waveforms), max_candidates=most, stop=stop, observe=observe)
        ended_s = time.perf_counter()
        # Where every token was forced, nothing was computed.
        first_step_s = state.step_times_s[0] if state.step_times_s else 0.0
        timings_s = {
            "encoder": encoded_s - encoding_s,
            "first_step": first_step_s,
            "decode": ended_s - encoded_s - first_step_s,
            "total": ended_s - started_s,
        }
        return self._results(found, waveforms, plan, timings_s)

    def _observer(self, on_token: Callable[[TokenEvent], object]) -> Observer:
        def observe(utterance: int, sequence: int, tokens: tuple[int, ...], final: bool) -> None:  # noqa: FBT001
            on_token(TokenEvent(utterance, sequence, tokens, self._detokenize(tokens), final))

        return observe

    def _results(
        self, found: SearchResult, waveforms: Sequence[Float32], plan: SearchPlan, timings_s: dict[str, float]
    ) -> list[Result]:
        results = []
        for waveform, best in zip(waveforms, found.hypotheses, strict=True):
            hypotheses = tuple(
                Hypothesis(self._detokenize(one.tokens), one.tokens, one.score, one.log_probs) for one in best
            )
            first = hypotheses[0]
            results.append(
                Result(
                    text=first.text,
                    tokens=first.tokens,
                    score=first.score,
                    language=plan.language,
                    hypotheses=hypotheses,
                    timings_s=timings_s,
                    audio_s=len(waveform) / self.manifest.audio.sampling_rate,
                    stopped=found.stopped,
                )
            )
        return results


def _request(runs: Sequence[tuple[Float32, Int64]], plan: SearchPlan) -> Request:
    # A forced first token goes into the decoder together with the prompt.
    fed = min(len(plan.prompt) + (plan.forced_bos_token_id is not None), plan.max_length - 1)
    return Request(
        encoder_batches=tuple((len(audio), audio.shape[1]) for audio, _ in runs),
        beams=max(plan.num_beams, plan.num_return_sequences),  # sampling draws sequences without beams
        prompt_length=fed,
        max_length=plan.max_length,
    )
