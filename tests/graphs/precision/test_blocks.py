"""Blocks in float16 and float32 side by side: what is cast where, on modules small enough to follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny import models as tiny_models
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from transformers.modeling_outputs import BaseModelOutput

from graphs import EncoderGraph, WaveformSettings
from graphs.precision.blocks import (
    LARGEST_HALF,
    Crossing,
    PrecisionAssignment,
    blocks_of,
    in_precisions,
    is_norm,
    model_roots,
)
from graphs.precision.weights import FULL, HALF, named_modules, own_parameters


class Branch(nn.Module):
    """Two products with an activation between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        return self.second(self.act(self.first(states)))


class Layer(nn.Module):
    """A residual stream around a norm and a branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.branch, self.dropout = nn.LayerNorm(width), Branch(width), nn.Dropout(0.5)

    def forward(self, states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        scores = states + 0 if attention_mask is None else states + attention_mask
        return self.dropout(states + self.branch(self.norm(scores)))


class Stack(nn.Module):
    """Layers, and a weight that is read but whose module is never called."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width) for _ in range(3))
        self.norm, self.silent = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, states: Tensor, attention_mask: Tensor | None = None) -> BaseModelOutput:
        for layer in self.layers:
            states = layer(states, attention_mask=attention_mask)
        shares = torch.softmax(self.norm(states), -1)
        return BaseModelOutput(last_hidden_state=nn.functional.linear(shares, self.silent.weight))


@pytest.fixture
def stack() -> Stack:
    torch.manual_seed(0)
    return Stack().eval()


@pytest.fixture
def states() -> Tensor:
    return torch.randn((2, 5, 8), generator=torch.Generator().manual_seed(1))


def plan_of(stack: nn.Module, states: Tensor) -> PrecisionAssignment:
    return PrecisionAssignment(blocks_of({"net": stack}, lambda: stack(states)))


def types_in(
    stack: nn.Module, assignment: PrecisionAssignment, *given: Any, **named: Any
) -> dict[str, tuple[Any, ...]]:
    """Block -> types of what it takes, computes and hands on."""
    found: dict[str, list[Any]] = {}

    def watch(crossing: Crossing) -> None:
        if crossing.returned:
            found[crossing.block] += [crossing.before[0].dtype, crossing.after[0].dtype]
        else:
            found[crossing.block] = [crossing.after[0].dtype]

    with in_precisions({"net": stack}, assignment, watch), torch.no_grad():
        stack(*given, **named)
    return {block: tuple(types) for block, types in found.items()}


def test_blocks_are_the_modules_that_are_called_in_their_order(stack: Stack, states: Tensor) -> None:
    layer = ["", ".norm", ".branch", ".branch.first", ".branch.act", ".branch.second"]
    assert plan_of(stack, states).blocks == (
        "net", *(f"net.layers.{number}{part}" for number in range(3) for part in layer), "net.norm"
    )  # fmt: skip


def test_norms_and_softmax_compute_in_float32_and_all_else_in_float16(stack: Stack, states: Tensor) -> None:
    types = types_in(stack, plan_of(stack, states), states)
    for block, (given, computed, handed_on) in types.items():
        norm = block.endswith("norm")
        assert given is (FULL if norm else HALF)
        assert computed is (FULL if norm and block != "net" else HALF)
        assert handed_on is HALF


def test_softmax_is_float32_inside(stack: Stack) -> None:
    # Of equal scores: float16 sums of many small shares are off by 1e-3, float32's are not.
    scores = torch.zeros((1, 4000), dtype=HALF)
    with in_precisions({"net": stack}, PrecisionAssignment(())):
        for softmax in (torch.softmax, nn.functional.softmax, Tensor.softmax):
            result = softmax(scores, -1)
            assert result.dtype is HALF
            assert torch.equal(result, torch.softmax(scores.float(), -1).to(HALF))
        assert torch.softmax(scores, -1, dtype=FULL).dtype is FULL
        norm = nn.functional.layer_norm(torch.full((1, 64), 300.0, dtype=HALF), (64,), eps=1.0)
        assert norm.dtype is HALF
        assert norm.isfinite().all()


