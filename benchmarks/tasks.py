"""The requests of a benchmark: seeded stand-ins for recordings, written as files, so that reading them counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from benchmarks.errors import BenchmarkError
from benchmarks.peer import Task
from exporter.probe_audio import probe_utterance
from s2t_runtime.bundle import Bundle
from s2t_runtime.options import GenerationOptions
from s2t_runtime.plan import SearchPlan, plan_search
from s2t_runtime.session import Request

_SEED = 7


def make_tasks(
    bundle: Bundle, directory: Path, durations_s: Sequence[float], beams: Sequence[int], tokens: int
) -> list[Task]:
    """Every length of audio with every number of beams, one utterance each.

    Args:
        bundle: says what audio and how many tokens it takes; where it has languages, the first is asked for.
        directory: for the recordings.
        durations_s: of the recordings.
        beams: sequences per utterance.
        tokens: to generate, exactly.

    Raises:
        BenchmarkError: the bundle does not take this length or so many tokens.
    """
    audio, languages = bundle.manifest.audio, sorted(bundle.manifest.languages.items())
    shortest_s, longest_s = (count / audio.sampling_rate for count in (audio.min_samples, audio.max_samples))
    options = {"forced_bos_token_id": languages[0][1]} if languages else {}
    tasks = []
    for duration_s in durations_s:
        if not shortest_s <= duration_s <= longest_s:
            raise BenchmarkError(
                f"--durations {duration_s:g}: the bundle takes {shortest_s:.3g} to {longest_s:.6g} s of audio"
            )
        path = directory / f"{duration_s:g}s.wav"
        samples = probe_utterance(duration_s, audio.sampling_rate, _SEED)
        soundfile.write(path, samples, audio.sampling_rate, subtype="PCM_16")
        for count in beams:
            name = f"{duration_s:g} s, {count} beam{'s' if count > 1 else ''}"
            tasks.append(Task(name, (str(path),), duration_s, count, tokens, options))
    for task in tasks:
        _check_tokens(bundle, task)
    return tasks


def request_of(bundle: Bundle, task: Task) -> Request:
    """How much a task will ask of a session."""
    plan = _plan(bundle, task)
    samples = round(task.audio_s * bundle.manifest.audio.sampling_rate)
    return Request(((1, samples),), task.beams, len(plan.prompt), plan.max_length)


def _check_tokens(bundle: Bundle, task: Task) -> None:
    positions = bundle.manifest.decoder.max_positions
    prompt = len(_plan(bundle, task).prompt) if positions is None or task.tokens < positions else 1
    if positions is not None and task.tokens + prompt > positions:
        raise BenchmarkError(
            f"--tokens {task.tokens}: the decoder has {positions} positions, the prompt's {prompt} among them: at "
            f"most {positions - prompt}"
        )


def _plan(bundle: Bundle, task: Task) -> SearchPlan:
    manifest = bundle.manifest
    return plan_search(
        GenerationOptions.from_dict(manifest.generation),
        GenerationOptions.from_dict(task.decoding_options),
        languages=manifest.languages,
        vocab_size=manifest.decoder.vocab_size,
        max_positions=manifest.decoder.max_positions,
        output_ids=bundle.output_ids(),
    )
