"""The keywords of ``SpeechToText.generate``, for type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from s2t_runtime.options.values import PrefixFunction


class DecodingOptions(TypedDict, total=False):
    """The decoding options of ``generate``; ``GenerationOptions`` explains each."""

    language: str | None
    num_beams: int | None
    num_return_sequences: int | None
    max_length: int | None
    max_new_tokens: int | None
    min_length: int | None
    min_new_tokens: int | None
    length_penalty: float | None
    early_stopping: bool | str | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    top_h: float | None
    epsilon_cutoff: float | None
    eta_cutoff: float | None
    seed: int | None
    forced_bos_token_id: int | None
    forced_eos_token_id: int | Sequence[int] | None
    eos_token_id: int | Sequence[int] | None
    decoder_start_token_id: int | None
    bos_token_id: int | None
    pad_token_id: int | None
    decoder_prompt_ids: Sequence[int] | None
    suppress_tokens: Sequence[int] | None
    begin_suppress_tokens: Sequence[int] | None
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    bad_words_ids: Sequence[Sequence[int]] | None
    sequence_bias: Mapping[tuple[int, ...], float] | Sequence[Sequence[Sequence[int] | float]] | None
    exponential_decay_length_penalty: tuple[int, float] | tuple[()] | None
    prefix_allowed_tokens_fn: PrefixFunction | None
    renormalize_logits: bool | None
