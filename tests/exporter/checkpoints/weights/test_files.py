"""Files of weights that are not what they should be: each is called what it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny.damaged_checkpoint import EMBEDDING, WEIGHTS, load, refusal, replace_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 3174000000\n"
IS_POINTER = (
    " is a Git LFS pointer and not the file itself: run `git lfs pull` there, or fetch the model with "
    "`hf download`"
)
PICKLED = "pytorch_model.bin"


@pytest.mark.parametrize("name", [WEIGHTS, PICKLED])
def test_a_git_lfs_pointer(checkpoint: Path, name: str) -> None:
    replace_weights(checkpoint, name, POINTER)
    assert refusal(checkpoint) == f"{name}{IS_POINTER}"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model"])
def test_a_pointer_for_a_tokenizer(checkpoint: Path, name: str) -> None:
    (checkpoint / name).write_bytes(POINTER)
    assert refusal(checkpoint) == f"the tokenizer cannot be read: {name}{IS_POINTER}"


def test_a_pointer_for_the_configuration(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(POINTER)
    assert refusal(checkpoint) == f"config.json{IS_POINTER}"


def test_a_pointer_for_the_feature_extractor(checkpoint: Path) -> None:
    (checkpoint / "preprocessor_config.json").write_bytes(POINTER)
    assert (
        refusal(checkpoint) == f"the feature extractor cannot be read: preprocessor_config.json{IS_POINTER}"
    )


@pytest.mark.parametrize("name", [WEIGHTS, PICKLED])
def test_a_file_that_is_compressed(checkpoint: Path, name: str) -> None:
    replace_weights(checkpoint, name, gzip.compress((checkpoint / WEIGHTS).read_bytes()))
    assert refusal(checkpoint) == f"{name} is compressed with gzip: unpack it (gunzip)"


@pytest.mark.parametrize("name", [WEIGHTS, PICKLED])
def test_a_web_page(checkpoint: Path, name: str) -> None:
    replace_weights(checkpoint, name, b"\n<!DOCTYPE html><html><head><title>429 Too many requests</title>")
    assert refusal(checkpoint) == f"{name} is a web page, as a failed download leaves it: fetch it again"


@pytest.mark.parametrize("name", [WEIGHTS, PICKLED])
def test_an_empty_file(checkpoint: Path, name: str) -> None:
    replace_weights(checkpoint, name, b"")
    assert refusal(checkpoint) == f"{name} is empty (0 bytes): fetch it again"


@pytest.mark.parametrize("less", [4, 20_000, 60_000])
def test_safetensors_cut_off(checkpoint: Path, less: int) -> None:
    whole = (checkpoint / WEIGHTS).read_bytes()
    replace_weights(checkpoint, WEIGHTS, whole[:-less])
    message = refusal(checkpoint)
    assert message.startswith(f"{WEIGHTS} is cut off after {len(whole) - less} of ")
    assert message.endswith(" bytes: fetch it again")


@pytest.mark.parametrize("data", [b"x" * 7, b"x" * 500, b"\x05" + b"\0" * 7 + b"[1,2]"])
def test_what_is_no_safetensors(checkpoint: Path, data: bytes) -> None:
    replace_weights(checkpoint, WEIGHTS, data)
    assert refusal(checkpoint) == f"{WEIGHTS} is no safetensors file: fetch it again, or save the model again"


def test_a_pickled_file_cut_off(checkpoint: Path) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    torch.save(weights, checkpoint / PICKLED)
    data = (checkpoint / PICKLED).read_bytes()[:-2000]
    (checkpoint / PICKLED).write_bytes(data)
    assert refusal(checkpoint) == f"{PICKLED} is cut off after {len(data)} bytes: fetch it again"


def shards(checkpoint: Path) -> list[str]:
    """The weights in two files and their index."""
    weights = sorted(load_file(checkpoint / WEIGHTS).items())
    (checkpoint / WEIGHTS).unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    places = {}
    for number, name in enumerate(names):
        part = dict(weights[number::2])
        save_file(part, checkpoint / name, metadata={"format": "pt"})
        places |= dict.fromkeys(part, name)
    (checkpoint / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return names


def test_shards(tiny: Path, checkpoint: Path) -> None:
    shards(checkpoint)
    assert torch.equal(
        load(checkpoint).model.state_dict()[EMBEDDING], load(tiny).model.state_dict()[EMBEDDING]
    )


def test_a_shard_that_is_not_there(checkpoint: Path) -> None:
    _, last = shards(checkpoint)
    (checkpoint / last).unlink()
    assert refusal(checkpoint) == (
        f"{WEIGHTS}.index.json names 2 shards, and {last} is not there: fetch them too"
    )


def test_a_shard_cut_off(checkpoint: Path) -> None:
    _, last = shards(checkpoint)
    (checkpoint / last).write_bytes((checkpoint / last).read_bytes()[:-10])
    assert refusal(checkpoint).startswith(f"{last} is cut off after ")


def test_shards_without_their_index(checkpoint: Path) -> None:
    first, _ = shards(checkpoint)
    (checkpoint / f"{WEIGHTS}.index.json").unlink()
    assert refusal(checkpoint) == (
        f" is incomplete: no weights (model.safetensors or pytorch_model.bin); {first} is a shard, and the index "
        f"{WEIGHTS}.index.json is not there: fetch it too, or save the model again"
    )


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none(checkpoint: Path, text: str) -> None:
    replace_weights(checkpoint, f"{WEIGHTS}.index.json", text.encode())
    message = refusal(checkpoint)
    assert message.startswith(f"{WEIGHTS}.index.json cannot be read as an index of weights (")
    assert message.endswith("): fetch it again")


STRANGE = {
    "tf_model.h5": "TensorFlow weights: load it with transformers 4 and from_tf=True, then save_pretrained()",
    "model.ckpt.index": "TensorFlow weights: load it with transformers 4 and from_tf=True, then save_pretrained()",
    "pytorch_model_fsdp.bin": "an FSDP checkpoint in parts: join them with `accelerate merge-weights`",
    "__0_0.distcp": "an FSDP checkpoint in parts: join them with `accelerate merge-weights`",
    "model.gguf": "GGUF weights: start from the weights that they were made from",
    "model.onnx": "graphs and no weights: start from the checkpoint that they were made from",
    "speech.nemo": "another framework's weights: load them in transformers, then save_pretrained()",
    "epoch=3.ckpt": "another framework's weights: load them in transformers, then save_pretrained()",
    **dict.fromkeys(
        ["model.pt", "consolidated.safetensors", "model.safetensors.gz", "pytorch_model.safetensors"],
        "weights under another name: rename it to model.safetensors (safetensors) or pytorch_model.bin (PyTorch), "
        "uncompressed, if it holds the whole model",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_weights_in_another_form(checkpoint: Path, name: str) -> None:
    (checkpoint / WEIGHTS).rename(checkpoint / name)
    (checkpoint / "training_args.bin").write_bytes(b"not weights")
    (checkpoint / "optimizer.pt").write_bytes(b"nor these")
    assert refusal(checkpoint) == (
        f" is incomplete: no weights (model.safetensors or pytorch_model.bin); {name} holds {STRANGE[name]}"
    )


@pytest.mark.parametrize("name", ["global_step500", "zero_to_fp32.py"])
def test_a_checkpoint_of_deepspeed(checkpoint: Path, name: str) -> None:
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / name).mkdir()
    (checkpoint / "training_args.bin").write_bytes(b"not weights")
    assert refusal(checkpoint).endswith(
        f"; {name} holds a DeepSpeed ZeRO checkpoint: run its zero_to_fp32.py, which writes pytorch_model.bin"
    )


def test_what_a_trainer_leaves_beside_is_no_weights(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "rng_state_0.pth"):
        (checkpoint / name).write_bytes(b"x")
    assert refusal(checkpoint) == " is incomplete: no weights (model.safetensors or pytorch_model.bin)"
