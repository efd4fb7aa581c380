"""The parity check itself: what passes, what fails, what is a tie, and that planted faults are seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from transformers import GenerationConfig

from exporter.checkpoint import load_checkpoint
from exporter.eager_reference import EagerHypotheses, EagerReference
from exporter.hub import locate_checkpoint
from exporter.parity import check_parity
from exporter.parity_generate import (
    SCORE_TOLERANCE,
    TIE_MARGIN,
    GenerateRow,
    Utterance,
    compare_decodings,
    option_sets,
    probe_utterances,
)
from exporter.parity_graphs import Differences, GraphRow, compare_graphs
from exporter.parity_report import ParityReport, records_json, render_markdown
from graphs import decoder_geometry
from s2t_runtime.results import Hypothesis, Result

NAN, INF = float("nan"), float("inf")


# One output's differences.


def row_of(*pairs: tuple[Any, Any], tolerance: float = 1e-3) -> GraphRow:
    differences = Differences("logits", tolerance)
    for got, wanted in pairs:
        differences.add(np.asarray(got, np.float32), np.asarray(wanted, np.float32))
    return differences.summary()


def test_the_limit_is_a_share_of_the_largest_value() -> None:
    row = row_of(([10.0, 1.0], [10.005, 1.0]), ([3.0], [3.0]))
    assert row.passed
    assert row.scale == pytest.approx(10.005)
    assert row.limit == pytest.approx(0.010005)
    assert row.maximum == pytest.approx(0.005, rel=1e-3)
    assert row.mean == pytest.approx(0.005 / 3, rel=1e-3)
    assert row.percentile_99 < row.maximum
    assert not row_of(([10.0, 1.0], [10.02, 1.0])).passed


def test_one_wrong_value_among_many_is_seen() -> None:
    wanted = np.ones(10_000)
    got = wanted.copy()
    got[1234] = 1.01
    row = row_of((got, wanted))
    assert not row.passed
    assert row.percentile_99 == 0


@pytest.mark.parametrize(
    ("got", "wanted"),
    [([NAN, 1], [1, 1]), ([1, 1], [NAN, 1]), ([NAN, 1], [NAN, 1]), ([INF, 1], [1, 1]), ([1, 2], [-INF, 1])],
)
def test_nan_and_infinity_do_not_pass(got: list[float], wanted: list[float]) -> None:
    row = row_of((got, wanted))
    assert not row.passed
    assert row.maximum == INF


def test_an_infinite_reference_excuses_nothing_else() -> None:
    assert row_of(([-INF, 1], [-INF, 1])).passed
    assert not row_of(([-INF, 2], [-INF, 1])).passed


def test_a_shape_that_differs_fails_and_is_named() -> None:
    row = row_of((np.zeros((2, 3)), np.zeros((2, 3))), (np.zeros((2, 4)), np.zeros((2, 3))))
    assert not row.passed
    assert row.note == "[2, 4] for [2, 3]"


def test_nothing_compared_is_not_passed() -> None:
    assert not row_of().passed
    assert not row_of((np.zeros((2, 0)), np.zeros((2, 0)))).passed


def test_zeros_are_held_to_an_absolute_limit() -> None:
    assert row_of(([1e-7], [0])).passed
    assert not row_of(([1e-5], [0])).passed


def test_masks_are_compared_as_numbers() -> None:
    masks = np.array([True, False]), np.array([True, True])
    differences = Differences("encoder_mask", 5e-4)
    differences.add(*masks)
    assert not differences.summary().passed


# Whole decodings.


@dataclass
class StubReference:
    """Eager, as scripted: one answer to every request, and a log-probability for each sequence."""

    answer: EagerHypotheses
    log_probs: Mapping[tuple[int, ...], float] = field(default_factory=dict)
    config: GenerationConfig = field(default_factory=GenerationConfig)
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def model(self) -> SimpleNamespace:
        return SimpleNamespace(generation_config=self.config)

    @property
    def checkpoint(self) -> SimpleNamespace:
        return SimpleNamespace(extractor=SimpleNamespace(sampling_rate=16000))

    def generate(self, waveforms: Sequence[Any], **options: Any) -> list[EagerHypotheses]:
        self.asked.append(options)
        return [self.answer] * len(waveforms)

    def log_probability(self, _waveform: Any, tokens: tuple[int, ...], _prompt: int) -> float:
        return self.log_probs[tokens]


@dataclass
class StubModel:
    """A bundle, as scripted."""

    hypotheses: tuple[Hypothesis, ...]
    generation: Mapping[str, object] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    max_positions: int | None = None

    @property
    def manifest(self) -> SimpleNamespace:
        decoder = SimpleNamespace(max_positions=self.max_positions)
        return SimpleNamespace(generation=self.generation, languages=self.languages, decoder=decoder)

    def generate(self, audio: Any, **_: Any) -> Result | list[Result]:
        best = self.hypotheses[0]
        result = Result("text", best.tokens, best.score, None, self.hypotheses, {}, 1.0)
        return [result] * len(audio) if isinstance(audio, list) else result


def compare(
    got: Mapping[tuple[int, ...], float],
    wanted: Mapping[tuple[int, ...], float],
    log_probs: Mapping[tuple[int, ...], float] | None = None,
) -> GenerateRow:
    """The row of a decoding that gave one n-best list (tokens -> score) where eager gave another."""
    reference = StubReference(EagerHypotheses(tuple(wanted), tuple(wanted.values())), log_probs or {})
    model = StubModel(tuple(Hypothesis("", tokens, score, ()) for tokens, score in got.items()))
    utterances = [Utterance("probe", np.zeros(400, np.float32))]
    alone, batched = compare_decodings(reference, model, utterances, [{"num_beams": 2}])
    assert (alone.options, batched.options) == ({"num_beams": 2}, {"num_beams": 2, "batch": 1})
    assert alone.same_tokens == batched.same_tokens
    return alone


def test_equal_decodings_pass() -> None:
    row = compare({(2, 5, 2): -0.5, (2, 6, 2): -0.75}, {(2, 5, 2): -0.5, (2, 6, 2): -0.75})
    assert row.passed
    assert (row.hypotheses, row.tokens, row.same_tokens, row.tie) == (2, 6, True, False)
    assert row.score_difference == 0


@pytest.mark.parametrize(("off", "passed"), [(0.9, True), (1.1, False)])
def test_scores_are_held_to_their_tolerance(off: float, passed: bool) -> None:
    row = compare({(2, 5): -0.5, (2, 6): -0.75 + off * SCORE_TOLERANCE}, {(2, 5): -0.5, (2, 6): -0.75})
    assert row.same_tokens
    assert row.passed == passed


@pytest.mark.parametrize("scores", [(NAN, -0.75), (-0.5, NAN), (-0.5, -INF)])
def test_scores_that_are_no_numbers_do_not_pass(scores: tuple[float, float]) -> None:
    row = compare({(2, 5): scores[0], (2, 6): scores[1]}, {(2, 5): -0.5, (2, 6): -0.75})
    assert row.same_tokens
    assert not row.passed


@pytest.mark.parametrize(("margin", "tie"), [(0.5, True), (1.5, False)])
def test_eagers_own_indecision_is_a_tie(margin: float, tie: bool) -> None:
    row = compare(
        {(2, 5): -1.0, (2, 6): -1.0},
        {(2, 6): -1.0, (2, 5): -1.0},
        {(2, 5): -1.0, (2, 6): -1.0 - margin * TIE_MARGIN},
    )
    assert (row.same_tokens, row.tie, row.passed) == (False, tie, tie)


def test_one_tie_does_not_excuse_another_difference() -> None:
    row = compare(
        {(2, 5): -1.0, (2, 7): -1.0},
        {(2, 6): -1.0, (2, 8): -1.0},
        {(2, 5): -1.0, (2, 6): -1.0, (2, 7): -1.0, (2, 8): -2.0},
    )
    assert not row.tie


def test_another_start_token_is_no_tie() -> None:
    assert not compare({(3, 5): -1.0}, {(2, 5): -1.0}, {(3, 5): -1.0, (2, 5): -1.0}).tie


def test_a_tie_with_another_score_does_not_pass() -> None:
    row = compare({(2, 5): -1.1}, {(2, 6): -1.0}, {(2, 5): -1.0, (2, 6): -1.0})
    assert row.tie
    assert not row.passed


def test_every_utterance_is_decoded_with_every_option_set_alone_and_together() -> None:
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)))
    model = StubModel((Hypothesis("", (2, 5), -1.0, ()),))
    utterances = [Utterance(f"probe-{number}", np.zeros(400, np.float32)) for number in range(3)]
    rows = compare_decodings(reference, model, utterances, [{"num_beams": 1}, {"num_beams": 4}])
    assert len(rows) == 3 * 2 * 2
    assert [row.options.get("batch") for row in rows[:4]] == [None, 3, None, 3]


def test_ignored_options_are_switched_off_in_eager_too() -> None:
    config = GenerationConfig(
        do_sample=True, top_k=20, diversity_penalty=0.5, num_beams=7, repetition_penalty=1.2
    )
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)), config=config)
    model = StubModel((Hypothesis("", (2, 5), -1.0, ()),))
    compare_decodings(reference, model, [Utterance("probe", np.zeros(4, np.float32))], [{"num_beams": 3}])
    # What the bundle does obey stays as the checkpoint has it.
    assert reference.asked == [{"do_sample": False, "diversity_penalty": 0.0, "num_beams": 3}]


# What is decoded.


def test_greedy_the_bundles_own_beams_and_n_best_lists() -> None:
    sets = option_sets(StubModel((), generation={"num_beams": 7}), 40)
    assert [options["num_beams"] for options in sets] == [1, 7, 5, 3]
    assert [options.get("num_return_sequences") for options in sets] == [None, None, 5, 2]
    assert {options["max_new_tokens"] for options in sets} == {40}
    assert all("forced_bos_token_id" not in options for options in sets)


def test_several_languages_and_no_more_tokens_than_positions() -> None:
    languages = {f"l{number}": 100 + number for number in range(12)}
    sets = option_sets(StubModel((), languages=languages, max_positions=16), 40)
    assert len({options["forced_bos_token_id"] for options in sets}) > 1
    assert {options["max_new_tokens"] for options in sets} == {15}
    assert sets[1]["num_beams"] == 1


@pytest.mark.parametrize(
    ("shortest_s", "longest_s", "expected"),
    [(0.025, 60, [1.4, 0.45, 2.7]), (2, 60, [2, 2, 2.7]), (0.025, 1, [1, 0.45, 1])],
)
def test_probes_are_as_long_as_the_bundle_takes_them(
    shortest_s: float, longest_s: float, expected: list[float]
) -> None:
    probes = probe_utterances(16000, shortest_s, longest_s)
    assert [len(probe.samples) / 16000 for probe in probes] == expected
    assert [probe.name for probe in probes] == [
        f"probe-{number} ({duration:.2f} s)" for number, duration in enumerate(expected)
    ]
    assert all(probe.samples.dtype == np.float32 and np.abs(probe.samples).max() > 0.4 for probe in probes)


# The report.


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


# With the example's graphs: what is planted is seen, and nothing else is blamed.


@pytest.fixture(scope="module")
def reference(digits_checkpoint: Path) -> EagerReference:
    return EagerReference(load_checkpoint(locate_checkpoint(str(digits_checkpoint))))


def failing_outputs(reference: EagerReference, directory: Path) -> set[str]:
    rows = compare_graphs(
        reference,
        directory,
        decoder_geometry(reference.model.decoder),
        min_samples=400,
        precision="fp32",
    )
    return {row.output for row in rows if not row.passed}


def swap_names(first: str, second: str) -> Callable[[ir.Graph], None]:
    """Two outputs of a graph trade names and places, as a mix-up of layers would give them."""

    def change(graph: ir.Graph) -> None:
        names = [str(output.name) for output in graph.outputs]
        one, other = names.index(first), names.index(second)
        graph.outputs[one].name, graph.outputs[other].name = "swapped", first
        graph.outputs[one].name = second
        graph.outputs[one], graph.outputs[other] = graph.outputs[other], graph.outputs[one]

    return change


def insert(operator: str, output: str, *constants: float) -> Callable[[ir.Graph], None]:
    """One more operator in front of an output."""

    def change(graph: ir.Graph) -> None:
        place = [str(value.name) for value in graph.outputs].index(output)
        old = graph.outputs[place]
        tensors = [ir.tensor(np.float32(constant), name=f"planted_{output}") for constant in constants]
        values = [ir.val(str(tensor.name), const_value=tensor) for tensor in tensors]
        for value in values:
            graph.register_initializer(value)
        node = ir.node(operator, [old, *values])
        old.name = f"{output}_before"
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = output, old.type, old.shape
        graph.append(node)
        graph.outputs[place] = node.outputs[0]

    return change


@pytest.mark.parametrize(
    ("graph", "change", "expected"),
    [
        ("encoder", swap_names("cross_key.0", "cross_key.1"), {"cross_key"}),
        ("encoder", insert("Not", "encoder_mask"), {"encoder_mask"}),
        ("decoder_first_step", insert("Mul", "logits", NAN), {"logits"}),
        (
            "decoder_first_step",
            insert("Mul", "candidate_log_probs", 1.01),
            {"candidate_log_probs", "candidate_ids"},
        ),
        ("decoder_with_past", insert("Mul", "logits", 1.001), {"logits"}),
    ],
    ids=["layers swapped", "mask inverted", "NaN", "candidates off", "logits off"],
)
def test_a_planted_fault_is_seen(
    tmp_path: Path,
    digits_bundle: Path,
    reference: EagerReference,
    graph: str,
    change: Callable[[ir.Graph], None],
    expected: set[str],
) -> None:
    directory = Path(shutil.copytree(digits_bundle / "fp32", tmp_path / "fp32"))
    model = ir.load(directory / f"{graph}.onnx")
    change(model.graph)
    ir.save(model, directory / f"{graph}.onnx")
    assert failing_outputs(reference, directory) == expected


def test_another_decoder_is_refused(digits_bundle: Path, reference: EagerReference, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))
    document = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    document["decoder"]["heads"] = 2
    document["decoder"]["head_dim"] *= 2
    (bundle / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"\(layers, heads, head_dim, vocabulary\) is \(3, 4, 40, 400\), the bundle's"
    ):
        check_parity(reference.checkpoint, bundle, precision="fp32")
