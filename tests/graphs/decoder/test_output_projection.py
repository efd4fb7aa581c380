"""A projection cut to some tokens: the same logits in every family, everything as before, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny.biased_decoder import add_final_logits_bias
from support.tiny.decoders import DECODERS, FAMILIES, VOCAB, tiny_decoder
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from graphs import WithPastGraph, find_cross_attention, restricted_output, restriction_fault
from graphs.decoder.probe import probe

IDS = torch.tensor([0, 1, 2, 7, 8, 19, 33, 37, 58])
ALWAYS = ("mbart", "mbart-untied", "bert", "electra", "rembert", "trocr")
"""Tied, untied, with a transform and a bias, with embeddings of another width."""


def logits_of(decoder: Any) -> Tensor:
    return probe(decoder)[1]


def final_logits_bias() -> Any:
    return add_final_logits_bias(tiny_decoder("mbart"))


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.broad) for name in DECODERS]
)
def test_every_family_gives_the_columns_of_its_whole_projection(name: str) -> None:
    decoder = tiny_decoder(name)
    assert restriction_fault(decoder, IDS) is None
    whole = logits_of(decoder)
    before = {key: (value, id(value)) for key, value in named(decoder).items()}
    with restricted_output(decoder, IDS):
        torch.testing.assert_close(logits_of(decoder), whole[..., IDS], atol=1e-5, rtol=0)
        assert decoder.get_input_embeddings().weight.shape[0] == VOCAB
    assert {key: (value, id(value)) for key, value in named(decoder).items()} == before
    assert torch.equal(logits_of(decoder), whole)


def named(decoder: Any) -> dict[str, Tensor]:
    return dict([*decoder.named_parameters(remove_duplicate=False), *decoder.named_buffers()])


def test_a_bias_behind_the_projection_is_cut_as_well() -> None:
    decoder = final_logits_bias()
    whole = logits_of(decoder)
    assert not torch.allclose(whole, logits_of(tiny_decoder("mbart")))
    assert restriction_fault(decoder, IDS) is None
    with restricted_output(decoder, IDS):
        torch.testing.assert_close(logits_of(decoder), whole[..., IDS], atol=1e-5, rtol=0)
    assert torch.equal(logits_of(decoder), whole)


def test_nothing_happens_without_ids() -> None:
    decoder = tiny_decoder("mbart")
    weight = decoder.get_output_embeddings().weight
    with restricted_output(decoder, None):
        assert decoder.get_output_embeddings().weight is weight


def test_candidates_are_token_ids() -> None:
    decoder = tiny_decoder("bert")
    graph = WithPastGraph(decoder, find_cross_attention(decoder), IDS)
    logits = torch.randn((2, 3, len(IDS)))
    log_probs, ids = graph.best(logits, torch.tensor(4))
    best = torch.log_softmax(logits, -1).topk(4)
    assert torch.equal(ids, IDS[best.indices])
    torch.testing.assert_close(log_probs, best.values)


def no_head(decoder: Any) -> None:
    decoder.get_output_embeddings = lambda: None


def a_convolution(decoder: Any) -> None:
    decoder.get_output_embeddings = lambda: nn.Conv1d(16, VOCAB, 1)


def parametrised(decoder: Any) -> None:
    parametrizations.weight_norm(decoder.get_output_embeddings())


def padded(decoder: Any) -> None:
    _behind(decoder, lambda logits: nn.functional.pad(logits, (0, 3)))


def another_bias(decoder: Any) -> None:
    bias = torch.arange(VOCAB) / VOCAB
    _behind(decoder, lambda logits: logits + bias)


def normalised(decoder: Any) -> None:
    _behind(decoder, lambda logits: logits - logits.mean(-1, keepdim=True))


def one_more(decoder: Any) -> None:
    _behind(
        decoder, lambda logits: logits if logits.shape[-1] == VOCAB else nn.functional.pad(logits, (0, 1))
    )


def _behind(decoder: Any, change: Callable[[Tensor], Tensor]) -> None:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        output.logits = change(output.logits)
        return output

    decoder.register_forward_hook(hook)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_head, "get_output_embeddings() gives none, no plain linear layer with a row for each token"),
        (a_convolution, "get_output_embeddings() gives a Conv1d, no plain linear layer with a row for each"),
        (parametrised, "get_output_embeddings() gives a ParametrizedLinear, no plain linear layer"),
        (padded, "the projection has 60 rows and the logits 63 columns"),
        (
            another_bias,
            "with fewer rows the decoder fails in eager PyTorch (RuntimeError: The size of tensor",
        ),
        (normalised, "with fewer rows the decoder gives other logits (largest difference "),
        (one_more, "with 9 rows the decoder still gives 10 logits"),
    ],
)
def test_what_cannot_be_cut_is_refused(change: Callable[[Any], None], message: str) -> None:
    decoder = tiny_decoder("mbart-untied")
    change(decoder)
    fault = restriction_fault(decoder, IDS)
    assert fault is not None
    assert re.match(re.escape(message), fault)


def test_every_family_is_looked_at() -> None:
    assert set(FAMILIES) <= set(DECODERS)
