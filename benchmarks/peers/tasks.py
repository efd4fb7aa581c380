"""The requests of a benchmark: seeded stand-ins for recordings, written as files, so that reading them counts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import soundfile

from benchmarks.errors import BenchmarkError
from benchmarks.peers.protocol import Task
from exporter.reference.probe_audio import probe_utterance
from s2t_runtime.audio import check_audio, read_audio
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import AudioError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.lengths import longest_sequence
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.sessions.protocol import Request

FirstToken: TypeAlias = str | int
"""What every hypothesis begins with: the code of a language, or a token's id."""
_SEED = 7


def make_tasks(
    bundle: Bundle,
    directory: Path,
    durations_s: Sequence[float],
    beams: Sequence[int],
    tokens: int,
    *,
    batches: Sequence[int] = (1,),
    first: FirstToken | None = None,
) -> list[Task]:
    """Every length of audio with every batch and every number of beams.

    Args:
        bundle: says what audio and how many tokens it takes.
        directory: for the recordings.
        durations_s: of each utterance.
        beams: sequences per utterance.
        tokens: to generate, exactly.
        batches: utterances that are decoded at once, of equal length and different content.
        first: the token that is forced first; None takes that of the bundle's first language, where it has any.

    Raises:
        BenchmarkError: the bundle does not take this length, so many tokens, or this language.
    """
    audio, options = bundle.manifest.audio, _first_options(bundle, first)
    shortest_s, longest_s = (count / audio.sampling_rate for count in (audio.min_samples, audio.max_samples))
    tasks = []
    for duration_s, batch in itertools.product(durations_s, batches):
        if not shortest_s <= duration_s <= longest_s:
            raise BenchmarkError(
                f"--durations {duration_s:g}: the bundle takes {shortest_s:.3g} to {longest_s:.6g} s of audio"
            )
        paths = tuple(
            _stand_in(directory, duration_s, audio.sampling_rate, number) for number in range(batch)
        )
        for count in beams:
            size = f"batch {batch}, " if batch > 1 else ""
            name = f"{duration_s:g} s, {size}{beam_count(count)}"
            tasks.append(Task(name, paths, batch * duration_s, count, tokens, options))
    return [_checked(bundle, task) for task in tasks]


def recording_tasks(
    bundle: Bundle,
    paths: Sequence[Path],
    beams: Sequence[int],
    tokens: int,
    *,
    first: FirstToken | None = None,
) -> list[Task]:
    """Recordings, each decoded alone until it ends; those with the same number of beams count as one workload.

    Args:
        bundle: says what audio and how many tokens it takes.
        paths: of the recordings.
        beams: sequences per utterance.
        tokens: to generate, at most.
        first: the token that is forced first; None takes that of the bundle's first language, where it has any.

    Raises:
        AudioError: a recording cannot be read.
        BenchmarkError: two have the same name, or the bundle does not take one, so many tokens or this language.
    """
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise BenchmarkError(
            f"--audio names {', '.join(twice)} twice: give every recording a name of its own"
        )
    options = _first_options(bundle, first)
    lengths_s = [_length_s(bundle, path) for path in paths]
    tasks = []
    for count in beams:
        workload = f"{len(paths)} recording{'s' if len(paths) > 1 else ''}, {beam_count(count)}"
        for path, length_s in zip(paths, lengths_s, strict=True):
            name = f"{path.name}, {beam_count(count)}"
            audio = (str(path),)
            tasks.append(Task(name, audio, length_s, count, tokens, options, workload, exact=False))
    return [_checked(bundle, task) for task in tasks]


def request_of(bundle: Bundle, task: Task) -> Request:
    """How much a task will ask of a session."""
    plan = search_plan(bundle, task)
    samples = round(task.audio_s / len(task.audio) * bundle.manifest.audio.sampling_rate)
    return Request(((len(task.audio), samples),), task.beams, len(plan.prompt), plan.max_length)


def beam_count(beams: int) -> str:
    """As it is read: "1 beam", "5 beams"."""
    return f"{beams} beam{'s' if beams > 1 else ''}"


def _stand_in(directory: Path, duration_s: float, rate: int, number: int) -> str:
    path = directory / f"{duration_s:g}s-{number}.wav"
    if not path.exists():
        samples = probe_utterance(duration_s, rate, _SEED + number)
        soundfile.write(path, samples, rate, subtype="PCM_16")
    return str(path)


def _length_s(bundle: Bundle, path: Path) -> float:
    audio = bundle.manifest.audio
    samples = read_audio(path, sampling_rate=None, target_rate=audio.sampling_rate)
    limits = {"min_samples": audio.min_samples, "max_samples": audio.max_samples}
    try:
        check_audio(samples, **limits, sampling_rate=audio.sampling_rate)
    except AudioError as error:
        raise BenchmarkError(f"--audio {path}: {error}") from error
    return len(samples) / audio.sampling_rate


def _first_options(bundle: Bundle, first: FirstToken | None) -> Mapping[str, int]:
    languages = dict(sorted(bundle.manifest.languages.items()))
    if isinstance(first, int):
        return {"forced_bos_token_id": first}
    if first is None:
        return {"forced_bos_token_id": next(iter(languages.values()))} if languages else {}
    if first not in languages:
        has = f"which has {', '.join(languages)}" if languages else "which has no languages"
        raise BenchmarkError(f"--language {first} is not in the bundle, {has}: choose one of its own")
    return {"forced_bos_token_id": languages[first]}


def _checked(bundle: Bundle, task: Task) -> Task:
    """The task, with the length of its prompt."""
    positions = bundle.manifest.decoder.max_positions
    prompt_length = (
        len(search_plan(bundle, task).prompt) if positions is None or task.tokens <= positions else 1
    )
    most = None if positions is None else longest_sequence(positions) - prompt_length
    if most is not None and task.tokens > most:
        raise BenchmarkError(
            f"--tokens {task.tokens}: the decoder has {positions} positions, the prompt's {prompt_length} among "
            f"them, and the last token needs none: at most {most}"
        )
    return replace(task, prompt_length=prompt_length)


def search_plan(bundle: Bundle, task: Task) -> SearchPlan:
    """What a task asks of a search, resolved over the bundle's defaults."""
    manifest = bundle.manifest
    return plan_search(
        GenerationOptions.from_dict(manifest.generation),
        GenerationOptions.from_dict(task.decoding_options),
        languages=manifest.languages,
        vocab_size=manifest.decoder.vocab_size,
        max_positions=manifest.decoder.max_positions,
        output_ids=bundle.output_ids(),
    )
