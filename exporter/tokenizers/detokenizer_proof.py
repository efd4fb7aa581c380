"""Compares two ways from tokens to text: on every token, and on sequences where they might part."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerBase

_CHUNK = 12
_RANDOM_SEQUENCES = 600
_BATCH = 4096


class Text(Protocol):
    """The text of each sequence of token ids."""

    def __call__(self, sequences: list[list[int]], *, skip_special_tokens: bool) -> Sequence[str]: ...


@dataclass(frozen=True)
class Proof:
    """The sequences to compare: ``alone`` has each id by itself, ``mixed`` each at least once among others."""

    alone: tuple[tuple[int, ...], ...]
    mixed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Difference:
    """Where the two texts differ."""

    ids: list[int]
    wanted: str
    got: str


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest id: ids may have gaps, so the number of tokens can be smaller."""
    return int(max(tokenizer.get_vocab().values())) + 1


def proof_sequences(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> Proof:
    """Each of the ids alone and among others, and random sequences of them; the same at every call.

    A third of the random ones is made of what is treated apart only (special and added tokens, bytes,
    single characters, of which a byte-level tokenizer makes text that is no UTF-8), a third is half of it.
    """
    generator = random.Random(0)  # noqa: S311
    order = list(ids)
    generator.shuffle(order)
    odd = _treated_apart(tokenizer) or order
    mixed = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    pools = ([order], [odd], [order, odd])
    for index in range(_RANDOM_SEQUENCES):
        pool = pools[index % len(pools)]
        length = generator.randint(0, _CHUNK)
        mixed.append([generator.choice(generator.choice(pool)) for _ in range(length)])
    return Proof(tuple((index,) for index in ids), tuple(tuple(sequence) for sequence in mixed))


def _treated_apart(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    apart = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    apart |= {
        index
        for token, index in vocabulary.items()
        if len(token) == 1 or (token.startswith("<0x") and token.endswith(">"))
    }
    return sorted(apart)


def first_difference(
    tokenizer: PreTrainedTokenizerBase, texts: Text, proof: Proof, *, with_special: bool = True
) -> Difference | None:
    """Compare ``texts`` with the tokenizer's own decode().

    Special tokens are left out, as a host does; with ``with_special`` also kept in, on ``mixed``.
    """
    for sequences, skip in _runs(proof, with_special=with_special):
        wanted = tokenizer.batch_decode(sequences, skip_special_tokens=skip)
        got = texts(sequences, skip_special_tokens=skip)
        for ids, one, other in zip(sequences, wanted, got, strict=True):
            if one != other:
                return Difference([*ids], one, other)
    return None


def _runs(proof: Proof, *, with_special: bool) -> list[tuple[list[list[int]], bool]]:
    """Sequences in batches, those that tell most first: a rule that does not hold ends there."""
    runs = [(proof.mixed[::-1], True), (proof.alone, True)]
    if with_special:
        runs.append((proof.mixed, False))
    return [
        ([list(ids) for ids in sequences[start : start + _BATCH]], skip)
        for sequences, skip in runs
        for start in range(0, len(sequences), _BATCH)
    ]
