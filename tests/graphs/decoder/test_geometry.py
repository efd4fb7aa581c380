"""A decoder's geometry, above all how long a sequence may be: eager itself is asked at the last position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.graphs.comparison import TOLERANCE, past_names, torch_decoder_graphs
from support.tiny.decoders import DECODER_HIDDEN, DECODERS, MAX_POSITIONS, VOCAB, tiny_decoder

import graphs.decoder.geometry
from graphs import decoder_geometry, encoder_state_width
from graphs.cache_layout import empty_cache, tensors_from_cache

FROM_PADDING = (
    "camembert",
    "data2vec-text",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Families whose positions begin behind the padding token's row."""
GROWING = ("xglm", "xglm-unscaled-untied", "trocr-sinusoidal")
"""Eager computes further sinusoidal positions as they are needed; the graphs keep the declared ones."""


@pytest.mark.parametrize("name", DECODERS)
def test_geometry_is_read_off_what_the_decoder_does(name: str) -> None:
    decoder = tiny_decoder(name)
    geometry = decoder_geometry(decoder)
    heads = decoder.config.num_attention_heads
    assert (geometry.layers, geometry.heads, geometry.head_dim) == (2, heads, DECODER_HIDDEN // heads)
    reserved = decoder.config.pad_token_id + 1 if DECODERS[name][0] in FROM_PADDING else 0
    assert (geometry.vocab_size, geometry.max_positions) == (VOCAB, MAX_POSITIONS - reserved)


@pytest.mark.parametrize("name", DECODERS)
def test_the_last_position_is_eager_s_and_the_last(name: str) -> None:
    decoder = tiny_decoder(name)
    longest = decoder_geometry(decoder).max_positions
    assert longest is not None
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(10, VOCAB, (1, longest + 1), generator=generator)
    states = torch.randn((1, 9, encoder_state_width(decoder.config)), generator=generator)
    before, whole = empty_cache(), empty_cache()
    arguments = {"encoder_hidden_states": states, "use_cache": True}
    with torch.no_grad():
        decoder(input_ids=tokens[:, : longest - 1], past_key_values=before, **arguments)
        wanted = decoder(input_ids=tokens[:, :longest], past_key_values=whole, **arguments).logits[:, -1]
    cross = tensors_from_cache(before.cross_attention_cache)
    feeds = {
        "input_ids": tokens[:, None, longest - 1 : longest].numpy(),
        "beam_index": np.zeros((1, 1), dtype=np.int64),
        "encoder_mask": np.ones((1, 9), dtype=bool),
        "candidates": np.asarray(3),
    }
    names = past_names(decoder_geometry(decoder))
    feeds |= {
        name.replace("past", "cross"): tensor.numpy() for name, tensor in zip(names, cross, strict=True)
    }
    past = tensors_from_cache(before.self_attention_cache)
    feeds |= {name: tensor.numpy() for name, tensor in zip(names, past, strict=True)}
    with torch_decoder_graphs(tiny_decoder(name)) as (_, with_past):
        got = with_past(feeds)["logits"]
    np.testing.assert_allclose(got[0], wanted.numpy(), atol=TOLERANCE * float(wanted.abs().max()))
    if name not in GROWING:
        with torch.no_grad(), pytest.raises((IndexError, RuntimeError)):
            decoder(input_ids=tokens, **arguments)


def test_positions_that_nothing_declares_are_measured() -> None:
    decoder = tiny_decoder("bert")
    vars(decoder.config)["max_position_embeddings"] = None
    assert decoder_geometry(decoder).max_positions == MAX_POSITIONS


def test_positions_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs.decoder.geometry, "_UNBOUNDED", 300)
    decoder = tiny_decoder("xglm")  # grows its table
    vars(decoder.config)["max_position_embeddings"] = None
    assert decoder_geometry(decoder).max_positions is None


def test_measuring_leaves_the_tables_alone() -> None:
    for name in GROWING:
        decoder = tiny_decoder(name)
        (positions,) = (part for path, part in decoder.named_modules() if path.endswith("embed_positions"))
        before = positions.weights.shape
        decoder_geometry(decoder)
        assert positions.weights.shape == before


def test_the_vocabulary_is_as_wide_as_the_logits() -> None:
    """Marian's embeddings may be of another size than the vocabulary that it writes."""
    decoder = tiny_decoder("bert")
    decoder.config.vocab_size = 17
    assert decoder_geometry(decoder).vocab_size == VOCAB
