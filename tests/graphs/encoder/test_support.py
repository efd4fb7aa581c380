"""Which encoders are refused, and that eager PyTorch fails where an attribute is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny.encoders import ENCODERS, FEATURES_INPUT, tiny_encoder
from transformers import AutoConfig, PreTrainedConfig

from graphs.encoder.support import encoder_reasons

ADVICE = "use a speech encoder such as wav2vec2, hubert, wavlm or wav2vec2-bert"


@pytest.mark.parametrize("name", ENCODERS)
def test_every_tested_variant_is_taken(name: str) -> None:
    kind, options = ENCODERS[name]
    assert encoder_reasons(AutoConfig.for_model(kind, **options)) == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            "whisper",
            f"encoder 'whisper' is an encoder-decoder itself (is_encoder_decoder is true): {ADVICE}",
        ),
        (
            "speech_to_text",
            f"encoder 'speech_to_text' is an encoder-decoder itself (is_encoder_decoder is true): {ADVICE}",
        ),
        (
            "bert",
            "encoder 'bert' has no _get_feature_vector_attention_mask and no _get_feat_extract_output_lengths, by "
            "which SpeechEncoderDecoderModel tells audio from padding, so eager PyTorch cannot run it either: "
            f"{ADVICE}",
        ),
        (
            "audio-spectrogram-transformer",
            "encoder 'audio-spectrogram-transformer' has no _get_feature_vector_attention_mask and no "
            "_get_feat_extract_output_lengths, by which SpeechEncoderDecoderModel tells audio from padding, so eager "
            f"PyTorch cannot run it either: {ADVICE}",
        ),
    ],
)
def test_families_that_speech_encoder_decoder_cannot_run(kind: str, reason: str) -> None:
    assert encoder_reasons(AutoConfig.for_model(kind)) == [reason]


def test_a_configuration_without_a_model() -> None:
    class Nobody(PreTrainedConfig):
        model_type = "nobody"

    assert encoder_reasons(Nobody()) == [
        f"encoder 'nobody' has no model class that can be loaded here: {ADVICE}"
    ]


def fails_in_eager(name: str, changes: dict[str, Any]) -> bool:
    """Building it, or masking a padded batch as SpeechEncoderDecoderModel does, at one of two lengths."""
    try:
        model = tiny_encoder(name, **changes)
        for length in (900, 920):
            features = torch.zeros((2, length // 20, FEATURES_INPUT))
            values = features if model.main_input_name == "input_features" else torch.zeros((2, length))
            mask = torch.ones(values.shape[:2], dtype=torch.long)
            with torch.no_grad():
                states = model(values, attention_mask=mask).last_hidden_state
                model._get_feature_vector_attention_mask(states.shape[1], mask)
    except (ValueError, IndexError, RuntimeError):
        return True
    return False


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (
            "wav2vec2-layer",
            {"feat_extract_norm": "batch"},
            "encoder.feat_extract_norm is 'batch', which 'wav2vec2' does not have: eager PyTorch wants 'group' or "
            "'layer'",
        ),
        (
            "conformer-rotary",
            {"conv_depthwise_kernel_size": 4},
            "encoder.conv_depthwise_kernel_size is 4: eager PyTorch builds 'wav2vec2-conformer' with an odd kernel "
            "only",
        ),
        (
            "bert-rotary",
            {"conv_depthwise_kernel_size": 4},
            "encoder.conv_depthwise_kernel_size is 4: eager PyTorch builds 'wav2vec2-bert' with an odd kernel only",
        ),
        (
            "wav2vec2-stable-adapter",
            {"adapter_kernel_size": 5},
            "encoder.adapter_kernel_size is 5 with adapter_stride 2: 'wav2vec2' then gives fewer frames than "
            "transformers counts, and eager PyTorch fails while it masks them; kernels up to 3 work",
        ),
        (
            "bert-adapter",
            {"adapter_kernel_size": 3, "adapter_stride": 1},
            "encoder.adapter_kernel_size is 3 with adapter_stride 1: 'wav2vec2-bert' then gives fewer frames than "
            "transformers counts, and eager PyTorch fails while it masks them; kernels up to 1 work",
        ),
    ],
)
def test_variants_that_eager_cannot_run(name: str, changes: dict[str, Any], reason: str) -> None:
    kind, options = ENCODERS[name]
    assert encoder_reasons(AutoConfig.for_model(kind, **{**options, **changes})) == [reason]
    assert fails_in_eager(name, changes)
    assert not fails_in_eager(name, {})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("wav2vec2-stable-adapter", {"adapter_kernel_size": 2}),
        ("wav2vec2-stable-adapter", {"adapter_kernel_size": 1, "adapter_stride": 3}),
        ("wav2vec2-layer", {"adapter_kernel_size": 5}),
        ("bert-adapter", {"adapter_kernel_size": 5, "adapter_stride": 4}),
        ("bert-adapter", {"adapter_kernel_size": 1, "adapter_stride": 1}),
    ],
)
def test_adapters_of_other_shapes_are_taken(name: str, changes: dict[str, Any]) -> None:
    kind, options = ENCODERS[name]
    assert encoder_reasons(AutoConfig.for_model(kind, **{**options, **changes})) == []
    assert not fails_in_eager(name, changes)
