"""Two records: a planted regression is found, noise is not, and what differs besides is told."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.records.latency_records import CASES, EAGER, PLAIN, SMALL, TASKS, altered, latency_record

from benchmarks.comparison.compare import Change, compare, ratio_interval, repetition_values
from benchmarks.comparison.figures import Figure, figures
from benchmarks.comparison.report import comparison_text, larger_figures, passes, regressions
from benchmarks.errors import BenchmarkError
from benchmarks.peers.protocol import STAGES
from benchmarks.records.read import read_record

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
        assert passes(found, 5)
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
    assert [change for change in regressions(found, 0) if change.case == SMALL.name] == []
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


def test_memory_load_time_and_machine_are_told(old: dict[str, Any]) -> None:
    new, _ = altered(old, PLAIN.name)
    new["environment"]["versions"]["torch"] = "2.14.0"
    new["environment"]["date"] = "later"
    new["footprints"][PLAIN.name]["host"]["RssAnon"] *= 2
    new["footprints"][PLAIN.name]["warm"] = None
    found = compare(old, new)
    sentences = [figure.sentence for figure in found.figures]
    assert f"{PLAIN.name}: steady anonymous memory 100 -> 200 MiB (+100.0%)" in sentences
    assert f"{PLAIN.name}: peak memory 300 -> 300 MiB (+0.0%)" in sentences
    assert f"{EAGER.name}: load time 1.25 -> 1.25 s (+0.0%)" in sentences
    assert found.environment == ("versions.torch: 2.13.0 -> 2.14.0",)
    text = comparison_text(found, None)
    for sentence in (*sentences, *found.environment):
        assert f"- {sentence}\n" in text


def test_memory_that_grew_is_a_regression_and_load_time_is_not(old: dict[str, Any]) -> None:
    new, _ = altered(old, PLAIN.name)
    new["footprints"][PLAIN.name]["host"]["RssAnon"] *= 2
    new["footprints"][PLAIN.name]["load_s"] *= 9
    found = compare(old, new)
    assert [figure.name for figure in larger_figures(found, 50)] == [f"{PLAIN.name}: steady anonymous memory"]
    assert not passes(found, 50)
    assert passes(found, 150)
    text = comparison_text(found, 50)
    assert f"- REGRESSION: {PLAIN.name}: steady anonymous memory 100 -> 200 MiB (+100.0%)\n" in text
    assert "None are slower by more than 50 %. 1 of memory is larger by more than that.\n" in text


def test_other_threads_are_told(old: dict[str, Any]) -> None:
    new, _ = altered(old, PLAIN.name)
    new["footprints"][PLAIN.name]["threads"] = 1
    assert compare(old, new).environment == (f"{PLAIN.name}: threads 2 -> 1",)


def test_the_devices_memory_is_judged_where_both_records_have_it(old: dict[str, Any]) -> None:
    new, _ = altered(old, PLAIN.name)
    new["footprints"][PLAIN.name]["device_bytes"] = 2**30
    assert not any("device" in figure.name for figure in compare(old, new).figures)
    before = copy.deepcopy(new)
    before["footprints"][PLAIN.name]["device_bytes"] = 2**29
    (grown,) = larger_figures(compare(before, new), 5)
    assert grown.sentence == f"{PLAIN.name}: memory of the device 512 -> 1,024 MiB (+100.0%)"


@pytest.mark.parametrize(
    ("old_mib", "new_mib", "percent", "regressed"),
    [
        (100, 115, 0, False),
        (100, 117, 0, True),
        (2000, 2050, 0, False),
        (2000, 2070, 0, True),
        (2000, 2070, 5, False),
    ],
)
def test_a_little_more_memory_is_noise(
    old_mib: float, new_mib: float, percent: float, *, regressed: bool
) -> None:
    sizes = {PLAIN.name: old_mib}, {PLAIN.name: new_mib}
    before, after = ({"footprints": {name: footprint(size) for name, size in one.items()}} for one in sizes)
    grown = [figure for figure in figures(before, after) if figure.regressed(percent)]
    assert bool(grown) == regressed


def footprint(mebibytes: float) -> dict[str, Any]:
    size = int(mebibytes * 2**20)
    host = {"VmHWM": size, "RssAnon": size}
    return {"load_s": 1.0, "warm": None, "host": host, "device_bytes": None}


def test_a_figure_of_nothing_has_no_share() -> None:
    assert Figure("A: load time", 0.0, 1.5, "s", None).sentence == "A: load time 0 -> 1.5 s"


def test_every_stage_is_compared(old: dict[str, Any]) -> None:
    found = compare(old, old)
    assert {change.stage for change in found.changes} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_became_slower_is_found(old: dict[str, Any], stage: str) -> None:
    new, row = altered(old, PLAIN.name)
    # Far beyond the least change: the drawn stages last a millisecond and more.
    row["samples_s"][stage] = [[20 * value for value in run] for run in row["samples_s"][stage]]
    assert [(one.case, one.stage) for one in regressions(compare(old, new), 5)] == [(PLAIN.name, stage)]


@pytest.mark.parametrize(
    ("stage", "new_s", "real"),
    [
        ("detokenise", 4.5e-4, False),
        ("detokenise", 6e-4, True),
        ("audio", 1e-6, False),
        ("search", 4.5e-4, False),
        ("step", 4.5e-4, True),
    ],
)
def test_microseconds_of_small_stages_are_noise(stage: str, new_s: float, *, real: bool) -> None:
    change = Change("A", "short", stage, 5e-5, new_s, (new_s / 6e-5, new_s / 4.9e-5))
    assert (change.beyond_noise, change.regressed(5)) == (real, real)


def test_a_stage_that_a_peer_does_not_take_apart_is_not_compared(old: dict[str, Any]) -> None:
    new, row = altered(old, PLAIN.name)
    row["samples_s"]["search"] = [[0.0]] * 10
    stages = [
        one.stage for one in compare(old, new).changes if (one.case, one.task) == (PLAIN.name, SHORT[0].name)
    ]
    assert stages == [stage for stage in STAGES if stage != "search"]


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
        r"^Of 42 figures \d+ are faster beyond the noise and \d+ slower; \d+ are within it\. \d+ are",
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
        ('{"record_version": 99}', r"has record_version 99, this bench-s2t reads 2: measure again$"),
        (
            '{"record_version": 2, "rows": [], "cases": []}',
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
