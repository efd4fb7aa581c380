"""Every decoding option on the digits bundle, with the meaning that ``generate()`` gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from digits_audio import carried_batches, probe_batches
from digits_cases import RATE, Pair, Tally, Waveform, open_pair

from s2t_runtime import GenerationOptions, Result
from s2t_runtime.sampling_options import Sampling

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
    # What sampling draws is compared in test_digits_sampling.py; switched off it must change nothing.
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


@pytest.fixture(scope="module")
def pair(digits_checkpoint: Path, digits_bundle: Path) -> Pair:
    return open_pair(digits_checkpoint, digits_bundle)


@pytest.fixture(scope="module")
def audios() -> list[Waveform]:
    """A recording of several words, where the repository carries any, and a stand-in."""
    carried = sorted((a for batch in carried_batches() for a in batch.waveforms), key=len)
    return [*carried[len(carried) // 2 :][:1], probe_batches()[0].waveforms[0]]


def _decode(pair: Pair, audio: Waveform, options: dict[str, Any]) -> Result:
    return pair.model.generate(audio, sampling_rate=RATE, **options)


def _what_was_found(result: Result) -> list[tuple[tuple[int, ...], float]]:
    return [(hypothesis.tokens, round(hypothesis.score, 6)) for hypothesis in result.hypotheses]


NOTHING = Case("nothing", lambda _: {})


@pytest.mark.parametrize("case", [NOTHING, *CASES], ids=lambda case: case.name)
def test_an_option_means_what_it_means_in_transformers(
    pair: Pair, audios: list[Waveform], case: Case
) -> None:
    tally, changed = Tally(), False
    for width in case.widths:
        for audio in audios:
            plain = _decode(pair, audio, NOTHING.options(Base(()), width))
            options = case.options(Base(plain.tokens), width)
            result = _decode(pair, audio, options)
            eager_options = case.eager_options(options)
            wanted = pair.eager.generate(audio, **eager_options)
            tally.compare(pair.eager, audio, eager_options, wanted, result)
            changed |= _what_was_found(result) != _what_was_found(plain)
    assert tally.faults == []
    assert changed or not case.changes or case is NOTHING


def test_every_option_has_a_case() -> None:
    base = Base((2, FRENCH, 20, 21, 22, 23, 2))
    named = {name for case in CASES for name in case.build(base)} | {"num_beams"}
    unasked = {"bos_token_id", "pad_token_id"}  # they name tokens, and choose nothing by themselves
    drawn = {field.name for field in dataclasses.fields(Sampling)} - {"min_tokens_to_keep"}
    assert named | unasked | drawn == {field.name for field in dataclasses.fields(GenerationOptions)}


@pytest.mark.parametrize("width", [1, 4])
def test_several_forced_end_tokens(pair: Pair, audios: list[Waveform], width: int) -> None:
    # All of them score 0, and which of equals comes first is left open by torch.topk: so scores are
    # compared rank by rank, tokens up to the forced one.
    ends = (2, 7)
    options = {
        "num_beams": width, "num_return_sequences": width, "forced_eos_token_id": ends, "max_new_tokens": 4,
        "min_new_tokens": 3, "forced_bos_token_id": FRENCH,
    }  # fmt: skip
    for audio in audios:
        wanted, result = pair.eager.generate(audio, **options), _decode(pair, audio, options)
        scores = [hypothesis.score for hypothesis in result.hypotheses]
        assert scores == pytest.approx([hypothesis.score for hypothesis in wanted], abs=1e-4)
        forced = [hypothesis for hypothesis in result.hypotheses if len(hypothesis.tokens) == 5]
        assert forced
        assert all(hypothesis.tokens[-1] in ends for hypothesis in forced)
        assert {hypothesis.tokens[:-1] for hypothesis in wanted} == {
            hypothesis.tokens[:-1] for hypothesis in result.hypotheses
        }


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
def test_the_bundles_defaults_are_the_checkpoints(pair: Pair, audios: list[Waveform]) -> None:
    tally = Tally()
    for audio in audios:
        tally.compare(pair.eager, audio, {}, pair.eager.generate(audio), _decode(pair, audio, {}))
    assert tally.faults == []
