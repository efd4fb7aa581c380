"""Restricts a decoder's output projection to some token ids: the logits of the others are never computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from graphs.decoder.probe import probe

_BIASES = ("final_logits_bias",)
"""Buffers [..., vocab] that families of the BART kind add to the logits behind the projection."""
_TOLERANCE = 1e-5
"""Of the largest logit: a product of fewer rows may add in another order."""


@contextmanager
def restricted_output(decoder: Any, ids: Tensor | None) -> Iterator[None]:
    """Let a decoder compute the logits of these ids alone, in their order; afterwards it is as before.

    The rows of the output projection and of its biases become tensors of their own, so that an input table that is
    tied to them keeps all its rows.

    Args:
        decoder: one that restriction_fault finds nothing against.
        ids: int64 [columns], ascending; None leaves the decoder alone.
    """
    if ids is None:
        yield
        return
    head = decoder.get_output_embeddings()
    with ExitStack() as stack:
        for name in ("weight", "bias"):
            whole = getattr(head, name)
            if whole is not None:
                rows = nn.Parameter(whole.detach().index_select(0, ids), requires_grad=False)
                setattr(head, name, rows)
                stack.callback(setattr, head, name, whole)
        for module in decoder.modules():
            for name in _BIASES:
                whole = getattr(module, name, None)
                if isinstance(whole, Tensor):
                    setattr(module, name, whole.index_select(-1, ids))
                    stack.callback(setattr, module, name, whole)
        yield


def restriction_fault(decoder: Any, ids: Tensor) -> str | None:
    """Why the output projection cannot be cut to these ids with the same logits; None where it can.

    The logits of a short run must be those columns of the whole decoder's.
    """
    head = decoder.get_output_embeddings()
    if not isinstance(head, nn.Linear) or parametrize.is_parametrized(head):
        kind = "none" if head is None else f"a {type(head).__name__}"
        return f"get_output_embeddings() gives {kind}, no plain linear layer with a row for each token"
    whole = probe(decoder)[1]
    if head.weight.shape[0] != whole.shape[-1]:
        return f"the projection has {head.weight.shape[0]} rows and the logits {whole.shape[-1]} columns"
    wanted = whole.index_select(-1, ids)
    try:
        with restricted_output(decoder, ids):
            got = probe(decoder)[1]
    except Exception as error:  # noqa: BLE001 - whatever a family's own code raises
        sentence = str(error).strip().split("\n", 1)[0]
        return f"with fewer rows the decoder fails in eager PyTorch ({type(error).__name__}: {sentence})"
    if got.shape != wanted.shape:
        return f"with {len(ids)} rows the decoder still gives {got.shape[-1]} logits"
    difference = float((got - wanted).abs().max() / wanted.abs().max().clamp_min(1e-9))
    if not difference <= _TOLERANCE:
        return f"with fewer rows the decoder gives other logits (largest difference {difference:.1e} of the largest)"
    return None
