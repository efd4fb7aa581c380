"""Flax's weights in torch's model: every one in its place, turned as it must be, and what has none still named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from support.older.flax_files import Flat, flax_arrays, write_flax, write_shards
from support.places import ROOT
from support.tiny.models import tiny_model
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, SpeechEncoderDecoderModel
from transformers.pytorch_utils import Conv1D

from exporter.checkpoints.weights.flax_files import read_flax
from exporter.checkpoints.weights.flax_names import move_positions, torch_state

ENCODER = "wav2vec2-stable-adapter"
"""The kind of encoder that Flax has."""
WIDTH = 24
"""Of the encoder, so that there is an enc_to_dec_proj."""
CAUSAL = ("bart", "bert", "electra", "gpt2", "roberta", "roberta-prelayernorm", "xglm", "xlm-roberta")
"""Decoders that a FlaxSpeechEncoderDecoderModel can have."""
HALVES = ("blenderbot", "blenderbot-small", "marian", "mbart", "pegasus")
"""Decoders that Flax has within sequence-to-sequence models alone, without a class of their own."""
UNTIED = ("bart-scaled-untied", "bert-untied", "gpt2-unscaled-untied", "xglm-unscaled-untied")


def flax_model(decoder: str) -> Any:
    """A model as Flax can have it: the head of BERT's family has one bias, by two names in torch."""
    model = tiny_model(ENCODER, decoder, WIDTH)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        first = parameters.get(f"{name.removesuffix('.decoder.bias')}.bias")
        if name.endswith(".decoder.bias") and first is not None:
            first.data = parameter.data.clone()
    return model


def empty_like(config: Any) -> Any:
    with torch.device("meta"):
        return SpeechEncoderDecoderModel(config=copy.deepcopy(config))


def loaded(config: Any, flat: Flat) -> Any:
    """The model with these weights; every one has found its place, and every place that is not computed its weight."""
    model, info = SpeechEncoderDecoderModel.from_pretrained(
        None,
        config=copy.deepcopy(config),
        state_dict=torch_state(flat, empty_like(config)),
        output_loading_info=True,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
    )
    assert info["missing_keys"] == computed(model)
    assert not info["unexpected_keys"] | set(info["mismatched_keys"])
    return model.eval()


def computed(model: nn.Module) -> set[str]:
    """Tables of positions that Flax computes and does not save; torch computes them as well, as it loads."""
    tables = [name for name, module in model.named_modules() if "Sinusoidal" in type(module).__name__]
    return {f"{name}.weight" for name in tables} & model.state_dict().keys()


def differing(model: Any, wanted: Any) -> list[str]:
    found = model.state_dict()
    assert found.keys() == wanted.state_dict().keys()
    return [
        name
        for name, value in wanted.state_dict().items()
        if name not in computed(model) and not torch.equal(found[name], value)
    ]


# Against real files.


def real_paths() -> dict[str, dict[str, list[int]]]:
    """Model -> path -> shape, of the first layer of each kind."""
    return json.loads((ROOT / "tests" / "data" / "flax_paths.json").read_text(encoding="utf-8"))["paths"]


def first_layers(flat: Flat) -> dict[str, list[int]]:
    return {
        "/".join(keys): list(value.shape)
        for keys, value in flat.items()
        if not any(key.isdigit() and key != "0" for key in keys)
    }


@pytest.mark.parametrize("decoder", CAUSAL)
def test_our_files_have_the_paths_of_real_ones(decoder: str) -> None:
    real = real_paths()
    ours = first_layers(flax_arrays(tiny_model(ENCODER, decoder, WIDTH)))
    assert ours == {
        **real["wav2vec2"],
        **{f"decoder/{path}": shape for path, shape in real[decoder].items()},
    }


@pytest.mark.parametrize("decoder", HALVES)
def test_halves_have_the_paths_of_real_ones(decoder: str) -> None:
    ours = first_layers(flax_arrays(tiny_model(ENCODER, decoder, WIDTH).decoder))
    del ours["model/decoder/embed_tokens/embedding"]  # shared with the encoder there
    assert ours == real_paths()[decoder]


@pytest.fixture
def real_checkpoint(old_checkpoints: Path) -> Path:
    """What Flax itself wrote."""
    return old_checkpoints / "flax-bart-tiny"


