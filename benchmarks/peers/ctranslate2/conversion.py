"""A checkpoint's two parts as CTranslate2 models, built from CTranslate2's own specifications.

CTranslate2 has no speech-encoder-decoder model. It has a Wav2Vec2 encoder, without adapter, and a Whisper model, whose
decoder is the same class as every other decoder of CTranslate2 and whose ``generate`` takes an encoder's states as they
are. So the encoder part is the former, and the decoder part the latter with the checkpoint's decoder in it; its own
encoder is a stub that is loaded and never run. Whisper's loop wants a prompt that begins with <|startoftranscript|> and
ends with <|notimestamps|> (else it adds rules for timestamps): two rows are appended to the tables for them, copies of
the rows of the tokens that the prompt really has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from ctranslate2.converters import transformers as loaders
from ctranslate2.specs import transformer_spec, wav2vec2_spec, whisper_spec
from numpy.typing import NDArray
from torch import nn

from benchmarks.errors import PeerError
from benchmarks.peers.ctranslate2.files import BETWEEN, DECODER, ENCODER
from exporter.checkpoints.checkpoint import Checkpoint

_NORM_FIRST: Final = {"mbart": True, "bart": False}
"""Decoders by model_type: whether a layer begins with its norms."""
_END: Final = "<|endoftext|>"
_PROMPT: Final = ("<|startoftranscript|>", "<|notimestamps|>")


def convert_parts(
    checkpoint: Checkpoint, directory: Path, *, prompt: Sequence[int], end: int, quantization: str | None
) -> None:
    """Write both parts, and beside them what neither has.

    Args:
        checkpoint: its model is changed; the caller drops it.
        directory: an empty one.
        prompt: the two tokens that every hypothesis begins with.
        end: the end token.
        quantization: "int8", or None for float32.

    Raises:
        PeerError: CTranslate2 cannot compute one of the parts; every reason is listed.
    """
    model = checkpoint.model
    problems = [*_encoder_problems(model.encoder.config), *_decoder_problems(model.decoder.config)]
    if problems:
        raise PeerError(f"CTranslate2 cannot compute this model: {'; '.join(problems)}")
    with torch.no_grad():
        _save(_encoder_spec(model.encoder), directory / ENCODER, ["a", "b"], quantization)
        spec, tokens = _decoder_spec(model.decoder, prompt, end)
        _save(spec, directory / DECODER, tokens, quantization)
        weights: dict[str, Any] = dict(_between(model))
        np.savez(directory / BETWEEN, **weights)


def _encoder_problems(config: Any) -> Iterator[str]:
    if config.model_type != "wav2vec2":
        yield f"its encoders are wav2vec2, this one is {config.model_type}"
        return
    wanted = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "hidden_act": "gelu"}
    for name, value in {**wanted, "feat_extract_activation": "gelu"}.items():
        if getattr(config, name) != value:
            yield f"its wav2vec2 encoder has {name} {value}, this one {getattr(config, name)}"
    if getattr(config, "adapter_attn_dim", None) is not None:
        yield "it has no attention adapters (adapter_attn_dim)"


def _decoder_problems(config: Any) -> Iterator[str]:
    if config.model_type not in _NORM_FIRST:
        yield f"its decoders here are {' and '.join(_NORM_FIRST)}, this one is {config.model_type}"
    elif config.activation_function not in loaders._SUPPORTED_ACTIVATIONS:  # noqa: SLF001 - its only list of them
        yield f"it has no activation {config.activation_function}"


def _encoder_spec(encoder: Any) -> Any:
    config = encoder.config
    config.return_hidden = True  # no CTC head
    spec = wav2vec2_spec.Wav2Vec2Spec(
        config.num_feat_extract_layers,
        config.num_hidden_layers,
        config.num_attention_heads,
        vocab_size=2,
        return_hidden=True,
    )
    for layer in encoder.encoder.layers:  # the names under which the loader looks for them
        layer.self_attn, layer.self_attn_layer_norm = layer.attention, layer.layer_norm
        layer.activation_fn = layer.feed_forward.intermediate_act_fn
        layer.fc1, layer.fc2 = layer.feed_forward.intermediate_dense, layer.feed_forward.output_dense
    for layer in encoder.feature_extractor.conv_layers:
        if layer.conv.bias is None:
            layer.conv.bias = nn.Parameter(torch.zeros(layer.conv.out_channels))
    loader = loaders.Wav2Vec2Loader()
    loader.set_encoder(spec.encoder, SimpleNamespace(wav2vec2=encoder), config)
    return spec


def _decoder_spec(decoder: Any, prompt: Sequence[int], end: int) -> tuple[Any, list[str]]:
    config = decoder.config
    spec = whisper_spec.WhisperSpec(1, 1, config.decoder_layers, config.decoder_attention_heads)
    part = transformer_spec.TransformerDecoderSpec(
        config.decoder_layers,
        config.decoder_attention_heads,
        pre_norm=_NORM_FIRST[config.model_type],
        activation=loaders._SUPPORTED_ACTIVATIONS[config.activation_function],  # noqa: SLF001
        layernorm_embedding=True,
    )
    loader = loaders.BartLoader()
    loader.set_decoder(part, decoder.model.decoder)
    table, projection = decoder.model.decoder.embed_tokens.weight, decoder.lm_head.weight
    part.embeddings.weight = _longer(table, prompt)
    # One array where they are one tensor: CTranslate2 then keeps one of them.
    tied = table.data_ptr() == projection.data_ptr()
    part.projection.weight = part.embeddings.weight if tied else _longer(projection, prompt)
    spec.decoder = part
    _fill_stub(spec.encoder, config.d_model)
    tokens = [f"<{token}>" for token in range(table.shape[0])]
    tokens[end] = _END
    return spec, [*tokens, *_PROMPT]


def _longer(table: torch.Tensor, prompt: Sequence[int]) -> NDArray[np.float32]:
    return torch.cat([table, table[list(prompt)]]).numpy()


def _fill_stub(encoder: Any, hidden: int) -> None:
    """Weights for Whisper's own encoder: the width of its norm is looked at, nothing of it is run."""
    for conv in (encoder.conv1, encoder.conv2):
        conv.weight, conv.bias = np.zeros((hidden, 1, 1), np.float32), np.zeros(hidden, np.float32)
    encoder.position_encodings.encodings = np.zeros((1, hidden), np.float32)
    (layer,) = encoder.layer
    norms = [(encoder.layer_norm, hidden), (layer.self_attention.layer_norm, 1), (layer.ffn.layer_norm, 1)]
    for norm, width in norms:
        norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)
    for linear in (*layer.self_attention.linear, layer.ffn.linear_0, layer.ffn.linear_1):
        linear.weight, linear.bias = np.zeros((1, 1), np.float32), np.zeros(1, np.float32)


