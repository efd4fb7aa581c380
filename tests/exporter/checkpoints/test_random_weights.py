"""A configuration alone: its exact geometry, weights under which faults show, and companions made where none are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.places import ROOT
from support.tiny.pairs import decoder_config, encoder_config, tokenizer
from transformers import (
    SeamlessM4TFeatureExtractor,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
)

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.companions.neutral import neutral_extractor, neutral_tokenizer
from exporter.checkpoints.random_weights import make_checkpoint, random_model
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError


def config(decoder: str = "mbart", **encoder: Any) -> SpeechEncoderDecoderConfig:
    roles = {"is_decoder": True, "add_cross_attention": True}
    return SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder_config(**encoder), decoder_config(decoder, **roles), decoder_start_token_id=2
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration and nothing else."""
    (tmp_path / "geometry").mkdir()
    config().save_pretrained(tmp_path / "geometry")
    return tmp_path / "geometry"


def make(directory: Path, seed: int = 0, **options: Any) -> Checkpoint:
    return make_checkpoint(locate_checkpoint(str(directory)), seed, **options)


# The model.


@pytest.mark.parametrize("decoder", ["mbart", "bert", "gpt2", "marian"])
def test_the_geometry_is_that_of_the_configuration(decoder: str) -> None:
    wanted = SpeechEncoderDecoderModel(config=config(decoder))
    made = random_model(config(decoder), 0)
    shapes = {name: tuple(value.shape) for name, value in wanted.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == shapes
    assert {value.dtype for value in made.parameters()} == {torch.float32}
    assert all(bool(torch.isfinite(value).all()) for value in made.state_dict().values())
    # Tables that are computed are not drawn.
    buffers = dict(wanted.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in made.named_buffers())
    # What is tied is tied here as well.
    ours, theirs = (
        model.decoder.get_output_embeddings().weight is model.decoder.get_input_embeddings().weight
        for model in (made, wanted)
    )
    assert ours == theirs
    assert not made.training


def test_no_parameter_is_left_as_it_was() -> None:
    made = random_model(config(), 0)
    assert [
        name for name, value in made.named_parameters() if value.numel() > 1 and float(value.std()) == 0
    ] == []


def test_the_seed_decides() -> None:
    first, again, other = (random_model(config(), seed).state_dict() for seed in (5, 5, 6))
    drawn = [name for name, _ in random_model(config(), 5).named_parameters()]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert [name for name in drawn if torch.equal(first[name], other[name])] == []


def test_a_weight_does_not_depend_on_the_others() -> None:
    """So that a deeper model begins with the same layers."""
    short, deep = (random_model(config(num_hidden_layers=layers), 0).state_dict() for layers in (2, 3))
    assert all(torch.equal(value, deep[name]) for name, value in short.items())


def test_the_configurations_own_dtype_is_not_kept() -> None:
    half = config()
    for one in (half, half.encoder, half.decoder):
        one.dtype = torch.float16
    assert {value.dtype for value in random_model(half, 0).parameters()} == {torch.float32}


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    random_model(config(), 0)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("decoder", ["mbart", "bert", "gpt2"])
def test_logits_spread_and_depend_on_audio_and_tokens(decoder: str) -> None:
    """At a depth where transformers' own initialisation leaves logits within a third of a nat of each other."""
    depth = {"gpt2": {"n_layer": 12}, "bert": {"num_hidden_layers": 12}}.get(
        decoder, {"encoder_layers": 12, "decoder_layers": 12}
    )
    wide = {"gpt2": {"n_embd": 64}, "bert": {"hidden_size": 64}}.get(decoder, {"d_model": 64})
    roles = {"is_decoder": True, "add_cross_attention": True}
    deep = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder_config(num_hidden_layers=12, hidden_size=64),
        decoder_config(decoder, **depth, **wide, **roles),
    )
    model = random_model(deep, 0)
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn((2, 4000), generator=generator)
    tokens = torch.randint(5, 60, (1, 8), generator=generator).expand(2, -1)
    with torch.no_grad():
        logits = model(audio, decoder_input_ids=tokens).logits
    spread = float(logits.std(-1).mean())
    assert 1.5 < spread < 6
    assert float((logits[0] - logits[1]).std()) > 0.05 * spread
    assert float((logits[:, 5] - logits[:, 6]).std()) > 0.05 * spread
    # A choice that were certain would be the same whatever is wrong: tied logits would name the last token.
    assert float(logits.log_softmax(-1).max(-1).values.mean()) < -0.4
    assert float((logits.argmax(-1) == tokens).float().mean()) < 0.5


# The companions.


def test_what_is_not_there_is_made_and_recorded(directory: Path) -> None:
    made = make(directory, 3)
    assert made.origin.provenance() == {
        "source": {"kind": "random_weights", "configuration": {"id": "geometry", "revision": None}},
        "untrained": ["*"],
        "seed": 3,
        "neutral": ["feature_extractor", "tokenizer"],
    }
    assert made.origin.model_id == "geometry (random weights)"
    assert made.origin.notes() == [
        "all weights are random numbers (seed 3): latency and memory are those of the configuration, the text means "
        "nothing",
        "there is no feature extractor and no tokenizer beside the configuration: neutral ones were made",
    ]
    assert type(made.extractor) is Wav2Vec2FeatureExtractor
    assert len(made.tokenizer) == 60
    generation = made.model.generation_config
    assert (generation.decoder_start_token_id, generation.pad_token_id, generation.eos_token_id) == (2, 1, 2)