@torch.no_grad()
def test_logits_are_those_of_flax(real_checkpoint: Path) -> None:
    model = loaded(
        AutoConfig.from_pretrained(real_checkpoint), read_flax([real_checkpoint / "flax_model.msgpack"])
    )
    extractor = AutoFeatureExtractor.from_pretrained(real_checkpoint)
    for golden in json.loads((real_checkpoint / "golden.json").read_text(encoding="utf-8")):
        samples, rate = soundfile.read(real_checkpoint / golden["audio"], dtype="float32")
        inputs = extractor(samples, sampling_rate=rate, return_tensors="pt")
        logits = model(**inputs, decoder_input_ids=torch.tensor([golden["logits_of"]])).logits[0, -1]
        assert np.abs(logits.numpy() - golden["last_logits"]).max() < 1e-5


# There and back.

FAMILIES = (*CAUSAL, *HALVES, *UNTIED)


@pytest.mark.parametrize(
    "decoder", ["gpt2", *(pytest.param(name, marks=pytest.mark.broad) for name in FAMILIES if name != "gpt2")]
)
def test_round_trip(tmp_path: Path, decoder: str) -> None:
    model = flax_model(decoder)
    found = loaded(model.config, read_flax([write_flax(tmp_path, flax_arrays(model))]))
    assert differing(found, model) == []


