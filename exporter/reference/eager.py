"""The reference: the checkpoint in eager PyTorch, through transformers' own feature extractor and classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from exporter.checkpoints.checkpoint import Checkpoint
from graphs.cache_layout import empty_cache, tensors_from_cache

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class EagerEncoding:
    """What eager hands from encoder to decoder for a padded batch."""

    states: Tensor
    """float32 [batch, frames, hidden], after enc_to_dec_proj."""
    mask: Tensor
    """bool [batch, frames]."""

    def repeated(self, beams: int) -> EagerEncoding:
        """One row per beam, as eager wants it."""
        return EagerEncoding(self.states.repeat_interleave(beams, 0), self.mask.repeat_interleave(beams, 0))


@dataclass(frozen=True)
class EagerHypotheses:
    """generate()'s answer to one utterance, best first, padding removed."""

    tokens: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]


class EagerReference:
    """Runs the checkpoint as transformers does, with its whole output projection or with some rows of it."""

    def __init__(self, checkpoint: Checkpoint, output_ids: NDArray[np.int64] | None = None) -> None:
        """Wrap a loaded checkpoint; nothing of it is changed.

        Args:
            checkpoint: the loaded model.
            output_ids: int64, ascending: tokens that the projection is cut to. The whole one is computed, and its
                other columns are left out, so that nothing of what an export does is needed here. None: all.
        """
        self.checkpoint = checkpoint
        self.model = checkpoint.model
        self._output_ids = None if output_ids is None else torch.from_numpy(output_ids.copy())

    def features(self, waveforms: Sequence[Waveform]) -> dict[str, Tensor]:
        """The encoder's input and, where the extractor gives one, ``attention_mask`` of a padded batch.

        The input is ``input_values`` [batch, samples] or ``input_features`` [batch, frames, width], float32.
        """
        extracted = self.checkpoint.extractor(
            list(waveforms),
            sampling_rate=self.checkpoint.extractor.sampling_rate,
            padding=True,
            return_tensors="pt",
        )
        return {
            name: value if name == "attention_mask" else value.float() for name, value in extracted.items()
        }

    @property
    def input_name(self) -> str:
        """What the encoder calls its input."""
        return str(self.model.encoder.main_input_name)

    def encode(self, waveforms: Sequence[Waveform]) -> EagerEncoding:
        """Feature extractor, encoder, projection and mask, as SpeechEncoderDecoderModel.forward does it."""
        return self.encode_features(self.features(waveforms))

    def encode_features(self, features: Mapping[str, Tensor]) -> EagerEncoding:
        """The same from what ``features`` gives."""
        values = features[self.input_name]
        # generate() makes a mask of ones where the feature extractor gives none.
        attention = features.get("attention_mask", torch.ones(values.shape[:2], dtype=torch.long))
        with torch.no_grad():
            states = self.model.encoder(values, attention_mask=attention, return_dict=True).last_hidden_state
            if hasattr(self.model, "enc_to_dec_proj"):
                states = self.model.enc_to_dec_proj(states)
            mask = self.model.encoder._get_feature_vector_attention_mask(states.shape[1], attention)  # noqa: SLF001
        # An adapter leaves its states transposed, which GPT-2's projections take at batch 1 only.
        return EagerEncoding(states.contiguous(), mask.bool())

    def cross_keys_values(self, states: Tensor) -> list[Tensor]:
        """Cross keys and values [batch, heads, frames, head_dim], layer by layer."""
        cache = empty_cache()
        start = torch.zeros((states.shape[0], 1), dtype=torch.long)
        self._decode(start, states, torch.ones(states.shape[:2], dtype=torch.bool), cache)
        return tensors_from_cache(cache.cross_attention_cache)

    def decode(self, tokens: Tensor, encoding: EagerEncoding, cache: EncoderDecoderCache) -> Tensor:
        """Last-position logits float32 [rows, columns]; the cache grows in place."""
        return self._decode(tokens, encoding.states, encoding.mask, cache)

    def _decode(self, tokens: Tensor, states: Tensor, mask: Tensor, cache: EncoderDecoderCache) -> Tensor:
        with torch.no_grad():
            output = self.model.decoder(
                input_ids=tokens,
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
        return self._columns(output.logits[:, -1].float())

    def tokens(self, columns: Tensor) -> Tensor:
        """The token ids int64 [...] of columns of the logits."""
        return columns if self._output_ids is None else self._output_ids[columns]

    def of_tokens(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """The scores float32 [..., n] of token ids int64 [..., n], from scores [..., columns].

        Tokens without a column score minus infinity.
        """
        ids = self._output_ids
        if ids is None:
            return scores.gather(-1, tokens)
        columns = torch.searchsorted(ids, tokens.clamp(0, int(ids[-1])))
        return torch.where(ids[columns] == tokens, scores.gather(-1, columns), -torch.inf)

    def _columns(self, logits: Tensor) -> Tensor:
        return logits if self._output_ids is None else logits[..., self._output_ids]

    def log_probability(self, waveform: Waveform, tokens: Sequence[int], prompt: int) -> float:
        """Eager's own log-probability of a hypothesis: sum over the tokens behind the prompt."""
        encoding, cache = self.encode([waveform]), self.new_cache()
        sequence = torch.tensor([tokens])
        # One by one, as generate() does: fed together, tokens beside padding have other positions in some families.
        parts = sequence[:, :-1].split((prompt, *[1] * (len(tokens) - 1 - prompt)), dim=1)
        logits = torch.cat([self.decode(part, encoding, cache) for part in parts])
        return float(self.of_tokens(torch.log_softmax(logits, -1), sequence[0, prompt:, None]).sum())

    @staticmethod
    def new_cache() -> EncoderDecoderCache:
        """An empty cache."""
        return EncoderDecoderCache(DynamicCache(), DynamicCache())

    def generate(self, waveforms: Sequence[Waveform], **options: Any) -> list[EagerHypotheses]:
        """Decode a padded batch as transformers does.

        Args:
            waveforms: float32 [samples] each, at the model's rate.
            options: passed on to generate().

        Returns:
            Per utterance its hypotheses; a greedy search's score is the sum of the chosen tokens'
            log-probabilities over the length penalty, as the runtime defines it.
        """
        features = self.features(waveforms)
        with torch.no_grad(), self._without_others():
            output = self.model.generate(
                features[self.input_name],
                attention_mask=features.get("attention_mask"),
                return_dict_in_generate=True,
                output_scores=True,
                output_logits=True,
                **options,
            )
        if getattr(output, "sequences_scores", None) is None:
            return [_greedy_hypothesis(output, row, self.model, options) for row in range(len(waveforms))]
        per_utterance = len(output.sequences) // len(waveforms)
        lengths = (
            output.sequences.shape[1] - output.beam_indices.shape[1] + (output.beam_indices >= 0).sum(-1)
        )
        tokens = [tuple(row[:length].tolist()) for row, length in zip(output.sequences, lengths, strict=True)]
        scores = output.sequences_scores.tolist()
        return [
            EagerHypotheses(
                tuple(tokens[start : start + per_utterance]), tuple(scores[start : start + per_utterance])
            )
            for start in range(0, len(tokens), per_utterance)
        ]

    @contextmanager
    def _without_others(self) -> Iterator[None]:
        """Give the tokens that are left out the logit of minus infinity: generate() wants a column for each id."""
        ids = self._output_ids
        if ids is None:
            yield
            return

        def hide(_module: Any, _args: Any, output: Any) -> Any:
            hidden = torch.full_like(output.logits, -torch.inf)
            hidden[..., ids] = output.logits[..., ids]
            output.logits = hidden
            return output

        handle = self.model.decoder.register_forward_hook(hide)
        try:
            yield
        finally:
            handle.remove()


def _greedy_hypothesis(output: Any, row: int, model: Any, options: dict[str, Any]) -> EagerHypotheses:
    generated = len(output.scores)
    sequence = output.sequences[row].tolist()
    prompt = len(sequence) - generated
    defaults = model.generation_config
    ends = _ids(options.get("eos_token_id", defaults.eos_token_id))
    length = next((step + 1 for step in range(generated) if sequence[prompt + step] in ends), generated)
    total = np.float32(0)
    for step in range(length):
        token = sequence[prompt + step]
        log_probs = torch.log_softmax(output.logits[step][row].float(), -1)
        # A forced token leaves every other one at -inf and scores 0 itself.
        forced = (
            int(torch.isfinite(output.scores[step][row]).sum()) == 1 and output.scores[step][row][token] == 0
        )
        total += np.float32(0 if forced else log_probs[token].item())
    penalty = options.get("length_penalty", defaults.length_penalty)
    score = float(total / length ** (1.0 if penalty is None else penalty))
    return EagerHypotheses((tuple(sequence[: prompt + length]),), (score,))


def _ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)
