"""Every decoding option, chosen so that it must change what is decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

FRENCH, WELSH = 5, 9  # tokens of the tags
CHOOSES_A_LANGUAGE = frozenset({"language", "forced_bos_token_id", "decoder_prompt_ids"})
BEAMS_ONLY = (4,)


@dataclasses.dataclass(frozen=True)
class Base:
    """What an utterance decodes to without the option: options are chosen so that they must change it."""

    tokens: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.tokens)

    def word(self, place: int) -> int:
        """A token of the text, behind start and language."""
        words = self.tokens[2:-1] or (99,)
        return words[place % len(words)]


Build = Callable[[Base], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """An option as the runtime is given it."""

    name: str
    build: Build
    eager: Mapping[str, Any] | None = None
    """In place of what the runtime is given, where transformers spells it differently; ... leaves it out."""
    widths: tuple[int, ...] = (1, 4)
    changes: bool = True
    """Whether it must change tokens or scores of some utterance."""

    def options(self, base: Base, width: int) -> dict[str, Any]:
        options = {"num_beams": width, **self.build(base)}
        if not CHOOSES_A_LANGUAGE & set(options):
            options["forced_bos_token_id"] = FRENCH
        if "max_length" not in options:
            options.setdefault("max_new_tokens", 24)
        options.setdefault("num_return_sequences", min(width, 2))
        return options

    def eager_options(self, options: dict[str, Any]) -> dict[str, Any]:
        changed = {**options, **(self.eager or {})}
        return {name: value for name, value in changed.items() if value is not ...}


CASES = [
    Case("num_return_sequences", lambda _: {"num_return_sequences": 4}, widths=BEAMS_ONLY),
    Case("max_length", lambda base: {"max_length": base.length - 2}),
    Case("max_length far", lambda _: {"max_length": 90}, changes=False),
    Case("max_new_tokens", lambda base: {"max_new_tokens": base.length - 3}),
    # Of several hypotheses all but the first would score -inf, in no particular order.
    Case("max_new_tokens 1", lambda _: {"max_new_tokens": 1, "num_return_sequences": 1}),
    Case("min_length", lambda base: {"min_length": base.length + 3, "max_length": base.length + 8}),
    Case("min_new_tokens", lambda base: {"min_new_tokens": base.length + 2, "max_length": base.length + 8}),
    Case("min_new_tokens all", lambda base: {"min_new_tokens": base.length, "max_new_tokens": base.length}),
    # Multiplied by the length, greedy rounding (our own score there) exceeds 1e-4: 1.01e-4 was seen.
    Case("length_penalty -1", lambda _: {"length_penalty": -1.0}),
    Case("length_penalty 0", lambda _: {"length_penalty": 0.0}),
    Case("length_penalty 2", lambda _: {"length_penalty": 2.0}),
    Case("early_stopping True", lambda _: {"early_stopping": True}, changes=False),
    Case("early_stopping False", lambda _: {"early_stopping": False}, changes=False),
    Case("early_stopping never", lambda _: {"early_stopping": "never"}, changes=False),
    Case("language", lambda _: {"language": "cy"}, {"language": ..., "forced_bos_token_id": WELSH}),
    Case("forced_bos_token_id", lambda _: {"forced_bos_token_id": WELSH}),
    Case("forced_bos_token_id, no tag", lambda base: {"forced_bos_token_id": base.word(1)}),
    # In transformers None switches a default off; in the runtime None is "not set", and () is off.
    Case(
        "forced_eos_token_id None",
        lambda base: {"forced_eos_token_id": None, "max_new_tokens": base.length - 3},
        {"forced_eos_token_id": ...},
    ),
    Case(
        "forced_eos_token_id off",
        lambda base: {"forced_eos_token_id": (), "max_new_tokens": base.length - 3},
        {"forced_eos_token_id": None},
    ),
    Case(
        "forced_eos_token_id other",
        lambda base: {"forced_eos_token_id": 3, "max_new_tokens": base.length - 3},
    ),
    Case("eos_token_id several", lambda base: {"eos_token_id": (2, base.word(2), base.word(1))}),
    Case("eos_token_id other", lambda base: {"eos_token_id": base.word(1)}),
    Case("decoder_start_token_id", lambda _: {"decoder_start_token_id": 0}),
    Case("decoder_prompt_ids with the start", lambda _: {"decoder_prompt_ids": (2, WELSH)}),
    Case("decoder_prompt_ids without it", lambda base: {"decoder_prompt_ids": (WELSH, base.word(0))}),
    Case(
        "decoder_prompt_ids and language",
        lambda _: {"decoder_prompt_ids": (2,), "forced_bos_token_id": WELSH},
    ),
    Case(
        "decoder_prompt_ids and another start",
        lambda _: {"decoder_prompt_ids": (FRENCH,), "decoder_start_token_id": 0},
    ),
    Case("suppress_tokens", lambda base: {"suppress_tokens": (base.word(0), base.word(2))}),
    Case("begin_suppress_tokens", lambda base: {"begin_suppress_tokens": (base.word(0),)}),
    Case(
        "begin_suppress_tokens behind a prompt",
        lambda base: {"decoder_prompt_ids": (2, FRENCH), "begin_suppress_tokens": (base.word(0), 2)},
    ),
    Case("no_repeat_ngram_size 1", lambda base: {"no_repeat_ngram_size": 1, "max_length": base.length + 8}),
    Case(
        "no_repeat_ngram_size 2",
        lambda base: {"no_repeat_ngram_size": 2, "min_new_tokens": base.length + 8, "max_new_tokens": 40},
    ),
    Case("repetition_penalty 1.3", lambda _: {"repetition_penalty": 1.3}, changes=False),
    Case("repetition_penalty 0.8", lambda _: {"repetition_penalty": 0.8}, changes=False),
    # The end token opens every decoding, so that strong penalties move the end.
    Case("repetition_penalty 6", lambda _: {"repetition_penalty": 6.0}),
    Case("repetition_penalty 0.1", lambda _: {"repetition_penalty": 0.1}),
    Case("bad_words_ids single", lambda base: {"bad_words_ids": ((base.word(0),), (2,))}),
    Case("bad_words_ids", lambda base: {"bad_words_ids": ((base.word(0), base.word(1)), base.tokens[2:5])}),
    Case(
        "sequence_bias",
        lambda base: {
            "sequence_bias": {(base.word(0),): -3.0, (base.word(0), base.word(1)): 2.5, (2,): -0.5},
        },
    ),
    Case("exponential_decay_length_penalty", lambda _: {"exponential_decay_length_penalty": (2, 1.5)}),
    Case(
        "exponential_decay_length_penalty below 1",
        lambda base: {"exponential_decay_length_penalty": (base.length - 4, 0.5), "max_new_tokens": 30},
        changes=False,
    ),
    Case(
        "prefix_allowed_tokens_fn",
        lambda base: {
            "prefix_allowed_tokens_fn": lambda _, tokens: [
                token for token in range(400) if token != base.word(len(tokens) - 2)
            ]
        },
    ),
    Case(
        "renormalize_logits",
        lambda base: {"renormalize_logits": True, "suppress_tokens": (base.word(0), base.word(2))},
    ),
    # What sampling draws is compared in tests/digits/test_sampling.py; switched off it must change nothing.
    Case(
        "do_sample False",
        lambda _: {"do_sample": False, "temperature": 1.0},
        {"do_sample": ..., "temperature": ...},
        changes=False,
    ),
    Case(
        "many at once",
        lambda base: {
            "bad_words_ids": ((base.word(0), base.word(1)), (base.word(2),)),
            "begin_suppress_tokens": (base.word(3),),
            "repetition_penalty": 1.1,
            "no_repeat_ngram_size": 3,
            "min_new_tokens": base.length,
            "length_penalty": 0.5,
            "early_stopping": True,
            "suppress_tokens": (WELSH, 99),
            "eos_token_id": (2, base.word(1)),
        },
    ),
]
NOTHING = Case("nothing", lambda _: {})
