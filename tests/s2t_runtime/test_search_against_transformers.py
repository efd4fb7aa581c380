"""The search against transformers' generate() on a tiny random model, over random options."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    GenerationConfig,
    MBartConfig,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from s2t_runtime import beam_search
from s2t_runtime.options import GenerationOptions, SearchPlan, plan_search
from s2t_runtime.search import SearchResult, search
from s2t_runtime.session import Candidates, Int64

VOCAB, START, EOS, PAD = 40, 3, 2, 1
DEFAULTS: dict[str, Any] = {"decoder_start_token_id": START, "eos_token_id": EOS, "pad_token_id": PAD}
TIE = 1e-5  # hypotheses closer than this may change places between two float32 computations
PROFILE = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads, verbosity = torch.get_num_threads(), logging.get_verbosity()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    yield
    torch.set_num_threads(threads)
    logging.set_verbosity(verbosity)


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A tiny random model and encoder states [8, frames, 16]; kept out of hypothesis's reports."""

    model: SpeechEncoderDecoderModel = dataclasses.field(repr=False)
    states: torch.Tensor = dataclasses.field(repr=False)


@functools.cache
def _tiny() -> Tiny:
    torch.manual_seed(0)
    encoder = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4, vocab_size=8,
    )  # fmt: skip
    decoder = MBartConfig(
        d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=VOCAB, max_position_embeddings=64,
        is_decoder=True, add_cross_attention=True,
    )  # fmt: skip
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = SpeechEncoderDecoderModel(config).eval()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            if weight.dim() == 2:  # spread what the layers do, so that histories matter
                weight.mul_(15.0)
        # A head of its own, whose bias makes ends neither certain nor impossible.
        model.decoder.lm_head = torch.nn.Linear(16, VOCAB)
        model.decoder.lm_head.weight.normal_(std=0.5)
        model.decoder.lm_head.bias.zero_()
        model.decoder.lm_head.bias[EOS] = 1.5
        states = model.encoder(torch.randn(8, 200)).last_hidden_state * 3
    return Tiny(model, states)


class EagerStep:
    """The model as a step function: no cache, the whole history of each row again."""

    def __init__(self, states: torch.Tensor) -> None:
        self.model, self.states = _tiny().model, states
        self.rows: torch.Tensor | None = None

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        batch, beams, _ = tokens.shape
        new = torch.from_numpy(tokens).reshape(batch * beams, -1)
        if self.rows is None:
            self.rows = new
        else:
            self.rows = torch.cat((self.rows[torch.from_numpy(beam_index.reshape(-1))], new), dim=1)
        encoded = BaseModelOutput(self.states.repeat_interleave(beams, dim=0))
        with torch.no_grad():
            logits = self.model(encoder_outputs=encoded, decoder_input_ids=self.rows).logits[:, -1].float()
        top = torch.topk(torch.log_softmax(logits, dim=-1), candidates)
        shape = (batch, beams, -1)
        return Candidates(
            top.values.numpy().reshape(shape),
            top.indices.numpy().reshape(shape),
            logits.numpy().reshape(shape) if with_logits else None,
        )


def _eager(states: torch.Tensor, options: dict[str, Any]) -> Any:
    model = _tiny().model
    options = dict(options)
    prompt = options.pop("decoder_prompt_ids", None)
    for name in ("suppress_tokens", "begin_suppress_tokens", "eos_token_id", "forced_eos_token_id"):
        if isinstance(options.get(name), tuple):
            options[name] = list(options[name])
    if "bad_words_ids" in options:
        options["bad_words_ids"] = [list(word) for word in options["bad_words_ids"]]
    if prompt is not None:
        options["decoder_input_ids"] = torch.tensor([prompt] * len(states))
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START, eos_token_id=EOS, pad_token_id=PAD
    )
    with torch.no_grad():
        return model.generate(
            encoder_outputs=BaseModelOutput(states), return_dict_in_generate=True, output_scores=True,
            output_logits=True, do_sample=False, **options,
        )  # fmt: skip


def _plan(options: dict[str, Any]) -> SearchPlan:
    defaults, call = GenerationOptions(**DEFAULTS), GenerationOptions(**options)
    return plan_search(defaults, call, languages={}, vocab_size=VOCAB, max_positions=64)


