"""The Markdown and the page say what the record holds, and nothing in them is markup that came from outside."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from support.records.latency_records import (
    CASES,
    EAGER,
    HALVES,
    PLAIN,
    RECORDINGS,
    REMARK,
    SMALL,
    TASKS,
    latency_record,
)

from benchmarks.report.markdown import markdown, summary_text
from benchmarks.report.page import page
from benchmarks.report.ratio_tables import ratio_table
from benchmarks.report.tables import footprint_table, stage_table, summary_table
from benchmarks.report.view import View

HOSTILE = "<img src=x onerror=alert(1)> & | `x`"
VOID = {"meta", "link", "br", "hr", "img", "input"}
HEADLINE = "10 s, 5 beams"


class Reader(HTMLParser):
    """Elements with attributes and text, and whether all that was opened is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    found = latency_record(tasks=(*TASKS, *RECORDINGS))
    for row in found["rows"]:
        if row["task"] == "2 recordings, 5 beams":
            wrong = 3 if row["case"] == SMALL.name else 0
            row["texts"] = ["eins", "zwei drei"]
            row["word_errors"] = {"word_error_rate": wrong / 8, "character_error_rate": wrong / 50}
    return found


def cells(table: Any, case: str) -> dict[str, str]:
    row = next(row for row in table.rows if row[0] == case)
    return dict(zip(table.heads, row, strict=True))


def workload(record: dict[str, Any], name: str = HEADLINE) -> Any:
    return next(one for one in record["workloads"] if one["name"] == name)


def row(record: dict[str, Any], case: str, name: str = HEADLINE) -> dict[str, Any]:
    return next(one for one in record["rows"] if (one["case"], one["task"]) == (case, name))


def test_speed_and_quality_stand_in_one_row(record: dict[str, Any]) -> None:
    found = cells(summary_table(View(record), workload(record)), SMALL.name)
    data = row(record, SMALL.name)
    totals = [value for run in data["samples_s"]["total"] for value in run]
    base = [value for run in row(record, EAGER.name)["samples_s"]["total"] for value in run]
    assert float(found["utterance ms"].replace(",", "")) == pytest.approx(1e3 * np.median(totals), rel=5e-3)
    assert float(found["p95 ms"].replace(",", "")) == pytest.approx(1e3 * np.percentile(totals, 95), rel=5e-3)
    assert float(found["× eager fp32"]) == pytest.approx(np.median(base) / np.median(totals), rel=5e-3)
    assert float(found["real-time factor"]) == pytest.approx(np.median(totals) / 10, rel=5e-3)
    assert float(found["× real time"]) == pytest.approx(10 / np.median(totals), rel=5e-3)
    steps = [value for run in data["samples_s"]["step"] for value in run]
    assert float(found["step / floor"]) == pytest.approx(np.median(steps) / 0.01, rel=5e-3)
    assert (found["tokens agree"], found["score difference"]) == ("11/12", "0.010")
    # At as many beams, the recordings' word errors are the case's.
    assert (found["WER"], found["CER"]) == ("37.5%", "6.0%")
    one_beam = cells(summary_table(View(record), workload(record, "10 s, 1 beam")), SMALL.name)
    assert "WER" not in one_beam
    reference = cells(summary_table(View(record), workload(record)), EAGER.name)
    assert (reference["tokens agree"], reference["× eager fp32"]) == ("reference", "1.00")


def test_every_stage_has_every_statistic(record: dict[str, Any]) -> None:
    table = stage_table(View(record), workload(record))
    assert table.heads[3:] == ("min", "mean", "median", "p90", "p95", "p99", "spread")
    assert len(table.rows) == 7 * len(CASES)
    line = next(line for line in table.rows if line[:2] == (PLAIN.name, "first step"))
    values = [1e3 * value for run in row(record, PLAIN.name)["samples_s"]["first_step"] for value in run]
    wanted = [min(values), np.mean(values), *np.percentile(values, (50, 90, 95, 99))]
    assert [float(cell) for cell in line[3:9]] == pytest.approx(wanted, rel=5e-3)
    assert line[2] == "10"


