"""A tokenizer that knows fewer ids than the decoder writes: said with the counts, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny.damaged_checkpoint import change_json, load, save_tiny

from exporter import ExportOptions, export_checkpoint
from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.pipeline.tokenizer_check import tokenizer_remarks

SOME = (
    "the tokenizer knows 31 of the decoder's {size} ids: the others are kept among the tokens and left out of the "
    "text"
)


@pytest.fixture
def loaded(tmp_path: Path) -> Checkpoint:
    save_tiny(tmp_path)
    return load(tmp_path)


def remarks(loaded: Checkpoint, size: int = 40, **languages: int) -> list[str]:
    return tokenizer_remarks(loaded, size, languages)


def test_all_ids_are_known(loaded: Checkpoint) -> None:
    assert remarks(loaded, 31) == remarks(loaded, 20) == []


def test_ids_that_have_no_text(loaded: Checkpoint) -> None:
    assert remarks(loaded) == [SOME.format(size=40)]
    assert remarks(loaded, 250_000) == [
        SOME.format(size=250_000) + "; it looks like another model's: name this model's with --tokenizer"
    ]


@pytest.mark.parametrize(
    ("changes", "languages", "listed"),
    [
        ({"forced_bos_token_id": 35}, {}, "forced_bos_token_id 35"),
        ({"forced_eos_token_id": [36]}, {}, "forced_eos_token_id 36"),
        (
            {"decoder_start_token_id": 39, "forced_bos_token_id": 35},
            {},
            "decoder_start_token_id 39, forced_bos_token_id 35",
        ),
        ({}, {"de": 33}, "language de 33"),
    ],
)
def test_an_id_that_decoding_forces(
    loaded: Checkpoint, changes: dict[str, Any], languages: dict[str, int], listed: str
) -> None:
    for name, value in changes.items():
        setattr(loaded.model.generation_config, name, value)
    with pytest.raises(CheckpointError) as caught:
        remarks(loaded, **languages)
    assert str(caught.value) == (
        f"{loaded.files.source}: the tokenizer knows 31 of the decoder's 40 ids, and not those that decoding forces "
        f"({listed}), so it is another model's: name this model's with --tokenizer"
    )


def test_an_export_says_it_before_any_graph(tmp_path: Path) -> None:
    save_tiny(tmp_path / "checkpoint")
    change_json(
        tmp_path / "checkpoint" / "generation_config.json", lambda c: c.update(forced_bos_token_id=35)
    )
    stages: list[str] = []
    with pytest.raises(CheckpointError, match="it is another model's"):
        export_checkpoint(
            str(tmp_path / "checkpoint"), ExportOptions(tmp_path / "bundle"), on_stage=stages.append
        )
    assert stages == ["read configuration", "load checkpoint"]
