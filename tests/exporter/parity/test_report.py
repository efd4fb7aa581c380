"""The parity report: what passes, and the page that is rendered from its record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest

from exporter.parity.decodings import GenerateRow
from exporter.parity.differences import GraphRow
from exporter.parity.report import ParityReport, records_json, render_markdown
from s2t_runtime.bundles.manifest import PrecisionErrors

NAN, INF = float("nan"), float("inf")


def graph_row(*, passed: bool = True, maximum: float = 1e-6, note: str = "") -> GraphRow:
    return GraphRow("logits", maximum, 1e-7, 5e-7, 20.0, 0.01, passed, note)


def decoding(*, same: bool = True, tie: bool = False, difference: float = 0.0) -> GenerateRow:
    return GenerateRow("probe-0", {"num_beams": 5}, 1, 8, same, tie, difference, "text")


def report(
    graphs: Sequence[GraphRow] = (graph_row(),), decodings: Sequence[GenerateRow] = (decoding(),)
) -> ParityReport:
    return ParityReport("fp32", "cpu", {"torch": "2.13.0", "export-s2t": None}, graphs, decodings)


BUDGET = PrecisionErrors(log_prob_difference=0.1, token_agreement=0.95)


def half_report(
    difference: float = 0.02, agreement: float = 0.98, decodings: Sequence[GenerateRow] = (decoding(),)
) -> ParityReport:
    steps = PrecisionErrors(difference, agreement)
    return dataclasses.replace(report(decodings=decodings), precision="fp16", steps=steps, budget=BUDGET)


def test_a_restricted_vocabulary_is_told() -> None:
    whole, cut = report(), dataclasses.replace(report(), written_tokens=13)
    assert [one.record()["written_tokens"] for one in (whole, cut)] == [None, 13]
    sentence = "Eager's output projection was cut to the 13 tokens that the bundle writes.\n"
    assert sentence in render_markdown([cut.record()])
    assert "output projection" not in render_markdown([whole.record()])


def test_how_the_checkpoint_was_read_is_told() -> None:
    told = dataclasses.replace(report(), remarks=("a head and an embedding are kept apart", "aux.* left out"))
    assert told.record()["remarks"] == ["a head and an embedding are kept apart", "aux.* left out"]
    page = render_markdown([told.record()])
    assert (
        "The checkpoint: a head and an embedding are kept apart.\n\nThe checkpoint: aux.* left out.\n" in page
    )
    assert "The checkpoint" not in render_markdown([report().record()])


TIE = decoding(same=False, tie=True)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (report(), True),
        (report(graphs=[]), False),
        (report(decodings=[]), False),
        (report(graphs=[graph_row(), graph_row(passed=False)]), False),
        (report(decodings=[decoding(), decoding(same=False)]), False),
        (report(decodings=[decoding(difference=2e-4)]), False),
        (report(decodings=[decoding(difference=NAN)]), False),
        (report(decodings=[decoding()] * 20 + [TIE]), True),
        (report(decodings=[decoding()] * 20 + [TIE] * 2), False),
        (report(decodings=[decoding()] * 2997 + [TIE] * 3), True),
        (report(decodings=[decoding()] * 2996 + [TIE] * 4), False),
    ],
)
def test_what_passes(given: ParityReport, passed: bool) -> None:
    assert given.passed == passed


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (half_report(), True),
        (half_report(difference=0.1, agreement=0.95), True),
        (half_report(difference=0.11), False),
        (half_report(difference=NAN), False),
        (half_report(difference=INF), False),
        (half_report(agreement=0.94), False),
        (half_report(decodings=[TIE] * 9), True),
        (half_report(decodings=[decoding(same=False)]), False),
        (dataclasses.replace(half_report(), steps=None), False),
    ],
)
def test_what_passes_within_a_budget(given: ParityReport, passed: bool) -> None:
    assert given.passed == passed


def test_a_broken_budget_is_a_failure_and_on_the_page() -> None:
    given = half_report(difference=0.25, agreement=0.5)
    figures = (
        "largest difference of a log-probability 0.25 (allowed 0.1), token agreement 50.0% (at least 95.0%)"
    )
    assert given.failures() == [f"beyond the budget along eager's tokens: {figures}"]
    assert dataclasses.replace(given, steps=None).failures() == ["no steps were compared"]
    assert given.spelt_steps == figures
    assert report().spelt_steps == ""
    page = render_markdown(json.loads(records_json([given])))
    assert "## fp16: FAILED" in page
    assert f"Step by step along eager's own tokens: {figures}." in page
    assert "ties (within the budget by eager's own scores)" in page
    assert "Step by step" not in render_markdown([report().record()])
    broken = half_report(difference=INF)
    assert "log-probability inf (allowed 0.1)" in render_markdown(json.loads(records_json([broken])))


def test_where_built_in_audio_stands_in_for_recordings_a_failure_says_so() -> None:
    advice = (
        "built-in audio was judged for want of recordings, and it is harder than speech: give recordings of yours with "
        "--audio, those of the export if it had any"
    )
    broken = half_report(difference=0.25)
    alone = dataclasses.replace(broken, precision="int8", stands_in=True)
    assert alone.failures() == [*broken.failures(), advice]
    assert f"\n\nOf this precision {advice}.\n\n" in render_markdown(json.loads(records_json([alone])))
    for fine in (broken, dataclasses.replace(half_report(), stands_in=True)):
        assert advice not in fine.failures()
        assert advice not in render_markdown([fine.record()])


def test_each_failure_is_one_sentence() -> None:
    given = report(
        graphs=[graph_row(), graph_row(passed=False, maximum=0.5, note="[2] for [3]")],
        decodings=[decoding(), decoding(same=False, difference=0.3), decoding(difference=2e-4), TIE],
    )
    assert given.failures() == [
        "logits: largest difference 5.00e-01, allowed 1.00e-02 (shapes [2] for [3])",
        "probe-0 with num_beams=5: tokens differ (score difference 3.00e-01, allowed 1e-04)",
        "probe-0 with num_beams=5: scores differ (score difference 2.00e-04, allowed 1e-04)",
    ]
    assert (given.ties, given.identical, given.worst_score_difference) == (1, 2, 0.3)


def test_the_page_is_made_from_the_record_alone() -> None:
    given = report(
        graphs=[graph_row(), graph_row(passed=False)], decodings=[decoding(), decoding(same=False), TIE]
    )
    text = records_json([given])
    page = render_markdown(json.loads(text))
    assert page == render_markdown([given.record()])
    assert "## fp32: FAILED" in page
    assert "Provider cpu; torch 2.13.0." in page
    assert "3 decodings compared with `generate()`: 1 with identical tokens, 1 ties" in page
    assert "| logits | 1.0e-06 | 1.0e-07 | 5.0e-07 | 20 | 1.0e-02 | ok |" in page
    assert "| probe-0 | num_beams=5 | 1 | DIFFERENT | 0.0e+00 | FAILED |" in page
    assert "| probe-0 | num_beams=5 | 1 | tie | 0.0e+00 | ok |" in page
    assert "## fp32: passed" in render_markdown([report().record()])


def test_the_record_is_strict_json_even_of_broken_graphs() -> None:
    given = report(graphs=[graph_row(passed=False, maximum=INF)], decodings=[decoding(difference=NAN)])

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    (record,) = json.loads(records_json([given]), parse_constant=refuse)
    assert record["graphs"][0]["maximum"] == "inf"
    assert record["decodings"]["rows"][0]["score_difference"] == "nan"
    assert "inf" in render_markdown([given.record()])


def test_the_reports_of_several_precisions_are_one_list() -> None:
    assert [record["precision"] for record in json.loads(records_json([report(), report()]))] == ["fp32"] * 2
