"""Which decoders can be split into the graphs: told from the configuration, then proved by a short run."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from graphs.cache_layout import empty_cache
from graphs.decoder.families import UNUSABLE, missing_setting
from graphs.decoder.probe import encoder_state_width

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NEEDED_ARGUMENTS = ("encoder_hidden_states", "encoder_attention_mask", "past_key_values")
_USABLE = "a decoder that decodes in eager, for example mbart, bart, bert, roberta or gpt2"
_CACHE_TOLERANCE = 1e-3
"""Of the largest logit. Eager's own steps agree to 1e-5; a wrong position or mask is off by 1e-1 and more."""


def decoder_reasons(decoder: Any) -> list[str]:
    """Why a decoder cannot be exported, as far as its configuration tells; empty where nothing speaks against it.

    Any causal language model passes whose forward takes encoder states, their mask and a cache.
    """
    family = _family_reason(decoder)
    if family is not None:
        return [family]
    reasons = []
    if not getattr(decoder, "add_cross_attention", False) and not _has_cross_attention_anyway(decoder):
        reasons.append(
            "the decoder has no cross-attention (decoder.add_cross_attention is not true), so it cannot "
            "hear the encoder: fine-tune the model with decoder.add_cross_attention=true"
        )
    if not getattr(decoder, "is_decoder", False) and not _is_decoder_anyway(decoder):
        reasons.append(
            "the decoder attends to later tokens (decoder.is_decoder is not true), so it has no cache: "
            "fine-tune the model with decoder.is_decoder=true"
        )
    missing = missing_setting(decoder)
    return [*reasons, *([] if missing is None else [missing]), *_cache_reasons(decoder)]


def _family_reason(decoder: Any) -> str | None:
    name = f"decoder {decoder.model_type!r}"
    if type(decoder) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return (
            f"{name} is no causal language model of transformers ({type(decoder).__name__} is not in "
            f"MODEL_FOR_CAUSAL_LM_MAPPING): fine-tune with {_USABLE}"
        )
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(decoder)]
    taken = inspect.signature(model_class.forward).parameters
    lacking = [argument for argument in NEEDED_ARGUMENTS if argument not in taken]
    if lacking:
        return (
            f"{name} has no cross-attention: {model_class.__name__}.forward takes no {', no '.join(lacking)}, so "
            f"it cannot hear the encoder, in eager PyTorch either: fine-tune with {_USABLE}"
        )
    fault = UNUSABLE.get(decoder.model_type)
    if fault is not None:
        return (
            f"{name} cannot decode speech in eager PyTorch either: {fault.attribute} {fault.reason}: "
            f"fine-tune with {_USABLE}"
        )
    return None


def _has_cross_attention_anyway(decoder: Any) -> bool:
    """Whether the class (BART's, Marian's, ...) has it whatever the configuration says."""
    with_it = type(decoder).from_dict({**decoder.to_dict(), "add_cross_attention": True, "is_decoder": True})
    first, second = (_blank(config) for config in (decoder, with_it))
    return (
        first is not None and second is not None and first.state_dict().keys() == second.state_dict().keys()
    )


def _is_decoder_anyway(decoder: Any) -> bool:
    """Whether the class sets it for itself, whatever the configuration says."""
    blank = _blank(decoder)
    return blank is not None and bool(getattr(blank.config, "is_decoder", False))


def _blank(decoder: Any) -> Any:
    """The model without memory for its weights; None where its class refuses the configuration."""
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(decoder)]
    try:
        with torch.device("meta"):
            return model_class(copy.deepcopy(decoder))
    except Exception:  # noqa: BLE001 - a family raises what it likes; eager will say it
        return None


def _cache_reasons(decoder: Any) -> list[str]:
    layers = getattr(decoder, "decoder_layers", None)
    # transformers sizes the cache by num_hidden_layers, which the BART family maps to encoder_layers.
    cached = getattr(decoder, "encoder_layers", None)
    if layers is None or cached is None or cached >= layers:
        return []
    return [
        f"decoder.encoder_layers is {cached}, below decoder.decoder_layers {layers}: transformers sizes "
        f"the cache by encoder_layers and generate() fails; set decoder.encoder_layers to {layers} in "
        "config.json (a decoder has no encoder layers, so nothing else changes)"
    ]


def decoding_faults(decoder: PreTrainedModel) -> list[str]:
    """Why a loaded decoder cannot be exported, by a short eager decoding; empty where it can.

    Six tokens are decoded twice against padded encoder states: at once without a cache, and in three
    steps with one. The logits must agree and the cache must hold the cross-attention of every layer.
    """
    name = f"decoder {decoder.config.model_type!r} ({type(decoder).__name__})"
    tokens, states, mask = _probe_inputs(decoder)
    cache = empty_cache()
    try:
        whole = _logits(decoder, tokens, states, mask, use_cache=False)
        steps = [
            _logits(decoder, part, states, mask, use_cache=True, past_key_values=cache)
            for part in tokens.split((3, 1, 2), dim=1)
        ]
    except Exception as error:  # noqa: BLE001 - whatever a family's own code raises
        sentence = str(error).strip().split("\n", 1)[0]
        return [
            f"{name} fails in eager PyTorch when it decodes encoder states with a cache "
            f"({type(error).__name__}: {sentence}): fine-tune with {_USABLE}"
        ]
    faults = []
    filled, stored = len(cache.cross_attention_cache.layers), len(cache.self_attention_cache.layers)
    if not filled or filled != stored:
        faults.append(
            f"{name} leaves cross-attention out of its cache ({filled} layers of it, {stored} of "
            f"self-attention), so the encoder's keys and values cannot be kept: fine-tune with {_USABLE}"
        )
    difference = float((torch.cat(steps, 1) - whole).abs().max() / whole.abs().max().clamp_min(1e-9))
    if not difference <= _CACHE_TOLERANCE:
        faults.append(
            f"{name} gives other logits with a cache than without one in eager PyTorch (largest difference "
            f"{difference:.1e} of the largest logit, at most {_CACHE_TOLERANCE:.0e} is rounding), so there is no "
            f"one result to reproduce: fine-tune with {_USABLE}"
        )
    return faults


def _probe_inputs(decoder: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [2, 6], encoder states [2, 7, width] and their mask [2, 7]."""
    config = decoder.config
    generator = torch.Generator().manual_seed(0)
    # A padding token takes no position in some families where it is decoded together with others.
    ids = torch.tensor([token for token in range(min(config.vocab_size, 50)) if token != config.pad_token_id])
    tokens = ids[torch.randint(len(ids), (2, 6), generator=generator)]
    states = torch.randn((2, 7, encoder_state_width(config)), generator=generator).to(decoder.dtype)
    return tokens, states, torch.arange(7)[None, :] < torch.tensor([[7], [4]])


def _logits(decoder: Any, tokens: Tensor, states: Tensor, mask: Tensor, **cache: Any) -> Tensor:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # advice on padding and language models, meant for callers
    try:
        with torch.no_grad():
            output = decoder(
                input_ids=tokens,
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                return_dict=True,
                **cache,
            )
    finally:
        transformers_logging.set_verbosity(verbosity)
    return output.logits.float()
