"""A short decoding in eager before the export: options with which it fails are said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny.damaged_checkpoint import change_json, load

from exporter.errors import CheckpointError
from exporter.parity.trial import require_generation


def try_with(
    checkpoint: Path, ignored: tuple[str, ...] = (), positions: int | None = 32, **stored: Any
) -> None:
    change_json(checkpoint / "generation_config.json", lambda options: options.update(stored))
    require_generation(
        load(checkpoint),
        min_samples=400,
        max_positions=positions,
        ignored=ignored,
        file="generation_config.json",
    )


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"max_length": 500, "num_beams": 3, "num_return_sequences": 2},
        {"eos_token_id": [400, -1], "pad_token_id": 50257, "suppress_tokens": [400]},
        {"do_sample": True, "num_return_sequences": 3},
    ],
)
def test_what_eager_can_decode_passes(checkpoint: Path, stored: dict[str, Any]) -> None:
    try_with(checkpoint, **stored)


@pytest.mark.parametrize(
    "stored",
    [
        {"bad_words_ids": []},
        {"forced_bos_token_id": 40},
        {"forced_eos_token_id": 40},
        {"bad_words_ids": [[40]]},
    ],
    ids=json.dumps,
)
def test_what_it_cannot_is_said(checkpoint: Path, stored: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        try_with(checkpoint, **stored)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"{checkpoint}: eager PyTorch cannot decode with the options of generation_config.json: "
    )
    assert sentence.endswith("; correct the option, or leave it out with --ignore-generation-option")
    assert "\n" not in sentence
    try_with(checkpoint, ignored=tuple(stored))


def test_a_decoder_of_one_position(checkpoint: Path) -> None:
    try_with(checkpoint, positions=1, forced_eos_token_id=2)
