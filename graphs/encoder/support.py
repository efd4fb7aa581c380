"""Which encoders can be exported: every reason against one, from its configuration and its class."""

from __future__ import annotations

from typing import Any

from transformers import MODEL_MAPPING

# SpeechEncoderDecoderModel itself finds the padded frames by the first, which calls the second.
_INTERFACE = ("_get_feature_vector_attention_mask", "_get_feat_extract_output_lengths")
_NORMS = ("group", "layer")
_ADAPTER_PADDING = 1  # of all convolutional adapters but wav2vec2-bert's


def encoder_reasons(encoder: Any) -> list[str]:
    """Why an encoder cannot be exported; empty where it can.

    A family is taken by its interface: a class that SpeechEncoderDecoderModel can run needs no entry here.

    Args:
        encoder: its configuration.
    """
    return _family_reasons(encoder) or [
        *_norm_reasons(encoder),
        *_kernel_reasons(encoder),
        *_adapter_reasons(encoder),
    ]


def _family_reasons(encoder: Any) -> list[str]:
    name = encoder.model_type
    advice = "use a speech encoder such as wav2vec2, hubert, wavlm or wav2vec2-bert"
    try:
        model = MODEL_MAPPING[type(encoder)]
    except (KeyError, ImportError):  # ImportError: of a library that the class needs
        return [f"encoder {name!r} has no model class that can be loaded here: {advice}"]
    if getattr(encoder, "is_encoder_decoder", False):
        return [f"encoder {name!r} is an encoder-decoder itself (is_encoder_decoder is true): {advice}"]
    missing = [method for method in _INTERFACE if not hasattr(model, method)]
    if not missing:
        return []
    return [
        f"encoder {name!r} has no {' and no '.join(missing)}, by which SpeechEncoderDecoderModel tells audio from "
        f"padding, so eager PyTorch cannot run it either: {advice}"
    ]


def _norm_reasons(encoder: Any) -> list[str]:
    norm = getattr(encoder, "feat_extract_norm", None)
    if norm is None or norm in _NORMS:
        return []
    return [
        f"encoder.feat_extract_norm is {norm!r}, which {encoder.model_type!r} does not have: eager PyTorch wants "
        f"{' or '.join(map(repr, _NORMS))}"
    ]


def _kernel_reasons(encoder: Any) -> list[str]:
    kernel = getattr(encoder, "conv_depthwise_kernel_size", 1)
    if kernel % 2:
        return []
    return [
        f"encoder.conv_depthwise_kernel_size is {kernel}: eager PyTorch builds {encoder.model_type!r} with an odd "
        "kernel only"
    ]


def _adapter_reasons(encoder: Any) -> list[str]:
    """Adapters that give fewer frames than transformers counts, which then writes its mask out of bounds."""
    if not getattr(encoder, "add_adapter", False):
        return []
    kernel, stride = encoder.adapter_kernel_size, encoder.adapter_stride
    # Frames are (length + 2 * padding - kernel) // stride + 1. wav2vec2-bert pads by half a stride and counts
    # with half a kernel; the others pad by one frame and count as for a kernel of 1 without padding.
    pads_by_stride = hasattr(encoder, "feature_projection_input_dim")
    lost = 2 * (kernel // 2 - stride // 2) if pads_by_stride else kernel - 1 - 2 * _ADAPTER_PADDING
    if lost <= 0:
        return []
    return [
        f"encoder.adapter_kernel_size is {kernel} with adapter_stride {stride}: {encoder.model_type!r} then gives "
        "fewer frames than transformers counts, and eager PyTorch fails while it masks them; kernels up to "
        f"{2 * (stride // 2) + 1 if pads_by_stride else 1 + 2 * _ADAPTER_PADDING} work"
    ]