def test_what_is_there_is_used(directory: Path) -> None:
    Wav2Vec2FeatureExtractor(sampling_rate=8000, return_attention_mask=False).save_pretrained(directory)
    tokenizer(bos_token="<s>", pad_token="<pad>", eos_token="</s>").save_pretrained(directory)  # noqa: S106
    (directory / "generation_config.json").write_text('{"num_beams": 6}', encoding="utf-8")
    made = make(directory)
    assert made.origin.neutral == ()
    assert made.extractor.sampling_rate == 8000
    assert made.tokenizer.convert_ids_to_tokens(3) == "[CLS]"
    assert made.model.generation_config.num_beams == 6


def test_weights_that_are_there_are_not_read(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"not weights")
    make(directory)


@pytest.mark.parametrize("kind", ["mbart", "gpt2"])
def test_neutral_words_are_the_ids(kind: str) -> None:
    shared = (
        {"bos_token": 2, "eos_token": 2}
        if kind == "gpt2"
        else {"bos_token": 0, "pad_token": 1, "eos_token": 2}
    )
    made = neutral_tokenizer(60, {**shared, "unk_token": 99})
    assert made.get_vocab().keys() >= {"▁59", "▁7"}
    assert sorted(made.get_vocab().values()) == list(range(60))
    assert made.decode([2, 7, 59, 12], skip_special_tokens=True) == "7 59 12"
    assert made.eos_token_id == 2
    assert made.bos_token_id == shared["bos_token"]
    assert made.unk_token_id is None


def test_the_neutral_extractor_is_that_of_the_encoders_family() -> None:
    assert neutral_extractor(Wav2Vec2Config(feat_extract_norm="layer")).return_attention_mask
    assert not neutral_extractor(Wav2Vec2Config(feat_extract_norm="group")).return_attention_mask
    from transformers import Wav2Vec2BertConfig

    made = neutral_extractor(Wav2Vec2BertConfig())
    assert type(made) is SeamlessM4TFeatureExtractor
    features = made([np.zeros(16000, np.float32)], sampling_rate=16000)["input_features"][0]
    assert features.shape[-1] == Wav2Vec2BertConfig().feature_projection_input_dim


# What is refused.


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json: give a directory"):
        make(tmp_path)


def test_what_cannot_be_exported_is_refused_before_it_is_built(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.checkpoints.random_weights.random_model", pytest.fail)
    path = directory / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["decoder"]["encoder_layers"] = 0
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=r"decoder\.encoder_layers is 0"):
        make(directory)


def test_no_token_to_begin_with(directory: Path) -> None:
    path = directory / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for half in (document, document["decoder"]):
        half.update(decoder_start_token_id=None, bos_token_id=None)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"geometry names no decoder_start_token_id \(the token that"):
        make(directory)


# Memory.

MEASURE = """
import sys
sys.path.insert(0, "tests")
import gc, resource
from support.tiny.pairs import decoder_config, encoder_config
from transformers import SpeechEncoderDecoderConfig
from exporter.checkpoints.random_weights import random_model
roles = {"is_decoder": True, "add_cross_attention": True}
def config(**sizes):
    return SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder_config(), decoder_config("mbart", **roles, **sizes))
random_model(config(), 0)
gc.collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = random_model(config(d_model=256, decoder_ffn_dim=4096, decoder_layers=48, encoder_layers=48,
                            decoder_attention_heads=4), 0)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(value.numel() * 4 for value in model.parameters())
print(size, (after - before) * 1024)
"""


def test_the_weights_are_in_memory_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    size, grown = (int(number) for number in done.stdout.split())
    assert size > 400e6
    assert grown < 1.2 * size


def test_the_generation_options_of_config_json_are_those_of_the_loaded_model(directory: Path) -> None:
    """As transformers 4 saved them: on the top, and in the decoder's half."""
    document = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    document.update(num_beams=5, max_length=30)
    document["decoder"].update(no_repeat_ngram_size=3, forced_eos_token_id=2, num_beams=4)
    (directory / "config.json").write_text(json.dumps(document), encoding="utf-8")
    found = make(directory).model.generation_config.to_dict()
    SpeechEncoderDecoderModel(config=config()).save_pretrained(directory / "saved")
    (directory / "saved" / "generation_config.json").unlink(missing_ok=True)
    (directory / "saved" / "config.json").write_text(json.dumps(document), encoding="utf-8")
    eager = SpeechEncoderDecoderModel.from_pretrained(directory / "saved").generation_config.to_dict()
    assert (found["num_beams"], found["max_length"], found["no_repeat_ngram_size"]) == (5, 30, 3)
    assert found == eager
