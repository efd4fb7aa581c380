"""Joins a pretrained speech encoder and a pretrained text decoder, as from_encoder_decoder_pretrained does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
)

from exporter.checkpoints.checkpoint import LOADING, READING, Checkpoint, require_files
from exporter.checkpoints.companions.chosen import companion_files, load_companions
from exporter.checkpoints.companions.generation_defaults import unsupported_options
from exporter.checkpoints.companions.special_tokens import with_special_tokens
from exporter.checkpoints.configuration import read_generation_config, read_part
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles, OnStage, fetch_weights
from exporter.checkpoints.weights.blank import blank_model
from exporter.checkpoints.weights.load import Fit, load_weights
from exporter.checkpoints.weights.record import WeightsRecord, by_layer
from exporter.errors import UnsupportedModelError
from graphs.support import reasons_against

# A sequence-to-sequence model saves the embedding that its parts share under this name alone, and a decoder
# loaded from it would begin with random words. The decoders of all families that do so have one layout.
_SHARED_EMBEDDING = {r"^model\.shared\.weight$": "model.decoder.embed_tokens.weight"}

_AS_IT_IS = LoadOptions()

SPECIAL_TOKENS = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
"""What a pair takes of the decoder's own generation options."""


def load_pair(
    encoder: CheckpointFiles,
    decoder: CheckpointFiles,
    seed: int,
    options: LoadOptions = _AS_IT_IS,
    *,
    on_stage: OnStage = lambda _: None,
) -> Checkpoint:
    """Load both parts, and draw what neither has (cross-attention, enc_to_dec_proj) from ``seed``.

    The weights are those of ``SpeechEncoderDecoderModel.from_encoder_decoder_pretrained`` behind
    ``torch.manual_seed(seed)``, but that an embedding shared with a text encoder is found as well.

    Raises:
        CheckpointError: a file is missing or unreadable, weights other than those of the cross-attention are
            missing, or no start or end token is known.
        UnsupportedModelError: the pair cannot be split into the three graphs; every reason is listed.
    """
    on_stage(READING)
    source = f"{encoder.source} + {decoder.source}"
    config = _joined_config(encoder, decoder)
    generation = _generation_of_pair(config, read_generation_config(decoder))
    reasons = reasons_against(config)
    if options.ignored_generation_options is not None:
        reasons += unsupported_options(generation, options.ignored_generation_options, file="config.json")
    if reasons:
        raise UnsupportedModelError(source, reasons)
    blank_model(AutoModel, encoder, config.encoder)  # or a sentence, before gigabytes are fetched
    blank_model(AutoModelForCausalLM, decoder, config.decoder)
    companions = companion_files(decoder, encoder, options, on_stage=on_stage)
    named = companions.named
    weights = {"encoder": encoder.revision is None, "decoder": decoder.revision is None}
    require_files(
        encoder, weights=weights["encoder"], tokenizer=False, extractor="feature_extractor" not in named
    )
    require_files(decoder, weights=weights["decoder"], tokenizer="tokenizer" not in named, extractor=False)
    tokenizer, extractor = load_companions(companions, options)
    generation = with_special_tokens(generation, config.decoder, tokenizer, companions.tokenizer.source)
    for files in (encoder, decoder):
        fetch_weights(files, on_stage=on_stage)
    on_stage(LOADING)
    parts = {"encoder": encoder, "decoder": decoder}
    model, untrained, records = _join(parts, config, options, seed)
    model.generation_config = generation
    origin = Origin(
        "pair",
        parts,
        untrained=by_layer(untrained),
        seed=seed if untrained else None,
        companions=named,
        weights=records,
    )
    joined = CheckpointFiles(source, decoder.directory, origin.model_id, None, None)
    return Checkpoint(joined, model, tokenizer, extractor, origin)


def _generation_of_pair(config: Any, own: GenerationConfig) -> GenerationConfig:
    """What from_encoder_decoder_pretrained leaves of the decoder's own options: what its configuration declares.

    Its special tokens are kept besides, for generate() cannot do without them.
    """
    generation = GenerationConfig.from_model_config(config)
    for name in SPECIAL_TOKENS:
        if getattr(generation, name) is None:
            setattr(generation, name, getattr(own, name))
    return generation


def _joined_config(encoder: CheckpointFiles, decoder: CheckpointFiles) -> Any:
    parts = {"encoder": read_part(encoder, "encoder"), "decoder": read_part(decoder, "decoder")}
    parts["decoder"].is_decoder = True
    parts["decoder"].add_cross_attention = True
    return SpeechEncoderDecoderConfig.from_encoder_decoder_configs(parts["encoder"], parts["decoder"])


def _join(
    parts: Mapping[str, CheckpointFiles], config: Any, options: LoadOptions, seed: int
) -> tuple[Any, list[str], dict[str, WeightsRecord]]:
    """The model, the names of its weights that are random numbers, and how both files were read."""
    encoder = Fit(role="encoder", ignored=options.ignored_weights)
    decoder = Fit(
        role="decoder",
        may_be_missing=_cross_attention(config.decoder),
        ignored=options.ignored_weights,
        advice="; a decoder needs its language-model head, as AutoModelForCausalLM saves it",
        key_mapping=_SHARED_EMBEDDING,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        speech, of_speech = load_weights(AutoModel, parts["encoder"], config.encoder, encoder)
        text, of_text = load_weights(AutoModelForCausalLM, parts["decoder"], config.decoder, decoder)
        model: Any = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(
            encoder_model=speech, decoder_model=text
        )
    untrained = [f"decoder.{name}" for name in of_text.initialised]
    if hasattr(model, "enc_to_dec_proj"):
        untrained += [f"enc_to_dec_proj.{name}" for name, _ in model.enc_to_dec_proj.named_parameters()]
    return model.eval(), untrained, {"encoder": of_speech, "decoder": of_text}


def _cross_attention(decoder: Any) -> frozenset[str]:
    """What a decoder has with cross-attention and not without."""
    models = []
    for add_cross_attention in (True, False):
        config = type(decoder).from_dict({**decoder.to_dict(), "add_cross_attention": add_cross_attention})
        with torch.device("meta"):
            models.append(AutoModelForCausalLM.from_config(config))
    with_it, without = (set(model.state_dict()) for model in models)
    return frozenset(with_it - without)
