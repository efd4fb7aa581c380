"""The token ids that decoding options name, and whether a bundle's decoder has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s2t_runtime.bundles.output_vocabulary import Int64, outside
from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.values import CHECKS, check_id, check_ids


def biases(options: GenerationOptions) -> tuple[tuple[tuple[int, ...], float], ...]:
    """``sequence_bias`` as pairs of a sequence and its bias."""
    pairs = options.sequence_bias or ()
    return tuple(pairs.items()) if isinstance(pairs, Mapping) else pairs


def token_ids(options: GenerationOptions) -> dict[str, tuple[int, ...]]:
    """Option -> every id that its value holds; options that hold none are left out."""
    found: dict[str, tuple[int, ...]] = {}
    for name, check in CHECKS.items():
        if check in {check_id, check_ids}:
            value = getattr(options, name)
            found[name] = () if value is None else (value,) if isinstance(value, int) else value
    found["bad_words_ids"] = tuple(token for word in options.bad_words_ids or () for token in word)
    found["sequence_bias"] = tuple(token for sequence, _ in biases(options) for token in sequence)
    return {name: ids for name, ids in found.items() if ids}


@dataclass(frozen=True)
class KnownIds:
    """The ids that a decoder takes, and those of them that it can write."""

    vocab_size: int
    output_ids: Int64 | None
    """int64, ascending; None: all."""

    @property
    def width(self) -> int:
        """Tokens that can be chosen."""
        return self.vocab_size if self.output_ids is None else len(self.output_ids)

    def check(self, name: str, ids: Sequence[int]) -> None:
        """See that a decoder has these ids of an option.

        Raises:
            OptionError: one is no id, or was left out of a restricted output projection.
        """
        for token in ids:
            if not 0 <= token < self.vocab_size:  # a bundle's language may be below
                raise OptionError(
                    f"{name} has token {token}, wanted ids from 0 to {self.vocab_size - 1}; correct the id"
                )
        absent = outside(ids, self.output_ids)
        if absent and self.output_ids is not None:
            raise OptionError(
                f"{name} has token {absent[0]}, which this bundle cannot write: it was exported with "
                f"{len(self.output_ids)} of {self.vocab_size} tokens; pass tokens that it has, or export again "
                "with this one in --vocab-tokens"
            )

    def check_options(self, options: GenerationOptions) -> None:
        """The same for every option that holds ids.

        Raises:
            OptionError: as ``check``.
        """
        # It is used for want of a start token alone.
        unused = "bos_token_id" if options.decoder_start_token_id is not None else ""
        for name, ids in token_ids(options).items():
            if name != unused:
                self.check(name, ids)
