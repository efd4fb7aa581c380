"""What a few families need: each function does its work, is undone, and something fails without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny.decoders import DECODER_HIDDEN, tiny_decoder

from graphs import FirstStepGraph, attention_implementation, find_cross_attention, traceable
from graphs.decoder.families import traceable as families_traceable


def operators(decoder: Any) -> set[str]:
    """What the first step is traced to."""
    cross_attention = find_cross_attention(decoder)
    cross = [torch.zeros((2, 2, 5, DECODER_HIDDEN // 2)) for _ in range(4)]
    arguments = (torch.ones((2, 1, 3), dtype=torch.long), torch.ones((2, 5), dtype=torch.bool), cross)
    graph = FirstStepGraph(decoder, cross_attention).eval()
    with attention_implementation(decoder, cross_attention.implementation), torch.no_grad():
        program = torch.export.export(graph, (*arguments, torch.tensor(4)), strict=False)
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


def adapters_of(decoder: Any) -> list[list[str]]:
    return [list(layer.output.adapter_modules) for layer in decoder.roberta.encoder.layer]


def test_xmod_is_traced_with_its_default_language_alone() -> None:
    decoder = tiny_decoder("xmod")
    with traceable(decoder):
        assert adapters_of(decoder) == [["de_DE"]] * 2
        assert not {name for name in operators(decoder) if "nonzero" in name or "index_put" in name}
    assert adapters_of(decoder) == [["en_XX", "de_DE", "cy_GB"]] * 2


def test_xmod_cannot_do_without() -> None:
    try:
        found = operators(tiny_decoder("xmod"))
    except Exception as error:  # noqa: BLE001 - whatever torch calls it
        found = {str(error)}
    assert any("nonzero" in name.lower() or "index" in name or "data-dependent" in name for name in found), (
        found
    )


def test_xmod_is_left_as_it_was_after_an_error() -> None:
    decoder = tiny_decoder("xmod")
    tokens = torch.tensor([[5, 9, 11]])
    states = torch.randn((1, 4, DECODER_HIDDEN), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = decoder(input_ids=tokens, encoder_hidden_states=states).logits
    with pytest.raises(KeyError, match="inside"), families_traceable(decoder):
        raise KeyError("inside")
    with torch.no_grad():
        after = decoder(input_ids=tokens, encoder_hidden_states=states).logits
    assert torch.equal(before, after)
    assert not any("lang_adapter" in vars(layer.output) for layer in decoder.roberta.encoder.layer)


def test_families_without_an_entry_are_left_alone() -> None:
    decoder = tiny_decoder("roberta")
    attributes = [dict(vars(module)) for module in decoder.modules()]
    with traceable(decoder):
        assert [dict(vars(module)) for module in decoder.modules()] == attributes
