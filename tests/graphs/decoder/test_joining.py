"""Tokens behind which nothing may be fed in the same step: found for every decoder, and the others let join."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny.decoders import DECODERS, PAD, tiny_decoder

from graphs import ids_fed_alone

COUNTS_FROM_PADDING = {
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "xmod",
    "xmod-adapter-norms", "roberta-late-padding", "trocr-sinusoidal",
}  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
def test_the_padding_token_where_positions_are_counted_from_it(name: str) -> None:
    decoder = tiny_decoder(name)
    expected = (decoder.config.pad_token_id,) if name in COUNTS_FROM_PADDING else ()
    assert ids_fed_alone(decoder, (0, 1, 2, 7)) == expected


def test_it_is_measured_and_not_known_by_name() -> None:
    """Moved embeddings of positions alone make the difference; without them padding is a token like others."""
    decoder = tiny_decoder("roberta")
    with torch.no_grad():
        decoder.roberta.embeddings.position_embeddings.weight.zero_()
    assert ids_fed_alone(decoder, (PAD,)) == ()


class OneTokenIsHeard(torch.nn.Module):
    """Stands for a decoder whose next step depends on whether token 7 was fed with others."""

    def __init__(self, decoder: Any, wrong: float) -> None:
        super().__init__()
        self.decoder, self.config, self.dtype, self.wrong = decoder, decoder.config, decoder.dtype, wrong

    def forward(self, input_ids: torch.Tensor, **others: Any) -> Any:
        output = self.decoder(input_ids=input_ids, **others)
        if input_ids.shape[1] > 1:
            output.logits[input_ids[:, 0] == 7] += self.wrong
        return output


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_another_token_is_found_where_it_is_asked_about(wrong: float) -> None:
    decoder: Any = OneTokenIsHeard(tiny_decoder("bert"), wrong)
    assert 7 in ids_fed_alone(decoder, (7,))


def test_ids_that_the_decoder_does_not_have_are_passed_over() -> None:
    assert ids_fed_alone(tiny_decoder("roberta"), (-1, 60, 10_000)) == (PAD,)
