"""Tiny random checkpoints of every supported encoder and decoder, and their exported graphs.

The weights are seeded and larger than transformers' initialisation: logits spread over several nats,
attention is far from uniform and positions count, so that a wrong mask, order or ranking shows.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from torch.nn.utils import parametrize
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderModel,
    Wav2Vec2FeatureExtractor,
)
from transformers.pytorch_utils import Conv1D

from exporter import ExportOptions
from exporter.audio_limits import min_samples, padding_is_safe
from exporter.bundle_writer import describe_files, write_manifest
from exporter.checkpoint import Checkpoint, load_checkpoint
from exporter.generation_defaults import generation_defaults
from exporter.hub import locate_checkpoint
from exporter.manifest_builder import Findings, build_manifest
from exporter.tokenizer_files import write_tokenizer
from exporter.write_graphs import WrittenGraphs, write_decoders, write_encoder
from graphs import decoder_geometry, encoder_signature, first_step_signature, with_past_signature
from s2t_runtime.manifest import AudioInfo

VOCAB = 60
BOS, PAD, EOS, UNK = 0, 1, 2, 3
ENDS = (EOS, 37, 38, 41)
"""Several end tokens: of sixty random tokens, one alone would hardly ever end a hypothesis early."""
MAX_POSITIONS = 48
SAMPLING_RATE = 16_000
MIN_SAMPLES = 40
"""Receptive field of the tiny convolutions below."""
DECODER_HIDDEN = 16

Once = Callable[[str, Callable[[Path], None]], Path]

_ENCODER: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_LAYER = {"feat_extract_norm": "layer", "conv_bias": True}
_STABLE = {**_LAYER, "do_stable_layer_norm": True}
_ADAPTER = {"add_adapter": True, "num_adapter_layers": 1}
# Few buckets, so that the logarithmic ones are used at tiny lengths as well.
_BUCKETS = {"num_buckets": 16, "max_bucket_distance": 24}
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2-group": ("wav2vec2", {}),
    "wav2vec2-stable-adapter": ("wav2vec2", {**_STABLE, **_ADAPTER}),
    "wav2vec2-layer": ("wav2vec2", {**_LAYER, "hidden_act": "relu"}),
    "wav2vec2-group-adapters": ("wav2vec2", {**_ADAPTER, "num_adapter_layers": 2, "conv_bias": True}),
    "wav2vec2-attention-adapters": ("wav2vec2", {**_STABLE, "adapter_attn_dim": 8}),
    "hubert": ("hubert", {}),
    "hubert-stable": ("hubert", _STABLE),
    "hubert-batch-norm": ("hubert", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}),
    "wavlm": ("wavlm", _BUCKETS),
    "wavlm-stable": ("wavlm", {**_STABLE, **_BUCKETS}),
    "wavlm-adapter": ("wavlm", {**_LAYER, **_ADAPTER, **_BUCKETS}),
}
"""Every variant that the configuration classes offer: norms, biases, adapters of both kinds."""

_BART: dict[str, Any] = {
    "d_model": DECODER_HIDDEN,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_BERT: dict[str, Any] = {
    "hidden_size": DECODER_HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_GPT2: dict[str, Any] = {
    "n_embd": DECODER_HIDDEN,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 32,
    "n_positions": MAX_POSITIONS,
}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mbart": ("mbart", {**_BART, "scale_embedding": True}),
    "bart": ("bart", _BART),
    "bert": ("bert", _BERT),
    "gpt2": ("gpt2", _GPT2),
    "mbart-untied": ("mbart", {**_BART, "tie_word_embeddings": False, "activation_function": "relu"}),
    "bart-scaled-untied": ("bart", {**_BART, "scale_embedding": True, "tie_word_embeddings": False}),
    "bert-untied": ("bert", {**_BERT, "tie_word_embeddings": False, "hidden_act": "relu"}),
    "gpt2-upcast": ("gpt2", {**_GPT2, "reorder_and_upcast_attn": True}),
    "gpt2-inverse-layer": ("gpt2", {**_GPT2, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2-unscaled-untied": ("gpt2", {**_GPT2, "scale_attn_weights": False, "tie_word_embeddings": False}),
}


def tiny_encoder(name: str, hidden: int = DECODER_HIDDEN, **changes: Any) -> Any:
    """An encoder of ENCODERS; ``changes`` go into its configuration."""
    kind, options = ENCODERS[name]
    return _seeded(
        AutoModel, kind, f"{name} {hidden}", {**_ENCODER, **options, "hidden_size": hidden, **changes}
    )


def tiny_decoder(name: str) -> Any:
    """A decoder of DECODERS, with cross-attention; always the same weights."""
    kind, options = DECODERS[name]
    roles = {"is_decoder": True, "add_cross_attention": True}
    tokens = {"vocab_size": VOCAB, "bos_token_id": BOS, "pad_token_id": PAD, "eos_token_id": EOS}
    return _seeded(AutoModelForCausalLM, kind, name, {**options, **tokens, **roles})


def tiny_model(encoder: str, decoder: str, hidden: int = DECODER_HIDDEN, **changes: Any) -> Any:
    """Both, joined; another ``hidden`` than the decoder's gives the model an enc_to_dec_proj."""
    parts = tiny_encoder(encoder, hidden, **changes), tiny_decoder(decoder)
    weights = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    model = SpeechEncoderDecoderModel(encoder=parts[0], decoder=parts[1])
    # Joining the parts initialises what transformers takes for new.
    for part, kept in zip((model.encoder, model.decoder), weights, strict=True):
        part.load_state_dict(kept)
    if hasattr(model, "enc_to_dec_proj"):
        _spread(model.enc_to_dec_proj, "enc_to_dec_proj")
    model.generation_config = GenerationConfig(
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=list(ENDS),
        # As the families do: BART begins with the end token, the others with one of their own.
        decoder_start_token_id=EOS if "bart" in decoder else BOS,
        max_new_tokens=20,
    )
    return model.eval()