def test_memory_is_that_of_the_warm_up_and_of_the_end(record: dict[str, Any]) -> None:
    found = copy.deepcopy(record)
    found["footprints"][PLAIN.name]["warm"]["VmHWM"] = 123 << 20
    table = footprint_table(View(found))
    assert list(cells(table, PLAIN.name).values()) == [PLAIN.name, "2", "1.25", "123", "100", "200"]
    found["footprints"][PLAIN.name]["warm"] = None
    assert cells(footprint_table(View(found)), PLAIN.name)["peak MiB"] == "300"
    found["footprints"][PLAIN.name]["device_bytes"] = 7 << 20
    found["footprints"][SMALL.name]["device_bytes"] = None
    assert cells(footprint_table(View(found)), PLAIN.name)["device MiB"] == "7"
    assert cells(footprint_table(View(found)), SMALL.name)["device MiB"] == "–"


def test_the_ratios_have_a_line_each_and_a_column_for_each_case_of_the_bundle(record: dict[str, Any]) -> None:
    table = ratio_table(View(record), workload(record))
    assert table is not None
    assert table.heads == ("ratio", PLAIN.name, SMALL.name)
    lines = {line[0]: line[1:] for line in table.rows}
    assert list(lines) == [
        "step, times as fast as eager fp32",
        "step, of the time to read its weights once",
        "step, 5 beams / 1 beam, in time",
        "encoder, times as fast as eager fp32",
        "utterance, times as fast as eager fp32",
        "anonymous memory after 56 utterances, of the fp32 weights' size",
    ]
    value = next(
        one["value"]
        for one in record["ratios"]
        if (one["case"], one["task"], one["what"], one["against"])
        == (SMALL.name, HEADLINE, "step", EAGER.name)
    )
    assert re.fullmatch(
        rf"{value:.2f} \(\d+\.\d+ \.\. \d+\.\d+\)", lines["step, times as fast as eager fp32"][1]
    )
    text = markdown(record)
    assert "| step, times as fast as eager fp32 |" in text
    assert text.index("## Ratios") < text.index("| encoder, times as fast as eager fp32 |")
    assert summary_text(record).count("| encoder, times as fast as eager fp32 |") == 1
    assert "utterance, times as fast as eager fp32" in read(page(record)).text


def test_a_peer_of_several_precisions_has_one_line() -> None:
    other = dataclasses.replace(HALVES, name="CTranslate2 fp32", precision="fp32")
    found = latency_record(cases=(*CASES, HALVES, other), tasks=TASKS[3:4], repetitions=2)
    table = ratio_table(View(found), found["workloads"][0])
    assert table is not None
    lines = {line[0]: line[1:] for line in table.rows}
    assert all(
        re.fullmatch(r"[\d.]+", cell) for cell in lines["step, times as fast as CTranslate2, same precision"]
    )
    alone = latency_record(cases=(*CASES, HALVES), tasks=TASKS[3:4], repetitions=2)
    table = ratio_table(View(alone), alone["workloads"][0])
    assert table is not None
    lines = {line[0]: line[1:] for line in table.rows}
    assert lines["step, times as fast as CTranslate2 int8"][0] == "–"


def test_a_row_without_text_says_so_and_its_remark_stands_beneath() -> None:
    found = latency_record(cases=(*CASES, HALVES), tasks=TASKS[:2], repetitions=2)
    table = summary_table(View(found), found["workloads"][0])
    assert cells(table, HALVES.name)["tokens agree"] == "not compared"
    assert cells(table, HALVES.name)["score difference"] == "–"
    assert cells(table, HALVES.name)["anonymous MiB"] == "100"
    sentence = f"{HALVES.name}: {REMARK}."
    assert markdown(found).count(f"- {sentence}\n") == 2
    assert read(page(found)).text.count(sentence) == 2
    assert f"- {sentence}\n" in summary_text(found)


