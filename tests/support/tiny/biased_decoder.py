"""A decoder with a ``final_logits_bias`` behind its projection, as BART's conditional models have one."""

from __future__ import annotations

from typing import Any

import torch


def add_final_logits_bias(decoder: Any) -> Any:
    """Give a decoder such a buffer, and a class whose forward adds it."""
    kind = type(decoder)

    class Biased(kind):  # type: ignore[misc,valid-type]
        def forward(
            self,
            input_ids: Any = None,
            encoder_hidden_states: Any = None,
            encoder_attention_mask: Any = None,
            past_key_values: Any = None,
            logits_to_keep: int = 0,
            **named: Any,
        ) -> Any:
            output = super().forward(
                input_ids=input_ids,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                past_key_values=past_key_values,
                logits_to_keep=logits_to_keep,
                **named,
            )
            output.logits = output.logits + self.final_logits_bias
            return output

    size = decoder.get_output_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(5)
    decoder.register_buffer("final_logits_bias", torch.randn((1, size), generator=generator))
    decoder.__class__ = Biased
    return decoder
