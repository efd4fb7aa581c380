"""The families with an entry in encoder_families: graphs at lengths other than the traced one, whole decodings.

Each export below is made under the conditions that its family's entry is there for, so that it fails
without that entry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.graphs.comparison import TOLERANCE, compare_encoder, utterances
from support.tiny import models as tiny_models
from support.tiny.encoders import SAMPLING_RATE, tiny_encoder, tiny_extractor
from support.tiny.models import Once, Pair
from support.tiny.unsaved import unsaved

import s2t_runtime
from exporter.onnx.graph_exports import encoder_export, encoder_module
from exporter.onnx.session import GraphRunner
from exporter.parity.check import allowance_for
from exporter.reference.audio_limits import min_samples
from exporter.reference.eager import EagerReference
from graphs import EncoderGraph, decoder_geometry
from graphs.encoder.families import PositionTables, traceable_encoder
from graphs.encoder.graph import frame_lengths

TRACED = (
    Pair("sew-odd-positions", "mbart", hidden=24),
    *(
        pytest.param(Pair(name, "mbart", hidden=24), marks=pytest.mark.broad)
        for name in (
            "bert-relative-key",
            "sew-d",
            "conformer-relative",
            "conformer-rotary",
            "bert-relative",
            "bert-rotary",
        )
    ),
)
SPOKEN = (0.2, 0.05, 0.13, 0.31)
OPTIONS = {"max_new_tokens": 16, "no_repeat_ngram_size": 2}


@pytest.mark.parametrize("pair", TRACED, ids=lambda pair: pair.name)
def test_graph_equals_eager_at_every_length(once: Once, pair: Pair) -> None:
    reference = EagerReference(tiny_models.load(once, pair))
    run = GraphRunner(tiny_models.encoder_graph(once, pair) / "encoder.onnx").run
    speech = utterances(0.3)[0]
    # Every remainder of two and of three frames, and positions beyond max_source_positions.
    cases = [utterances(*durations) for durations in ((0.09,), (0.2, 0.05, 0.13), (2.1, 1.7))]
    for waveforms in (*cases, *([speech[: 1300 + 20 * more]] for more in range(6))):
        found = compare_encoder(reference, run, waveforms)
        assert max(found.values()) < TOLERANCE, (len(waveforms[0]), found)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("pair", TRACED, ids=lambda pair: pair.name)
def test_whole_decodings_equal_generate(once: Once, pair: Pair, beams: int) -> None:
    reference = EagerReference(tiny_models.load(once, pair))
    options: dict[str, Any] = {"num_beams": beams, "num_return_sequences": beams, **OPTIONS}
    spoken = utterances(*SPOKEN, seed=40)
    expected = [reference.generate([samples], **options)[0] for samples in spoken]
    assert len({hypotheses.tokens for hypotheses in expected}) > 1
    with s2t_runtime.load(tiny_models.bundle(once, pair), threads=1) as model:
        alone = [model.generate(samples, sampling_rate=SAMPLING_RATE, **options) for samples in spoken]
        together = model.generate(spoken, sampling_rate=SAMPLING_RATE, **options)
    for wanted, *results in zip(expected, alone, together, strict=True):
        for result in results:
            assert [hypothesis.tokens for hypothesis in result.hypotheses] == list(wanted.tokens)
            scores = [hypothesis.score for hypothesis in result.hypotheses]
            np.testing.assert_allclose(scores, wanted.scores, atol=allowance_for(reference.checkpoint).score)


def traced_frames(name: str) -> int:
    """How many frames the encoder graph of a tiny checkpoint is traced at."""
    model = tiny_models.tiny_model(name, "mbart", 24)
    checkpoint = unsaved(model, tiny_extractor(model.config.encoder.model_type))
    module = encoder_module(model, checkpoint.features)
    export = encoder_export(
        module, decoder_geometry(model.decoder), hidden=16, min_samples=min_samples(checkpoint)
    )
    samples = torch.tensor([export.arguments[0].shape[1]])
    return int(frame_lengths(model.encoder, module.features.lengths(samples), before_adapter=True))


@pytest.mark.parametrize("name", ["conformer-relative", "bert-relative"])
def test_traces_end_before_the_position_tables(name: str) -> None:
    """Otherwise a trace would extend them, and they could not be too short."""
    assert 1 < traced_frames(name) < tiny_encoder(name).config.max_source_positions


def test_traces_end_where_squeezing_drops_nothing() -> None:
    """And where an odd kernel gives no position too many: a trace that asked would do nothing of either."""
    assert traced_frames("sew-odd-positions") % tiny_encoder("sew-odd-positions").config.squeeze_factor == 0


@pytest.mark.parametrize("name", ["conformer-rotary", "bert-rotary"])
def test_rotary_positions_of_the_call_before_are_not_found(name: str) -> None:
    encoder = tiny_encoder(name)
    with torch.no_grad():
        encoder(torch.zeros((1, 9, 20) if encoder.main_input_name == "input_features" else (1, 900)))
    (owner,) = (module for module in encoder.modules() if hasattr(module, "cached_sequence_length"))
    length, kept = owner.cached_sequence_length, owner.cached_rotary_positional_embedding
    assert kept.shape[1] == length > 1
    with traceable_encoder(encoder):
        assert owner.cached_sequence_length is owner.cached_rotary_positional_embedding is None
    assert owner.cached_rotary_positional_embedding is kept
    assert owner.cached_sequence_length == length


@pytest.mark.parametrize(
    "name",
    ["conformer-relative", "conformer-rotary", "bert-relative", "bert-rotary", "sew-odd-positions", "sew-d"],
)
def test_the_encoder_stays_as_it_was(name: str) -> None:
    model = tiny_models.tiny_model(name, "mbart", 24)
    encoder = model.encoder
    speech, longer = (torch.from_numpy(samples)[None] for samples in utterances(0.2, 3.1))
    reference = EagerReference(unsaved(model, tiny_extractor(model.config.encoder.model_type)))
    # Fills the caches.
    reference.encode([speech[0].numpy()])
    before = {id(module): dict(vars(module)) for module in encoder.modules()}
    tables = {owner: owner.pe for owner in PositionTables(encoder, 1).owners}
    module = EncoderGraph(model, reference.checkpoint.features, max_samples=5 * SAMPLING_RATE).eval()
    with torch.no_grad():
        module(speech, torch.tensor([speech.shape[1]]))
        module(longer, torch.tensor([longer.shape[1]]))
    after = {id(module): dict(vars(module)) for module in encoder.modules()}
    for key, kept in before.items():
        assert kept.keys() == after[key].keys()
        assert all(after[key][attribute] is value for attribute, value in kept.items())
    assert all(owner.pe is table for owner, table in tables.items())


@pytest.mark.parametrize("name", ["conformer-relative", "bert-relative"])
def test_position_tables_are_extended_as_eager_does_it(name: str) -> None:
    encoder = tiny_encoder(name)
    tables = PositionTables(encoder, 300)
    (owner,) = tables.owners
    assert owner.pe.shape[1] == 2 * 80 - 1
    extended = tables.get_buffer("table_0")
    assert extended.shape[1] == 2 * 300 - 1
    # The middle is the table of before, number by number.
    assert torch.equal(extended[:, 300 - 80 : 300 + 79], owner.pe)
    assert PositionTables(encoder, 80).get_buffer("table_0") is owner.pe


def test_encoders_without_tables_get_none() -> None:
    assert not list(PositionTables(tiny_encoder("wav2vec2-layer"), 100).buffers())
