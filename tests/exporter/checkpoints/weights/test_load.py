"""A checkpoint's weights: complete or refused by name, and nothing pickled is executed."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from support.tiny.damaged_checkpoint import (
    EMBEDDING,
    GAPS,
    HEAD,
    KEY,
    POSITIONS,
    TOO_MANY,
    WAY_OUT,
    WEIGHTS,
    Weights,
    change_weights,
    load,
    refusal,
    replace_weights,
)


def test_garbage_for_weights(checkpoint: Path) -> None:
    replace_weights(checkpoint, "pytorch_model.bin", b"garbage")
    assert refusal(checkpoint).startswith(
        "the weights cannot be loaded: pytorch_model.bin is no PyTorch file"
    )


def test_missing_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: (w.pop(f"{KEY}.weight"), w.pop(f"{KEY}.bias")))
    assert refusal(checkpoint) == f"{GAPS}: 2 missing: {KEY}.bias, {KEY}.weight"


def test_unexpected_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({"lm.weight": torch.zeros(2), "ctc.bias": torch.zeros(2)}))
    assert refusal(checkpoint) == f"{TOO_MANY}: 2 unexpected: ctc.bias, lm.weight{WAY_OUT}"


def test_misshaped_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({f"{KEY}.weight": torch.zeros(2, 3)}))
    assert refusal(checkpoint) == f"{GAPS}: 1 mis-shaped: {KEY}.weight (file [2, 3], model [16, 16])"


def test_every_wrong_weight_is_named_at_once(checkpoint: Path) -> None:
    change_weights(
        checkpoint,
        lambda w: (
            w.pop(f"{KEY}.bias"),
            w.update({"ctc.weight": torch.zeros(2), f"{KEY}.weight": torch.zeros(3, 3)}),
        ),
    )
    assert refusal(checkpoint) == (
        f"{GAPS}: 1 missing: {KEY}.bias; 1 unexpected: ctc.weight; 1 mis-shaped: {KEY}.weight (file [3, 3], "
        f"model [16, 16]){WAY_OUT}"
    )


def test_a_missing_embedding_is_not_excused_by_the_tie(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.pop(EMBEDDING))
    assert refusal(checkpoint) == f"{GAPS}: 2 missing: {HEAD}, {EMBEDDING}"


def test_a_tied_head_may_be_absent(tiny: Path) -> None:
    assert HEAD not in load_file(tiny / WEIGHTS)
    decoder = load(tiny).model.decoder
    assert decoder.lm_head.weight is decoder.model.decoder.embed_tokens.weight


def test_a_tied_head_may_be_there_as_well(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({HEAD: w[EMBEDDING].clone()}))
    assert torch.equal(
        load(checkpoint).model.decoder.lm_head.weight, load_file(checkpoint / WEIGHTS)[EMBEDDING]
    )


def rename_weight_norm(weights: Weights) -> None:
    """As torch's first weight_norm named its two parts."""
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        weights[f"{POSITIONS}.{old}"] = weights.pop(f"{POSITIONS}.parametrizations.weight.{new}")


def test_old_names_of_weight_norm_are_known(tiny: Path, checkpoint: Path) -> None:
    change_weights(checkpoint, rename_weight_norm)
    assert f"{POSITIONS}.weight_g" in load_file(checkpoint / WEIGHTS)
    ours, wanted = load(checkpoint).model.state_dict(), load(tiny).model.state_dict()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_an_old_name_that_is_missing_is_named(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: (rename_weight_norm(w), w.pop(f"{POSITIONS}.weight_v")))
    assert refusal(checkpoint) == f"{GAPS}: 1 missing: {POSITIONS}.parametrizations.weight.original1"


def test_weights_pickled_by_torch_load(checkpoint: Path) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")
    assert torch.equal(load(checkpoint).model.state_dict()[EMBEDDING], weights[EMBEDDING])
