"""The tested variants cover what the configuration classes offer: found from the classes, not from a list."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import transformers
from support.tiny.encoders import ENCODERS
from transformers import CONFIG_MAPPING

FAMILIES = sorted({kind for kind, _ in ENCODERS.values()})
INTERFACE = "def _get_feature_vector_attention_mask"
# Their folders in transformers, where these have other names.
FOLDERS = {"data2vec-audio": "data2vec"}
OTHER_FOLDERS = {
    "speech_to_text": "Speech2TextModel is an encoder-decoder, refused by is_encoder_decoder",
    "speecht5": "an inner module has it, and SpeechT5Model has not",
}
EXCLUDED = {
    "apply_spec_augment": "masks frames while training only",
    "ctc_loss_reduction": "of the loss of models with a CTC head",
    "ctc_zero_infinity": "of the loss of models with a CTC head",
    "use_weighted_layer_sum": "of models for classification, which are other classes",
    "vocab_size": "of models with a CTC head",
    "pad_token_id": "of models with a CTC head",
    "bos_token_id": "of models with a CTC head",
    "eos_token_id": "of models with a CTC head",
}
"""Switches that the encoder's own forward does not read in evaluation mode, and why."""
VALUES: dict[tuple[str, str], set[Any]] = {
    (family, "feat_extract_norm"): {"group", "layer"} for family in FAMILIES
} | {
    ("wav2vec2-conformer", "position_embeddings_type"): {"relative", "rotary", None},
    ("sew-d", "norm_rel_ebd"): {"layer_norm", "none"},
    ("sew-d", "pos_att_type"): {("p2c", "c2p"), ("c2p",), ("p2c",), ()},
}
"""Values of switches that are annotated as any text: those that the modelling code asks for."""


def switches(family: str) -> dict[str, Any]:
    """Fields that are true or false, text, a choice, or may be None: name -> annotation."""
    # Of the class itself: what all configurations have in common is no variant of a family.
    annotations = CONFIG_MAPPING[family].__annotations__
    return {name: annotation for name, annotation in annotations.items() if is_switch(annotation)}


def is_switch(annotation: Any) -> bool:
    parts = typing.get_args(annotation)
    if annotation in (bool, str) or typing.get_origin(annotation) is typing.Literal:
        return True
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return type(None) in parts or any(is_switch(part) for part in parts)
    return annotation is not int and any(is_switch(part) for part in parts)


def wanted_values(family: str, name: str, annotation: Any) -> set[Any]:
    """Every value that has to be tested; where a switch is open, its default and any other."""
    default = default_of(family, name)
    if (family, name) in VALUES:
        return VALUES[family, name]
    if annotation is bool:
        return {False, True}
    for part in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(part) is typing.Literal:
            return {*typing.get_args(part), *({None} if type(None) in typing.get_args(annotation) else ())}
    return {default}


def default_of(family: str, name: str) -> Any:
    value = next(field.default for field in dataclasses.fields(CONFIG_MAPPING[family]) if field.name == name)
    return plain(value)


def plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def values_tested(family: str, name: str) -> set[Any]:
    variants = [options for kind, options in ENCODERS.values() if kind == family]
    return {plain(options.get(name, default_of(family, name))) for options in variants}


def untested(family: str) -> dict[str, set[Any]]:
    missing: dict[str, set[Any]] = {}
    for name, annotation in switches(family).items():
        if name in EXCLUDED:
            continue
        tested = values_tested(family, name)
        absent = wanted_values(family, name, annotation) - tested
        if absent or len(tested) < 2:
            missing[name] = absent
    return missing


@pytest.mark.parametrize("family", FAMILIES)
def test_every_switch_of_the_configuration_class_is_tested_both_ways(family: str) -> None:
    assert not untested(family)


@pytest.mark.parametrize(
    ("variant", "family", "switch"),
    [
        ("hubert-batch-norm", "hubert", "conv_pos_batch_norm"),
        ("bert-rotary", "wav2vec2-bert", "position_embeddings_type"),
        ("sew-d-content-only", "sew-d", "relative_attention"),
        ("wav2vec2-attention-adapters", "wav2vec2", "adapter_attn_dim"),
    ],
)
def test_a_variant_that_goes_is_missed(
    monkeypatch: pytest.MonkeyPatch, variant: str, family: str, switch: str
) -> None:
    monkeypatch.delitem(ENCODERS, variant)
    assert switch in untested(family)


def test_every_exclusion_is_of_use() -> None:
    assert set(EXCLUDED) <= {name for family in FAMILIES for name in switches(family)}


def test_every_family_with_the_interface_is_tested() -> None:
    """Every encoder class of the installed transformers that SpeechEncoderDecoderModel can run."""
    models = Path(transformers.__file__).parent / "models"
    found = {
        path.parent.name
        for path in models.glob("*/modeling_*.py")
        if INTERFACE in path.read_text(encoding="utf-8")
    }
    tested = {FOLDERS.get(family, family.replace("-", "_")) for family in FAMILIES}
    assert found == tested | set(OTHER_FOLDERS)
