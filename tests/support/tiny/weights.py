"""Seeded random weights under which mistakes show.

They are larger than transformers' initialisation: logits spread over several nats, attention is far from
uniform and positions count, so that a wrong mask, order or ranking changes results.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D


def seeded(factory: Any, kind: str, seed: str, options: dict[str, Any]) -> Any:
    model = factory.from_config(AutoConfig.for_model(kind, **options), attn_implementation="eager").eval()
    spread(model, seed)
    return model


@torch.no_grad()
def spread(model: nn.Module, seed: str) -> None:
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


@torch.no_grad()
def louder(model: nn.Module, gain: float) -> None:
    """Multiply the matrices and kernels, which are no embeddings, by ``gain``."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "embed" not in name:
            parameter.mul_(gain)


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
