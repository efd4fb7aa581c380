"""A restricted output projection: its file, the ids that raise, and searches equal to those with all columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2t_runtime.bundles.output_vocabulary import (
    columns_of,
    outside,
    read_output_vocabulary,
    write_output_vocabulary,
)
from s2t_runtime.errors import BundleError, OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.search import search
from s2t_runtime.search.rules import Rules
from s2t_runtime.sessions.protocol import Candidates, Int64

VOCAB = 24
IDS = np.array([0, 1, 3, 6, 7, 8, 11, 14, 15, 19, 22], dtype=np.int64)
DEFAULTS = {"decoder_start_token_id": 0, "eos_token_id": 19}


# The file.


def test_the_file_is_int32_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    write_output_vocabulary(path, np.array([1, 258, 70000]))
    assert path.read_bytes() == b"\x01\0\0\0\x02\x01\0\0\x70\x11\x01\0"
    read = read_output_vocabulary(path, count=3, vocab_size=70001)
    assert read.dtype == np.int64
    assert read.tolist() == [1, 258, 70000]
    assert not read.flags.writeable


@pytest.mark.parametrize(
    ("ids", "count", "message"),
    [
        ([1, 2], 3, "has 8 bytes, wanted 12, 4 for each id: copy the bundle again or export again"),
        ([], 0, "has 0 bytes, wanted 4, 4 for each id: copy the bundle again or export again"),
        ([1, 5], 2, "holds other numbers than token ids from 0 to 4 in rising order: copy the bundle again"),
        ([-1, 3], 2, "holds other numbers than token ids from 0 to 4 in rising order"),
        ([3, 2], 2, "holds other numbers than token ids from 0 to 4 in rising order"),
        ([2, 2], 2, "holds other numbers than token ids from 0 to 4 in rising order"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, ids: list[int], count: int, message: str) -> None:
    path = tmp_path / "ids"
    write_output_vocabulary(path, np.array(ids, dtype=np.int64))
    with pytest.raises(BundleError, match="^" + re.escape(f"{path} {message}")):
        read_output_vocabulary(path, count=count, vocab_size=5)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="ids cannot be read"):
        read_output_vocabulary(tmp_path / "ids", count=1, vocab_size=5)


def test_ids_and_columns() -> None:
    assert outside([3, 4, 22, 23, 0], IDS) == [4, 23]
    assert outside([3, 4], None) == outside([], IDS) == []
    assert columns_of([22, 0, 6], IDS).tolist() == [10, 0, 3]
    assert columns_of([22, 0], None).tolist() == [22, 0]


# Options.


def plan(**options: Any) -> SearchPlan:
    return plan_search(
        GenerationOptions(**DEFAULTS),
        GenerationOptions(**options),
        languages={"de": 3},
        vocab_size=VOCAB,
        max_positions=None,
        output_ids=IDS,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forced_bos_token_id", 5),
        ("forced_eos_token_id", (1, 5)),
        ("decoder_prompt_ids", (0, 3, 5)),
        ("decoder_start_token_id", 5),
        ("suppress_tokens", (3, 5)),
        ("begin_suppress_tokens", (5,)),
        ("bad_words_ids", ((3, 5),)),
        ("sequence_bias", {(5, 3): 1.0}),
        ("eos_token_id", 5),
        ("pad_token_id", 5),
    ],
)
def test_an_id_that_was_left_out_raises(name: str, value: Any) -> None:
    message = (
        f"{name} has token 5, which this bundle cannot write: it was exported with 11 of 24 tokens; pass tokens "
        "that it has, or export again with this one in --vocab-tokens"
    )
    with pytest.raises(OptionError, match="^" + re.escape(message) + "$"):
        plan(**{name: value})


def test_ids_that_are_there_pass_and_unknown_ones_keep_their_message() -> None:
    found = plan(language="de", suppress_tokens=(6, 22), decoder_prompt_ids=(0,))
    assert (found.forced_bos_token_id, found.width, found.vocab_size) == (3, 11, 24)
    with pytest.raises(
        OptionError, match="suppress_tokens has token 24, wanted ids from 0 to 23; correct the id"
    ):
        plan(suppress_tokens=(24,))


def test_a_prefix_function_is_told_what_it_may_return() -> None:
    message = (
        "prefix_allowed_tokens_fn returned token 5 for utterance 0, which this bundle cannot write: it was exported "
        "with 11 of 24 tokens; return those among SpeechToText.output_token_ids"
    )
    with pytest.raises(OptionError, match="^" + re.escape(message) + "$"):
        found_by(plan(prefix_allowed_tokens_fn=lambda *_: [3, 5]), Scripted(IDS))


# Searches.


@dataclass
class Scripted:
    """Scores that depend on utterance and history; columns for all ids, or for those of ``ids`` alone."""

    ids: Int64 | None
    histories: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        before = self.histories or [()] * tokens.shape[0]
        self.histories = [
            before[row] + tuple(new)
            for row, new in zip(beam_index.ravel(), tokens.reshape(-1, tokens.shape[2]).tolist(), strict=True)
        ]
        rows = [np.random.default_rng(history).normal(scale=2, size=VOCAB) for history in self.histories]
        logits = np.array(rows, dtype=np.float32).reshape(*tokens.shape[:2], VOCAB)
        every = np.arange(VOCAB) if self.ids is None else self.ids
        if self.ids is None:
            logits[..., np.setdiff1d(every, IDS)] = -np.inf
        else:
            logits = logits[..., self.ids]
        shifted = logits - logits.max(-1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        best = np.argsort(-log_probs, axis=-1, kind="stable")[..., :candidates]
        found = np.take_along_axis(log_probs, best, -1)
        return Candidates(found, every[best], logits if with_logits else None)


def found_by(chosen: SearchPlan, step: Scripted, most: int = 11) -> Any:
    return search.search(step, chosen, 2, max_candidates=most).hypotheses


def allowed(_: int, tokens: Any) -> list[int]:
    return IDS[(int(tokens[-1]) + np.array([1, 4, 7])) % len(IDS)].tolist()


RULES: list[dict[str, Any]] = [
    {},
    {"suppress_tokens": (3, 7), "begin_suppress_tokens": (6,)},
    {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    {"repetition_penalty": 0.7},
    {"bad_words_ids": ((8,), (6, 7)), "min_new_tokens": 4},
    {"sequence_bias": {(7,): 3.0, (7, 19): 5.0, (3,): -2.0}},
    {"exponential_decay_length_penalty": (2, 1.5)},
    {"prefix_allowed_tokens_fn": allowed, "suppress_tokens": (6,)},
    {"renormalize_logits": True, "suppress_tokens": (22,)},
    {"forced_bos_token_id": 14, "forced_eos_token_id": 19},
    {"decoder_prompt_ids": (0, 7, 14), "begin_suppress_tokens": (3,), "min_new_tokens": 2},
    {"no_repeat_ngram_size": 1, "sequence_bias": {(3,): 2.0}},
    {"do_sample": True, "seed": 4},
    {"do_sample": True, "seed": 4, "top_k": 3, "temperature": 1.7, "sequence_bias": {(7,): 3.0}},
    {"do_sample": True, "seed": 5, "top_p": 0.7, "min_p": 0.02, "renormalize_logits": True},
    {"do_sample": True, "seed": 6, "typical_p": 0.8, "epsilon_cutoff": 0.01},
    {"do_sample": True, "seed": 7, "eta_cutoff": 0.01, "top_h": 0.5},
]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("options", RULES, ids=lambda options: "+".join(options) or "none")
@pytest.mark.parametrize("most", [11, 2], ids=["candidates", "whole rows"])
def test_a_search_is_as_with_all_columns_and_no_chance_for_the_others(
    options: dict[str, Any], beams: int, most: int
) -> None:
    chosen = {"num_beams": beams, "max_new_tokens": 9, **options}
    restricted = found_by(plan(**chosen), Scripted(IDS), most)
    whole = plan_search(
        GenerationOptions(**DEFAULTS),
        GenerationOptions(**chosen),
        languages={},
        vocab_size=VOCAB,
        max_positions=None,
    )
    for mine, theirs in zip(restricted, found_by(whole, Scripted(None), most), strict=True):
        assert [one.tokens for one in mine] == [one.tokens for one in theirs]
        assert [one.score for one in mine] == pytest.approx([one.score for one in theirs], abs=1e-5)
        assert all(set(one.tokens) <= set(IDS.tolist()) for one in mine)


def test_what_forced_tokens_leave_are_ids_that_can_be_written() -> None:
    rules = Rules(plan(forced_bos_token_id=14, num_beams=3)).at(np.zeros((1, 3, 1), dtype=np.int64))
    ids, scores = rules.replaced((1, 3), 4, IDS)
    assert ids[0, 0].tolist() == [14, 0, 1, 3, 6, 7]
    assert scores[0, 0].tolist() == [0.0] + [-np.inf] * 5


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "s2t_runtime.search.whole_row_rules.columns_of", lambda tokens, _: np.asarray(tokens) % 11
    )


def unmapped(monkeypatch: pytest.MonkeyPatch) -> None:
    original = search.BeamSearch.__init__

    def init(self: Any, step: Any, chosen: Any, batch: int, **named: Any) -> None:
        original(self, step, chosen, batch, **named)
        self._source._every = np.arange(chosen.width)

    monkeypatch.setattr(search.BeamSearch, "__init__", init)


@pytest.mark.parametrize("plant", [swapped, unmapped])
def test_a_planted_mix_up_of_ids_and_columns_is_seen(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_search_is_as_with_all_columns_and_no_chance_for_the_others(RULES[5], 3, 11)
