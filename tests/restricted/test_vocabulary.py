"""A restricted output projection decodes as eager PyTorch with its own cut to the same rows; faults are seen."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from support.graphs.comparison import utterances
from support.restricted.bundles import CASES, TOKENS, Restricted, restricted, write_restricted
from support.restricted.eager import Eager, Options, cut_generate, suppressed_generate
from support.tiny.models import Once

import exporter.onnx.write_graphs
import s2t_runtime
from exporter.checkpoints.checkpoint import Checkpoint
from exporter.parity.check import check_parity
from exporter.parity.graphs import compare_graphs
from exporter.reference.eager import EagerReference
from graphs import decoder_geometry, restricted_output
from s2t_runtime import TokenEvent
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.output_vocabulary import OUTPUT_VOCABULARY, write_output_vocabulary
from s2t_runtime.errors import OptionError
from s2t_runtime.model import SpeechToText
from s2t_runtime.sessions.onnxruntime.session import OnnxSession

SEARCHES: list[dict[str, Any]] = [
    {"num_beams": 1},
    {"num_beams": 5, "num_return_sequences": 5, "early_stopping": False},
    {"num_beams": 3, "num_return_sequences": 2, "early_stopping": "never"},
]
RULES: list[dict[str, Any]] = [
    {"num_beams": 4, "suppress_tokens": [8, 40], "no_repeat_ngram_size": 2, "bad_words_ids": [[7], [20, 13]]},
    {"num_beams": 3, "repetition_penalty": 0.8, "forced_bos_token_id": 33, "length_penalty": 0.5},
    {"num_beams": 1, "repetition_penalty": 1.4, "begin_suppress_tokens": [44], "min_new_tokens": 6},
    {"num_beams": 1, "exponential_decay_length_penalty": (3, 1.3)},
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(
    scope="module",
    params=[
        name if name == "decoder_with_past" else pytest.param(name, marks=pytest.mark.broad) for name in CASES
    ],
)
def case(request: pytest.FixtureRequest, once: Once) -> Restricted:
    return restricted(once, request.param)


@pytest.fixture
def small(once: Once) -> Restricted:
    """With decoder_with_past alone, which is quicker."""
    return restricted(once, "decoder_with_past")


@pytest.fixture
def tied(once: Once) -> Restricted:
    return restricted(once, "tied")


def compare(case: Restricted, eager: Eager, searches: list[dict[str, Any]]) -> int:
    """Tokens and scores of two utterances; returns how many tokens were written."""
    count = 0
    with s2t_runtime.load(case.bundle.root, threads=1) as model:
        for audio in utterances(0.9, 0.4):
            for search in searches:
                options = {"max_new_tokens": 16, **search}
                got = model.generate(audio, sampling_rate=16_000, **options)
                wanted = eager(case.checkpoint, case.ids, audio, options)
                assert tuple(one.tokens for one in got.hypotheses) == wanted.tokens, search
                np.testing.assert_allclose([one.score for one in got.hypotheses], wanted.scores, atol=1e-4)
                assert {token for one in got.hypotheses for token in one.tokens} <= set(case.ids)
                count += sum(len(one.tokens) for one in got.hypotheses)
    return count


def test_it_decodes_as_eager_with_both_tables_cut(case: Restricted) -> None:
    assert compare(case, cut_generate, SEARCHES + RULES) > 70


def test_it_decodes_as_eager_that_suppresses_the_others_and_renormalises(case: Restricted) -> None:
    assert compare(case, suppressed_generate, SEARCHES) > 40


def test_the_manifest_and_the_files_say_so(small: Restricted) -> None:
    manifest = small.bundle.manifest
    assert manifest.format_version == 3
    assert manifest.decoder.vocab_size == 60
    assert manifest.decoder.max_candidates == len(small.ids)
    assert manifest.decoder.output_vocabulary is not None
    assert manifest.decoder.output_vocabulary.count == len(small.ids) < 60
    assert OUTPUT_VOCABULARY in manifest.files
    (logits,) = (one for one in manifest.graphs["fp32"].decoder_with_past.outputs if one.name == "logits")
    assert logits.shape == ("batch", "beams", len(small.ids))
    operators = {
        str(node.outputs[0].name): node
        for node in ir.load(small.bundle.root / "fp32" / "decoder_with_past.onnx").graph
    }
    squeeze = operators["candidate_ids"]
    assert squeeze.inputs[0] is not None
    assert (squeeze.op_type, operators[str(squeeze.inputs[0].name)].op_type) == ("Squeeze", "Gather")
    with s2t_runtime.load(small.bundle.root, threads=1) as model:
        assert model.output_token_ids is not None
        assert model.output_token_ids.tolist() == small.ids
        told: list[TokenEvent] = []
        audio = utterances(0.9)[0]
        result = model.generate(audio, sampling_rate=16_000, max_new_tokens=6, on_token=told.append)
        assert told[-1].final
        assert told[-1].tokens == result.tokens
        assert set(result.tokens) <= set(small.ids)
        with pytest.raises(OptionError, match="suppress_tokens has token 9, which this bundle cannot write"):
            model.generate(utterances(0.4)[0], sampling_rate=16_000, suppress_tokens=[9])


@pytest.mark.broad
def test_the_parity_check_knows_of_it(tied: Restricted) -> None:
    report = check_parity(tied.checkpoint, tied.bundle, precision="fp32")
    assert report.failures() == []
    assert report.passed
    assert report.identical == len(report.decodings)


def faults(case: Restricted, directory: Path) -> set[str]:
    rows = compare_graphs(
        EagerReference(case.checkpoint, np.array(case.ids)),
        directory,
        decoder_geometry(case.checkpoint.model.decoder),
        min_samples=400,
        precision="fp32",
    )
    return {row.output for row in rows if not row.passed}


def with_ids(case: Restricted, directory: Path, change: Callable[[list[int]], list[int]]) -> None:
    """Put other numbers into the place of the ids that decoder_with_past's Gather picks from."""
    path = directory / "decoder_with_past.onnx"
    model = ir.load(path)
    (listed,) = (
        value
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.numpy().ravel().tolist() == case.ids
    )
    assert listed.const_value is not None
    planted = np.array(change(case.ids), dtype=np.int64).reshape(listed.const_value.numpy().shape)
    listed.const_value = ir.tensor(planted, name=listed.name)
    ir.save(model, path)


