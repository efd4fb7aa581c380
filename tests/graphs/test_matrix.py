"""Every encoder with every decoder: exported graphs at untraced shapes, then whole decodings, against eager.

By default some of each kind; the product of the first families, every further encoder and every further
decoder twice, and what a few pairs alone show, are broad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.graphs.comparison import CASES, TOLERANCE, Run, compare_decoder, compare_encoder, utterances
from support.tiny import models as tiny_models
from support.tiny.decoders import DECODERS, ENDS, EXPANDED, FAMILIES, tiny_decoder
from support.tiny.encoders import ENCODERS, SAMPLING_RATE
from support.tiny.models import PAIRS, Once, Pair

import s2t_runtime
from exporter.onnx.session import GraphRunner
from exporter.parity.check import allowance_for
from exporter.reference.eager import EagerHypotheses, EagerReference

PRODUCT_ENCODERS = ("wav2vec2-group", "wav2vec2-stable-adapter", "hubert", "wavlm")
PRODUCT_DECODERS = ("mbart", "bart", "bert", "gpt2")
_DEFAULT = {(pair.encoder, pair.decoder): pair for pair in PAIRS}
PRODUCT = tuple(
    _DEFAULT.get((encoder, decoder), Pair(encoder, decoder, hidden=24 if (row + column) % 2 else 16))
    for row, encoder in enumerate(PRODUCT_ENCODERS)
    for column, decoder in enumerate(PRODUCT_DECODERS)
)
VARIANTS = tuple(
    Pair(encoder, "mbart", hidden=24 if number % 2 else 16, return_attention_mask=number % 3 > 0)
    for number, encoder in enumerate(name for name in ENCODERS if name not in PRODUCT_ENCODERS)
    if encoder not in {pair.encoder for pair in PAIRS}
)
FURTHER_ENCODERS = tuple(name for name in ENCODERS if name not in PRODUCT_ENCODERS)
FURTHER_DECODERS = tuple(name for name in FAMILIES if name not in PRODUCT_DECODERS)
COVERING = tuple(
    Pair(FURTHER_ENCODERS[(number + shift) % len(FURTHER_ENCODERS)], decoder, hidden=24 if number % 3 else 16)
    for number, decoder in enumerate(FURTHER_DECODERS)
    for shift in (0, len(FURTHER_ENCODERS) // 2)
)
SPECIAL = (
    Pair("hubert", "trocr-wide-states", hidden=24),
    Pair("wavlm", "gpt2-no-padding-token"),
    Pair("wav2vec2-group", "roberta-late-padding", hidden=24),
)


def _without(pairs: Iterable[Pair], earlier: Iterable[Pair]) -> tuple[Pair, ...]:
    met = set(earlier)
    return tuple(pair for pair in pairs if pair not in met)


BROAD = _without((*PRODUCT, *VARIANTS, *COVERING, *SPECIAL), PAIRS)
DEFAULT_DECODERS = ("mbart", "bert", "gpt2")
"""bart's code is mbart's; expanding keys and values over beams is tested without a graph as well."""
DECODER_NAMES = [
    *DEFAULT_DECODERS,
    *(pytest.param(name, marks=pytest.mark.broad) for name in DECODERS if name not in DEFAULT_DECODERS),
]


def runners(directory: Path) -> tuple[Run, Run]:
    return tuple(
        GraphRunner(directory / f"{name}.onnx").run for name in ("decoder_first_step", "decoder_with_past")
    )


def test_the_default_pairs_cover_the_matrix() -> None:
    encoders = {ENCODERS[pair.encoder][0] for pair in PAIRS}
    assert encoders == {"wav2vec2", "hubert", "wavlm"}
    assert {pair.decoder for pair in PAIRS} == set(PRODUCT_DECODERS)
    projected = [
        hasattr(tiny_models.tiny_model(p.encoder, p.decoder, p.hidden), "enc_to_dec_proj") for p in PAIRS
    ]
    assert sorted(projected) == [False, False, True, True]
    assert {(pair.encoder, pair.decoder) for pair in PRODUCT} == {
        (encoder, decoder) for encoder in PRODUCT_ENCODERS for decoder in PRODUCT_DECODERS
    }


def test_everything_is_met_twice() -> None:
    pairs = (*PAIRS, *BROAD)
    assert {name for name in ENCODERS if sum(pair.encoder == name for pair in pairs) < 2} == set()
    families = {(pair.decoder, ENCODERS[pair.encoder][0]) for pair in pairs}
    assert {name for name in FAMILIES if sum(decoder == name for decoder, _ in families) < 2} == set()


@pytest.mark.parametrize("name", DECODER_NAMES)
def test_decoder_graphs_equal_eager(once: Once, name: str) -> None:
    first_step, with_past = runners(tiny_models.decoder_graphs(once, name))
    for seed, (title, case) in enumerate(CASES.items()):
        found = compare_decoder(tiny_decoder(name), first_step, with_past, case, seed)
        assert max(found.values()) < TOLERANCE, (title, found)


@pytest.mark.parametrize("name", DECODER_NAMES)
def test_every_weight_is_stored_once(once: Once, name: str) -> None:
    directory, decoder = tiny_models.decoder_graphs(once, name), tiny_decoder(name)
    places = set()
    for graph in ("decoder_first_step", "decoder_with_past"):
        for tensor in onnx.load(directory / f"{graph}.onnx", load_external_data=False).graph.initializer:
            entry = {item.key: item.value for item in tensor.external_data}
            if entry:
                places.add((int(entry["offset"]), int(entry["length"])))
    tensors = [*decoder.parameters(), *decoder.buffers()]  # a tied embedding appears once
    tables = [vars(module)["weights"] for module in decoder.modules() if "weights" in vars(module)]
    # Embeddings this small are folded into a transposed copy for the vocabulary product.
    allowed = decoder.get_input_embeddings().weight.nbytes + sum(table.nbytes for table in tables)
    assert sum(length for _, length in places) <= sum(tensor.nbytes for tensor in tensors) + allowed


def _unordered(run: Run) -> Run:
    """Leaves the cache in the order of the step before."""

    def call(feeds: Any) -> Any:
        size, rows = feeds["beam_index"].size, len(feeds["past_key.0"])
        order = np.arange(size).reshape(feeds["beam_index"].shape)
        return run({**feeds, "beam_index": order} if size == rows else feeds)

    return call


def _unmasked(run: Run) -> Run:
    return lambda feeds: run({**feeds, "encoder_mask": np.ones_like(feeds["encoder_mask"])})


def _swapped_layers(run: Run) -> Run:
    def call(feeds: Any) -> Any:
        swapped = {"cross_key.0": feeds["cross_key.1"], "cross_key.1": feeds["cross_key.0"]}
        return run({**feeds, **swapped})

    return call


@pytest.mark.parametrize("bug", [_unordered, _unmasked, _swapped_layers])
@pytest.mark.parametrize("name", DEFAULT_DECODERS)
def test_the_comparison_sees_bugs(once: Once, name: str, bug: Callable[[Run], Run]) -> None:
    first_step, with_past = runners(tiny_models.decoder_graphs(once, name))
    found = compare_decoder(tiny_decoder(name), first_step, bug(with_past), CASES["batch-beams"])
    assert found["logits"] > 1e-2, found


SPOKEN = (0.2, 0.05, 0.13, 0.31)
# Random decoders like to repeat themselves; kept from it, they try more tokens and come to ends.
OPTIONS = {"max_new_tokens": 16, "no_repeat_ngram_size": 2}


def _assert_same(result: s2t_runtime.Result, wanted: EagerHypotheses, allowed: float) -> None:
    assert [hypothesis.tokens for hypothesis in result.hypotheses] == list(wanted.tokens)
    scores = [hypothesis.score for hypothesis in result.hypotheses]
    np.testing.assert_allclose(scores, wanted.scores, atol=allowed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" in metafunc.fixturenames:
        metafunc.parametrize("pair", metafunc.cls.pairs, ids=lambda pair: pair.name)


class _Pairs:
    """Encoder graphs and whole decodings of some pairs; a class goes to one worker as a whole."""

    pairs: tuple[Pair, ...]

    def test_encoder_graph_equals_eager(self, once: Once, pair: Pair) -> None:
        reference = EagerReference(tiny_models.load(once, pair))
        run = GraphRunner(tiny_models.encoder_graph(once, pair) / "encoder.onnx").run
        for durations in ((0.09,), (0.2, 0.05, 0.13)):
            found = compare_encoder(reference, run, utterances(*durations))
            assert max(found.values()) < TOLERANCE, found

    @pytest.mark.parametrize("beams", [1, 3])
    def test_whole_decodings_equal_generate(self, once: Once, pair: Pair, beams: int) -> None:
        reference = EagerReference(tiny_models.load(once, pair))
        options = {"num_beams": beams, "num_return_sequences": beams, **OPTIONS}
        spoken = utterances(*SPOKEN, seed=40)
        expected = [reference.generate([samples], **options)[0] for samples in spoken]
        with s2t_runtime.load(tiny_models.bundle(once, pair), threads=1) as model:
            mode = "expanded" if DECODERS[pair.decoder][0] in EXPANDED else "shared"
            assert model.manifest.decoder.cross_attention == mode
            alone = [model.generate(samples, sampling_rate=SAMPLING_RATE, **options) for samples in spoken]
            together = model.generate(spoken, sampling_rate=SAMPLING_RATE, **options)
        for wanted, single, batched in zip(expected, alone, together, strict=True):
            _assert_same(single, wanted, allowance_for(reference.checkpoint).score)
            # Batches give what each utterance gives alone, whatever padding would do to this encoder.
            _assert_same(batched, wanted, allowance_for(reference.checkpoint).score)


class TestPairs(_Pairs):
    pairs = PAIRS


@pytest.mark.broad
class TestProduct(_Pairs):
    pairs = _without(PRODUCT, PAIRS)


@pytest.mark.broad
class TestVariants(_Pairs):
    pairs = VARIANTS


@pytest.mark.broad
class TestCovering(_Pairs):
    pairs = COVERING


@pytest.mark.broad
class TestSpecial(_Pairs):
    pairs = SPECIAL


def test_the_decodings_are_no_easy_prey(once: Once) -> None:
    """Some end early and some do not, utterances differ, and the best beam is not always greedy's."""
    greedy, beams = [], []
    for pair in PAIRS:
        reference = EagerReference(tiny_models.load(once, pair))
        for samples in utterances(*SPOKEN, seed=40):
            greedy.append(reference.generate([samples], num_beams=1, **OPTIONS)[0].tokens[0])
            beams.append(reference.generate([samples], num_beams=3, **OPTIONS)[0].tokens[0])
    ended = [tokens[-1] in ENDS for tokens in beams]
    assert any(ended)
    assert not all(ended)
    assert len(set(beams)) > len(beams) / 2
    assert sum(one != other for one, other in zip(greedy, beams, strict=True)) >= len(beams) / 3
