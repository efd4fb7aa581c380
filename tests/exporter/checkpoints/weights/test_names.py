"""Weights saved inside a wrapper: their names without it, or one short sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.tiny.damaged_checkpoint import (
    WEIGHTS,
    Weights,
    change_json,
    change_weights,
    load,
    refusal,
    replace_weights,
)

REMOVED = {
    "_orig_mod.": ["_orig_mod."],
    "module.": ["module."],
    "base_model.model.": ["base_model.model."],
    "model.": ["model."],
    "_orig_mod.module.": ["_orig_mod.", "module."],
    "module._orig_mod.": ["_orig_mod.", "module."],
    "_fsdp_wrapped_module.": ["_fsdp_wrapped_module."],
}
"""What stands in front of names -> what is said to have been taken away."""


def put_before(weights: Weights, prefix: str, part: str = "") -> None:
    for name in [name for name in weights if name.startswith(part)]:
        weights[f"{part}{prefix}{name.removeprefix(part)}"] = weights.pop(name)


def is_tiny(path: Path, tiny: Path) -> bool:
    ours, wanted = load(path).model.state_dict(), load(tiny).model.state_dict()
    return all(torch.equal(ours[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("prefix", REMOVED)
def test_a_prefix_of_all_names_is_taken_away(tiny: Path, checkpoint: Path, prefix: str) -> None:
    change_weights(checkpoint, lambda w: put_before(w, prefix))
    assert is_tiny(checkpoint, tiny)
    origin = load(checkpoint).origin
    (note,) = origin.notes()
    assert note.startswith("the weights were saved inside a wrapper: '")
    removed = origin.provenance()["weights"]["checkpoint"]["removed_from_names"]
    assert sorted(removed) == REMOVED[prefix]


def test_a_half_that_was_compiled_alone(tiny: Path, checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: put_before(w, "_orig_mod.", "encoder."))
    assert is_tiny(checkpoint, tiny)


def test_a_prefix_that_nobody_knows_is_one_short_sentence(checkpoint: Path) -> None:
    names = len(load_file(checkpoint / WEIGHTS))
    change_weights(checkpoint, lambda w: put_before(w, "my_system.speech."))
    message = refusal(checkpoint)
    assert message == (
        f"none of the {names} weights has a name that the model knows: the file has my_system.speech.decoder.model."
        "decoder.embed_positions.weight, the model decoder.model.decoder.embed_positions.weight; save the "
        "SpeechEncoderDecoderModel itself with save_pretrained()"
    )


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_under_a_key_of_the_trainers(tiny: Path, checkpoint: Path, key: str) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    torch.save({key: weights, "epoch": 3, "step": torch.tensor(7)}, checkpoint / "pytorch_model.bin")
    assert is_tiny(checkpoint, tiny)
    assert load(checkpoint).origin.notes() == [
        f"the weights were saved inside a wrapper: the key {key!r} taken away"
    ]


def test_a_key_and_a_prefix(tiny: Path, checkpoint: Path) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    put_before(weights, "model.")
    (checkpoint / WEIGHTS).unlink()
    torch.save({"state_dict": weights}, checkpoint / "pytorch_model.bin")
    assert is_tiny(checkpoint, tiny)


def test_a_file_without_tensors(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    torch.save({"epoch": 3, "loss": 1.5}, checkpoint / "pytorch_model.bin")
    assert refusal(checkpoint) == (
        "the weights hold no tensors, but epoch, loss: save the model again with save_pretrained()"
    )


def test_a_file_of_torch_before_1_6(tiny: Path, checkpoint: Path) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert is_tiny(checkpoint, tiny)


def test_an_adapter_that_is_not_merged(checkpoint: Path) -> None:
    def wrap(weights: Weights) -> None:
        for name in [name for name in weights if name.endswith("k_proj.weight")]:
            path = name.removesuffix(".weight")
            weights[f"{path}.base_layer.weight"] = weights.pop(name)
            weights[f"{path}.lora_A.default.weight"] = torch.zeros(4, 16)

    change_weights(checkpoint, wrap)
    message = refusal(checkpoint)
    assert message.startswith(
        "the weights hold an adapter that is not merged (decoder.model.decoder.layers.0."
    )
    assert message.endswith("): call merge_and_unload() on the peft model, then save_pretrained()")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_said(checkpoint: Path, dtype: torch.dtype) -> None:
    name = str(dtype).removeprefix("torch.")
    change_weights(checkpoint, lambda w: w.update({key: value.to(dtype) for key, value in w.items()}))
    change_json(checkpoint / "config.json", lambda c: c.update(dtype=name))
    loaded = load(checkpoint)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.origin.notes() == [
        f"the weights are stored in {name} and exported in float32, which holds them exactly; transformers' own "
        f"default would compute in {name}"
    ]


def test_what_is_pickled_is_still_not_executed(checkpoint: Path) -> None:
    replace_weights(checkpoint, "pytorch_model.bin", b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    assert refusal(checkpoint).startswith(
        "the weights cannot be loaded: pytorch_model.bin is no PyTorch file, or it"
    )