def _seeded(factory: Any, kind: str, seed: str, options: dict[str, Any]) -> Any:
    model = factory.from_config(AutoConfig.for_model(kind, **options), attn_implementation="eager").eval()
    _spread(model, seed)
    return model


@torch.no_grad()
def _spread(model: nn.Module, seed: str) -> None:
    generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))

    def normal(shape: torch.Size, size: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * size

    embeddings_last = sorted(model.named_modules(), key=lambda item: isinstance(item[1], nn.Embedding))
    for name, module in embeddings_last:
        if isinstance(module, nn.Embedding):
            # Positions outweigh tokens, also where scale_embedding multiplies the tokens.
            module.weight.copy_(normal(module.weight.shape, 3.0 if _is_positions(name) else 0.8))
            continue
        for part, parameter in list(module.named_parameters(recurse=False)):
            one = 1.0 if part == "weight" and parameter.dim() == 1 else 0.0
            parameter.copy_(one + normal(parameter.shape, _size(name, module, part, parameter)))
        if parametrize.is_parametrized(module, "weight"):  # weight norm
            module.weight = normal(module.weight.shape, module.weight[0].numel() ** -0.5 * 1.5)
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.copy_(normal(module.running_mean.shape, 0.5))
            module.running_var.copy_(1 + normal(module.running_var.shape, 0.5).abs())


# Sharp attention, logits of several nats, and convolutions that outweigh their biases.
_GAINS = {
    **dict.fromkeys(("q_proj", "k_proj", "query", "key", "c_attn", "q_attn"), 2.0),
    **dict.fromkeys(("lm_head", "predictions.decoder"), 3.0),
    "conv_layers": 2.5,
}


def _is_positions(name: str) -> bool:
    return any(part in name for part in ("position", "wpe"))


def _size(name: str, module: nn.Module, part: str, parameter: nn.Parameter) -> float:
    if part != "weight" or parameter.dim() < 2:
        return 0.2
    fan_in = parameter.shape[0] if isinstance(module, Conv1D) else parameter[0].numel()
    return next((gain for hint, gain in _GAINS.items() if hint in name), 1.4) * fan_in**-0.5


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
    Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLING_RATE,
        do_normalize=do_normalize,
        padding_value=padding_value,
        return_attention_mask=return_attention_mask,
    ).save_pretrained(directory)


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = {
    "bert": ("[CLS]", "[PAD]", "[SEP]", "[UNK]"),
    "other": ("<s>", "<pad>", "</s>", "<unk>"),
}


def tokenizer(decoder: str) -> PreTrainedTokenizerFast:
    """Sixty tokens, of the kind that the decoder's family has: WordPiece, byte-level or Metaspace BPE."""
    special = _SPECIAL.get(decoder, _SPECIAL["other"])
    if decoder == "bert":
        words = [*special, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), "the", "and", "of", "##ing"]
        built = Tokenizer(
            models.WordPiece({word: place for place, word in enumerate(words)}, unk_token=special[UNK])
        )
        built.pre_tokenizer = pre_tokenizers.Whitespace()
        built.decoder = decoders.WordPiece()
    else:
        built = _bpe(special, byte_level=decoder in {"bart", "gpt2"})
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=built, **names)


def _bpe(special: tuple[str, ...], *, byte_level: bool) -> Tokenizer:
    space = "Ġ" if byte_level else "▁"
    merges = [*((space, letter) for letter in _LETTERS), ("t", "h"), ("e", "r"), ("i", "n")]
    words = [*special, space, *_LETTERS, *(first + second for first, second in merges)]
    built = Tokenizer(
        models.BPE({word: place for place, word in enumerate(words)}, merges, unk_token=special[UNK])
    )
    if byte_level:
        built.pre_tokenizer, built.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    else:
        built.pre_tokenizer, built.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return built


@dataclass(frozen=True)
class Pair:
    """One checkpoint of the matrix, and what its feature extractor does."""

    encoder: str
    decoder: str
    hidden: int = DECODER_HIDDEN
    return_attention_mask: bool = True
    do_normalize: bool = True
    padding_value: float = 0.0

    @property
    def name(self) -> str:
        """For directories and test ids."""
        return f"{self.encoder}-{self.hidden}-{self.decoder}"

    def save(self, directory: Path) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            tiny_model(self.encoder, self.decoder, self.hidden),
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
        write_encoder(checkpoint, geometry, min_samples=min_samples(checkpoint), directory=path)

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
    graphs = WrittenGraphs(
        encoder_signature(geometry, DECODER_HIDDEN),
        first_step_signature(geometry),
        with_past_signature(geometry),
    )
    shortest = min_samples(checkpoint)
    findings = Findings(
        geometry,
        AudioInfo(SAMPLING_RATE, shortest, 10 * SAMPLING_RATE, padding_is_safe(checkpoint, shortest)),
        generation_defaults("tiny", checkpoint.model.generation_config),
        {},
        write_tokenizer(checkpoint.tokenizer, path),
        {"fp32": graphs},
    )
    write_manifest(
        build_manifest(checkpoint, ExportOptions(output=path), findings, describe_files(path)), path
    )