def _save(spec: Any, directory: Path, tokens: list[str], quantization: str | None) -> None:
    directory.mkdir()
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))


def _between(model: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """What stands between the parts, by name, weights as numpy multiplies them: [in, out]."""
    adapter = getattr(model.encoder, "adapter", None)
    if adapter is not None and adapter.proj is not None:
        yield from _linear("proj", adapter.proj)
        norm = adapter.proj_layer_norm
        yield "norm.weight", norm.weight.numpy()
        yield "norm.bias", norm.bias.numpy()
        yield "norm.epsilon", np.array(norm.eps, np.float32)
    for number, layer in enumerate(adapter.layers if adapter is not None else ()):
        out, channels, width = layer.conv.weight.shape
        weight = layer.conv.weight.permute(2, 1, 0).reshape(width * channels, out)
        yield f"conv{number}.weight", weight.contiguous().numpy()
        yield f"conv{number}.bias", layer.conv.bias.numpy()
        shape = (width, layer.conv.stride[0], layer.conv.padding[0])
        yield f"conv{number}.shape", np.array(shape)
    if hasattr(model, "enc_to_dec_proj"):
        yield from _linear("last", model.enc_to_dec_proj)


def _linear(name: str, module: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield f"{name}.weight", module.weight.T.contiguous().numpy()
    yield f"{name}.bias", module.bias.numpy()
