"""The two decoder graphs: first step (prompt) and with past (newest tokens and cache)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import EncoderDecoderCache

from graphs.cache_layout import cache_from_tensors, tensors_from_cache
from graphs.decoder.attention import CrossAttention, beams_shared, expand_over_beams
from graphs.decoder.probe import encoder_state_width

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class DecoderGraph(nn.Module):
    """What both decoder graphs share: one pass over the decoder, then the candidates of each beam."""

    output_ids: Tensor | None

    def __init__(
        self, decoder: PreTrainedModel, cross_attention: CrossAttention, output_ids: Tensor | None = None
    ) -> None:
        """Wrap a decoder whose attention implementation is ``cross_attention.implementation``.

        Args:
            decoder: a causal language model with cross-attention.
            cross_attention: how it attends to the encoder, as find_cross_attention found it.
            output_ids: int64 [columns], the token of each of its logits, where it runs in restricted_output; None:
                it has one for each id.
        """
        super().__init__()
        self.register_buffer("output_ids", output_ids)
        self.decoder = decoder
        self.cross_attention = cross_attention
        self.state_width = encoder_state_width(decoder.config)
        slices_logits = "logits_to_keep" in inspect.signature(decoder.forward).parameters
        # Only the last position is ever scored: the vocabulary product of the others is left out.
        self.logits_arguments = {"logits_to_keep": 1} if slices_logits else {}

    def decode(
        self, input_ids: Tensor, encoder_mask: Tensor, cross: list[Tensor], past: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of the last position float32 [batch, beams, columns], and the grown cache."""
        batch, beams, new = input_ids.shape
        # An additive mask of four axes passes through every decoder's mask preparation unchanged.
        dtype = cross[0].dtype
        mask = (1.0 - encoder_mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min
        if self.cross_attention.mode == "expanded":
            cross = [expand_over_beams(tensor, beams) for tensor in cross]
            # Families that compute attention themselves want the mask at its full size.
            mask = expand_over_beams(mask.expand(-1, -1, new, -1), beams)
        # The states only have to be there: the cross cache is filled, so their values are never used.
        states = cross[0][:, 0, :, :1].expand(-1, -1, self.state_width)
        cache = EncoderDecoderCache(cache_from_tensors(past), cache_from_tensors(cross))
        with beams_shared(self.cross_attention.modules, beams):
            output = self.decoder(
                input_ids=input_ids.reshape(batch * beams, new),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                return_dict=True,
                **self.logits_arguments,
            )
        logits = output.logits[:, -1, :].to(torch.float32).unflatten(0, (batch, beams))
        # Attention that computes in float32 would give its keys and values back so.
        return logits, [tensor.to(dtype) for tensor in tensors_from_cache(cache.self_attention_cache)]

    def best(self, logits: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids [batch, beams, candidates] of the best continuations, best first."""
        count: Any = candidates.item()  # a SymInt while tracing
        torch._check(count >= 1)  # noqa: SLF001 - torch's documented way to bound a run-time size
        torch._check(count <= logits.shape[-1])  # noqa: SLF001
        # Log-softmax written out: TensorRT imports the operator as log(softmax(x)), which underflows to
        # -inf. Subtracting the normaliser after the top-k spares a pass over the vocabulary.
        shifted = logits - logits.amax(dim=-1, keepdim=True)
        normaliser = torch.log(torch.exp(shifted).sum(dim=-1, keepdim=True))
        best, columns = torch.topk(shifted, count, dim=-1)
        return best - normaliser, self.tokens(columns)

    def tokens(self, columns: Tensor) -> Tensor:
        """The token ids int64 [...] of columns of the logits int64 [...]."""
        if self.output_ids is None:
            return columns
        # Indexing would become GatherND; this is Gather and Squeeze.
        return nn.functional.embedding(columns, self.output_ids[:, None]).squeeze(-1)


class FirstStepGraph(DecoderGraph):
    """decoder_first_step: the prompt of each utterance, nothing cached yet."""

    def forward(
        self, input_ids: Tensor, encoder_mask: Tensor, cross: list[Tensor], candidates: Tensor
    ) -> tuple[Tensor, ...]:
        """Decode the prompt.

        Args:
            input_ids: int64 [batch, 1, prompt].
            encoder_mask: bool [batch, frames].
            cross: keys and values [batch, heads, frames, head_dim], layer by layer.
            candidates: int64 [], how many candidates to return.

        Returns:
            logits [batch, 1, columns], candidate_log_probs and candidate_ids [batch, 1, candidates],
            then present_key.N, present_value.N [batch, heads, prompt, head_dim].
        """
        logits, present = self.decode(input_ids, encoder_mask, cross, [])
        return logits, *self.best(logits, candidates), *present


class WithPastGraph(DecoderGraph):
    """decoder_with_past: the newest tokens of each beam; with an empty past also the first step."""

    def forward(
        self,
        input_ids: Tensor,
        beam_index: Tensor,
        encoder_mask: Tensor,
        cross: list[Tensor],
        past: list[Tensor],
        candidates: Tensor,
    ) -> tuple[Tensor, ...]:
        """Reorder the cache by beam and decode one step.

        Args:
            input_ids: int64 [batch, beams, new].
            beam_index: int64 [batch, beams], flat rows of ``past``.
            encoder_mask: bool [batch, frames].
            cross: keys and values [batch, heads, frames, head_dim], layer by layer.
            past: keys and values [rows, heads, past, head_dim], layer by layer.
            candidates: int64 [], how many candidates to return per beam.

        Returns:
            logits [batch, beams, columns], candidate_log_probs and candidate_ids
            [batch, beams, candidates], then present_key.N, present_value.N
            [batch * beams, heads, past + new, head_dim].
        """
        rows = beam_index.reshape(-1)
        reordered = [tensor.index_select(0, rows) for tensor in past]
        logits, present = self.decode(input_ids, encoder_mask, cross, reordered)
        return logits, *self.best(logits, candidates), *present
