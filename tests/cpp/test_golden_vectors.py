"""The golden vectors that every host must give: read here by the Python runtime, by the tests of cpp/ in C++."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cpp.golden_vectors import read_audio, write_golden
from support.digits.cases import RATE, TOLERANCE

from s2t_runtime import SpeechToText


@pytest.fixture(scope="module")
def vectors(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once("golden-vectors", write_golden)


def _cases(vectors: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((vectors / "golden.json").read_text(encoding="utf-8"))["cases"]
    return cases


def test_they_are_as_many_and_as_varied_as_meant(vectors: Path) -> None:
    cases = _cases(vectors)
    assert len(cases) >= 40
    options = [case["options"] for case in cases]
    assert {one["num_beams"] for one in options} == {1, 2, 3, 4, 5}
    assert {one.get("early_stopping") for one in options} == {None, True, False, "never"}
    assert any(one["num_return_sequences"] > 1 for one in options)
    named = {name for one in options for name in one}
    assert {"forced_bos_token_id", "forced_eos_token_id", "no_repeat_ngram_size", "suppress_tokens"} <= named
    assert {"max_length", "min_length", "max_new_tokens", "min_new_tokens"} <= named
    lengths = [{len(audio) for audio in read_audio(vectors, case["audio"])} for case in cases]
    assert sum(len(several) > 1 for several in lengths) >= 5


def test_the_way_to_stop_changes_the_answer(vectors: Path) -> None:
    answers: dict[str, list[str]] = {}
    for case in _cases(vectors):
        others = {name: value for name, value in case["options"].items() if name != "early_stopping"}
        answers.setdefault(json.dumps([case["audio"], others]), []).append(json.dumps(case["results"]))
    different = [len(set(group)) for group in answers.values() if len(group) == 3]
    assert different.count(3) >= 2
    assert different.count(2) >= 2


def test_the_runtime_gives_them(model: SpeechToText, vectors: Path) -> None:
    faults = []
    for case in _cases(vectors):
        results = model.generate(read_audio(vectors, case["audio"]), sampling_rate=RATE, **case["options"])
        for result, wanted in zip(results, case["results"], strict=True):
            for got, one in zip(result.hypotheses, wanted, strict=True):
                if list(got.tokens) != one["tokens"]:
                    faults.append(f"{case['name']}: {got.tokens}, eager has {one['tokens']}")
                    continue
                differences = np.abs(
                    np.subtract([got.score, *got.log_probs], [one["score"], *one["log_probs"]])
                )
                if not differences.max() <= TOLERANCE:
                    faults.append(f"{case['name']}: scores differ by {differences.max()}")
    assert faults == []
