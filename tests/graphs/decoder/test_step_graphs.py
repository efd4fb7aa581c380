"""The decoder graphs' parts and their torch modules against eager PyTorch; nothing is exported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.graphs.comparison import CASES, TOLERANCE, Case, compare_decoder, torch_decoder_graphs
from support.tiny.decoders import DECODER_HIDDEN, DECODERS, EXPANDED, FAMILIES, VOCAB, tiny_decoder
from transformers.masking_utils import AttentionMaskInterface

import graphs.decoder.attention
import graphs.decoder.cross_attention
import graphs.decoder.step_graphs
from graphs import (
    CrossAttention,
    FirstStepGraph,
    WithPastGraph,
    attention_implementation,
    find_cross_attention,
)
from graphs.decoder.attention import (
    SHARED_CROSS_ATTENTION,
    attend,
    beams_shared,
    expand_over_beams,
    shared_cross_attention,
)

SHARED = ("mbart", "bart", "bert", "gpt2", "roberta", "xmod")
"""Families on transformers' AttentionInterface, one of each way of counting positions."""
CASE = Case(batch=3, prompt=3, beams=(4, 4, 5, 3))


def differences(name: str, case: Case = CASE) -> dict[str, float]:
    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):
        return compare_decoder(tiny_decoder(name), first_step, with_past, case)


@pytest.mark.parametrize("name", DECODERS)
def test_modules_equal_eager(name: str) -> None:
    reference = tiny_decoder(name)
    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):
        for seed, (title, case) in enumerate(CASES.items()):
            found = compare_decoder(reference, first_step, with_past, case, seed)
            assert set(found) == {
                "logits", "candidate_log_probs", "candidate_ids", "present_key", "present_value",
            }  # fmt: skip
            assert max(found.values()) < TOLERANCE, (title, found)


def no_causal_mask(*arguments: Any, **named: Any) -> None:
    return None


def beams_in_wrong_order(module: Any, query: Any, key: Any, value: Any, mask: Any, **named: Any) -> Any:
    """Treats rows as beams x batch."""
    beams = getattr(module, "s2t_beams", None)
    if beams is None:
        return shared_cross_attention(module, query, key, value, mask, **named)
    order = torch.arange(len(query)).reshape(beams, -1).transpose(0, 1).reshape(-1)
    return shared_cross_attention(module, query[order], key, value, mask, **named)


def unmasked_cross_attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **named: Any) -> Any:
    shared = hasattr(module, "s2t_beams")
    return shared_cross_attention(module, query, key, value, None if shared else mask, **named)


def unscaled(module: Any, query: Any, key: Any, value: Any, mask: Any, **named: Any) -> Any:
    return shared_cross_attention(module, query, key, value, mask, **{**named, "scaling": 1.0})


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("bug", [beams_in_wrong_order, unmasked_cross_attention, unscaled])
def test_the_comparison_sees_wrong_attention(monkeypatch: pytest.MonkeyPatch, bug: Any, name: str) -> None:
    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):
        monkeypatch.setitem(
            graphs.decoder.attention.AttentionInterface._global_mapping, SHARED_CROSS_ATTENTION, bug
        )
        assert compare_decoder(tiny_decoder(name), first_step, with_past, CASE)["logits"] > 1e-2


def beams_before_utterances(tensor: torch.Tensor, beams: int) -> torch.Tensor:
    return tensor.repeat(beams, *[1] * (tensor.ndim - 1))


@pytest.mark.parametrize("name", EXPANDED)
def test_the_comparison_sees_wrong_expansion(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(graphs.decoder.step_graphs, "expand_over_beams", beams_before_utterances)
    assert differences(name)["logits"] > 1e-2


@pytest.mark.parametrize("name", SHARED)
def test_the_comparison_sees_a_missing_causal_mask(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):
        monkeypatch.setitem(AttentionMaskInterface._global_mapping, SHARED_CROSS_ATTENTION, no_causal_mask)
        assert max(compare_decoder(tiny_decoder(name), first_step, with_past, CASE).values()) > 1e-2


@pytest.mark.parametrize("name", [*SHARED, *EXPANDED, "trocr-sinusoidal"])
def test_the_comparison_sees_positions_off_by_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    decode = WithPastGraph.decode

    def forgetful(self: Any, ids: Any, mask: Any, cross: Any, past: list[Any]) -> Any:
        # Overlooks the oldest token: every later one moves a position forward.
        return decode(self, ids, mask, cross, [tensor[:, :, 1:] for tensor in past])

    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):
        later = lambda feeds: _padded(with_past(feeds), feeds)  # noqa: E731
        monkeypatch.setattr(WithPastGraph, "decode", forgetful)
        assert compare_decoder(tiny_decoder(name), first_step, later, CASE)["logits"] > 1e-2