def test_the_headline_is_the_bundles_and_names_a_peer_that_is_faster() -> None:
    quick = dataclasses.replace(HALVES, precision="fp32")
    found = latency_record(
        cases=(EAGER, PLAIN, quick), tasks=TASKS[3:4], repetitions=2, slower={quick.name: 0.5}
    )
    text = "".join(read(page(found)).text)
    assert f"Fastest: {PLAIN.name}" in text
    assert re.search(rf"12 tokens: {PLAIN.name} takes .+; {quick.name} takes [\d.]+ m?s\.", text)
    peers = latency_record(cases=(EAGER, quick), tasks=TASKS[3:4], repetitions=2)
    assert f"Fastest: {quick.name}" in "".join(read(page(peers)).text)


def test_the_markdown_has_it_all(record: dict[str, Any]) -> None:
    text = markdown(record)
    for one in record["workloads"]:
        assert f"## {one['name']}, {'' if one['exact'] else 'at most '}12 tokens\n" in text
    assert (
        "- The machine was quiet, and repetitions agree.\n- tokens and scores are compared with eager" in text
    )
    assert re.search(
        r"10 s, 5 beams, 12 tokens: onnxruntime cpu int8 takes \d+ ms, [\d.]+ × real time and", text
    )
    assert "× the speed of eager fp32; 11/12 tokens agree with eager fp32, scores differ by 0.010." in text
    assert f"| {SMALL.name} | one.wav | 5 | eins |" in text
    assert "| processor | Xeon & Co, 2 cores usable |" in text
    assert (
        "| floor of a step | fp32 1,500 MB in 37.5 ms, int8 400 MB in 10.0 ms, at 40.0 GB/s (sums) |" in text
    )
    assert "| repetitions | 10 timed after 1 for warm-up, cases in turns |" in text
    assert "| load average before | 0.10 |" in text
    assert "| threads asked for | 2 |" in text
    assert "| variables for threads | OMP_NUM_THREADS 1 |" in text
    assert "| threads of the bundle spin between operators | no |" in text
    for how, said in ((True, "yes"), ("briefly", "for a moment")):
        record["environment"]["spin"] = how
        assert f"| threads of the bundle spin between operators | {said} |" in markdown(record)
    assert "| processors during it | 2.0% other programs, 1.0% other machines |" in text
    assert "Not measured" not in text
    heads = {line.count("|") for line in text.splitlines() if line.startswith(f"| {PLAIN.name} |")}
    assert len(heads) >= 3


def test_the_terminal_gets_the_summary_alone(record: dict[str, Any]) -> None:
    text = summary_text({**record, "left_out": {"torch": "not there"}})
    assert "## 10 s, 5 beams, 12 tokens" in text
    assert text.endswith("## Not measured\n\n- torch: not there\n")
    assert "p90" not in text


def test_the_page_has_every_plot(record: dict[str, Any]) -> None:
    text = page(record)
    reader = read(text)
    pictures = reader.named("svg")
    exact = len(TASKS)
    # Speed-up, distribution and breakdown of every workload, steps of those with a fixed number of tokens, and
    # real-time factors at 1 and 5 beams and of the recordings.
    assert len(pictures) == 3 * (exact + 1) + exact + 3
    heads = [data for data in reader.text if data.startswith(("Speed", "Latency d", "Step", "Where", "Real"))]
    assert {
        "Speed-up",
        "Latency distribution",
        "Step time against tokens generated",
        "Where the time goes",
    } <= set(heads)
    assert "Real-time factor against length of audio" in heads
    assert {"c0", "c1", "c2"} <= {str(one["class"]).split()[-1] for one in reader.named("rect")}


def test_pictures_have_names_and_descriptions(record: dict[str, Any]) -> None:
    reader = read(page(record))
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    for one in reader.named("svg"):
        assert one["role"] == "img"
        assert set(str(one["aria-labelledby"]).split()) <= set(ids)
    assert "Bars, longer is faster: eager fp32 1.00 × (reference" in "".join(reader.text)
    assert reader.named("html") == [{"lang": "en"}]
    for one in reader.named("th"):
        assert one["scope"] in {"row", "col"}


