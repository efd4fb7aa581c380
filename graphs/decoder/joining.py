"""Behind which tokens nothing may be fed in the same step, although the model knows what follows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphs.cache_layout import empty_cache
from graphs.decoder.probe import decode_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOLERANCE = 1e-4
"""Of the largest logit. Feeding alike in one step and in two differs by rounding, 1e-6 or so; what is called different
without need costs a step, and what is called alike without right costs the result."""
_ROWS = 16
_OTHERS = 24


def ids_fed_alone(decoder: PreTrainedModel, special: Collection[int]) -> tuple[int, ...]:
    """The ids behind which eager decodes otherwise when the next token is fed with them instead of after them.

    Decoders that count positions from the padding token (RoBERTa's family) give it no position of its own: alone,
    its step is one past token for the next; beside another, it is none. A prompt that a caller gives is fed at once, in
    eager and in a bundle; this is about tokens that eager feeds one by one.

    Args:
        decoder: a causal language model that ``decoding_faults`` finds nothing against.
        special: ids that can stand in front of a forced token: start tokens, languages.

    Returns:
        Ascending ids, of ``special``, of the padding ids of the decoder and of a few others that were tried.
    """
    tried = sorted(_candidates(decoder, special))
    return tuple(
        token
        for start in range(0, len(tried), _ROWS)
        for token in _different(decoder, tried[start : start + _ROWS])
    )


def _candidates(decoder: Any, special: Collection[int]) -> set[int]:
    vocab = int(decoder.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    others = torch.randint(vocab, (_OTHERS,), generator=generator).tolist()
    return {token for token in (*special, *_padding(decoder), *others) if 0 <= token < vocab}


def _padding(decoder: Any) -> Iterator[int]:
    if decoder.config.pad_token_id is not None:
        yield int(decoder.config.pad_token_id)
    for module in decoder.modules():
        index = getattr(module, "padding_idx", None)
        if isinstance(index, int):
            yield index


def _different(decoder: Any, tokens: list[int]) -> list[int]:
    """Those of these tokens, each in a row of its own, whose next one is another when it is fed with them."""
    vocab = int(decoder.config.vocab_size)
    generator = torch.Generator().manual_seed(1)
    ordinary = torch.tensor([token for token in range(min(vocab, 50)) if token not in set(_padding(decoder))])
    behind = ordinary[torch.randint(len(ordinary), (len(tokens), 2), generator=generator)]
    rows = torch.cat((torch.tensor(tokens)[:, None], behind), dim=1)
    joined, alone = (_last_logits(decoder, rows, first) for first in (2, 1))
    difference = (joined - alone).abs().amax(dim=(1, 2)) / alone.abs().amax(dim=(1, 2)).clamp_min(1e-9)
    # Not "greater": NaN must not pass as alike.
    return [token for token, one in zip(tokens, difference.tolist(), strict=True) if not one <= _TOLERANCE]


def _last_logits(decoder: Any, rows: Tensor, first: int) -> Tensor:
    """Logits [rows, 2, vocab] of the last two tokens of three, the first ``first`` of which are fed at once."""
    cache = empty_cache()
    parts = rows.split((first, *[1] * (3 - first)), dim=1)
    logits = [decode_tokens(decoder, part, cache)[:, -1] for part in parts]
    return torch.stack(logits[-2:], dim=1).float()
