"""The golden vectors that every host must give: enough of them, and of every kind."""

from __future__ import annotations

import json
from pathlib import Path

from support.cpp.reading import read_audio, read_cases


def test_they_are_as_many_and_as_varied_as_meant(vectors: Path) -> None:
    cases = read_cases(vectors)
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
    for case in read_cases(vectors):
        others = {name: value for name, value in case["options"].items() if name != "early_stopping"}
        answers.setdefault(json.dumps([case["audio"], others]), []).append(json.dumps(case["results"]))
    different = [len(set(group)) for group in answers.values() if len(group) == 3]
    assert different.count(3) >= 2
    assert different.count(2) >= 2
