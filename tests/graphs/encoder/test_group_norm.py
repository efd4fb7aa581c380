"""The group norm behind the first convolution: as PyTorch's, with a mean of more digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny.encoders import tiny_encoder
from torch import nn

from graphs.encoder.group_norm import exact_group_norms


class Layer(nn.Module):
    """As transformers' own: a convolution, a norm for each channel, an activation."""

    def __init__(self, *, bias: bool, inputs: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, 6, 10, stride=5, bias=bias)
        self.layer_norm = nn.GroupNorm(6, 6)
        self.activation = nn.Identity()
        nn.init.normal_(self.layer_norm.weight)
        nn.init.normal_(self.layer_norm.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.activation(self.layer_norm(self.conv(states)))


def wave(inputs: int, length: int) -> torch.Tensor:
    """Speech and digital silence behind it, which a mean of zero keeps from being zero."""
    states = torch.randn((2, inputs, length), generator=torch.Generator().manual_seed(0))
    states[..., length // 2 :] = -1e-3
    return states


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("inputs", "length"), [(1, 24), (1, 25), (1, 26), (1, 16_003), (3, 2_001)])
@torch.no_grad()
def test_it_is_the_group_norm(bias: bool, inputs: int, length: int) -> None:
    torch.manual_seed(1)
    layer, states = Layer(bias=bias, inputs=inputs), wave(inputs, length)
    wanted = layer(states)
    with exact_group_norms(nn.Sequential(layer)):
        got = layer(states)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=2e-5)
    assert torch.equal(layer(states), wanted)  # undone


@torch.no_grad()
def test_silence_has_as_many_digits_as_in_double_precision() -> None:
    torch.manual_seed(1)
    layer, states = Layer(bias=False), wave(1, 160_003)
    with exact_group_norms(nn.Sequential(layer)):
        got = layer(states)
    wanted = layer.double()(states.double())
    silent = slice(-1000, None)
    assert (got - wanted)[..., silent].abs().max() < 2e-8 * wanted.abs().max()


def test_the_mean_of_the_runtimes_own_norm_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by 6e-7 of the deviation, as ONNX Runtime's InstanceNormalization was measured to be."""

    def one_by_one(conv: Any, states: Any, _frames: int) -> torch.Tensor:
        convolved = nn.Conv1d.forward(conv, states)
        return convolved.double().mean(-1, keepdim=True).float() + 6e-7 * convolved.std(-1, keepdim=True)

    monkeypatch.setattr("graphs.encoder.group_norm._mean_of_output", one_by_one)
    with pytest.raises(AssertionError):
        test_silence_has_as_many_digits_as_in_double_precision()


@pytest.mark.parametrize(
    ("kind", "expected"), [("wav2vec2-group", 1), ("wav2vec2-stable-adapter", 0), ("wavlm", 1)]
)
def test_which_layers_have_one(kind: str, expected: int) -> None:
    encoder = tiny_encoder(kind, 16)
    with exact_group_norms(encoder):
        patched = [name for name, module in encoder.named_modules() if "forward" in vars(module)]
    assert len([name for name in patched if name.endswith("layer_norm")]) == expected
    assert not any("forward" in vars(module) for module in encoder.modules())
