"""CTranslate2's halves: eager's own tokens and scores on recordings, stages that add up, and what is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.places import ROOT

from benchmarks.errors import PeerError
from benchmarks.peers.ctranslate2 import peer as peer_ctranslate2
from benchmarks.peers.ctranslate2.between import between
from benchmarks.peers.ctranslate2.peer import TwoPartPeer, open_peer, prepare
from benchmarks.peers.ctranslate2.search import search_facts
from benchmarks.peers.protocol import STAGES, Answer, Task
from benchmarks.peers.tasks import make_tasks, recording_tasks
from benchmarks.peers.torch.peer import open_peer as open_torch
from s2t_runtime.bundles.bundle import Bundle, open_bundle

RECORDINGS = ROOT / "examples" / "digits" / "recordings"
NAMES = ("one_digit_7.wav", "several_digits_427.wav")

needs_ctranslate2 = pytest.mark.skipif(
    importlib.util.find_spec("ctranslate2") is None,
    reason='ctranslate2 is not installed: pip install "export-s2t[bench]"',
)


@pytest.fixture(scope="module")
def bundle(digits_bundle: Path) -> Bundle:
    return open_bundle(digits_bundle)


@pytest.fixture(scope="module")
def spoken(bundle: Bundle) -> list[Task]:
    return recording_tasks(bundle, [RECORDINGS / name for name in NAMES], (1, 5), 40, first="de")


@pytest.fixture(scope="module")
def counted(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    directory = tmp_path_factory.mktemp("tasks")
    return make_tasks(bundle, directory, (1.0,), (1, 3), 6, batches=(1, 2), first="de")


@pytest.fixture(scope="module")
def eager(digits_bundle: Path, digits_checkpoint: Path, spoken: list[Task]) -> list[Answer]:
    peer = open_torch(bundle=str(digits_bundle), against=[str(digits_checkpoint)], device="cpu", threads=1)
    return [peer.answer(task) for task in spoken]


def opened(
    digits_bundle: Path, digits_checkpoint: Path, directory: Path, tasks: list[Task], **further: Any
) -> TwoPartPeer:
    settings = prepare(
        str(directory),
        tasks,
        bundle=str(digits_bundle),
        against=[str(digits_checkpoint)],
        threads=1,
        **further,
    )
    return open_peer(**settings)


@pytest.fixture(scope="module")
def halves(
    digits_bundle: Path,
    digits_checkpoint: Path,
    spoken: list[Task],
    tmp_path_factory: pytest.TempPathFactory,
) -> TwoPartPeer:
    return opened(digits_bundle, digits_checkpoint, tmp_path_factory.mktemp("fp32"), spoken)


@needs_ctranslate2
def test_recordings_give_eagers_tokens_and_scores(
    halves: TwoPartPeer, spoken: list[Task], eager: list[Answer]
) -> None:
    for task, wanted in zip(spoken, eager, strict=True):
        found = halves.answer(task)
        assert found.tokens == wanted.tokens
        assert found.scores == pytest.approx(wanted.scores, abs=1e-5)
        assert halves.run(task).tokens == found.tokens
        assert found.remark.startswith(
            "halves: Wav2Vec2 encoder, then the decoder in Whisper's search; the adapter"
        )


@needs_ctranslate2
def test_int8_is_int8_and_near(
    digits_bundle: Path, digits_checkpoint: Path, spoken: list[Task], eager: list[Answer], tmp_path: Path
) -> None:
    peer = opened(digits_bundle, digits_checkpoint, tmp_path, spoken, quantization="int8")
    assert peer._decoder.compute_type.startswith("int8")
    found = peer.answer(spoken[-1])
    assert found.tokens == eager[-1].tokens
    assert 0 < abs(found.scores[0] - eager[-1].scores[0]) < 0.1


@needs_ctranslate2
def test_as_many_tokens_as_are_asked_for_and_no_comparison(halves: TwoPartPeer, counted: list[Task]) -> None:
    for task in counted:
        times = halves.run(task).times
        assert halves.run(task).tokens == ()
        assert halves.answer(task) == Answer((), (), halves.answer(task).remark)
        assert halves.answer(task).remark.endswith(
            "where the end token is forbidden it renormalises scores: only recordings are compared"
        )
        # The forced first token stands in the prompt: 5 are generated, the first of them in the first step.
        assert len(times.steps_s) == 4
        assert times.first_step_tokens == 2  # the prompt has the forced first one
        assert halves.threads == 1
        parts = sum(sum(times.samples(stage)) for stage in STAGES if stage != "total")
        assert parts == pytest.approx(times.total_s)
        found = halves._search(halves._states(task)[0], task, 5)
        assert [len(one.sequences_ids[0]) for one in found] == [5] * len(task.audio)


@needs_ctranslate2
def test_random_weights_are_compared_with_the_forced_last_token(
    halves: TwoPartPeer, counted: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halves, "_facts", {**halves._facts, "untrained": True})
    (tokens,) = halves.answer(counted[0]).tokens
    assert tokens[:2] == tuple(halves._facts["prompt"])
    assert (len(tokens), tokens[-1]) == (7, 2)


def test_what_stands_between_is_the_checkpoints(digits_checkpoint: Path) -> None:
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Adapter

    halves = pytest.importorskip("benchmarks.peers.ctranslate2.conversion")
    config = Wav2Vec2Config(hidden_size=6, output_hidden_size=4, num_adapter_layers=2)
    torch.manual_seed(0)
    adapter, last = Wav2Vec2Adapter(config).eval(), torch.nn.Linear(4, 5)
    model = type("Model", (), {"encoder": type("Encoder", (), {"adapter": adapter}), "enc_to_dec_proj": last})
    states = torch.randn(2, 19, 6)
    with torch.no_grad():
        wanted = last(adapter(states)).numpy()
        weights = {name: np.array(value) for name, value in halves._between(model)}
    np.testing.assert_allclose(between(states.numpy(), weights), wanted, atol=1e-6)
    np.testing.assert_array_equal(between(states.numpy(), {}), states.numpy())


def test_models_that_it_cannot_compute(tmp_path: Path) -> None:
    halves = pytest.importorskip("benchmarks.peers.ctranslate2.conversion")
    from types import SimpleNamespace

    from transformers import BartConfig, GPT2Config, HubertConfig, Wav2Vec2Config

    def refused(encoder: Any, decoder: Any) -> str:
        model = SimpleNamespace(
            encoder=SimpleNamespace(config=encoder), decoder=SimpleNamespace(config=decoder)
        )
        checkpoint = SimpleNamespace(model=model)
        with pytest.raises(PeerError) as caught:
            halves.convert_parts(checkpoint, tmp_path, prompt=(0, 1), end=2, quantization=None)
        return str(caught.value)

    assert refused(HubertConfig(), GPT2Config()) == (
        "CTranslate2 cannot compute this model: its encoders are wav2vec2, this one is hubert; its decoders here are "
        "mbart and bart, this one is gpt2"
    )
    strange = Wav2Vec2Config(do_stable_layer_norm=True, feat_extract_norm="group", adapter_attn_dim=4)
    assert refused(strange, BartConfig(activation_function="tanh")) == (
        "CTranslate2 cannot compute this model: its wav2vec2 encoder has feat_extract_norm layer, this one group; it "
        "has no attention adapters (adapter_attn_dim); it has no activation tanh"
    )


@pytest.mark.parametrize(
    ("further", "tokens", "message"),
    [
        ({"device": "cuda"}, 40, "CTranslate2 is measured on the CPU alone: give --provider cpu"),
        ({}, 2, "a step of CTranslate2 is the difference of two decodings: give --tokens 3 or more"),
    ],
)
@needs_ctranslate2
def test_what_cannot_be_measured(
    digits_bundle: Path,
    spoken: list[Task],
    tmp_path: Path,
    further: dict[str, Any],
    tokens: int,
    message: str,
) -> None:
    tasks = [dataclasses.replace(task, tokens=tokens) for task in spoken]
    with pytest.raises(PeerError, match=f"^{re.escape(message)}$"):
        prepare(str(tmp_path), tasks, bundle=str(digits_bundle), **further)


def test_without_the_package_there_is_the_line_that_installs_it(
    digits_bundle: Path, spoken: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_ctranslate2.importlib.util, "find_spec", lambda _: None)
    message = 'ctranslate2 is not installed: pip install "export-s2t[bench]"'
    with pytest.raises(PeerError, match=f"^{re.escape(message)}$"):
        prepare(str(tmp_path), spoken, bundle=str(digits_bundle))


def test_searches_without_text(bundle: Bundle, counted: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    assert search_facts(bundle, counted[0])["remarks"] == []
    free = dataclasses.replace(counted[0], options={})
    assert search_facts(bundle, free)["remarks"] == [
        "halves only, no text: Whisper's search wants a prompt of two tokens"
    ]
    assert not search_facts(bundle, free)["comparable"]
    assert search_facts(bundle, free)["prompt"] == [2, 2]
    ends = dataclasses.replace(free, options={**counted[0].options, "eos_token_id": (2, 3)})
    assert search_facts(bundle, ends)["remarks"] == [
        "halves only, no text: it has one end token, the model 2"
    ]
    monkeypatch.setattr(Bundle, "output_ids", lambda _: np.arange(7))
    assert search_facts(bundle, counted[0])["remarks"] == [
        "halves only, no text: it has every token, the bundle some"
    ]


def test_generation_options_that_it_lacks_are_said(bundle: Bundle, counted: list[Task]) -> None:
    generation = {**bundle.manifest.generation, "no_repeat_ngram_size": 3}
    other = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, generation=generation))
    found = search_facts(other, counted[0])
    assert found["remarks"] == ["without no_repeat_ngram_size, so tokens may differ"]
    assert found["comparable"]