def _compare(states: torch.Tensor, options: dict[str, Any], found: SearchResult) -> None:
    model = _tiny().model
    eager = _eager(states, options)
    plan = _plan(options)
    ours = [hypothesis for ranked in found.hypotheses for hypothesis in ranked]
    assert len(ours) == len(eager.sequences)
    prompt = len(plan.prompt)
    if plan.num_beams > 1:
        theirs = eager.sequences_scores.numpy()
        transitions = model.compute_transition_scores(
            eager.sequences, eager.scores, eager.beam_indices
        ).numpy()
        lengths = (eager.beam_indices >= 0).sum(dim=1).tolist()
    else:
        lengths = [_greedy_length(row[prompt:], plan.eos_token_ids) for row in eager.sequences.tolist()]
    for row, hypothesis in enumerate(ours):
        expected = eager.sequences[row, : prompt + lengths[row]].tolist()
        if list(hypothesis.tokens) != expected and _near_tie(eager, row, hypothesis.score, plan):
            continue
        assert list(hypothesis.tokens) == expected
        if plan.num_beams > 1:
            np.testing.assert_allclose(hypothesis.score, theirs[row], rtol=1e-4, atol=1e-4)
            chosen = transitions[row, : lengths[row]]
            np.testing.assert_allclose(hypothesis.log_probs, chosen, rtol=1e-4, atol=1e-4)
        elif plan.forced_bos_token_id is None and not plan.forced_eos_token_ids:
            raw = torch.stack(eager.logits)[: lengths[row], row].log_softmax(dim=-1)
            chosen = raw.gather(1, torch.tensor(expected[prompt:])[:, None])[:, 0].numpy()
            np.testing.assert_allclose(hypothesis.log_probs, chosen, rtol=1e-4, atol=1e-4)


def _greedy_length(tokens: list[int], eos: tuple[int, ...]) -> int:
    ends = [place for place, token in enumerate(tokens) if token in eos]
    return ends[0] + 1 if ends else len(tokens)


def _near_tie(eager: Any, row: int, score: float, plan: SearchPlan) -> bool:
    if plan.num_beams > 1:
        return abs(float(eager.sequences_scores[row]) - score) < TIE * max(1.0, 0.1 * abs(score))
    best = torch.stack(eager.scores)[:, row].topk(2, dim=-1).values
    return bool(((best[:, 0] - best[:, 1]) < TIE).any())


TOKEN = st.integers(0, VOCAB - 1)
TOKENS = st.lists(TOKEN, min_size=1, max_size=6, unique=True).map(tuple)
WORD = st.lists(TOKEN, min_size=1, max_size=3).map(tuple)


