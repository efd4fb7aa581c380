"""The plan of a search: a call's options over a bundle's over transformers', resolved and checked.

``plan_search`` follows transformers' ``_prepare_generation_config``, ``_prepare_special_tokens``,
``_prepare_decoder_input_ids_for_generation``, ``_prepare_generated_length`` and
``_validate_generated_length``, but refuses what transformers would warn about and then ignore. A length that the
call sets goes before the bundle's of either kind, where transformers lets ``max_new_tokens`` of the checkpoint win.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from s2t_runtime.bundles.output_vocabulary import Int64
from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.ids import KnownIds, biases
from s2t_runtime.options.lengths import plan_lengths
from s2t_runtime.options.memory import Memory, check_memory
from s2t_runtime.options.sampling import Sampling, plan_sampling
from s2t_runtime.options.values import PrefixFunction

_T = TypeVar("_T")


@dataclass(frozen=True)
class SearchPlan:
    """Everything the search needs to know, resolved and checked."""

    prompt: tuple[int, ...]  # fed first, start token first
    num_beams: int
    num_return_sequences: int
    max_length: int  # in all, prompt included
    min_length: int  # in all, prompt included
    min_new_tokens: int
    length_penalty: float
    early_stopping: bool | str
    eos_token_ids: tuple[int, ...]  # empty: hypotheses end at max_length alone
    pad_token_id: int | None  # None only where there is no end token either
    forced_bos_token_id: int | None  # None: nothing is forced
    forced_eos_token_ids: tuple[int, ...]
    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    begin_index: int  # the length at which begin_suppress_tokens holds
    no_repeat_ngram_size: int
    repetition_penalty: float
    bad_words_ids: tuple[tuple[int, ...], ...]
    vocab_size: int
    language: str | None  # code of the forced first token; None: it is no language's
    sampling: Sampling | None = None  # None: the best tokens are taken, nothing is drawn
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] = ()
    decay: tuple[int, float] | None = None  # length behind which end tokens become more likely, and factor
    prefix_allowed_tokens_fn: PrefixFunction | None = None
    renormalize_logits: bool = False
    # Whether the prompt and the token forced behind it may be fed in one step. The bundle's, no option.
    joins_prompt: bool = field(default=True, compare=False, repr=False)
    # Token id of each column of the logits, ascending; None: column and id are one. The bundle's, no option.
    output_ids: Int64 | None = field(default=None, compare=False, repr=False)

    @property
    def width(self) -> int:
        """Tokens that can be chosen: columns of the logits."""
        return self.vocab_size if self.output_ids is None else len(self.output_ids)


def plan_search(
    defaults: GenerationOptions,
    overrides: GenerationOptions,
    *,
    languages: Mapping[str, int],
    vocab_size: int,
    max_positions: int | None,
    output_ids: Int64 | None = None,
    alone_ids: Collection[int] | None = (),
    memory: Memory | None = None,
) -> SearchPlan:
    """Resolve a call's options over a bundle's defaults over transformers' global ones.

    Args:
        defaults: what the bundle sets.
        overrides: what the call sets.
        languages: the bundle's language codes and the token of each.
        vocab_size: size of the decoder's vocabulary.
        max_positions: positions that the decoder has, None where it has no limit.
        output_ids: int64, the ids that a restricted output projection has, ascending; None: all.
        alone_ids: those behind which no forced token may be fed in the same step; None: any may be one.
        memory: of the machine; None: whatever is asked for is taken to fit.

    Raises:
        OptionError: an option is out of range, contradicts another, would be ignored or asks for more memory
            than there is.
    """
    merged = _merged(defaults, overrides)
    known = KnownIds(vocab_size, output_ids)
    known.check_options(merged)
    prompt = _prompt(merged)
    forced_bos, language = _forced_bos(defaults, overrides, languages, len(prompt), known)
    lengths = plan_lengths(defaults, overrides, len(prompt), max_positions)
    _check_forced(merged, forced_bos)
    eos = _ids(merged.eos_token_id)
    num_beams, num_return_sequences = _widths(merged)
    if memory is not None:
        kept = known.width if merged.do_sample else max(2, 1 + len(eos)) * num_beams
        beams = max(num_beams, num_return_sequences)
        check_memory(memory, beams=beams, longest=lengths.longest, candidates=min(kept, known.width))
    return SearchPlan(
        prompt=prompt,
        num_beams=num_beams,
        num_return_sequences=num_return_sequences,
        max_length=lengths.longest,
        min_length=lengths.least,
        min_new_tokens=lengths.least_new,
        length_penalty=_length_penalty(merged, lengths.longest - len(prompt)),
        early_stopping=merged.early_stopping or False,
        eos_token_ids=eos,
        pad_token_id=_first(merged.pad_token_id, eos[0] if eos else None),
        forced_bos_token_id=forced_bos,
        forced_eos_token_ids=_ids(merged.forced_eos_token_id),
        suppress_tokens=_ids(merged.suppress_tokens),
        begin_suppress_tokens=_ids(merged.begin_suppress_tokens),
        begin_index=len(prompt) + (1 if len(prompt) == 1 and forced_bos is not None else 0),
        no_repeat_ngram_size=_or(merged.no_repeat_ngram_size, 0),
        repetition_penalty=_or(merged.repetition_penalty, 1.0),
        bad_words_ids=_or(merged.bad_words_ids, ()),
        vocab_size=vocab_size,
        language=language,
        sampling=plan_sampling(overrides, merged, num_beams, len(eos)),
        sequence_bias=biases(merged),
        decay=_decay(merged, len(prompt)),
        prefix_allowed_tokens_fn=merged.prefix_allowed_tokens_fn,
        renormalize_logits=merged.renormalize_logits or False,
        joins_prompt=alone_ids is not None and not set(prompt).intersection(alone_ids),
        output_ids=output_ids,
    )


def _merged(defaults: GenerationOptions, overrides: GenerationOptions) -> GenerationOptions:
    return GenerationOptions(
        **{
            one.name: _first(getattr(overrides, one.name), getattr(defaults, one.name))
            for one in fields(GenerationOptions)
        }
    )


def _prompt(options: GenerationOptions) -> tuple[int, ...]:
    start = _first(options.decoder_start_token_id, options.bos_token_id)
    if start is None:
        raise OptionError(
            "no start token: neither decoder_start_token_id nor bos_token_id is set in the call or the "
            "bundle; pass decoder_start_token_id"
        )
    given = _ids(options.decoder_prompt_ids)
    return given if given[:1] == (start,) else (start, *given)


def _widths(options: GenerationOptions) -> tuple[int, int]:
    beams, returned = _or(options.num_beams, 1), _or(options.num_return_sequences, 1)
    if returned > beams and not (beams == 1 and options.do_sample):
        draws = " or do_sample=True with num_beams=1" if not options.do_sample else " or num_beams=1"
        raise OptionError(
            f"num_return_sequences {returned} is more than num_beams {beams}, wanted at most one sequence "
            f"per beam; pass num_beams={returned}{draws} or fewer num_return_sequences"
        )
    return beams, returned


def _decay(options: GenerationOptions, prompt: int) -> tuple[int, float] | None:
    if not options.exponential_decay_length_penalty:
        return None
    if not _ids(options.eos_token_id):
        raise OptionError(
            "exponential_decay_length_penalty makes end tokens more likely, and eos_token_id names none; pass "
            "eos_token_id or leave exponential_decay_length_penalty out"
        )
    start, factor = options.exponential_decay_length_penalty
    return start + prompt, factor


def _length_penalty(options: GenerationOptions, longest: int) -> float:
    penalty = _or(options.length_penalty, 1.0)
    # The divisor is float32 in the search; at zero or infinity every score would be lost.
    if abs(penalty * math.log(longest)) > 80:
        raise OptionError(
            f"length_penalty {penalty} is too large for {longest} new tokens, wanted new tokens ** "
            "length_penalty within single precision; pass a value nearer to 1"
        )
    return penalty


def _forced_bos(
    defaults: GenerationOptions,
    overrides: GenerationOptions,
    languages: Mapping[str, int],
    prompt: int,
    known: KnownIds,
) -> tuple[int | None, str | None]:
    asked = overrides.language is not None or overrides.forced_bos_token_id is not None
    if asked and prompt > 1:
        raise OptionError(
            f"language or forced_bos_token_id cannot be applied after a prompt of {prompt} tokens, wanted a "
            "prompt of the start token alone; put the language token into decoder_prompt_ids instead"
        )
    if prompt > 1:  # as in transformers, where a default is not applied after a longer prompt
        return None, None
    source = overrides if asked else defaults
    token = source.forced_bos_token_id
    if source.language is not None:
        token = _language_token(source.language, token, languages)
    if token is None:
        return None, None
    known.check("forced_bos_token_id", (token,))
    codes = sorted(code for code, own in languages.items() if own == token)
    return token, source.language or next(iter(codes), None)


def _language_token(language: str, forced: int | None, languages: Mapping[str, int]) -> int:
    if language not in languages:
        known = f"known: {', '.join(sorted(languages))}; pass a known one or leave language unset"
        none = (
            "this bundle has no languages; leave language unset, or export again with --languages FILE.json"
        )
        raise OptionError(f"unknown language {language!r}; {known if languages else none}")
    if forced not in {None, languages[language]}:
        raise OptionError(
            f"language {language!r} is token {languages[language]}, but forced_bos_token_id is {forced}, "
            "wanted one and the same; leave one of them unset"
        )
    return languages[language]


def _check_forced(options: GenerationOptions, forced_bos: int | None) -> None:
    suppressed = set(_ids(options.suppress_tokens))
    forced = {
        "forced_bos_token_id": _ids(forced_bos),
        "forced_eos_token_id": _ids(options.forced_eos_token_id),
    }
    for name, tokens in forced.items():
        if tokens and suppressed.issuperset(tokens):
            raise OptionError(
                f"{name} {list(tokens)} is all in suppress_tokens, which leaves nothing to choose, wanted "
                "one that is not suppressed; take it out of suppress_tokens"
            )


def _first(*values: _T | None) -> _T | None:
    return next((value for value in values if value is not None), None)


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _ids(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return () if value is None else (value,) if isinstance(value, int) else value
