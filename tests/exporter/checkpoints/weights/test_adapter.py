"""An adapter beside whole weights is merged with peft, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny.damaged_checkpoint import load, refusal
from transformers import SpeechEncoderDecoderModel

peft = pytest.importorskip("peft")
ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def merged(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Puts a LoRA adapter beside the weights; gives what peft itself makes of both."""
    generator = torch.Generator().manual_seed(0)
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    adapted = peft.get_peft_model(SpeechEncoderDecoderModel.from_pretrained(checkpoint), settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=generator)
    adapted.save_pretrained(checkpoint)
    return dict(adapted.merge_and_unload().state_dict())


def test_the_weights_are_those_that_peft_merges(
    tiny: Path, checkpoint: Path, merged: dict[str, torch.Tensor]
) -> None:
    loaded = load(checkpoint)
    ours, base = loaded.model.state_dict(), load(tiny).model.state_dict()
    assert ours.keys() == merged.keys() == base.keys()
    assert all(torch.equal(ours[name], merged[name]) for name in ours)
    assert not all(torch.equal(ours[name], base[name]) for name in ours)
    (note,) = loaded.origin.notes()
    assert note == (
        f"the adapter beside the weights (adapter_config.json, {ADAPTER}) was merged into them with peft "
        f"{peft.__version__}, as transformers loads it where peft is installed"
    )


@pytest.mark.usefixtures("merged")
def test_an_adapter_of_another_model(checkpoint: Path) -> None:
    weights = load_file(checkpoint / ADAPTER)
    weights["base_model.model.decoder.nowhere.q_proj.lora_A.weight"] = torch.zeros(4, 16)
    save_file(weights, checkpoint / ADAPTER)
    assert refusal(checkpoint) == (
        "1 weights of the adapter have no place in the model, such as base_model.model.decoder.nowhere.q_proj.lora_A."
        "weight: it belongs to another one"
    )


@pytest.mark.usefixtures("merged")
def test_an_adapter_that_cannot_be_read(checkpoint: Path) -> None:
    (checkpoint / ADAPTER).write_bytes(b"x" * 100)
    assert refusal(checkpoint).startswith("the adapter cannot be loaded: ")