def test_softmax_is_float32_inside_torchs_own_attention() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 1).eval()
    assignment = PrecisionAssignment(("net",))
    # The queries are all alike, so that every key has an equal share and the result is the mean of the values.
    states = torch.randn((4000, 1, 8)).half()
    query = torch.zeros((1, 1, 8)).half()
    with torch.no_grad(), in_precisions({"net": attention}, assignment):
        own = nn.functional.multi_head_attention_forward
        options = {
            "bias_k": None,
            "bias_v": None,
            "add_zero_attn": False,
            "dropout_p": 0.0,
            "training": False,
        }
        weights = own(
            query, states, states, 8, 1,
            attention.in_proj_weight, attention.in_proj_bias,
            out_proj_weight=attention.out_proj.weight, out_proj_bias=attention.out_proj.bias, **options,
        )[1]  # fmt: skip
    assert weights.dtype is HALF
    assert float(weights.float().sum()) == pytest.approx(1, abs=1e-3)


def test_a_block_in_float32_takes_float16_caches_and_one_in_float16_no_float32_ones() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cached = torch.ones((2, 3, 4), dtype=HALF)

        def forward(self, states: Tensor) -> Tensor:
            return torch.matmul(states, self.cached)

    product, states = Product(), torch.ones((2, 5, 3))
    with in_precisions({"net": product}, PrecisionAssignment(("net",), frozenset({"net"}))):
        assert product(states).dtype is FULL
    product.cached = product.cached.float()
    with (
        pytest.raises(RuntimeError, match=r"scalar type|dtype"),
        in_precisions({"net": product}, PrecisionAssignment(("net",))),
    ):
        product(states)


def test_a_branch_in_float32_gives_back_what_the_block_around_it_computes_in(
    stack: Stack, states: Tensor
) -> None:
    inside = [f"net.layers.1.branch{part}" for part in ("", ".first", ".act", ".second")]
    types = types_in(stack, plan_of(stack, states).widened(inside), states)
    assert types["net.layers.1.branch"] == (FULL, FULL, HALF)
    assert types["net.layers.1.branch.second"] == (FULL, FULL, FULL)
    assert types["net.layers.1"] == (HALF, HALF, HALF)


def test_a_residual_stream_in_float32_with_its_branches_in_float16(stack: Stack, states: Tensor) -> None:
    stream = ["net.layers.1", "net.layers.2"]
    types = types_in(stack, plan_of(stack, states).widened(stream, stream), states)
    assert types["net.layers.0"] == (HALF, HALF, HALF)
    for layer in stream:
        assert types[layer] == (FULL, FULL, FULL)
        assert types[f"{layer}.branch"] == (HALF, HALF, FULL)
        assert types[f"{layer}.branch.first"] == (HALF, HALF, HALF)
    assert types["net"][1:] == (HALF, HALF)


def test_without_being_unbounded_a_stream_is_cut_at_each_layer(stack: Stack, states: Tensor) -> None:
    types = types_in(stack, plan_of(stack, states).widened(["net.layers.1"]), states)
    assert types["net.layers.1"] == (FULL, FULL, HALF)


def test_masks_stay_finite_in_float16(stack: Stack, states: Tensor) -> None:
    mask = torch.full((2, 5, 8), torch.finfo(FULL).min)
    seen: list[Tensor] = []

    def watch(crossing: Crossing) -> None:
        if crossing.block == "net" and not crossing.returned:
            seen.append(crossing.after[1])

    with in_precisions({"net": stack}, plan_of(stack, states), watch), torch.no_grad():
        stack(states, attention_mask=mask)
    assert seen[0].dtype is HALF
    assert (seen[0] == -LARGEST_HALF).all()