def _padded(outputs: dict[str, Any], feeds: Any) -> dict[str, Any]:
    """Put the forgotten position back into the cache, so that shapes agree and only values differ."""
    import numpy as np

    rows = feeds["beam_index"].reshape(-1)
    for name in [name for name in outputs if name.startswith("present_")]:
        oldest = feeds[name.replace("present_", "past_")][rows, :, :1]
        outputs[name] = np.concatenate((oldest, outputs[name]), axis=2)
    return outputs


@pytest.mark.parametrize("name", [*SHARED, *EXPANDED])
def test_the_comparison_sees_an_unordered_cache(name: str) -> None:
    with torch_decoder_graphs(tiny_decoder(name)) as (first_step, with_past):

        def unordered(feeds: Any) -> Any:
            wide = feeds["beam_index"].size == len(feeds["past_key.0"])
            order = torch.arange(feeds["beam_index"].size).reshape(feeds["beam_index"].shape).numpy()
            return with_past({**feeds, "beam_index": order} if wide else feeds)

        assert compare_decoder(tiny_decoder(name), first_step, unordered, CASE)["present_key"] > 1e-2


def test_the_tiny_decoders_are_no_easy_prey() -> None:
    """Flat logits, even attention or weak positions would hide the bugs that the suite looks for."""
    tokens = torch.randint(VOCAB, (4, 8), generator=torch.Generator().manual_seed(0))
    states = torch.randn((4, 9, DECODER_HIDDEN), generator=torch.Generator().manual_seed(1))
    for name in FAMILIES:
        decoder = tiny_decoder(name)
        with torch.no_grad():
            output = decoder(input_ids=tokens, encoder_hidden_states=states, output_attentions=True)
        assert 1 < output.logits.std(-1).mean() < 8, name
        for weights in (*output.attentions, *output.cross_attentions):
            assert weights[..., -1, :].amax(-1).mean() > 0.3, name


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize(("batch", "new"), [(1, 1), (3, 1), (3, 4)])
def test_shared_cross_attention_equals_expanded(batch: int, beams: int, new: int) -> None:
    generator = torch.Generator().manual_seed(batch * 100 + beams * 10 + new)
    query = torch.randn((batch * beams, 2, new, 8), generator=generator)
    key, value = (torch.randn((batch, 2, 6, 8), generator=generator) for _ in range(2))
    mask = torch.zeros((batch, 1, 1, 6))
    mask[0, ..., 4:] = torch.finfo(torch.float32).min
    module = torch.nn.Module()
    with beams_shared((module,), beams):
        shared, weights = shared_cross_attention(module, query, key, value, mask)
    wide = [tensor.repeat_interleave(beams, 0) for tensor in (key, value, mask)]
    expanded = torch.nn.functional.scaled_dot_product_attention(query, *wide[:2], attn_mask=wide[2])
    assert weights is None
    torch.testing.assert_close(shared, expanded.transpose(1, 2), rtol=1e-5, atol=1e-6)


def test_attention_takes_the_scaling_that_it_is_given() -> None:
    query, key, value = (torch.randn((1, 1, 2, 4)) for _ in range(3))
    module = torch.nn.Module()
    for scaling, wanted in ((None, 0.5), (1.0, 1.0), (0.25, 0.25)):
        got, _ = shared_cross_attention(module, query, key, value, None, scaling=scaling)
        torch.testing.assert_close(got, attend(query, key, value, None, wanted).transpose(1, 2))


