"""The parity report: what passes, and the page that is rendered from its record."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from exporter.parity_differences import GraphRow
from exporter.parity_generate import GenerateRow
from exporter.parity_report import ParityReport, records_json, render_markdown

NAN, INF = float("nan"), float("inf")


def graph_row(*, passed: bool = True, maximum: float = 1e-6, note: str = "") -> GraphRow:
    return GraphRow("logits", maximum, 1e-7, 5e-7, 20.0, 0.01, passed, note)


def decoding(*, same: bool = True, tie: bool = False, difference: float = 0.0) -> GenerateRow:
    return GenerateRow("probe-0", {"num_beams": 5}, 1, 8, same, tie, difference, "text")


def report(
    graphs: Sequence[GraphRow] = (graph_row(),), decodings: Sequence[GenerateRow] = (decoding(),)
) -> ParityReport:
    return ParityReport("fp32", "cpu", {"torch": "2.13.0", "export-s2t": None}, graphs, decodings)


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