def columns(ids: list[int]) -> list[int]:
    """As without the Gather: each column is taken for an id."""
    return list(range(len(ids)))


def reverse(ids: list[int]) -> list[int]:
    return ids[::-1]


@pytest.mark.parametrize("change", [columns, reverse])
def test_planted_ids_are_seen(
    small: Restricted, tmp_path: Path, change: Callable[[list[int]], list[int]]
) -> None:
    root = Path(shutil.copytree(small.bundle.root, tmp_path / "bundle"))
    with_ids(small, root / "fp32", change)
    bundle = Bundle(root, small.bundle.manifest)
    audio = utterances(0.9)[0]
    options = {"max_new_tokens": 8, "num_beams": 3}
    wanted = cut_generate(small.checkpoint, small.ids, audio, options)
    with SpeechToText(bundle, OnnxSession(bundle, "fp32", provider="cpu", threads=1)) as model:
        got = model.generate(audio, sampling_rate=16_000, num_beams=3, max_new_tokens=8)
    assert got.tokens != wanted.tokens[0]


def test_scores_over_the_whole_vocabulary_would_be_seen(small: Restricted) -> None:
    def not_renormalised(checkpoint: Checkpoint, ids: list[int], audio: Any, options: Options) -> Any:
        return suppressed_generate(checkpoint, ids, audio, {**options, "renormalize_logits": False})

    with pytest.raises(AssertionError):
        compare(small, not_renormalised, SEARCHES[1:2])


@pytest.mark.broad
@pytest.mark.parametrize("change", [columns, reverse])
def test_the_parity_check_sees_planted_ids(
    tied: Restricted, tmp_path: Path, change: Callable[[list[int]], list[int]]
) -> None:
    directory = Path(shutil.copytree(tied.bundle.root / "fp32", tmp_path / "fp32"))
    assert faults(tied, directory) == set()
    with_ids(tied, directory, change)
    assert faults(tied, directory) == {"candidate_ids"}


@pytest.mark.broad
def test_planted_rows_in_wrong_order_are_seen(
    tied: Restricted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        exporter.onnx.write_graphs,
        "restricted_output",
        lambda decoder, ids: restricted_output(decoder, ids.flip(0)),
    )
    write_restricted(tied.checkpoint, tied.bundle.root / "fp32", TOKENS, tmp_path / "bundle")
    assert {"logits", "candidate_ids"} <= faults(tied, tmp_path / "bundle" / "fp32")


def test_a_missing_end_token_is_refused(small: Restricted, tmp_path: Path) -> None:
    root = Path(shutil.copytree(small.bundle.root, tmp_path / "bundle"))
    rest = [token for token in small.ids if token != 2]
    write_output_vocabulary(root / OUTPUT_VOCABULARY, np.array(rest))
    manifest = small.bundle.manifest
    assert manifest.decoder.output_vocabulary is not None
    listed = dataclasses.replace(manifest.decoder.output_vocabulary, count=len(rest))
    decoder = dataclasses.replace(manifest.decoder, output_vocabulary=listed)
    bundle = Bundle(root, dataclasses.replace(manifest, decoder=decoder))
    with (
        SpeechToText(bundle, OnnxSession(bundle, "fp32", provider="cpu", threads=1)) as model,
        pytest.raises(OptionError, match="eos_token_id has token 2, which this bundle cannot write"),
    ):
        model.generate(utterances(0.4)[0], sampling_rate=16_000)