@pytest.mark.parametrize("beams", [1, 3])
def test_expanding_puts_the_beams_of_an_utterance_together(beams: int) -> None:
    tensor = torch.randn((2, 4, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(expand_over_beams(tensor, beams), tensor.repeat_interleave(beams, 0))


@pytest.mark.parametrize("name", DECODERS)
def test_cross_attention_is_shared_wherever_it_can_be(name: str) -> None:
    decoder = tiny_decoder(name)
    found = find_cross_attention(decoder)
    assert decoder.config._attn_implementation == "eager"
    if DECODERS[name][0] in EXPANDED:
        assert (found.mode, found.implementation, found.modules) == ("expanded", "eager", ())
        return
    assert (found.mode, found.implementation) == ("shared", SHARED_CROSS_ATTENTION)
    names = {id(module): path for path, module in decoder.named_modules()}
    paths = [names[id(module)] for module in found.modules]
    assert len(set(paths)) == len(paths) == 2
    assert all("encoder_attn" in path or "crossattention" in path for path in paths), paths
    assert [f".{layer}." in f"{path}." for layer, path in enumerate(paths)] == [True, True]


def test_sharing_that_changes_results_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = graphs.decoder.attention.AttentionInterface._global_mapping
    monkeypatch.setitem(mapping, SHARED_CROSS_ATTENTION, beams_in_wrong_order)
    assert find_cross_attention(tiny_decoder("bert")).mode == "expanded"


def test_sharing_wants_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder of which one layer alone is on the interface."""
    decoder = tiny_decoder("mbart")
    one = find_cross_attention(decoder).modules[:1]
    monkeypatch.setattr(graphs.decoder.cross_attention, "_modules_on_the_interface", lambda _: one)
    assert find_cross_attention(decoder) == CrossAttention()
    monkeypatch.setattr(graphs.decoder.cross_attention, "_modules_on_the_interface", lambda _: one * 2)
    assert find_cross_attention(decoder) == CrossAttention()


@pytest.mark.parametrize("previous", ["eager", "sdpa"])
def test_attention_implementation_is_given_back(previous: str) -> None:
    decoder = tiny_decoder("mbart")
    decoder.set_attn_implementation(previous)
    with attention_implementation(decoder, SHARED_CROSS_ATTENTION):
        assert decoder.config._attn_implementation == SHARED_CROSS_ATTENTION
    assert decoder.config._attn_implementation == previous


def _fail_inside(context: Any) -> None:
    with context:
        raise RuntimeError("inside")


def test_attention_implementation_is_given_back_after_an_error() -> None:
    decoder = tiny_decoder("gpt2")
    with pytest.raises(RuntimeError, match="inside"):
        _fail_inside(attention_implementation(decoder, SHARED_CROSS_ATTENTION))
    assert decoder.config._attn_implementation == "eager"


def test_shared_beams_are_forgotten_after_an_error() -> None:
    modules = (torch.nn.Module(), torch.nn.Module())
    with pytest.raises(RuntimeError, match="inside"):
        _fail_inside(beams_shared(modules, 3))
    assert not any(hasattr(module, "s2t_beams") for module in modules)


def test_a_decoder_is_the_same_after_its_graphs_ran() -> None:
    decoder, tokens = tiny_decoder("bert"), torch.tensor([[5, 9, 11]])
    states = torch.randn((1, 4, DECODER_HIDDEN), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = decoder(input_ids=tokens, encoder_hidden_states=states).logits
        with torch_decoder_graphs(decoder) as (first_step, with_past):
            compare_decoder(tiny_decoder("bert"), first_step, with_past, CASE)
        after = decoder(input_ids=tokens, encoder_hidden_states=states).logits
    assert torch.equal(before, after)


@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_candidates_are_exact_where_probabilities_underflow(spread: float) -> None:
    graph = FirstStepGraph(tiny_decoder("gpt2"), CrossAttention())
    logits = torch.randn((2, 3, VOCAB), generator=torch.Generator().manual_seed(0)) * spread
    log_probs, ids = graph.best(logits, torch.tensor(VOCAB))
    wanted = torch.log_softmax(logits.double(), -1)
    torch.testing.assert_close(log_probs.double(), wanted.gather(-1, ids), rtol=1e-6, atol=1e-5)
    assert torch.equal(log_probs, log_probs.sort(descending=True).values)
    assert torch.isfinite(log_probs).all()
    torch.testing.assert_close(log_probs[0, 0].exp().sum(), torch.tensor(1.0))
