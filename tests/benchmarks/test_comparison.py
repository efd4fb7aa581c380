"""Two records: a planted regression is found, noise is not, and what differs besides is told."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from latency_records import CASES, EAGER, PLAIN, SMALL, TASKS, latency_record

from benchmarks.comparison import STAGES, compare, ratio_interval, repetition_values
from benchmarks.comparison_report import comparison_text, regressions
from benchmarks.errors import BenchmarkError
from benchmarks.read_record import read_record

SHORT = TASKS[:2]


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    return latency_record(seed=1, tasks=SHORT)


def test_noise_is_not_reported(old: dict[str, Any]) -> None:
    wrong = judged = 0
    for seed in range(2, 5):
        found = compare(old, latency_record(seed=seed, tasks=SHORT))
        assert len(found.changes) == len(CASES) * len(SHORT) * len(STAGES)
        judged += len(found.changes)
        wrong += sum(change.beyond_noise for change in found.changes)
        assert regressions(found, 5) == []
        assert (found.quality, found.environment, found.missing, found.too_few) == ((), (), (), None)
    assert wrong / judged < 0.05


def test_a_planted_regression_is_found_where_it_is(old: dict[str, Any]) -> None:
    found = compare(old, latency_record(seed=2, tasks=SHORT, slower={SMALL.name: 1.15}))
    bad = regressions(found, 5)
    assert {change.case for change in bad} == {SMALL.name}
    assert {(change.task, change.stage) for change in bad} >= {(task.name, "total") for task in SHORT}
    for change in bad:
        assert change.interval is not None
        assert change.interval[0] <= change.ratio <= change.interval[1]
        assert change.ratio == pytest.approx(1.15, abs=0.05)
    assert regressions(found, 25) == []


def test_what_became_faster_is_no_regression(old: dict[str, Any]) -> None:
    found = compare(old, latency_record(seed=2, tasks=SHORT, slower={SMALL.name: 0.7}))
    assert regressions(found, 0) == [] or {one.case for one in regressions(found, 0)} != {SMALL.name}
    faster = [change for change in found.changes if change.beyond_noise and change.ratio < 0.8]
    assert {change.case for change in faster} == {SMALL.name}


def test_intervals_are_the_percentile_bootstraps() -> None:
    generator = np.random.default_rng(3)
    old, new = generator.normal(10, 1, 12).tolist(), generator.normal(11, 1, 9).tolist()
    low, high = ratio_interval(old, new, confidence=0.9)
    # Sample by sample, with other random numbers: the same but for the resampling's own noise.
    ratios = [
        np.median(generator.choice(new, len(new))) / np.median(generator.choice(old, len(old)))
        for _ in range(3000)
    ]
    assert (low, high) == pytest.approx(tuple(np.percentile(ratios, (5, 95))), rel=0.015)


def test_intervals_hold_the_true_ratio_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(40):
        low, high = ratio_interval(generator.normal(10, 1, 20).tolist(), generator.normal(12, 1, 20).tolist())
        held += low <= 1.2 <= high
    assert held >= 37


def test_a_repetition_is_one_value() -> None:
    row = {
        "samples_s": {
            "total": [[1.0, 2.0], [3.0, 4.0]],
            "step": [[1.0, 2.0, 9.0], [4.0]],
            "encoder": [[], []],
        }
    }
    assert repetition_values(row, "total") == [3.0, 7.0]
    assert repetition_values(row, "step") == [2.0, 4.0]
    assert repetition_values(row, "encoder") == []


def test_few_repetitions_give_no_interval(old: dict[str, Any]) -> None:
    found = compare(old, latency_record(seed=2, tasks=SHORT, repetitions=4, slower={SMALL.name: 2.0}))
    assert {change.interval for change in found.changes} == {None}
    assert not any(change.beyond_noise for change in found.changes)
    assert found.too_few == "no intervals: a row has 4 repetitions, wanted at least 5 (--repetitions)"
    text = comparison_text(found, None)
    assert "No intervals: a row has 4 repetitions, wanted at least 5 (--repetitions).\n" in text
    assert "| - | unknown |" in text


def test_quality_memory_and_machine_are_told(old: dict[str, Any]) -> None:
    new = copy.deepcopy(old)
    new["environment"]["versions"]["torch"] = "2.14.0"
    new["environment"]["date"] = "later"
    new["footprints"][PLAIN.name]["host"]["RssAnon"] *= 2
    new["footprints"][PLAIN.name]["warm"] = None
    row = next(one for one in new["rows"] if one["case"] == PLAIN.name)
    row["parity"][EAGER.name]["agreeing"] = 7
    row["tokens"] = [[1]]
    for record, rate in ((old, 0.1), (new, 0.25)):
        one = next(one for one in record["rows"] if one["case"] == PLAIN.name)
        one["word_errors"] = {"word_error_rate": rate}
    found = compare(old, new)
    name = f"{PLAIN.name} ({SHORT[0].name})"
    assert found.quality == (
        f"{name}: tokens as eager fp32 12/12 -> 7/12",
        f"{name}: other tokens than before",
        f"{name}: word error rate 10.00% -> 25.00%",
    )
    assert f"{PLAIN.name}: steady anonymous memory 100 -> 200 MiB (+100.0%)" in found.figures
    assert f"{PLAIN.name}: peak memory 300 -> 300 MiB (+0.0%)" in found.figures
    assert f"{EAGER.name}: load time 1.25 -> 1.25 s (+0.0%)" in found.figures
    assert found.environment == ("versions.torch: 2.13.0 -> 2.14.0",)
    text = comparison_text(found, 5)
    for sentence in (*found.quality, *found.figures, *found.environment):
        assert f"- {sentence}\n" in text


def test_rows_of_one_record_alone_are_told(old: dict[str, Any]) -> None:
    new = latency_record(seed=2, tasks=TASKS[1:3])
    found = compare(old, new)
    assert {change.task for change in found.changes} == {SHORT[1].name}
    assert f"{EAGER.name} ({TASKS[0].name}) is in the old record alone" in found.missing
    assert f"{EAGER.name} ({TASKS[2].name}) is in the new record alone" in found.missing
    assert f"- {EAGER.name} ({TASKS[2].name}) is in the new record alone\n" in comparison_text(found, None)


def test_records_that_share_nothing(old: dict[str, Any]) -> None:
    new = latency_record(tasks=TASKS[4:5], cases=(PLAIN,), repetitions=1)
    listed = ", ".join(f"{case.name} ({task.name})" for task in SHORT for case in CASES)
    message = (
        f"the records share no row: one has {listed}, the other {PLAIN.name} ({TASKS[4].name}): measure the same "
        "cases and workloads"
    )
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        compare(old, new)


def test_the_text_has_the_figures_and_the_verdicts(old: dict[str, Any]) -> None:
    new = latency_record(seed=2, tasks=SHORT, slower={SMALL.name: 1.3, PLAIN.name: 0.7})
    found = compare(old, new)
    text = comparison_text(found, 10)
    lines = [
        line for line in text.splitlines() if line.startswith(f"| {SMALL.name} | {SHORT[0].name} | total |")
    ]
    (change,) = [
        one
        for one in found.changes
        if (one.case, one.task, one.stage) == (SMALL.name, SHORT[0].name, "total")
    ]
    assert change.interval is not None
    cells = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert cells[3:] == [
        f"{1e3 * change.old_s:,.4g}",
        f"{1e3 * change.new_s:,.4g}",
        f"{change.ratio - 1:+.1%}",
        f"{change.interval[0] - 1:+.1%} .. {change.interval[1] - 1:+.1%}",
        "REGRESSION",
    ]
    assert re.search(rf"\| {PLAIN.name} \| .* \| faster \|", text)
    assert "| within noise |" in text
    assert re.search(
        r"^Of 24 figures 8 are faster beyond the noise and \d+ slower; \d+ are within it\. \d+ are",
        text,
        re.MULTILINE,
    )
    assert "| slower |" in comparison_text(found, None)
    assert "10,000 resamples" in text


def test_one_or_no_regression_is_said_so(old: dict[str, Any]) -> None:
    same = compare(old, old)
    assert "None are slower by more than 5 %." in comparison_text(same, 5)
    new = copy.deepcopy(old)
    row = next(one for one in new["rows"] if one["case"] == PLAIN.name)
    row["samples_s"]["encoder"] = [[2 * value for value in run] for run in row["samples_s"]["encoder"]]
    assert "1 is slower by more than 5 %." in comparison_text(compare(old, new), 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\): give a latency.json that bench-s2t wrote$"),
        ("{", r"is not JSON \(.*\): give a latency.json that bench-s2t wrote$"),
        ("[]", r"is no record of a measurement: give a latency.json that bench-s2t wrote$"),
        ('{"record_version": 99}', r"has record_version 99, this bench-s2t reads 1: measure again$"),
        (
            '{"record_version": 1, "rows": [], "cases": []}',
            r"lacks environment, workloads, footprints, left_out: it was altered; measure again$",
        ),
    ],
)
def test_records_that_cannot_be_read(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "latency.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=f"^{re.escape(str(path))} {message}"):
        read_record(path)


def test_a_record_is_read(old: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    assert read_record(path) == old
