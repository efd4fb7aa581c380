"""config.json and generation_config.json: every reason against an export, before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny.damaged_checkpoint import (
    WEIGHTS,
    change_json,
    load,
    reasons,
    refusal,
)
from transformers import BertConfig, SpeechEncoderDecoderModel

from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.configuration import read_generation_config
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.files import CheckpointFiles, locate_checkpoint
from exporter.errors import UnsupportedModelError


def bert(**changes: Any) -> dict[str, Any]:
    """A decoder whose class does what these say."""
    options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    flags = {"is_decoder": True, "add_cross_attention": True, **changes}
    return BertConfig(vocab_size=40, **options, **flags).to_dict()


def test_no_configuration(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    assert refusal(checkpoint) == " has no config.json: give a directory written by save_pretrained()"


def test_a_bundle_is_no_checkpoint(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    (checkpoint / "manifest.json").write_text("{}")
    assert refusal(checkpoint) == (
        f" has no config.json: it is a bundle already, and `run-s2t {checkpoint} AUDIO` decodes; give the checkpoint "
        f"that it was made from, or add a precision to it with `export-s2t --add-precision PRECISION {checkpoint}`"
    )


def test_a_configuration_that_is_no_json(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text("{", encoding="utf-8")
    assert refusal(checkpoint).startswith("/config.json cannot be read as JSON: Expecting property name")


def test_a_configuration_that_is_no_text(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(b"\xff\xfe\x00")
    assert refusal(checkpoint).startswith("/config.json cannot be read as JSON: 'utf-8' codec can't decode")


@pytest.mark.parametrize(("text", "shown"), [("[]", "None"), ('{"model_type": "mbart"}', "'mbart'")])
def test_another_model(checkpoint: Path, text: str, shown: str) -> None:
    (checkpoint / "config.json").write_text(text, encoding="utf-8")
    assert reasons(checkpoint) == (
        f"config.json has model_type {shown}; export-s2t takes 'speech-encoder-decoder' "
        "(SpeechEncoderDecoderModel)",
    )


@pytest.mark.parametrize("value", [None, "wav2vec2"])
def test_a_configuration_without_its_halves(checkpoint: Path, value: object) -> None:
    change_json(checkpoint / "config.json", lambda c: c.update(encoder=value, decoder=value))
    assert refusal(checkpoint) == "/config.json describes no encoder and no decoder: save the model again"


UNKNOWN = (
    "{half} has model_type 'whatever', which this transformers does not know: name one that it knows, or install "
    "the transformers version that brings it"
)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_model_type_that_transformers_does_not_know(checkpoint: Path, half: str) -> None:
    change_json(checkpoint / "config.json", lambda c: c[half].update(model_type="whatever"))
    assert reasons(checkpoint) == (UNKNOWN.format(half=half),)


def test_an_unknown_half_does_not_hide_the_other_ones_reasons(checkpoint: Path) -> None:
    change_json(
        checkpoint / "config.json",
        lambda c: (
            c["encoder"].update(model_type="whatever"),
            c.update(decoder=bert(add_cross_attention=False)),
        ),
    )
    change_json(checkpoint / "generation_config.json", lambda options: options.update(token_healing=True))
    with pytest.raises(UnsupportedModelError) as caught:
        load_checkpoint(
            locate_checkpoint(str(checkpoint)), LoadOptions(ignored_generation_options=frozenset())
        )
    first, second, third = caught.value.reasons
    assert first == UNKNOWN.format(half="encoder")
    assert second == NO_CROSS_ATTENTION
    assert third.startswith("generation option token_healing=True is not supported")


def test_two_unknown_halves_are_both_named(checkpoint: Path) -> None:
    change_json(
        checkpoint / "config.json",
        lambda c: (c["encoder"].update(model_type="whatever"), c["decoder"].update(model_type="whatever")),
    )
    assert reasons(checkpoint) == (UNKNOWN.format(half="encoder"), UNKNOWN.format(half="decoder"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hidden_size": "abc"}, "'hidden_size' expected int, got str"),
        ({"conv_dim": [8]}, "len(config.conv_dim)"),
    ],
)
def test_values_that_transformers_refuses(checkpoint: Path, change: dict[str, Any], expected: str) -> None:
    change_json(checkpoint / "config.json", lambda c: c["encoder"].update(change))
    message = refusal(checkpoint)
    assert message.startswith("/config.json cannot be read by transformers: ")
    assert expected in message


NO_CROSS_ATTENTION = (
    "the decoder has no cross-attention (decoder.add_cross_attention is not true), so it cannot hear the encoder: "
    "fine-tune the model with decoder.add_cross_attention=true"
)
NO_DECODER = (
    "the decoder attends to later tokens (decoder.is_decoder is not true), so it has no cache: fine-tune the model "
    "with decoder.is_decoder=true"
)
TOO_SHORT_A_CACHE = (
    "decoder.encoder_layers is 1, below decoder.decoder_layers 2: transformers sizes the cache by encoder_layers "
    "and generate() fails; set decoder.encoder_layers to 2 in config.json (a decoder has no encoder layers, so "
    "nothing else changes)"
)
WIDTHS = (
    "the encoder's states are 24 wide but the model takes 16 (encoder.hidden_size 16, encoder.output_hidden_size 24, "
    "decoder 16): eager PyTorch cannot run this model either"
)


@pytest.mark.parametrize(
    ("half", "change", "expected"),
    [
        ("decoder", {"encoder_layers": 1}, TOO_SHORT_A_CACHE),
        ("encoder", {"add_adapter": True, "output_hidden_size": 24}, WIDTHS),
    ],
)
def test_each_model_that_cannot_be_split(
    checkpoint: Path, half: str, change: dict[str, Any], expected: str
) -> None:
    change_json(checkpoint / "config.json", lambda c: c[half].update(change))
    assert reasons(checkpoint) == (expected,)


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"add_cross_attention": False}, NO_CROSS_ATTENTION), ({"is_decoder": False}, NO_DECODER)],
)
def test_a_decoder_that_obeys_its_configuration(
    checkpoint: Path, change: dict[str, Any], expected: str
) -> None:
    change_json(checkpoint / "config.json", lambda c: c.update(decoder=bert(**change)))
    assert reasons(checkpoint) == (expected,)


@pytest.mark.parametrize("change", [{"add_cross_attention": False}, {"is_decoder": False}])
def test_a_decoder_that_decodes_whatever_its_configuration_says(
    tiny: Path, checkpoint: Path, change: dict[str, Any]
) -> None:
    change_json(checkpoint / "config.json", lambda c: c["decoder"].update(change))
    ours, wanted = load(checkpoint).model.state_dict(), load(tiny).model.state_dict()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_every_reason_is_given_at_once(checkpoint: Path) -> None:
    change_json(
        checkpoint / "config.json",
        lambda c: (c["encoder"].update(model_type="bert"), c.update(decoder={"model_type": "opt"})),
    )
    # Before any weight is read: a wrong model must not cost a long download or load.
    (checkpoint / WEIGHTS).unlink()
    first, second, *_ = reasons(checkpoint)
    assert first.startswith("encoder 'bert' ")
    assert second.startswith("decoder 'opt' ")


@pytest.mark.parametrize(
    ("text", "expected"), [("{", " cannot be read as JSON: Expecting"), ("[]", " holds no JSON object")]
)
def test_malformed_generation_options_are_not_passed_over(checkpoint: Path, text: str, expected: str) -> None:
    # transformers would decode with its own defaults and say nothing.
    (checkpoint / "generation_config.json").write_text(text, encoding="utf-8")
    assert refusal(checkpoint).startswith(f"/generation_config.json{expected}")


def test_generation_options_are_refused_with_the_configurations_reasons_before_the_weights(
    checkpoint: Path,
) -> None:
    change_json(
        checkpoint / "generation_config.json",
        lambda options: options.update(token_healing=True, max_time=3.0),
    )
    change_json(
        checkpoint / "config.json", lambda config: config.update(decoder=bert(add_cross_attention=False))
    )
    (checkpoint / WEIGHTS).write_bytes(b"never read")

    options = LoadOptions(ignored_generation_options=frozenset({"max_time"}))
    with pytest.raises(UnsupportedModelError) as caught:
        load_checkpoint(locate_checkpoint(str(checkpoint)), options)

    assert len(caught.value.reasons) == 2
    assert caught.value.reasons[0].startswith("the decoder has no cross-attention")
    assert caught.value.reasons[1].startswith(
        "generation option token_healing=True is not supported: it changes the prompt's text, and"
    )


def test_generation_options_may_be_absent(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").unlink()
    assert load(checkpoint).model.generation_config.decoder_start_token_id == 2


# Options that stand in config.json alone, as transformers 4 saved them.

TOP = {"num_beams": 5, "max_length": 30}
HALF = {
    "no_repeat_ngram_size": 3,
    "early_stopping": True,
    "forced_bos_token_id": 0,
    "num_beams": 2,
    "bad_words_ids": None,
}


def without_file(checkpoint: Path, top: dict[str, Any], half: dict[str, Any]) -> CheckpointFiles:
    (checkpoint / "generation_config.json").unlink()
    change_json(checkpoint / "config.json", lambda c: (c.update(top), c["decoder"].update(half)))
    return locate_checkpoint(str(checkpoint))


@pytest.mark.parametrize(
    ("top", "half"),
    [
        (TOP, HALF),
        (TOP, {}),
        ({}, HALF),
        ({**TOP, "num_beams": None}, HALF),
        ({}, {}),
        ({"do_sample": True}, {}),
    ],
)
def test_options_of_config_json_are_those_of_the_loaded_model(
    checkpoint: Path, top: dict[str, Any], half: dict[str, Any]
) -> None:
    found = read_generation_config(without_file(checkpoint, top, half)).to_dict()
    eager = SpeechEncoderDecoderModel.from_pretrained(checkpoint).generation_config.to_dict()
    assert found == eager
    if (top, half) == (TOP, HALF):
        assert (found["num_beams"], found["no_repeat_ngram_size"]) == (5, 3)


@pytest.mark.parametrize("place", ["top", "half"])
def test_an_option_of_config_json_is_refused_before_the_weights(checkpoint: Path, place: str) -> None:
    groups = {"num_beam_groups": 2}
    files = without_file(checkpoint, groups if place == "top" else {}, groups if place == "half" else {})
    (checkpoint / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(UnsupportedModelError) as caught:
        load_checkpoint(files, LoadOptions(ignored_generation_options=frozenset()))
    (reason,) = caught.value.reasons
    assert reason.startswith(
        "generation option num_beam_groups=2 is not supported: it asks for group beam search"
    )
    assert "; remove it from config.json, or leave it out with --ignore-generation-option" in reason


def test_malformed_options_of_config_json(checkpoint: Path) -> None:
    without_file(checkpoint, {"early_stopping": "soon"}, {})
    assert refusal(checkpoint).startswith(
        "/config.json: the generation options cannot be read by transformers: "
    )
