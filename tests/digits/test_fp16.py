"""The digits bundle in both precisions: sizes, types, what the manifest says, and decoding as in float32."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from support.digits.audio import CARRIED, usual_batches
from support.digits.scale import RATE

import s2t_runtime
from exporter.commands.check import main as check_main
from exporter.commands.results import precision_lines
from exporter.onnx.checks import FLOAT32_OPERATORS
from s2t_runtime import SpeechToText
from s2t_runtime.bundles.manifest import BlockPrecision, Manifest
from s2t_runtime.commands.run import main as run_main

GRAPHS = ("encoder", "decoder_first_step", "decoder_with_past")


@pytest.fixture(scope="module")
def manifest(digits_fp16_bundle: Path) -> Manifest:
    return Manifest.from_json((digits_fp16_bundle / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def both(digits_fp16_bundle: Path) -> Iterator[tuple[SpeechToText, SpeechToText]]:
    with (
        s2t_runtime.load(digits_fp16_bundle, precision="fp32", threads=1) as full,
        s2t_runtime.load(digits_fp16_bundle, precision="fp16", threads=1) as half,
    ):
        yield full, half


def test_the_fp16_folder_is_half_the_fp32_one(manifest: Manifest) -> None:
    sizes = Counter[str]()
    for path, info in manifest.files.items():
        sizes[path.split("/", maxsplit=1)[0]] += info.size
    assert sizes["fp16"] <= 0.52 * sizes["fp32"]


@pytest.mark.parametrize("graph", GRAPHS)
def test_types_are_as_the_contract_says(digits_fp16_bundle: Path, manifest: Manifest, graph: str) -> None:
    model = ir.load(digits_fp16_bundle / "fp16" / f"{graph}.onnx")
    stated = getattr(manifest.graphs["fp16"], graph)
    for tensor in (*stated.inputs, *stated.outputs):
        states = tensor.name.startswith(("cross_", "past_", "present_", "encoder_states"))
        assert (tensor.dtype == "float16") is states
    got = {str(value.name): value.dtype for value in (*model.graph.inputs, *model.graph.outputs)}
    assert {name for name, dtype in got.items() if dtype == ir.DataType.FLOAT16} == {
        tensor.name for tensor in (*stated.inputs, *stated.outputs) if tensor.dtype == "float16"
    }
    types = Counter(
        (node.op_type, node.inputs[0].dtype.name)
        for node in model.graph.all_nodes()
        if node.inputs and node.inputs[0] is not None and node.inputs[0].dtype is not None
    )
    products = {(op, dtype) for op, dtype in types if op in {"MatMul", "Gemm", "Conv"}}
    assert products <= {("MatMul", "FLOAT16"), ("Gemm", "FLOAT16"), ("Conv", "FLOAT16")}
    assert products
    float32_only = {(op, dtype) for op, dtype in types if op in FLOAT32_OPERATORS}
    assert float32_only == {("LayerNormalization", "FLOAT"), ("Softmax", "FLOAT")}


@pytest.mark.parametrize("graph", GRAPHS)
def test_constants_are_finite_and_nodes_named_after_their_module(
    digits_fp16_bundle: Path, graph: str
) -> None:
    model = ir.load(digits_fp16_bundle / "fp16" / f"{graph}.onnx")
    values = [*model.graph.initializers.values()]
    values += [output for node in model.graph.all_nodes() for output in node.outputs]
    for value in values:
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT16:
            assert np.isfinite(value.const_value.numpy()).all()
    products = [str(node.name) for node in model.graph.all_nodes() if node.op_type in {"MatMul", "Conv"}]
    assert products
    assert all(name.startswith(("encoder.", "decoder.")) and "/" in name for name in products)


def test_the_manifest_says_what_stayed_in_float32_and_why(manifest: Manifest) -> None:
    assert manifest.graphs["fp32"].policy is None
    policy = manifest.graphs["fp16"].policy
    assert policy is not None
    assert policy.base == "float16"
    assert set(policy.fp32_blocks) == {"features", "norms", "softmax", "scores"}
    assert policy.measured.log_prob_difference <= policy.budget.log_prob_difference
    assert policy.measured.token_agreement >= policy.budget.token_agreement
    assert precision_lines(manifest, manifest.graphs) == [
        "fp16: no blocks in float32 besides norms and softmax"
    ]
    wide = {**policy.blocks, "decoder.a": BlockPrecision("float32", "it is loud", 2_000)}
    half = dataclasses.replace(manifest.graphs["fp16"], policy=dataclasses.replace(policy, blocks=wide))
    changed = dataclasses.replace(manifest, graphs={"fp16": half})
    assert precision_lines(changed, changed.graphs) == [
        "fp16: 1 block in float32 besides norms and softmax",
        "  decoder.a: it is loud (+2.0 kB)",
    ]


def test_fp16_decodes_as_fp32(both: tuple[SpeechToText, SpeechToText]) -> None:
    full, half = both
    waveforms = [waveform for batch in usual_batches() for waveform in batch.waveforms]
    for options in ({"num_beams": 1}, {"num_beams": 5}):
        wanted = full.generate(waveforms, sampling_rate=RATE, **options)
        got = half.generate(waveforms, sampling_rate=RATE, **options)
        alone = [half.generate(waveform, sampling_rate=RATE, **options) for waveform in waveforms]
        for mine, single, theirs in zip(got, alone, wanted, strict=True):
            assert mine.hypotheses[0].tokens == theirs.hypotheses[0].tokens
            assert single.hypotheses[0].tokens == theirs.hypotheses[0].tokens
            assert 0 < abs(mine.hypotheses[0].score - theirs.hypotheses[0].score) < 0.05


def test_run_s2t_takes_the_precision(digits_fp16_bundle: Path) -> None:
    recordings = sorted(CARRIED.glob("*.wav"))[:2]
    if not recordings:
        pytest.skip("examples/digits/recordings holds no recordings")
    texts = []
    for precision in ("fp32", "fp16"):
        result = CliRunner().invoke(
            run_main,
            [
                str(digits_fp16_bundle),
                *map(str, recordings),
                "--precision",
                precision,
                "--json",
                "--language",
                "de",
            ],
        )
        assert result.exit_code == 0, result.output
        texts.append([json.loads(line)["text"] for line in result.stdout.splitlines()])
    assert texts[0] == texts[1]


def test_the_export_was_checked_with_the_recordings_too(digits_fp16_bundle: Path) -> None:
    (report,) = json.loads((digits_fp16_bundle / "fp16" / "parity.json").read_text(encoding="utf-8"))
    assert report["precision"] == "fp16"
    decoded = {row["utterance"] for row in report["decodings"]["rows"]}
    assert {path.name for path in CARRIED.glob("several_*.wav")} < decoded


def test_check_s2t_reports_the_budget(digits_fp16_bundle: Path, digits_checkpoint: Path) -> None:
    result = CliRunner().invoke(
        check_main,
        [str(digits_fp16_bundle), "--against", str(digits_checkpoint), "--precision", "fp16", "--json"],
    )
    assert result.exit_code == 0, result.output
    (record,) = json.loads(result.stdout)
    assert record["precision"] == "fp16"
    assert record["budget"] == {"log_prob_difference": 0.1, "token_agreement": 0.95}
    assert 0 < record["steps"]["log_prob_difference"] < 0.1
    report = (digits_fp16_bundle / "fp16" / "parity.md").read_text(encoding="utf-8")
    assert "Step by step along eager's own tokens: largest difference of a log-probability" in report
