"""A checkpoint whose weights are Flax's alone: loaded whole, exported, or refused by what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import soundfile
import torch
from support.older.flax_files import FLAX, flax_arrays, write_flax
from support.tiny.damaged_checkpoint import WEIGHTS, load, refusal
from support.tiny.models import Pair, checkpoint_directory

import s2t_runtime
from exporter import ExportOptions, export_checkpoint

Once = Callable[[str, Callable[[Path], None]], Path]
SAID = "the weights are Flax's, converted by name and shape"


def as_flax(once: Once, tmp_path: Path, decoder: str) -> tuple[Path, Path]:
    """The checkpoint in torch's form, and a copy with nothing but Flax's file."""
    whole = checkpoint_directory(once, Pair("wav2vec2-layer", decoder))
    path = Path(shutil.copytree(whole, tmp_path / "flax"))
    (path / WEIGHTS).unlink()
    write_flax(path, flax_arrays(load(whole).model))
    return whole, path


@pytest.mark.parametrize("decoder", ["bart", "gpt2"])
def test_the_weights_are_those_of_the_model(once: Once, tmp_path: Path, decoder: str) -> None:
    whole, path = as_flax(once, tmp_path, decoder)
    loaded, wanted = load(path), load(whole).model.state_dict()
    ours = loaded.model.state_dict()
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    assert loaded.origin.notes() == [SAID]
    assert loaded.origin.provenance()["weights"] == {"checkpoint": {"form": "flax"}}


def test_safetensors_win(once: Once, tmp_path: Path) -> None:
    whole, path = as_flax(once, tmp_path, "bart")
    shutil.copy(whole / WEIGHTS, path)
    (path / FLAX).write_bytes(b"not looked at")
    assert load(path).origin.notes() == []


def test_positions_of_robertas_family_are_moved_and_it_is_said(once: Once, tmp_path: Path) -> None:
    _, path = as_flax(once, tmp_path, "roberta")
    name = "decoder.roberta.embeddings.position_embeddings.weight"
    moved = (
        f"Flax counts positions from 0 and PyTorch from behind the padding id: {name} was moved accordingly"
    )
    assert load(path).origin.notes() == [moved, SAID]


def test_a_start_token_that_is_the_padding(once: Once, tmp_path: Path) -> None:
    _, path = as_flax(once, tmp_path, "roberta")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config["decoder_start_token_id"] = config["decoder"]["pad_token_id"]
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert refusal(path) == (
        f"decoder_start_token_id {config['decoder_start_token_id']} is pad_token_id too, and PyTorch gives padding a "
        "position of its own, where Flax gives none: no table of positions gives both; name another start token"
    )


@pytest.mark.parametrize("part", ["FlaxBartDecoderLayers", "qkv_proj", "fused_proj"])
def test_weights_of_code_of_the_checkpoints_own(once: Once, tmp_path: Path, part: str) -> None:
    _, path = as_flax(once, tmp_path, "bart")
    leaf = msgpack.ExtType(1, msgpack.packb(((2,), "float32", b"\0" * 8)))
    (path / FLAX).write_bytes(msgpack.packb({"decoder": {"model": {part: {"kernel": leaf}}}}))
    assert refusal(path) == (
        f"the Flax weights are those of code of the checkpoint's own ({part}), which computes several layers or "
        "products at once: save it with the Flax class of transformers 4, unrolled"
    )


def test_a_missing_weight_is_named(once: Once, tmp_path: Path) -> None:
    whole, path = as_flax(once, tmp_path, "bart")
    arrays = flax_arrays(load(whole).model)
    del arrays["encoder", "feature_projection", "projection", "kernel"]
    write_flax(path, arrays)
    assert refusal(path).endswith(": 1 missing: encoder.feature_projection.projection.weight")


@pytest.mark.broad
def test_a_bundle_decodes_as_the_converted_model_does(old_checkpoints: Path, tmp_path: Path) -> None:
    source = old_checkpoints / "flax-bart-tiny"
    result = export_checkpoint(str(source), ExportOptions(tmp_path / "bundle"))
    assert SAID in result.notes
    loaded = load(source)
    with s2t_runtime.load(tmp_path / "bundle") as model:
        for name in ("noise_0.wav", "noise_1.wav"):
            samples, _ = soundfile.read(source / name, dtype="float32")
            features = loaded.extractor(samples, sampling_rate=16000, return_tensors="pt")
            wanted = loaded.model.generate(**features, num_beams=3, max_new_tokens=12)[0].tolist()
            assert (
                list(model.generate(str(source / name), num_beams=3, max_new_tokens=12).hypotheses[0].tokens)
                == wanted
            )
    assert not (source / WEIGHTS).exists()
