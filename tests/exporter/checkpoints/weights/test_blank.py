"""Values of config.json that transformers' classes cannot be built with: a sentence, before weights are fetched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny.damaged_checkpoint import WEIGHTS, change_json, load
from support.tiny.pairs import save_decoder, save_encoder
from transformers import AutoModelForCausalLM

from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.pair import load_pair
from exporter.checkpoints.random_weights import make_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError

Once = Callable[[str, Callable[[Path], None]], Path]

UNBUILDABLE = [
    ("decoder", {"activation_function": "gelu_custom"}, "gelu_custom"),
    ("encoder", {"hidden_act": "swish_custom"}, "swish_custom"),
    ("decoder", {"decoder_attention_heads": 3}, "embed_dim must be divisible by num_heads"),
    ("encoder", {"num_attention_heads": 5}, "embed_dim must be divisible by num_heads"),
]


def says(directory: Path, shown: str) -> Any:
    return pytest.raises(
        CheckpointError,
        match=rf"^.*{directory.name}/config\.json: no model can be built with these values: .*{shown}",
    )


@pytest.mark.parametrize(("part", "change", "shown"), UNBUILDABLE)
def test_a_checkpoint(checkpoint: Path, part: str, change: dict[str, Any], shown: str) -> None:
    change_json(checkpoint / "config.json", lambda config: config[part].update(change))
    (checkpoint / WEIGHTS).write_bytes(b"never read")
    with says(checkpoint, shown):
        load(checkpoint)


@pytest.mark.parametrize(("part", "change", "shown"), UNBUILDABLE)
def test_random_weights(checkpoint: Path, part: str, change: dict[str, Any], shown: str) -> None:
    change_json(checkpoint / "config.json", lambda config: config[part].update(change))
    with says(checkpoint, shown):
        make_checkpoint(locate_checkpoint(str(checkpoint)), 0)


@pytest.fixture
def halves(once: Once, tmp_path: Path) -> dict[str, Path]:
    def mbart(path: Path) -> None:
        save_decoder(path, "mbart", AutoModelForCausalLM)

    saved = {"encoder": once("half-wav2vec2", save_encoder), "decoder": once("half-mbart-causal", mbart)}
    return {role: Path(shutil.copytree(path, tmp_path / role)) for role, path in saved.items()}


@pytest.mark.parametrize(("part", "change", "shown"), UNBUILDABLE)
def test_a_half_of_a_pair(halves: dict[str, Path], part: str, change: dict[str, Any], shown: str) -> None:
    change_json(halves[part] / "config.json", lambda config: config.update(change))
    (halves[part] / WEIGHTS).write_bytes(b"never read")
    with says(halves[part], shown):
        load_pair(*(locate_checkpoint(str(path)) for path in halves.values()), 0, LoadOptions())