def test_everything_is_as_before_afterwards(stack: Stack, states: Tensor) -> None:
    kept = {name: (id(value), value.dtype) for name, value in stack.named_parameters()}
    with torch.no_grad():
        before = stack(states).last_hidden_state
    assignment = plan_of(stack, states)

    def broken(_: Crossing) -> None:
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"), in_precisions({"net": stack}, assignment, broken):
        stack(states)
    with in_precisions({"net": stack}, assignment), torch.no_grad():
        assert not torch.equal(stack(states).last_hidden_state, before)
    assert {name: (id(value), value.dtype) for name, value in stack.named_parameters()} == kept
    with torch.no_grad():
        assert torch.equal(stack(states).last_hidden_state, before)


def test_what_is_never_called_belongs_to_the_block_around_it(stack: Stack, states: Tensor) -> None:
    modules, blocks = dict(named_modules({"net": stack})), plan_of(stack, states).blocks
    owned = own_parameters(modules, blocks)
    assert owned["net"] == [(stack.silent, "weight"), (stack.silent, "bias")]
    with in_precisions({"net": stack}, PrecisionAssignment(blocks)):
        assert stack.silent.weight.dtype is HALF
        assert stack.layers[0].norm.weight.dtype is FULL
    with in_precisions({"net": stack}, PrecisionAssignment(blocks).widened(["net"])):
        assert stack.silent.weight.dtype is FULL


def test_tied_weights_stay_tied(stack: Stack, states: Tensor) -> None:
    stack.silent.weight = stack.layers[0].branch.first.weight
    with in_precisions({"net": stack}, plan_of(stack, states)):
        assert stack.silent.weight is stack.layers[0].branch.first.weight
        assert stack.silent.weight.dtype is HALF


def test_weight_norm_is_computed_in_float32() -> None:
    conv = weight_norm(nn.Conv1d(4, 4, 3), dim=2)
    with torch.no_grad():
        conv.parametrizations.weight.original1 *= 1e4  # its square is beyond float16
    wanted = conv.weight.detach()
    audio = torch.randn((1, 4, 9))
    with in_precisions({"net": conv}, PrecisionAssignment(("net",))), torch.no_grad():
        assert torch.equal(conv.weight, wanted.to(HALF))
        assert conv(audio).isfinite().all()
    assert torch.equal(conv.weight, wanted)
    assert conv.weight.requires_grad


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.LayerNorm(4), True),
        (lambda: nn.GroupNorm(2, 4), True),
        (lambda: nn.BatchNorm1d(4), True),
        (lambda: nn.InstanceNorm1d(4), True),
        (lambda: nn.RMSNorm(4), True),
        (lambda: nn.Linear(4, 4), False),
    ],
)
def test_norms_are_told_by_their_class(make: Callable[[], nn.Module], expected: bool) -> None:
    assert is_norm(make()) is expected


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ("wav2vec2-group", "gpt2"),
        ("hubert-batch-norm", "bert"),
        ("wavlm", "bart"),
        ("sew-d", "roberta"),
        ("conformer-relative", "xglm"),
        ("conformer-rotary", "marian"),
        ("data2vec-audio", "trocr"),
    ],
)
def test_encoders_of_many_families_stay_near_float32(encoder: str, decoder: str) -> None:
    model = tiny_models.tiny_model(encoder, decoder)
    settings = WaveformSettings(16_000, do_normalize=True, padding_value=0.0, masks_padding=True)
    graph = EncoderGraph(model, settings, max_samples=4000).eval()
    audio = torch.randn((2, 4000), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4000, 2500])
    roots = model_roots(model)
    with torch.no_grad():
        wanted = graph(audio, lengths)
        assignment = PrecisionAssignment(blocks_of(roots, lambda: graph(audio, lengths)))
        graph.state_type = HALF
        with in_precisions(roots, assignment):
            got = graph(audio, lengths)
    assert torch.equal(got[1], wanted[1])
    for mine, theirs in zip(got[2:], wanted[2:], strict=True):
        assert mine.dtype is HALF
        assert float((mine.float() - theirs).abs().max() / theirs.abs().max()) < 3e-2