@st.composite
def option_sets(draw: st.DrawFn) -> dict[str, Any]:
    beams = draw(st.integers(1, 5))
    options: dict[str, Any] = {"num_beams": beams, "num_return_sequences": draw(st.integers(1, beams))}
    if beams > 1:
        options["length_penalty"] = draw(st.sampled_from((-1.0, 0.0, 0.6, 1.0, 2.0)))
        options["early_stopping"] = draw(st.sampled_from((True, False, "never")))
    prompt = draw(st.sampled_from((None, None, (START, 7), (9, 8, 7))))
    if prompt is not None:
        options["decoder_prompt_ids"] = prompt
    room = draw(st.integers(1, 9))
    options["max_new_tokens"] = room
    optional: dict[str, st.SearchStrategy[Any]] = {
        "min_new_tokens": st.integers(0, room),
        "min_length": st.integers(0, room + 1),
        "eos_token_id": st.sampled_from(((2, 5), (2, 5, 11, 17), 9)),
        "forced_eos_token_id": st.sampled_from((2, (2, 5))),
        "suppress_tokens": TOKENS,
        "begin_suppress_tokens": TOKENS,
        "no_repeat_ngram_size": st.integers(1, 3),
        "repetition_penalty": st.sampled_from((0.6, 0.9, 1.2, 2.0)),
        "bad_words_ids": st.lists(
            st.lists(TOKEN, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6
        ).map(tuple),
    }
    for name, values in optional.items():
        if draw(st.integers(0, 2)) == 0:
            options[name] = draw(values)
    if "min_new_tokens" in options:
        options.pop("min_length", None)
    if prompt is None and draw(st.integers(0, 3)) == 0:
        options["forced_bos_token_id"] = draw(TOKEN)
    # transformers refuses to force what it suppresses, and so does plan_search.
    spared = {options.get("forced_bos_token_id"), 2}
    kept = tuple(token for token in options.pop("suppress_tokens", ()) if token not in spared)
    return {**options, "suppress_tokens": kept} if kept else options


@PROFILE
@given(
    options=option_sets(),
    batch=st.integers(1, 3),
    first=st.integers(0, 5),
    max_candidates=st.sampled_from((1, 16, 1000)),
)
def test_same_as_generate(
    options: dict[str, Any],
    batch: int,
    first: int,
    max_candidates: int,
) -> None:
    chosen = _tiny().states[first : first + batch]
    found = search(EagerStep(chosen), _plan(options), batch, max_candidates=max_candidates)
    _compare(chosen, options, found)


@PROFILE
@given(
    beams=st.integers(2, 5),
    early_stopping=st.sampled_from((True, False, "never")),
    length_penalty=st.sampled_from((-1.0, 0.0, 1.0, 2.0)),
    batch=st.integers(1, 3),
    first=st.integers(0, 5),
    room=st.integers(4, 24),
)
def test_same_as_generate_without_rules(
    beams: int,
    early_stopping: bool | str,
    length_penalty: float,
    batch: int,
    first: int,
    room: int,
) -> None:
    options = {
        "num_beams": beams,
        "num_return_sequences": beams,
        "early_stopping": early_stopping,
        "length_penalty": length_penalty,
        "max_new_tokens": room,
    }
    chosen = _tiny().states[first : first + batch]
    found = search(EagerStep(chosen), _plan(options), batch, max_candidates=1000)
    _compare(chosen, options, found)


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"max_length": 6},
        {"max_length": 9, "min_length": 7},
        {"decoder_prompt_ids": (9, 8)},
        {"decoder_prompt_ids": (9, 8), "min_new_tokens": 8},
        {"decoder_prompt_ids": (9, 8), "max_length": 7, "min_length": 6},
    ],
)
def test_lengths_are_those_of_generate(lengths: dict[str, Any], beams: int) -> None:
    states, options = _tiny().states, {"num_beams": beams, **lengths}
    found = search(EagerStep(states), _plan(options), len(states), max_candidates=1000)
    _compare(states, options, found)


def test_the_model_ends_some_hypotheses_and_not_others() -> None:
    states = _tiny().states
    plan = _plan({"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 12})
    found = search(EagerStep(states), plan, len(states), max_candidates=1000)
    ended = [h.tokens[-1] == EOS for ranked in found.hypotheses for h in ranked]
    assert any(ended)
    assert not all(ended)


def test_a_batch_ends_as_its_utterances_do_alone() -> None:
    states = _tiny().states
    for beams in (1, 3):
        plan = _plan({"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": 14})
        together = search(EagerStep(states), plan, len(states), max_candidates=1000)
        for row, ranked in enumerate(together.hypotheses):
            alone = search(EagerStep(states[row : row + 1]), plan, 1, max_candidates=1000).hypotheses[0]
            assert [h.tokens for h in ranked] == [h.tokens for h in alone]


def _over_prompt_too(self: beam_search.BeamSearch, scores: Any, length: int) -> Any:
    return scores / np.float32((length + len(self._plan.prompt)) ** self._plan.length_penalty)


def _mismatches(**changes: Any) -> int:
    """How many of a fixed set of searches differ from eager where the plan is changed behind its back."""
    states, count = _tiny().states, 0
    for early_stopping in (True, False, "never"):
        options = {
            "num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 14, "length_penalty": 1.0,
            "early_stopping": early_stopping,
        }  # fmt: skip
        plan = dataclasses.replace(_plan(options), **changes)
        found = search(EagerStep(states), plan, len(states), max_candidates=1000)
        try:
            _compare(states, options, found)
        except AssertionError:
            count += 1
    return count


def test_the_comparison_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mismatches() == 0
    assert _mismatches(early_stopping=False) > 0
    assert _mismatches(eos_token_ids=(EOS, 5)) > 0
    assert _mismatches(no_repeat_ngram_size=2) > 0
    monkeypatch.setattr(beam_search.BeamSearch, "_over_length", _over_prompt_too)
    assert _mismatches() > 0
