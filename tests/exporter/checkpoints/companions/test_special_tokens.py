"""Start, padding and end token: from the options, the configuration and the tokenizer, or a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny.pairs import decoder_config, tokenizer
from transformers import GenerationConfig

from exporter.checkpoints.companions.special_tokens import with_special_tokens
from exporter.errors import CheckpointError

BERT = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "<pad>"}
GPT2 = {"bos_token": "</s>", "eos_token": "</s>"}
BART = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "sep_token": "</s>",
}


def chosen(kind: str, roles: dict[str, str], options: dict[str, Any], **config: Any) -> tuple[Any, Any, Any]:
    found = with_special_tokens(
        GenerationConfig(**options), decoder_config(kind, **config), tokenizer(**roles), "some/decoder"
    )
    return found.decoder_start_token_id, found.pad_token_id, found.eos_token_id


@pytest.mark.parametrize(
    ("kind", "roles", "options", "expected"),
    [
        # BERT begins with [CLS] and ends with [SEP].
        ("bert", BERT, {}, (3, 1, 4)),
        # GPT-2 has one special token for everything.
        ("gpt2", GPT2, {"bos_token_id": 2, "eos_token_id": 2}, (2, 2, 2)),
        # BART begins with its end token, which its configuration says.
        ("mbart", BART, {}, (2, 1, 2)),
        # What generation_config.json says goes before all else; the first of several ends pads.
        ("mbart", BART, {"decoder_start_token_id": 9, "eos_token_id": [7, 8]}, (9, 1, [7, 8])),
        ("gpt2", GPT2, {"eos_token_id": [7, 8]}, (2, 7, [7, 8])),
        # A tokenizer's padding is the one that the model was trained with.
        ("bert", BERT, {"pad_token_id": 0}, (3, 1, 4)),
        ("bert", {"cls_token": "[CLS]", "sep_token": "[SEP]"}, {"pad_token_id": 0}, (3, 0, 4)),
    ],
)
def test_what_is_chosen(
    kind: str, roles: dict[str, str], options: dict[str, Any], expected: tuple[Any, Any, Any]
) -> None:
    assert chosen(kind, roles, options) == expected


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ({"sep_token": "[SEP]"}, "decoder_start_token_id (the token that decoding begins with)"),
        ({"cls_token": "[CLS]"}, "eos_token_id (the token that ends a text)"),
        (
            {"pad_token": "<pad>"},
            "decoder_start_token_id (the token that decoding begins with) and no eos_token_id (the token that ends a "
            "text)",
        ),
    ],
)
def test_what_nobody_knows_is_refused(roles: dict[str, str], missing: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        chosen("bert", roles, {})
    assert str(caught.value) == (
        f"some/decoder names no {missing}, neither in generation_config.json nor in config.json nor in the "
        "tokenizer: write it into generation_config.json"
    )