@pytest.mark.broad
@pytest.mark.parametrize("decoder", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrower_weights_are_those_that_torch_casts(
    tmp_path: Path, decoder: str, dtype: torch.dtype
) -> None:
    model = flax_model(decoder)
    flat = {keys: value.to(dtype) for keys, value in flax_arrays(model).items()}
    found = loaded(model.config, read_flax([write_flax(tmp_path, flat)]))
    cast = copy.deepcopy(model)
    for parameter in cast.parameters():
        parameter.data = parameter.data.to(dtype).float()
    assert differing(found, cast) == []


@pytest.mark.broad
def test_shards_and_pieces_round_trip(tmp_path: Path) -> None:
    model = tiny_model(ENCODER, "bart", WIDTH)
    shards = write_shards(tmp_path, flax_arrays(model))
    assert differing(loaded(model.config, read_flax(shards)), model) == []
    whole = write_flax(tmp_path, flax_arrays(model), piece=50)
    assert differing(loaded(model.config, read_flax([whole])), model) == []


# Names and orientation, one by one.


class Places(nn.Module):
    """One module of each kind, square where it can be."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 3)
        self.gpt = Conv1D(3, 3)
        self.conv = nn.Conv1d(3, 3, 3)
        self.positions = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, groups=2), dim=2)
        self.norm = nn.LayerNorm(3)
        self.batch = nn.BatchNorm1d(3)
        self.table = nn.Embedding(3, 3)
        self.other = nn.Bilinear(3, 3, 3)
        self.mask = nn.Parameter(torch.zeros(3))


def placed(**arrays: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        model = Places()
    flat = {tuple(name.split("__")): value for name, value in arrays.items()}
    state = torch_state(flat, model)
    assert not flat
    assert all(value.is_contiguous() for value in state.values())
    return state


def only(**arrays: torch.Tensor) -> tuple[str, torch.Tensor]:
    ((name, value),) = placed(**arrays).items()
    return name, value


SQUARE = torch.arange(9.0).reshape(3, 3)
CUBE = torch.arange(27.0).reshape(3, 3, 3)


@pytest.mark.parametrize("owner", ["dense", "gpt"])
def test_square_kernels_are_turned(owner: str) -> None:
    name, value = only(**{f"{owner}__kernel": SQUARE})
    assert name == f"{owner}.weight"
    assert torch.equal(value, SQUARE.T)


def test_convolutions_over_time_are_turned() -> None:
    name, value = only(conv__kernel=CUBE)
    assert name == "conv.weight"
    assert value[0, 1, 2] == CUBE[2, 1, 0]
    assert torch.equal(value, CUBE.permute(2, 1, 0))


@pytest.mark.parametrize(
    ("flax", "torchs", "shape"),
    [
        ("norm__scale", "norm.weight", (3,)),
        ("norm__bias", "norm.bias", (3,)),
        ("batch__scale", "batch.weight", (3,)),
        ("batch__mean", "batch.running_mean", (3,)),
        ("batch__var", "batch.running_var", (3,)),
        ("table__embedding", "table.weight", (3, 3)),
        ("mask", "mask", (3,)),
        ("positions__weight_g", "positions.parametrizations.weight.original0", (1, 1, 3)),
        ("positions__weight_v", "positions.parametrizations.weight.original1", (4, 2, 3)),
    ],
)
def test_other_arrays_stay_as_they_are(flax: str, torchs: str, shape: tuple[int, ...]) -> None:
    saved = torch.randn(shape)
    name, value = only(**{flax: saved})
    assert name == torchs
    assert value is saved


@pytest.mark.parametrize(
    "flax", ["dense__scales", "absent__kernel", "other__kernel", "norm__kernel", "kernel", "dense"]
)
def test_what_has_no_place_keeps_its_name(flax: str) -> None:
    name, value = only(**{flax: SQUARE})
    assert name == flax.replace("__", ".")
    assert value is SQUARE


@pytest.mark.parametrize("leaf", ["scale", "embedding"])
def test_a_weight_without_a_place_is_called_one(leaf: str) -> None:
    name, value = only(**{f"absent__{leaf}": SQUARE})
    assert name == "absent.weight"
    assert value is SQUARE


def test_a_second_array_for_a_place_keeps_its_name() -> None:
    state = placed(
        table__embedding=SQUARE, table__weight=-SQUARE, norm__scale=SQUARE[0], norm__embedding=SQUARE[1]
    )
    assert list(state) == ["table.embedding", "table.weight", "norm.weight", "norm.embedding"]
    assert torch.equal(state["table.weight"], -SQUARE)


@pytest.mark.parametrize("shape", [(3,), (3, 3, 3)])
def test_a_kernel_with_other_axes_stays_as_it_is(shape: tuple[int, ...]) -> None:
    saved = torch.zeros(shape)
    assert only(dense__kernel=saved)[1] is saved


def test_a_kernel_of_another_size_is_turned_all_the_same() -> None:
    assert only(dense__kernel=torch.zeros(2, 5))[1].shape == (5, 2)


def test_dtypes_stay() -> None:
    assert only(dense__kernel=SQUARE.bfloat16())[1].dtype == torch.bfloat16


# Files of half a model, with a head and without.


@pytest.mark.parametrize("taken_from", [("base", "norm"), ("norm",)])
@pytest.mark.parametrize("has_prefix", [True, False])
def test_a_prefix_too_many_or_too_few(taken_from: tuple[str, ...], has_prefix: bool) -> None:
    inner = Places()
    inner.base_model_prefix = "base"
    model = inner
    if has_prefix:
        model = nn.Module()
        model.base, model.base_model_prefix = inner, "base"
    state = torch_state({(*taken_from, "scale"): SQUARE[0]}, model)
    assert list(state) == ["base.norm.weight" if has_prefix else "norm.weight"]


# What torch has twice.


@pytest.mark.parametrize("decoder", ["bert-untied", "roberta"])
def test_the_bias_of_a_head_is_given_to_both_of_its_names(decoder: str) -> None:
    model = flax_model(decoder).decoder
    flat = flax_arrays(model)
    head = "lm_head" if decoder == "roberta" else "cls.predictions"
    assert (*head.split("."), "decoder", "bias") not in flat
    state = torch_state(flat, model)
    assert torch.equal(state[f"{head}.decoder.bias"], model.get_parameter(f"{head}.decoder.bias"))


# Positions that Flax counts from 0.


@torch.no_grad()
@pytest.mark.parametrize(
    "decoder", ["roberta", "xlm-roberta", "roberta-prelayernorm", "roberta-late-padding"]
)
def test_positions_are_moved_to_where_torch_reads_them(decoder: str) -> None:
    model = flax_model(decoder)
    state = torch_state(flax_arrays(model), model)
    (table,) = move_positions(state, model)
    assert table.endswith(".embeddings.position_embeddings.weight")
    moved = copy.deepcopy(model)
    moved.get_parameter(table).copy_(state[table])
    asked = {"inputs": torch.randn(1, 4000), "decoder_input_ids": torch.tensor([[2, 9, 7, 8, 40, 41]])}
    logits = model(**asked, decoder_position_ids=torch.arange(6)[None]).logits
    torch.testing.assert_close(moved(**asked).logits, logits)
    assert not torch.allclose(model(**asked).logits, logits, atol=0.1)


@pytest.mark.parametrize("decoder", ["bart", "bert", "electra", "gpt2", "xglm"])
def test_other_positions_stay(decoder: str) -> None:
    model = flax_model(decoder)
    state = torch_state(flax_arrays(model), model)
    before = dict(state)
    assert move_positions(state, model) == ()
    assert state == before
