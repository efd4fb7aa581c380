"""cpp/sentences.json says what s2t_runtime says: each sentence is met in Python, on an error that is raised here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cpp import refusals as cpp_refusals
from support.places import ROOT

import s2t_runtime
from s2t_runtime import audio
from s2t_runtime.bundles import bundle, replacement, verification
from s2t_runtime.commands import run as cli_run
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import plan_search
from s2t_runtime.processes import LoadingProcess
from s2t_runtime.search.whole_row_rules import PrefixConstraint
from s2t_runtime.segmentation.options import SegmentationOptions

TABLE = json.loads((ROOT / "cpp" / "sentences.json").read_text(encoding="utf-8"))
SENTENCES: dict[str, str] = {
    name: text for name, text in TABLE["sentences"].items() if name not in TABLE["only_cpp"]
}


def pattern(sentence: str) -> re.Pattern[str]:
    """What a sentence looks like with its {names} filled in; {end}_length and the like are names as well."""
    parts = re.split(r"\{[a-z_0-9]+\}", sentence.replace("{(ids): bias}", "\x00"))
    return re.compile(".*".join(map(re.escape, parts)).replace("\x00", re.escape("{(ids): bias}")), re.DOTALL)


@pytest.fixture(scope="module")
def refusals(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("refusals")
    cpp_refusals.write_refusals(digits_bundle, directory)
    cases: list[dict[str, Any]] = json.loads((directory / "refusals.json").read_text(encoding="utf-8"))[
        "cases"
    ]
    return cases


def test_each_refusal_has_the_sentence_that_it_names(refusals: list[dict[str, Any]]) -> None:
    for case in refusals:
        assert pattern(SENTENCES[case["sentence"]]).search(case["message"]), case


# What no altered bundle brings about.
VALUES: dict[str, dict[str, Any]] = {
    "option.value.integer": {"num_beams": 0},
    "option.value.number": {"length_penalty": float("nan")},
    "option.value.positive": {"repetition_penalty": 0.0},
    "option.value.flag": {"renormalize_logits": "yes"},
    "option.value.early_stopping": {"early_stopping": "soon"},
    "option.value.language": {"language": ""},
    "option.value.lists": {"bad_words_ids": [3]},
    "option.value.no_empty_entry": {"bad_words_ids": [[]]},
    "option.value.biases": {"sequence_bias": [3]},
    "option.value.no_empty_sequence": {"sequence_bias": [[[], 1.0]]},
    "option.value.pair": {"exponential_decay_length_penalty": [1]},
    "option.value.share": {"typical_p": 0.0, "do_sample": True},
    "option.language": {"language": "tlh"},
    "option.prefix_empty": {"prefix_allowed_tokens_fn": lambda *_: []},
    "option.prefix_range": {"prefix_allowed_tokens_fn": lambda *_: [400]},
    "audio.rate_range": {"sampling_rate": 0},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_refused_with_its_sentence(model: s2t_runtime.SpeechToText, name: str) -> None:
    options = {"sampling_rate": 16_000, **VALUES[name]}
    with pytest.raises(s2t_runtime.OptionError) as caught:
        model.generate(np.zeros(8000, dtype=np.float32), **options)
    assert pattern(SENTENCES[name]).search(str(caught.value))


def _unreadable_file(root: Path, patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    patch.setattr(verification, "sha256_of", fail)
    bundle.open_bundle(root)


def _unreadable_audio(root: Path, patch: pytest.MonkeyPatch) -> None:
    audio.read_audio("/proc/self/mem", sampling_rate=None, target_rate=16_000)


def _no_bytes(root: Path, patch: pytest.MonkeyPatch) -> None:
    audio.read_audio(b"", sampling_rate=None, target_rate=16_000)


def _missing_audio(root: Path, patch: pytest.MonkeyPatch) -> None:
    audio.read_audio("/no/such.wav", sampling_rate=None, target_rate=16_000)


def _directory(root: Path, patch: pytest.MonkeyPatch) -> None:
    audio.read_audio("/", sampling_rate=None, target_rate=16_000)


def _not_resampled(root: Path, patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no")

    patch.setattr(audio.soxr, "resample", fail)
    audio.read_audio(np.zeros(9, dtype=np.float32), sampling_rate=8000, target_rate=16_000)


def _standard_input(root: Path, patch: pytest.MonkeyPatch) -> None:
    class Closed:
        class buffer:
            @staticmethod
            def read() -> bytes:
                raise OSError("gone")

    patch.setattr(cli_run.sys, "stdin", Closed)
    cli_run._piped_audio()


def _replaced(root: Path, patch: pytest.MonkeyPatch) -> None:
    counter = iter(range(99))
    patch.setattr(replacement.time, "sleep", lambda _: None)
    patch.setattr(replacement, "_stamp", lambda _: next(counter))
    s2t_runtime.load(root, threads=1)


def _no_memory(root: Path, patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with s2t_runtime.load(root, threads=1) as model:
        patch.setattr(s2t_runtime.model, "search", fail)
        model.generate(np.zeros(8000, dtype=np.float32), sampling_rate=16_000)


def _rows(root: Path, patch: pytest.MonkeyPatch) -> None:
    with s2t_runtime.load(root, threads=1) as model:
        session = model._session
        assert session is not None
        encoded = session.encode(np.zeros((1, 8000), dtype=np.float32), np.array([8000]))
        session.start(encoded)(np.array([[[2]]]), np.array([[1]]), 1)


def _left_out(root: Path, patch: pytest.MonkeyPatch) -> None:
    plan = plan_search(
        GenerationOptions.from_dict({"decoder_start_token_id": 0}),
        GenerationOptions.from_dict({}),
        languages={},
        vocab_size=9,
        max_positions=None,
        output_ids=np.array([0, 3]),
    )
    scores = np.zeros((1, 1, 2), dtype=np.float32)
    PrefixConstraint(plan, lambda *_: [4])(np.array([[[0]]]), scores, np.ones((1, 1), dtype=np.bool_))


def _forked(root: Path, patch: pytest.MonkeyPatch) -> None:
    process = LoadingProcess()
    patch.setattr(os, "getpid", lambda: 1)
    process.check()


def _no_segmentation(_: Path, __: pytest.MonkeyPatch) -> None:
    SegmentationOptions(threshold=1.5)


EVENTS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "bundle.damaged.unreadable": _unreadable_file,
    "bundle.replaced": _replaced,
    "audio.unreadable": _unreadable_audio,
    "audio.no_bytes": _no_bytes,
    "audio.missing": _missing_audio,
    "audio.directory": _directory,
    "audio.not_resampled": _not_resampled,
    "cli.stdin": _standard_input,
    "option.prefix_unwritable": _left_out,
    "segmentation.number": _no_segmentation,
    "session.memory": _no_memory,
    "session.rows": _rows,
    "session.forked": _forked,
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_told_with_its_sentence(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(s2t_runtime.S2TError) as caught:
        EVENTS[name](digits_bundle, monkeypatch)
    assert pattern(SENTENCES[name]).search(str(caught.value))


def _named() -> Iterator[str]:
    for case in (*cpp_refusals.LOADING.values(), *cpp_refusals.DECODING.values()):
        yield case.sentence
        # A part of a sentence, such as a reason, stands for the whole as well.
        yield case.sentence.rpartition(".")[0]
    yield from (*VALUES, *EVENTS)


def test_no_sentence_is_left_out() -> None:
    assert set(SENTENCES) - set(_named()) == set()
