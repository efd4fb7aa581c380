"""Builds the exact model of a configuration with seeded random weights, once, in the memory of one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import SpeechEncoderDecoderModel
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D

from exporter.checkpoints.checkpoint import READING, Checkpoint, has_extractor, has_tokenizer
from exporter.checkpoints.companions.chosen import adjusted, companion_files
from exporter.checkpoints.companions.loading import load_extractor, load_tokenizer
from exporter.checkpoints.companions.neutral import neutral_extractor, neutral_tokenizer
from exporter.checkpoints.companions.special_tokens import with_special_tokens
from exporter.checkpoints.configuration import read_config, read_generation_config
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles, OnStage
from exporter.checkpoints.weights.blank import blank_model

MAKING = "make random weights"
_AS_IT_IS = LoadOptions()

# Under transformers' own initialisation (normal, 0.02) attention is next to uniform, the logits of a small model
# spread over a quarter of a nat and those of two recordings differ by a hundredth of that: a wrong mask or frame
# would hardly show. These gains on 1 / sqrt(fan in) spread logits over three nats; sharp queries and keys let
# tokens and recordings count, and residual branches below 1 let them get through dozens of layers.
_GAIN = 0.7
_CONVOLUTION_GAIN = 1.4
_SHARP_GAIN = 2.0
_LOGIT_GAIN = 3.0
_POSITION_GAIN = 3.0
"""Of positions over tokens. A decoder whose logits are tied to its embeddings would repeat its last token forever."""
_SHARP = ("q_proj", "k_proj", "query", "key", "c_attn", "q_attn", "linear_q", "linear_k")
"""What families call queries and keys; one that calls them otherwise has flatter attention, and works as well."""
_AROUND = 0.05
"""Spread of biases around 0, and of the scales of norms around 1: larger ones drown what differs."""


def make_checkpoint(
    files: CheckpointFiles,
    seed: int,
    options: LoadOptions = _AS_IT_IS,
    *,
    on_stage: OnStage = lambda _: None,
) -> Checkpoint:
    """The model of a config.json with random weights, its companions found there or made.

    Args:
        files: where config.json is.
        seed: of the weights; the same seed gives the same weights, tensor by tensor.
        options: what is to be taken in another way than it is stored.
        on_stage: told as the weights are made.

    Raises:
        CheckpointError: config.json or a companion cannot be read, or no start or end token is known.
        UnsupportedModelError: the model cannot be split into the three graphs; every reason is listed.
    """
    on_stage(READING)
    config: Any = read_config(files, options.ignored_generation_options)
    generation = read_generation_config(files)
    neutral = []
    companions = companion_files(files, files, options, on_stage=on_stage)
    if has_extractor(companions.extractor.directory):
        extractor = load_extractor(companions.extractor)
    else:
        extractor = neutral_extractor(config.encoder)
        neutral.append("feature_extractor")
    extractor = adjusted(extractor, companions.extractor, options)
    if has_tokenizer(companions.tokenizer.directory):
        tokenizer = load_tokenizer(companions.tokenizer)
    else:
        tokenizer = neutral_tokenizer(int(config.decoder.vocab_size), _special(generation, config))
        neutral.append("tokenizer")
    generation = with_special_tokens(generation, config.decoder, tokenizer, files.source)
    blank_model(SpeechEncoderDecoderModel, files, config)  # or a sentence
    on_stage(MAKING)
    model = random_model(config, seed)
    model.generation_config = generation
    origin = Origin(
        "random_weights",
        {"configuration": files},
        untrained=("*",),
        seed=seed,
        neutral=tuple(sorted(neutral)),
        companions=companions.named,
    )
    return Checkpoint(files, model, tokenizer, extractor, origin)


def random_model(config: Any, seed: int) -> Any:
    """The model of a SpeechEncoderDecoderConfig in evaluation mode, float32, every parameter drawn from ``seed``.

    No initialiser runs, so that each parameter is written once. Each tensor has a generator of its own,
    seeded by its name: a tensor does not depend on the order of the others.
    """
    for part in (config, config.encoder, config.decoder):
        part.dtype = torch.float32  # whatever the weights would be saved in
    # Not on the meta device: buffers (sinusoidal tables, relative positions) are computed as the model is built.
    with no_init_weights(), torch.random.fork_rng(devices=[]):
        model = SpeechEncoderDecoderModel(config=config)
    model.tie_weights()
    _fill(model, seed)
    return model.eval()


@torch.no_grad()
def _fill(model: Any, seed: int) -> None:
    written: set[int] = set()
    logits = model.decoder.get_output_embeddings()
    decoder = model.config.decoder
    token_scale = decoder.hidden_size**0.5 if getattr(decoder, "scale_embedding", False) else 1.0
    for name, module, part, parameter in _parameters(model):
        if id(parameter) in written:  # tied
            continue
        written.add(id(parameter))
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        size = _spread(name, module, parameter, is_logits=module is logits)
        if name.startswith("decoder.") and isinstance(module, nn.Embedding) and _is_positions(name):
            size *= _POSITION_GAIN * token_scale
        parameter.normal_(0.0, size, generator=generator)
        if part == "weight" and parameter.dim() == 1:
            parameter.add_(1.0)
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            _scale_weight_norm(module)


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    for prefix, module in model.named_modules():
        for part, parameter in module.named_parameters(recurse=False):
            yield f"{prefix}.{part}", module, part, parameter


def _is_positions(name: str) -> bool:
    return any(hint in name for hint in ("position", "wpe"))


def _spread(name: str, module: nn.Module, parameter: nn.Parameter, *, is_logits: bool) -> float:
    if parameter.dim() < 2:
        return _AROUND
    if isinstance(module, nn.Embedding):
        # Often tied to the logits, and otherwise normalised behind.
        return _LOGIT_GAIN * parameter.shape[1] ** -0.5
    gain = _GAIN
    if is_logits:
        gain = _LOGIT_GAIN
    elif parameter.dim() == 3:
        gain = _CONVOLUTION_GAIN
    elif any(hint in name for hint in _SHARP):
        gain = _SHARP_GAIN
    fan_in = parameter.shape[0] if isinstance(module, Conv1D) else parameter[0].numel()
    return gain * max(1, fan_in) ** -0.5


def _scale_weight_norm(module: Any) -> None:
    """Give the direction's own size to a weight that is kept as direction and size."""
    parts = module.parametrizations.weight
    direction = parts.original1
    if parts.original0.dim() != direction.dim():
        return  # another parametrisation than weight norm
    kept = [axis for axis, size in enumerate(parts.original0.shape) if size > 1]
    axes = [axis for axis in range(direction.dim()) if axis not in kept]
    parts.original0.copy_(torch.linalg.vector_norm(direction, dim=axes, keepdim=True))


def _special(generation: Any, config: Any) -> dict[str, int | None]:
    def known(name: str) -> int | None:
        found = getattr(generation, name, None)
        if found is None:
            found = getattr(config.decoder, name, None)
        return found[0] if isinstance(found, list) else found

    return {f"{role}_token": known(f"{role}_token_id") for role in ("bos", "pad", "eos")}
