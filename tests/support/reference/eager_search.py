"""The search as transformers runs it: a tiny random model, and eager ``generate()`` over its encoder states."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from transformers import (
    GenerationConfig,
    MBartConfig,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.sessions.protocol import Candidates, Int64

VOCAB, START, EOS, PAD = 40, 3, 2, 1
DEFAULTS: dict[str, Any] = {"decoder_start_token_id": START, "eos_token_id": EOS, "pad_token_id": PAD}


def profile(max_examples: int) -> settings:
    """Of searches over random options: the same ones in every run."""
    return settings(
        max_examples=max_examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@contextmanager
def quiet_eager() -> Iterator[None]:
    """One thread, which is faster at this size, and no advice from transformers."""
    threads, verbosity = torch.get_num_threads(), logging.get_verbosity()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A tiny random model and encoder states [8, frames, 16]; kept out of hypothesis's reports."""

    model: SpeechEncoderDecoderModel = dataclasses.field(repr=False)
    states: torch.Tensor = dataclasses.field(repr=False)


@functools.cache
def tiny() -> Tiny:
    torch.manual_seed(0)
    encoder = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4, vocab_size=8,
    )  # fmt: skip
    decoder = MBartConfig(
        d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=VOCAB, max_position_embeddings=64,
        is_decoder=True, add_cross_attention=True,
    )  # fmt: skip
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = SpeechEncoderDecoderModel(config).eval()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            if weight.dim() == 2:  # spread what the layers do, so that histories matter
                weight.mul_(15.0)
        # A head of its own, whose bias makes ends neither certain nor impossible.
        model.decoder.lm_head = torch.nn.Linear(16, VOCAB)
        model.decoder.lm_head.weight.normal_(std=0.5)
        model.decoder.lm_head.bias.zero_()
        model.decoder.lm_head.bias[EOS] = 1.5
        states = model.encoder(torch.randn(8, 200)).last_hidden_state * 3
    return Tiny(model, states)


class EagerStep:
    """The model as a step function: no cache, the whole history of each row again."""

    def __init__(self, states: torch.Tensor) -> None:
        self.model, self.states = tiny().model, states
        self.rows: torch.Tensor | None = None

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        batch, beams, _ = tokens.shape
        new = torch.from_numpy(tokens).reshape(batch * beams, -1)
        if self.rows is None:
            self.rows = new
        else:
            self.rows = torch.cat((self.rows[torch.from_numpy(beam_index.reshape(-1))], new), dim=1)
        encoded = BaseModelOutput(self.states.repeat_interleave(beams, dim=0))
        with torch.no_grad():
            logits = self.model(encoder_outputs=encoded, decoder_input_ids=self.rows).logits[:, -1].float()
        top = torch.topk(torch.log_softmax(logits, dim=-1), candidates)
        shape = (batch, beams, -1)
        return Candidates(
            top.values.numpy().reshape(shape),
            top.indices.numpy().reshape(shape),
            logits.numpy().reshape(shape) if with_logits else None,
        )


def eager(states: torch.Tensor, options: dict[str, Any]) -> Any:
    model = tiny().model
    options = dict(options)
    prompt = options.pop("decoder_prompt_ids", None)
    for name in ("suppress_tokens", "begin_suppress_tokens", "eos_token_id", "forced_eos_token_id"):
        if isinstance(options.get(name), tuple):
            options[name] = list(options[name])
    if "bad_words_ids" in options:
        options["bad_words_ids"] = [list(word) for word in options["bad_words_ids"]]
    if "sequence_bias" in options:
        options["sequence_bias"] = [[list(ids), bias] for ids, bias in options["sequence_bias"]]
    if prompt is not None:
        options["decoder_input_ids"] = torch.tensor([prompt] * len(states))
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START, eos_token_id=EOS, pad_token_id=PAD
    )
    with torch.no_grad():
        return model.generate(
            encoder_outputs=BaseModelOutput(states), return_dict_in_generate=True, output_scores=True,
            output_logits=True, **{"do_sample": False, **options},
        )  # fmt: skip


def plan_of_options(options: dict[str, Any]) -> SearchPlan:
    defaults, call = GenerationOptions(**DEFAULTS), GenerationOptions(**options)
    return plan_search(defaults, call, languages={}, vocab_size=VOCAB, max_positions=64)
