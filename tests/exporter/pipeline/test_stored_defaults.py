"""The defaults that a bundle stores: the checkpoint's as far as eager can decode with them, or a sentence."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import GenerationConfig

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, ExportError
from exporter.options import ExportOptions
from exporter.pipeline.stored_defaults import StoredDefaults, stored_defaults
from graphs import DecoderGeometry

GEOMETRY = DecoderGeometry(layers=1, heads=2, head_dim=8, vocab_size=40, max_positions=32)
TOKENS = {"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "generation_config.json").write_text("{}", encoding="utf-8")
    return tmp_path


def checkpoint(directory: Path, stored: dict[str, Any]) -> Checkpoint:
    """As a GenerationConfig holds it, whatever its own checks would say."""
    files = locate_checkpoint(str(directory))
    values = {name: value for name, value in {**TOKENS, **stored}.items() if value is not None}
    model = SimpleNamespace(generation_config=SimpleNamespace(to_dict=lambda: values))
    return Checkpoint(files, model, None, None, Origin("checkpoint", {"checkpoint": files}))  # type: ignore[arg-type]


def found(
    directory: Path,
    *,
    positions: int | None = 32,
    user: dict[str, Any] | None = None,
    length: int | None = 20,
    **stored: Any,
) -> StoredDefaults:
    """With a length, unless ``length`` is None or the options have one."""
    geometry = DecoderGeometry(1, 2, 8, vocab_size=40, max_positions=positions)
    options = ExportOptions(output=directory / "bundle", **(user or {}))
    if not {"max_length", "max_new_tokens"} & stored.keys():
        stored["max_length"] = length
    return stored_defaults(checkpoint(directory, stored), options, geometry)


def refused(message: str, kind: type[Exception] = CheckpointError) -> Any:
    return pytest.raises(kind, match="^" + re.escape(message))


def test_what_fits_is_stored_as_it_is(directory: Path) -> None:
    stored = {"num_beams": 5, "max_length": 33, "max_new_tokens": 32, "min_length": 3}
    defaults = found(directory, **stored)
    assert defaults.options.to_dict() == {**TOKENS, "eos_token_id": [2], **stored}
    assert (defaults.changed, defaults.notes) == ({}, ())


# Lengths.


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("max_new_tokens", 33, 32),
        ("max_length", 64, 33),
        ("min_length", 40, 33),
        ("min_new_tokens", 40, 32),
    ],
)
def test_a_length_beyond_the_positions_is_cut(directory: Path, name: str, value: int, kept: int) -> None:
    other = {"max_length": 33} if name.startswith("min") else {}
    defaults = found(directory, **{**other, name: value})
    assert getattr(defaults.options, name) == kept
    assert defaults.changed == {name: value}
    assert defaults.notes == (
        f"{name} {value} of generation_config.json is more than the decoder's 32 positions take: the bundle has "
        f"{kept}",
    )
    assert getattr(found(directory, positions=None, **{**other, name: value}).options, name) == value


def test_the_files_name_is_that_of_the_file(directory: Path) -> None:
    (directory / "generation_config.json").unlink()
    (directory / "config.json").write_text("{}", encoding="utf-8")
    (note,) = found(directory, max_length=64).notes
    assert note.startswith("max_length 64 of config.json is more than")
    with refused(f"{directory}: config.json: decoder_start_token_id has token 40, wanted ids from 0 to 39"):
        found(directory, decoder_start_token_id=40)


def test_the_users_own_length_goes_before_the_checkpoints(directory: Path) -> None:
    defaults = found(directory, user={"max_new_tokens": 32, "num_beams": 3}, max_new_tokens=5, num_beams=4)
    assert (defaults.options.max_new_tokens, defaults.options.num_beams) == (32, 3)
    assert defaults.notes == ()


def test_a_length_of_the_user_that_cannot_be_met_is_refused(directory: Path) -> None:
    for asked in (33, 100):
        with refused(
            f"max_new_tokens is {asked}, but the decoder's 32 positions take 32 new tokens at most: give "
            "--max-new-tokens 32 or less",
            ExportError,
        ):
            found(directory, user={"max_new_tokens": asked})
    assert found(directory, positions=None, user={"max_new_tokens": 5000}).options.max_new_tokens == 5000


@pytest.mark.parametrize(
    ("stored", "name", "least", "longest"),
    [
        ({"min_length": 30, "max_length": 20}, "min_length", 30, 20),
        ({"min_new_tokens": 30, "max_length": 20}, "min_new_tokens", 30, 20),
        ({"min_length": 30}, "min_length", 30, 21),
        ({"min_length": 9, "max_new_tokens": 5}, "min_length", 9, 6),
    ],
)
def test_a_minimum_above_the_default_length_is_said(
    directory: Path, stored: dict[str, int], name: str, least: int, longest: int
) -> None:
    """It holds where a call asks for a longer text, and eager decodes all the same."""
    defaults = found(directory, length=None, **stored)
    assert getattr(defaults.options, name) == least
    assert defaults.changed == {}
    assert defaults.notes == (
        f"{name} {least} of generation_config.json is more than the {longest} tokens of a text by default, start token "
        "included: as in eager PyTorch no end token comes before the last one; store a longer text with "
        f"--max-new-tokens, or leave {name} out with --ignore-generation-option",
    )
    assert found(directory, user={"max_new_tokens": 32}, **stored).notes == ()


# Tokens.


def test_no_start_token(directory: Path) -> None:
    with refused(
        f"{directory} names no start token, which decoding begins with: neither decoder_start_token_id nor "
        "bos_token_id is in generation_config.json; write decoder_start_token_id there"
    ):
        found(directory, decoder_start_token_id=None, bos_token_id=None)
    assert found(directory, decoder_start_token_id=None).options.decoder_start_token_id is None


@pytest.mark.parametrize("name", ["decoder_start_token_id", "forced_bos_token_id"])
def test_one_token_may_stand_in_a_list(directory: Path, name: str) -> None:
    assert getattr(found(directory, **{name: [7]}).options, name) == 7
    with refused(f"{directory}: generation_config.json: {name} is [7, 8], wanted an integer of at least 0"):
        found(directory, **{name: [7, 8]})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decoder_start_token_id", 40, "decoder_start_token_id has token 40, wanted ids from 0 to 39"),
        ("decoder_start_token_id", -1, "decoder_start_token_id is -1, wanted an integer of at least 0"),
        ("forced_bos_token_id", 250004, "forced_bos_token_id has token 250004, wanted ids from 0 to 39"),
        ("forced_bos_token_id", -1, "forced_bos_token_id is -1, wanted an integer of at least 0"),
        ("forced_eos_token_id", 40, "forced_eos_token_id has token 40, wanted ids from 0 to 39"),
        ("bad_words_ids", [[5, 40]], "bad_words_ids has token 40, wanted ids from 0 to 39"),
        ("sequence_bias", [[[40], 1.0]], "sequence_bias has token 40, wanted ids from 0 to 39"),
    ],
)
def test_a_token_that_eager_looks_up_is_refused(directory: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        found(directory, **{name: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"{directory}: generation_config.json: {message}; ")
    assert sentence.endswith(", or leave it out with --ignore-generation-option")
    assert "\n" not in sentence
    if name != "decoder_start_token_id":
        found(directory, user={"ignored_generation_options": frozenset({name})}, **{name: value})


def test_the_start_token_may_be_bos(directory: Path) -> None:
    with refused(f"{directory}: generation_config.json: bos_token_id has token 40, wanted ids from 0 to 39"):
        found(directory, decoder_start_token_id=None, bos_token_id=40)
    for unused in (40, -1):
        assert found(directory, bos_token_id=unused).notes == ()


@pytest.mark.parametrize(
    ("name", "value", "kept", "note"),
    [
        ("eos_token_id", 400, (), "400, wanted tokens from 0 to 39, so that it never ends a text"),
        ("eos_token_id", -1, (), "-1, wanted tokens from 0 to 39, so that it never ends a text"),
        (
            "eos_token_id",
            [2, 40, 39, -1],
            (2, 39),
            "40, -1, wanted tokens from 0 to 39, so that it never ends",
        ),
        (
            "pad_token_id",
            50257,
            None,
            "50257, wanted tokens from 0 to 39, so that it cannot be fed to texts that",
        ),
        ("pad_token_id", -1, None, "-1, wanted tokens from 0 to 39, so that it cannot be fed"),
        ("suppress_tokens", [5, 400], (5,), "400, wanted tokens from 0 to 39, so that it suppresses nothing"),
        ("suppress_tokens", [-1], (), "-1, wanted tokens from 0 to 39, so that it suppresses nothing"),
        (
            "begin_suppress_tokens",
            [400],
            (),
            "400, wanted tokens from 0 to 39, so that it suppresses nothing",
        ),
    ],
)
def test_a_token_that_eager_never_looks_up_is_left_out(
    directory: Path, name: str, value: Any, kept: Any, note: str
) -> None:
    defaults = found(directory, **{name: value})
    assert getattr(defaults.options, name) == kept
    assert defaults.changed == {name: value}
    (said,) = defaults.notes
    assert said.startswith(f"{name} of generation_config.json has {note}")
    assert said.endswith(": left out")


def test_an_end_token_that_is_looked_up_is_refused(directory: Path) -> None:
    decay = {"exponential_decay_length_penalty": [5, 1.1]}
    with refused(f"{directory}: generation_config.json: eos_token_id has token 400, wanted ids from 0 to 39"):
        found(directory, eos_token_id=[2, 400], **decay)


def test_empty_lists_with_which_eager_cannot_decode(directory: Path) -> None:
    with refused(
        f"{directory}: generation_config.json: eos_token_id is [] and there is no pad_token_id, with which eager "
        "PyTorch cannot decode; name one of them, or leave eos_token_id out with --ignore-generation-option"
    ):
        found(directory, eos_token_id=[], pad_token_id=None)
    with refused(
        f"{directory}: generation_config.json: forced_eos_token_id is [], with which eager PyTorch cannot decode; "
        "name a token, or leave it out with --ignore-generation-option"
    ):
        found(directory, forced_eos_token_id=[])


@pytest.mark.parametrize("ends", [[], None])
def test_a_text_may_have_no_end_token(directory: Path, ends: Any) -> None:
    defaults = found(directory, eos_token_id=ends)
    assert not defaults.options.eos_token_id
    assert defaults.notes == ()


def test_defaults_that_contradict_each_other(directory: Path) -> None:
    with refused(
        f"{directory}: generation_config.json: num_return_sequences 5 is more than num_beams 2, wanted at most one"
    ):
        found(directory, num_return_sequences=5, num_beams=5, user={"num_beams": 2})
    with refused(f"{directory}: generation_config.json: forced_bos_token_id [7] is all in suppress_tokens"):
        found(directory, forced_bos_token_id=7, suppress_tokens=[7])


def test_the_record_is_json(directory: Path) -> None:
    config = GenerationConfig(**{**TOKENS, "eos_token_id": [2, 400], "max_length": 64})
    files = checkpoint(directory, {}).files
    model = SimpleNamespace(generation_config=config)
    whole = Checkpoint(files, model, None, None, Origin("checkpoint", {"checkpoint": files}))  # type: ignore[arg-type]
    defaults = stored_defaults(whole, ExportOptions(output=directory / "bundle"), GEOMETRY)
    assert json.loads(json.dumps(defaults.changed)) == {"eos_token_id": [2, 400], "max_length": 64}


def test_what_a_pair_loses_of_its_decoders_own_options_is_said(directory: Path) -> None:
    own = {**TOKENS, "num_beams": 4, "max_length": 64, "no_repeat_ngram_size": 3, "max_time": 2.0}
    (directory / "generation_config.json").write_text(json.dumps(own), encoding="utf-8")
    joined = checkpoint(directory, {"no_repeat_ngram_size": 3})
    pair = dataclasses.replace(
        joined, origin=Origin("pair", {"encoder": joined.files, "decoder": joined.files})
    )
    options = ExportOptions(output=directory / "bundle")
    assert stored_defaults(pair, options, GEOMETRY).notes[1:] == (
        "max_length 64, max_time 2.0, num_beams 4 of the decoder's own generation options do not hold for the pair, as "
        "after SpeechEncoderDecoderModel.from_encoder_decoder_pretrained: --max-new-tokens and --num-beams store "
        "others",
    )
    wrong = dataclasses.replace(checkpoint(directory, {"decoder_start_token_id": 40}), origin=pair.origin)
    with refused(f"{directory}: config.json: decoder_start_token_id has token 40, wanted ids from 0 to 39"):
        stored_defaults(wrong, options, GEOMETRY)


# A generation_config.json that was made from config.json, which has changed since: transformers 4 follows the latter.


def with_config(directory: Path, **values: Any) -> None:
    config = {"model_type": "speech-encoder-decoder", "encoder": {}, "decoder": {}, **values}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_options_that_transformers_4_would_take_from_config_json_are_said(directory: Path) -> None:
    with_config(directory, num_beams=5, no_repeat_ngram_size=3, max_length=30, length_penalty=1.0, top_k=9)
    defaults = found(directory, _from_model_config=True, num_beams=1, max_length=30)
    assert defaults.options.num_beams == 1
    assert defaults.notes == (
        "generation_config.json was made from config.json, which has other generation options now: "
        "no_repeat_ngram_size (3 there, unset here), num_beams (5 there, 1 here); the bundle follows "
        "generation_config.json, as transformers 5 does (4 followed config.json)",
    )


@pytest.mark.parametrize("made_from_it", [False, None])
def test_options_of_a_file_of_its_own_are_nobody_elses(directory: Path, made_from_it: bool | None) -> None:
    with_config(directory, num_beams=5)
    assert found(directory, _from_model_config=made_from_it, num_beams=1).notes == ()


def test_options_that_agree_are_not_mentioned(directory: Path) -> None:
    with_config(directory, num_beams=5, max_length=20, **{**TOKENS, "eos_token_id": [2]})
    assert found(directory, _from_model_config=True, num_beams=5, max_length=25).notes == ()


def test_a_length_that_nobody_stored_is_said(directory: Path) -> None:
    """transformers' own number is short, and a text that ends in the middle looks like a fault of the model."""
    assert found(directory, length=None).notes == (
        "generation_config.json says nothing of how long a text may be: as in eager PyTorch it ends after 21 tokens, "
        "start token included; store another length with --max-new-tokens",
    )
    assert found(directory, length=None, user={"max_new_tokens": 30}).notes == ()
