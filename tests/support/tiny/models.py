"""Tiny random checkpoints of encoder and decoder pairs, and their exported graphs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.tiny.decoders import BOS, DECODER_HIDDEN, ENDS, start_token, tiny_decoder
from support.tiny.encoders import SAMPLING_RATE, tiny_encoder, tiny_extractor
from support.tiny.tokenizers import tokenizer
from support.tiny.weights import louder, spread
from transformers import GenerationConfig, SpeechEncoderDecoderModel

from exporter import ExportOptions
from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.onnx.write_graphs import WrittenGraphs, write_decoders, write_encoder
from exporter.pipeline.bundle_writer import describe_files, write_manifest
from exporter.pipeline.manifest_builder import Findings, build_manifest
from exporter.pipeline.stored_defaults import stored_defaults
from exporter.reference.audio_limits import min_samples, padding_is_safe
from exporter.tokenizers.files import write_tokenizer
from graphs import (
    decoder_geometry,
    encoder_signature,
    encoder_state_width,
    find_cross_attention,
    first_step_signature,
    ids_fed_alone,
    with_past_signature,
)
from s2t_runtime.bundles.manifest import AudioInfo

Once = Callable[[str, Callable[[Path], None]], Path]


def tiny_model(encoder: str, decoder: str, hidden: int = DECODER_HIDDEN, **changes: Any) -> Any:
    """Both, joined; another ``hidden`` than the decoder's gives the model an enc_to_dec_proj."""
    parts = tiny_encoder(encoder, hidden, **changes), tiny_decoder(decoder)
    weights = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    model = SpeechEncoderDecoderModel(encoder=parts[0], decoder=parts[1])
    # Joining the parts initialises what transformers takes for new.
    for part, kept in zip((model.encoder, model.decoder), weights, strict=True):
        part.load_state_dict(kept)
    if hasattr(model, "enc_to_dec_proj"):
        spread(model.enc_to_dec_proj, "enc_to_dec_proj")
    model.generation_config = GenerationConfig(
        bos_token_id=BOS,
        pad_token_id=parts[1].config.pad_token_id,
        eos_token_id=list(ENDS),
        decoder_start_token_id=start_token(decoder),
        max_new_tokens=20,
    )
    return model.eval()


def save_checkpoint(
    model: Any,
    directory: Path,
    *,
    return_attention_mask: bool,
    do_normalize: bool = True,
    padding_value: float = 0.0,
) -> None:
    """A complete checkpoint: model, generation_config, tokenizer, feature extractor."""
    model.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    tokenizer(model.config.decoder.model_type).save_pretrained(directory)
    tiny_extractor(
        model.config.encoder.model_type,
        return_attention_mask=return_attention_mask,
        do_normalize=do_normalize,
        padding_value=padding_value,
    ).save_pretrained(directory)


@dataclass(frozen=True)
class Pair:
    """One checkpoint of the matrix, and what its feature extractor does."""

    encoder: str
    decoder: str
    hidden: int = DECODER_HIDDEN
    return_attention_mask: bool = True
    do_normalize: bool = True
    padding_value: float = 0.0
    gain: float = 1.0
    """By which the encoder's matrices are multiplied: the larger, the more a rounding error matters."""

    @property
    def name(self) -> str:
        """For directories and test ids."""
        louder = "" if self.gain == 1 else f"-{self.gain}"
        return f"{self.encoder}-{self.hidden}-{self.decoder}{louder}"

    def save(self, directory: Path) -> None:
        """Write the checkpoint."""
        model = tiny_model(self.encoder, self.decoder, self.hidden)
        louder(model.encoder, self.gain)
        save_checkpoint(
            model,
            directory,
            return_attention_mask=self.return_attention_mask,
            do_normalize=self.do_normalize,
            padding_value=self.padding_value,
        )


# Each encoder and each decoder once, with and without enc_to_dec_proj, every way of extracting features.
PAIRS = (
    Pair("wav2vec2-group", "gpt2", return_attention_mask=False),
    Pair("wav2vec2-stable-adapter", "mbart"),
    Pair("hubert-stable", "bert", hidden=24, do_normalize=False),
    Pair("wavlm", "bart", hidden=24, padding_value=0.25),
)

MARKED_PAIRS = [*PAIRS[:3], pytest.param(PAIRS[3], marks=pytest.mark.broad)]
"""For parametrize: BART's code is mBART's, so its graphs are made by the broad tests."""


def checkpoint_directory(once: Once, pair: Pair) -> Path:
    """The saved checkpoint of a pair."""
    return once(f"tiny-checkpoint-{pair.name}", pair.save)


def load(once: Once, pair: Pair) -> Checkpoint:
    """The checkpoint as an export loads it."""
    return load_checkpoint(locate_checkpoint(str(checkpoint_directory(once, pair))))


def encoder_graph(once: Once, pair: Pair) -> Path:
    """Directory with encoder.onnx, which holds the decoder's cross projections as well."""

    def make(path: Path) -> None:
        path.mkdir()
        checkpoint = load(once, pair)
        geometry = decoder_geometry(checkpoint.model.decoder)
        shortest = min_samples(checkpoint)
        write_encoder(
            checkpoint, geometry, min_samples=shortest, max_samples=10 * SAMPLING_RATE, directory=path
        )

    return once(f"tiny-encoder-{pair.name}", make)


def decoder_graphs(once: Once, name: str) -> Path:
    """Directory with both decoder graphs; they do not depend on the encoder."""

    def make(path: Path) -> None:
        path.mkdir()
        decoder = tiny_decoder(name)
        write_decoders(decoder, decoder_geometry(decoder), path, lambda _: None)

    return once(f"tiny-decoder-{name}", make)


def bundle(once: Once, pair: Pair) -> Path:
    """A bundle, put together from graphs that other tests share."""

    def make(path: Path) -> None:
        for directory in (encoder_graph(once, pair), decoder_graphs(once, pair.decoder)):
            shutil.copytree(directory, path / "fp32", dirs_exist_ok=True)
        _complete_bundle(load(once, pair), path)

    return once(f"tiny-bundle-{pair.name}", make)


def _complete_bundle(checkpoint: Checkpoint, path: Path) -> None:
    geometry = decoder_geometry(checkpoint.model.decoder)
    decoder = checkpoint.model.decoder
    graphs = WrittenGraphs(
        encoder_signature(geometry, encoder_state_width(decoder.config)),
        first_step_signature(geometry),
        with_past_signature(geometry),
        find_cross_attention(decoder).mode,
    )
    shortest = min_samples(checkpoint)
    findings = Findings(
        geometry,
        AudioInfo(SAMPLING_RATE, shortest, 10 * SAMPLING_RATE, padding_is_safe(checkpoint, shortest)),
        stored_defaults(checkpoint, ExportOptions(output=path), geometry).options,
        {},
        write_tokenizer(checkpoint.tokenizer, path),
        ids_fed_alone(decoder, ()),
        {"fp32": graphs},
    )
    write_manifest(
        build_manifest(checkpoint, ExportOptions(output=path), findings, describe_files(path)), path
    )
