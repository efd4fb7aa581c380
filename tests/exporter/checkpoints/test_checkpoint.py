"""Loading a checkpoint: where it is, its companions, and what is missing."""

from __future__ import annotations

import contextlib
import json
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

from exporter.errors import CheckpointError


def test_the_undamaged_one_loads(tiny: Path) -> None:
    loaded = load(tiny)
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.features.sampling_rate == 16000
    assert loaded.features.do_normalize
    assert loaded.features.masks_padding
    assert len(loaded.tokenizer) == 31


def test_the_example_loads(digits_checkpoint: Path) -> None:
    loaded = load(digits_checkpoint)
    assert loaded.model.config.encoder.add_adapter
    assert loaded.model.config.decoder.model_type == "mbart"


# Where it is.


def test_a_missing_directory(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(CheckpointError) as caught:
        load(missing)
    assert str(caught.value) == (
        f"{missing} is neither a directory nor a model id: give a directory written by save_pretrained(), or an id "
        "such as facebook/wav2vec2-xls-r-300m-en-to-15"
    )


def test_a_file(tiny: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is neither a directory nor a model id"):
        load(tiny / "config.json")


# The companions.


def test_every_missing_file_is_named_at_once(checkpoint: Path) -> None:
    for name in (WEIGHTS, "tokenizer.json", "preprocessor_config.json"):
        (checkpoint / name).unlink()
    assert refusal(checkpoint) == (
        " is incomplete: no weights (model.safetensors or pytorch_model.bin); no tokenizer (tokenizer.json, "
        "sentencepiece.bpe.model, sentencepiece.model, "
        "spiece.model, tokenizer.model, vocab.json or vocab.txt): save it there with tokenizer.save_pretrained(), "
        "or name where it is with --tokenizer; no feature extractor (preprocessor_config.json): save it there with "
        "feature_extractor.save_pretrained(), or name where it is with --feature-extractor"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (WEIGHTS, "no weights"),
        ("tokenizer.json", "no tokenizer"),
        ("preprocessor_config.json", "no feature extractor"),
    ],
)
def test_each_missing_file(checkpoint: Path, name: str, problem: str) -> None:
    (checkpoint / name).unlink()
    message = refusal(checkpoint)
    assert message.startswith(f" is incomplete: {problem} (")
    assert name in message


@pytest.mark.parametrize(
    ("text", "expected"), [("{", "Expecting property name"), ("{}", "KeyError: 'added_tokens'")]
)
def test_a_malformed_tokenizer(checkpoint: Path, text: str, expected: str) -> None:
    (checkpoint / "tokenizer.json").write_text(text, encoding="utf-8")
    message = refusal(checkpoint)
    assert message.startswith("the tokenizer cannot be read: ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not a valid JSON file"),
        ("[]", "AttributeError: 'list' object"),
        ("{}", "Unrecognized feature extractor"),
    ],
)
def test_a_malformed_feature_extractor(checkpoint: Path, text: str, expected: str) -> None:
    (checkpoint / "preprocessor_config.json").write_text(text, encoding="utf-8")
    message = refusal(checkpoint)
    assert message.startswith("the feature extractor cannot be read: ")
    assert expected in message
    assert len(message) < 500


@pytest.mark.parametrize("rate", ["16 kHz", None, 0, True])
def test_a_rate_that_is_none(checkpoint: Path, rate: object) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(sampling_rate=rate))
    assert refusal(checkpoint) == (
        f"preprocessor_config.json has sampling_rate {rate!r}; wanted samples per second"
    )


@pytest.mark.parametrize("kind", ["WhisperFeatureExtractor", "Speech2TextFeatureExtractor"])
def test_a_feature_extractor_that_is_not_supported(checkpoint: Path, kind: str) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(feature_extractor_type=kind))
    assert reasons(checkpoint) == (
        f"feature extractor {kind} is not supported; supported: Wav2Vec2FeatureExtractor (raw samples) and "
        "SeamlessM4TFeatureExtractor (log-mel, for wav2vec2-bert), which are those of all encoders that "
        "SpeechEncoderDecoderModel can run",
    )


def test_padding_on_the_left(checkpoint: Path) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(padding_side="left"))
    assert reasons(checkpoint) == (
        "the feature extractor pads on the left; only padding on the right is supported",
    )


def test_a_feature_extractor_in_a_processors_file(checkpoint: Path) -> None:
    path = checkpoint / "preprocessor_config.json"
    processor = {"processor_class": "Wav2Vec2Processor", "feature_extractor": json.loads(path.read_text())}
    (checkpoint / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    path.unlink()
    assert load(checkpoint).features.sampling_rate == 16000


@pytest.mark.parametrize("processor", ["Speech2Text2Processor", "Wav2Vec2Processor", "NobodysProcessor"])
def test_the_processors_class_does_not_matter(checkpoint: Path, processor: str) -> None:
    """As the XLS-R translation checkpoints have it: their processor is gone from transformers."""
    for name in ("preprocessor_config.json", "tokenizer_config.json"):
        change_json(checkpoint / name, lambda c: c.update(processor_class=processor))
    loaded = load(checkpoint)
    assert loaded.features.sampling_rate == 16000
    assert len(loaded.tokenizer) == 31


def test_why_the_companions_are_loaded_one_by_one(checkpoint: Path) -> None:
    """Once this fails, AutoProcessor has become good enough for such checkpoints."""
    from transformers import AutoProcessor

    change_json(
        checkpoint / "preprocessor_config.json", lambda c: c.update(processor_class="Speech2Text2Processor")
    )
    found: Any = None
    with contextlib.suppress(Exception):  # the errors of its releases differ
        found = AutoProcessor.from_pretrained(checkpoint)
    assert not hasattr(found, "feature_extractor")
