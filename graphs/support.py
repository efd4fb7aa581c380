"""Which checkpoints can be split into the three graphs: every reason against one, from its configuration."""

from __future__ import annotations

from typing import Any

from graphs.decoder.probe import encoder_state_width
from graphs.decoder.support import decoder_reasons
from graphs.encoder.support import encoder_reasons


def reasons_against(config: Any) -> list[str]:
    """Why a SpeechEncoderDecoderConfig cannot be exported; empty where it can."""
    reasons = [*encoder_reasons(config.encoder), *decoder_reasons(config.decoder)]
    return [*reasons, *_width_reasons(config)]


def _width_reasons(config: Any) -> list[str]:
    encoder, wanted = config.encoder, encoder_state_width(config.decoder)
    own = getattr(config.decoder, "cross_attention_hidden_size", None)
    if own is not None and own != encoder.hidden_size:
        return [
            f"decoder.cross_attention_hidden_size is {own} and encoder.hidden_size {encoder.hidden_size}, which "
            "SpeechEncoderDecoderModel wants to be equal: leave cross_attention_hidden_size null and fine-tune again"
        ]
    declared = getattr(encoder, "output_hidden_size", encoder.hidden_size)
    produced = declared if getattr(encoder, "add_adapter", False) else encoder.hidden_size
    # SpeechEncoderDecoderModel decides by the declared width but builds enc_to_dec_proj for hidden_size.
    accepted = wanted if declared == wanted or own is not None else encoder.hidden_size
    if produced == accepted:
        return []
    return [
        f"the encoder's states are {produced} wide but the model takes {accepted} (encoder.hidden_size "
        f"{encoder.hidden_size}, encoder.output_hidden_size {declared}, decoder {wanted}): eager PyTorch "
        "cannot run this model either"
    ]
