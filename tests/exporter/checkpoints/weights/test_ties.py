"""A tie that the configuration declares and the file contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny.damaged_checkpoint import EMBEDDING, GAPS, HEAD, change_json, change_weights, load, refusal
from transformers import SpeechEncoderDecoderModel

SAID = (
    f"the configuration ties {HEAD} and {EMBEDDING}, and the file holds them with different values: they are kept "
    "apart, as transformers 5 does it (4 tied them)"
)


def test_both_are_kept_as_transformers_5_does(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({HEAD: w[EMBEDDING] + 1e-3}))
    loaded = load(checkpoint)
    eager = SpeechEncoderDecoderModel.from_pretrained(checkpoint).state_dict()
    ours = loaded.model.state_dict()
    assert all(torch.equal(ours[name], eager[name]) for name in eager)
    assert not torch.equal(ours[HEAD], ours[EMBEDDING])
    assert loaded.origin.notes() == [SAID]
    assert loaded.origin.provenance()["weights"]["checkpoint"] == {"broken_ties": [f"{HEAD} and {EMBEDDING}"]}


def test_equal_values_are_no_contradiction(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({HEAD: w[EMBEDDING].clone()}))
    assert load(checkpoint).origin.notes() == []


def test_an_untied_model_is_none_either(checkpoint: Path) -> None:
    change_json(checkpoint / "config.json", lambda c: c["decoder"].update(tie_word_embeddings=False))
    change_weights(checkpoint, lambda w: w.update({HEAD: w[EMBEDDING] + 1e-3}))
    assert load(checkpoint).origin.notes() == []


@pytest.mark.parametrize("rows", [48, 32])
def test_a_head_of_another_height(checkpoint: Path, rows: int) -> None:
    change_weights(checkpoint, lambda w: w.update({HEAD: torch.ones(rows, 16)}))
    assert refusal(checkpoint) == f"{GAPS}: 1 mis-shaped: {HEAD} (file [{rows}, 16], model [40, 16])"
