"""What a caller may ask of the search, and what a bundle sets for it; ``plan`` says what comes of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from s2t_runtime.errors import OptionError
from s2t_runtime.options.refusals import refused_options
from s2t_runtime.options.values import CHECKS, PrefixFunction


@dataclass(frozen=True)
class GenerationOptions:
    """Decoding options of a call, or a bundle's defaults; None is "not set" in both.

    A field left unset in the call takes the bundle's default, and where the bundle has none
    transformers' own; a length that the call sets goes before both kinds of the bundle's. Lists become
    tuples and single ids tuples of one where several are allowed; an empty tuple switches a default off.

    Raises:
        OptionError: a value has the wrong type or can never be valid, whatever the bundle.
    """

    num_beams: int | None = None  # beams per utterance; 1 decodes greedily, or samples
    num_return_sequences: int | None = (
        None  # hypotheses per utterance, at most num_beams where that is above 1
    )
    max_length: int | None = None  # tokens in all, prompt included
    max_new_tokens: int | None = None  # tokens after the prompt; goes before a stored max_length
    min_length: int | None = None  # no end token before this many tokens in all, prompt included
    min_new_tokens: int | None = None  # the same of new ones; goes before a stored min_length
    length_penalty: float | None = None  # a hypothesis scores its log-probability / new tokens ** this
    early_stopping: bool | str | None = None  # True: stop at num_beams finished; False: heuristic; "never"
    do_sample: bool | None = None  # draw tokens by their probability; the options down to seed need it
    temperature: float | None = None  # scores are divided by it; 1 switches it off
    top_k: int | None = None  # keep as many tokens, and equals of the last; unset: 50; 0 switches it off
    top_p: float | None = None  # keep the likeliest tokens that make up this share; 1 switches it off
    min_p: float | None = None  # keep tokens at least this times as likely as the likeliest; 0: off
    typical_p: float | None = None  # keep the most typical tokens that make up this share; 1: off
    top_h: float | None = None  # keep the likeliest of 100 tokens up to this share of their entropy; 0: off
    epsilon_cutoff: float | None = None  # keep tokens of at least this probability; 0 switches it off
    eta_cutoff: float | None = None  # the same, with a bound that falls as the entropy grows; 0: off
    seed: int | None = None  # of the random numbers; unset: other results in every call
    forced_bos_token_id: int | None = None  # the first token after a prompt of the start token alone
    forced_eos_token_id: int | tuple[int, ...] | None = None  # the last token where max_length is reached
    eos_token_id: int | tuple[int, ...] | None = None  # the tokens that end a hypothesis
    decoder_start_token_id: int | None = None  # the first token of the prompt
    bos_token_id: int | None = None  # stands in for an unset decoder_start_token_id
    pad_token_id: int | None = None  # fed to rows that ended; unset: the first end token
    decoder_prompt_ids: tuple[int, ...] | None = None  # prompt; the start token is put in front if absent
    suppress_tokens: tuple[int, ...] | None = None  # tokens that are never chosen
    begin_suppress_tokens: tuple[int, ...] | None = None  # tokens that are never chosen first
    no_repeat_ngram_size: int | None = None  # n-grams of this size occur once at most; 0 switches it off
    repetition_penalty: float | None = None  # above 1 lowers tokens that already occurred, below raises
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None  # token sequences that never occur
    sequence_bias: Mapping[tuple[int, ...], float] | tuple[tuple[tuple[int, ...], float], ...] | None = None
    """Added to the score of a sequence's last token where the rest of it stands before: a mapping, or
    pairs [[ids, bias], ...]; held as pairs."""
    exponential_decay_length_penalty: tuple[int, float] | tuple[()] | None = None
    """(start, factor): from start + 1 new tokens on end tokens become more likely, by a growing factor."""
    prefix_allowed_tokens_fn: PrefixFunction | None = None
    """``fn(utterance, tokens)`` gives the ids that may follow the int64 array tokens; not in a bundle."""
    renormalize_logits: bool | None = None  # scores are log-probabilities again after all other rules
    language: str | None = None  # target language code of the bundle; forces its token first

    def __post_init__(self) -> None:
        for name, check in CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    def to_dict(self) -> dict[str, object]:
        """The set fields as JSON-able values.

        Raises:
            OptionError: prefix_allowed_tokens_fn is set, which no file can hold.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.prefix_allowed_tokens_fn is not None:
            raise OptionError(
                "prefix_allowed_tokens_fn is a function, wanted options that a file can hold; pass it to "
                "generate() instead"
            )
        return {name: _as_lists(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> GenerationOptions:
        """Read what ``to_dict`` wrote.

        Raises:
            OptionError: a name is unknown or refused, or a value cannot be valid.
        """
        known = {field.name for field in fields(cls)}
        refused, unknown = refused_options(sorted(set(values) - known))
        if refused:
            raise OptionError("; ".join(refused))
        if unknown:
            raise OptionError(
                f"unknown decoding options: {', '.join(unknown)}; the known ones are "
                f"{', '.join(sorted(known))}; correct the name or leave it out"
            )
        return cls(**dict(values))  # type: ignore[arg-type]  # __post_init__ checks every value


def _as_lists(value: object) -> object:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value