def test_nothing_is_fetched_or_run(record: dict[str, Any]) -> None:
    text = page(record)
    reader = read(text)
    policy = next(one["content"] for one in reader.named("meta") if "http-equiv" in one)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not re.search(r"https?:|url\(|@import|<script|javascript:", text)
    assert [one["href"] for one in reader.named("link")] == ["data:,"]
    assert "prefers-color-scheme: dark" in text


def test_what_comes_from_outside_stays_text(record: dict[str, Any]) -> None:
    text = json.dumps(record).replace(json.dumps(SMALL.name)[1:-1], json.dumps(HOSTILE)[1:-1])
    hostile = json.loads(text)
    hostile["environment"]["bundle"]["model"] = HOSTILE
    hostile["environment"]["machine"]["cpu"]["model"] = HOSTILE
    hostile["environment"]["versions"] = {HOSTILE: HOSTILE}
    hostile["notes"], hostile["left_out"], hostile["parity_basis"] = [HOSTILE], {HOSTILE: HOSTILE}, HOSTILE
    hostile["tasks"][-1]["audio"] = [f"/audio/{HOSTILE}.wav"]
    for one in hostile["workloads"]:
        for other in hostile["rows"]:
            if other["task"] == one["name"]:
                other["task"] = f"{one['name']} {HOSTILE}"
        one["name"] += f" {HOSTILE}"
    hostile["rows"][-1]["texts"] = [HOSTILE, HOSTILE]
    made = page(hostile)
    reader = read(made)
    assert reader.named("img") == []
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert "".join(reader.text).count(HOSTILE) > 50
    written = markdown(hostile)
    assert "<img" not in written
    assert "&lt;img src=x onerror=alert(1)> & \\| 'x'" in written


def test_a_busy_machine_is_marked(record: dict[str, Any]) -> None:
    assert {"class": "notes", "role": "note"} in read(page(record)).named("div")
    busy = {**record, "notes": ["the machine was busy"]}
    reader = read(page(busy))
    assert {"class": "notes doubt", "role": "note"} in reader.named("div")
    assert "the machine was busy" in reader.text
    assert "- the machine was busy\n" in markdown(busy)


def test_one_case_alone_has_no_speed_up() -> None:
    alone = latency_record(cases=(PLAIN,), tasks=TASKS[:2], repetitions=2)
    text = "".join(read(page(alone)).text)
    assert "Speed-up" not in text
    assert "Latency distribution" in text
    assert "Real-time factor against length" not in text  # one length is no line
    assert "the speed of" not in markdown(alone)


def test_a_record_without_floor_or_basis() -> None:
    bare = latency_record(tasks=TASKS[:1], repetitions=2)
    for name in ("floor", "base", "parity_basis"):
        del bare[name]
    bare["environment"]["threads"], bare["load_before"]["average"] = {"asked": None}, None
    del bare["environment"]["spin"]  # as in records of older versions
    bare["others_during"] = None
    text = markdown(bare)
    assert "| floor of a step |" not in text
    assert "| threads asked for | none: each case's own |" in text
    assert "| variables for threads | not set |" in text
    assert "| processors during it | unknown |" in text
    assert "| load average before | unknown |" in text
    assert "floor" not in "".join(one for one in read(page(bare)).text if one.startswith("floor"))
    found = cells(summary_table(View(bare), workload(bare, TASKS[0].name)), PLAIN.name)
    assert (found["step / floor"], found["tokens agree"]) == ("–", "12/12")


def test_a_floor_of_another_device_is_not_shown(record: dict[str, Any]) -> None:
    other = copy.deepcopy(record)
    other["floor"]["device"] = "cuda"
    assert View(other).floor_s(PLAIN.name) is None
    assert View(record).floor_s(PLAIN.name) == pytest.approx(0.0375)


def test_more_cases_than_colours_share_them() -> None:
    many = latency_record(
        cases=(
            EAGER,
            *(type(PLAIN)(f"case {number}", "runtime", {"provider": "cpu"}, "fp32") for number in range(8)),
        ),
        tasks=TASKS[:1],
        repetitions=2,
    )
    view = View(many)
    assert [view.colour(name) for name in view.cases] == [0, 1, 2, 3, 4, 5, 6, 1, 2]
