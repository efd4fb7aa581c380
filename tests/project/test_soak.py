"""make soak: what it draws, what it would find, and how it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.places import ROOT
from support.soak import __main__ as command
from support.soak import child, drawing, kills, memory, mutations, pairs, readers
from support.soak.against_eager import Case, Judge
from support.soak.child import BUNDLE, KINDS, generator_of
from support.soak.outcome import Outcome, Round
from support.soak.schedule import Running, keep, next_of, read_rounds
from support.soak.summary import summary
from support.tiny import models as tiny_models

import s2t_runtime
from s2t_runtime import Result, SpeechToText
from s2t_runtime.errors import BundleError

PAIR = tiny_models.PAIRS[0]


@pytest.fixture(scope="module")
def model(once: Any) -> Iterator[SpeechToText]:
    with s2t_runtime.load(tiny_models.bundle(once, PAIR), threads=1) as loaded:
        yield loaded


@pytest.fixture
def judge(once: Any) -> tuple[Judge, Outcome]:
    outcome = Outcome()
    rng = np.random.default_rng(5)
    audio = {"a": drawing.waveform(rng, 40), "b": drawing.waveform(rng, 40)}
    return Judge(tiny_models.load(once, PAIR), audio, outcome), outcome


class Tampered:
    """A bundle with a planted fault."""

    def __init__(self, model: SpeechToText, change: Callable[[Result], Result]) -> None:
        self._model, self._change = model, change

    def generate(self, *given: Any, **options: Any) -> Any:
        return [self._change(result) for result in self._model.generate(*given, **options)]


def first_changed(result: Result, **changes: Any) -> Result:
    first, *others = result.hypotheses
    return dataclasses.replace(result, hypotheses=(dataclasses.replace(first, **changes), *others))


CASE = Case(("a", "b"), {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 8})
FAULTS: dict[str, Callable[[Result], Result]] = {
    "a token": lambda result: first_changed(result, tokens=(*result.tokens[:-1], 7)),
    "a score": lambda result: first_changed(result, score=result.score + 0.01),
    "not a number": lambda result: first_changed(result, score=float("nan")),
    "another order": lambda result: dataclasses.replace(result, hypotheses=result.hypotheses[::-1]),
    "one is missing": lambda result: dataclasses.replace(result, hypotheses=result.hypotheses[:1]),
}


def test_a_right_bundle_is_right(judge: tuple[Judge, Outcome], model: SpeechToText) -> None:
    compared, outcome = judge
    compared.compare(model, CASE)
    assert outcome.found == []
    assert outcome.tried == {"cases": 1, "decodings": 2, "hypotheses": 4}
    assert 0 <= outcome.figures["largest score difference"] < 1e-4


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(judge: tuple[Judge, Outcome], model: SpeechToText, fault: str) -> None:
    compared, outcome = judge
    compared.compare(Tampered(model, FAULTS[fault]), CASE)  # type: ignore[arg-type]
    assert len(outcome.found) == 2, outcome.found


def test_an_error_on_one_side_alone_is_found(judge: tuple[Judge, Outcome], model: SpeechToText) -> None:
    compared, outcome = judge
    impossible = Case(("a",), {"num_beams": 2, "num_return_sequences": 3})
    compared.compare(model, impossible)
    assert outcome.tried["errors of eager"] == 1
    assert outcome.found == []
    lenient = type("Lenient", (), {"generate": lambda *_, **__: []})()
    compared.compare(lenient, impossible)
    assert ["eager raises (ValueError" in sentence for sentence in outcome.found] == [True]


def test_what_is_drawn_is_the_same_for_the_same_seed_and_decodes(model: SpeechToText) -> None:
    one, again, other = (generator_of("pairs", seed, 3) for seed in (1, 1, 2))
    drawn = drawing.DrawnModel.of(one)
    assert drawn == drawing.DrawnModel.of(again)
    assert drawn != drawing.DrawnModel.of(other)
    for _ in range(200):
        options = drawing.options(one)
        json.dumps(options)
        plan = model.plan(**options)
        assert len(plan.prompt) + 1 <= plan.max_length <= 49


def test_recordings_are_of_every_kind(model: SpeechToText) -> None:
    rng = np.random.default_rng(1)
    drawn = [drawing.waveform(rng, 400) for _ in range(80)]
    assert all(one.dtype == np.float32 and len(one) >= 400 and np.isfinite(one).all() for one in drawn)
    assert any(not one.any() for one in drawn)
    assert all(drawing.waveform(rng, 400, steady=False).std() > 1e-6 for _ in range(80))
    assert any(np.abs(one).max() > 1.2 for one in drawn)


def test_damage_is_done_and_can_be_done_again() -> None:
    document = json.dumps({"a": [1, {"b": "text"}], "c": {"d": None}})
    once = [mutations.damaged_json(np.random.default_rng(seed), document) for seed in range(50)]
    assert once == [mutations.damaged_json(np.random.default_rng(seed), document) for seed in range(50)]
    assert sum(one != document.encode() for one in once) > 40
    assert len(set(once)) > 35
    assert mutations.damaged_bytes(np.random.default_rng(1), b"") == b""


def test_what_a_reader_may_say_and_what_is_found(tmp_path: Path) -> None:
    outcome = Outcome()
    (tmp_path / "current").write_bytes(b"the input")

    def refuses() -> None:
        raise BundleError("it is malformed: export again")

    def breaks() -> None:
        raise KeyError("size")

    readers._try("manifest", refuses, tmp_path, 0, outcome)
    readers._try("manifest", lambda: None, tmp_path, 1, outcome)
    assert outcome.found == []
    readers._try("manifest", breaks, tmp_path, 2, outcome)
    assert outcome.tried == {"damaged inputs: manifest": 3, "refused: manifest": 1}
    assert "manifest, input 2 (found-manifest-2): KeyError: 'size' at test_soak.py" in outcome.found[0]
    assert (tmp_path / "found-manifest-2").read_bytes() == b"the input"


def test_the_readers_are_all_tried(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUNDLE, str(digits_bundle))
    monkeypatch.setattr(readers, "COUNTS", dict.fromkeys(readers.COUNTS, 5))
    outcome = readers.run(np.random.default_rng(3), tmp_path)
    assert outcome.found == []
    for reader in readers.COUNTS:
        assert outcome.tried[f"damaged inputs: {reader}"] == 5


def test_what_a_kill_left_is_looked_at(digits_bundle: Path, tmp_path: Path) -> None:
    target, wanted, outcome = tmp_path / "bundle", kills.answer(digits_bundle), Outcome()
    export, replaced, added = kills._works(target)
    kills.reset(replaced, digits_bundle, target)
    kills.look(target, replaced, wanted, outcome)
    assert outcome.found == []
    kills.look(target, replaced, (1, 2), outcome)
    (target / "vocabulary.bin").unlink()
    kills.look(target, replaced, wanted, outcome)
    kills.reset(export, digits_bundle, target)
    kills.look(target, export, wanted, outcome)
    kills.look(target, replaced, wanted, outcome)
    assert [sentence.split(":")[1].strip() for sentence in outcome.found] == [
        "what stands there decodes otherwise",
        "what stands there is no whole bundle",
        "the bundle that stood there is gone",
    ]
    readers.copied(digits_bundle, tmp_path / "bundle.replaced-abc")
    kills.look(target, replaced, wanted, outcome)
    assert (len(outcome.found), outcome.tried["kills between two renames"]) == (3, 1)
    kills.look(target, added, wanted, outcome)
    assert len(outcome.found) == 4


def done(kind: str, number: int, seconds: float, found: tuple[str, ...] = ()) -> Round:
    outcome = Outcome(Counter({"cases": 4}), list(found), {"largest score difference": 1e-6 * (number + 1)})
    return Round(kind, number, 1, seconds, outcome)


def test_kinds_take_turns_by_their_share() -> None:
    rounds: list[Round] = []
    for _ in range(60):
        kind, number = next_of(rounds, [], list(KINDS))
        rounds.append(done(kind, number, 60.0))
    times = Counter(one.kind for one in rounds)
    assert times == {"pairs": 40, "readers": 8, "kills": 4, "memory": 8}
    assert sorted(one.number for one in rounds if one.kind == "pairs") == list(range(40))
    assert next_of([], [("pairs", 0), ("readers", 0)], ["pairs"]) == ("pairs", 1)


def test_an_interrupted_soak_goes_on_and_is_summed_up(tmp_path: Path, once: Any) -> None:
    for one in (done("pairs", 0, 50.0), done("memory", 0, 30.0)):
        keep(tmp_path, one)
    assert read_rounds(tmp_path) == [done("pairs", 0, 50.0), done("memory", 0, 30.0)]
    assert next_of(read_rounds(tmp_path), [], list(KINDS)) == ("readers", 0)
    asked = ["--seconds", "10", "--jobs", "1", "--directory", str(tmp_path), "--bundle", str(tmp_path)]
    told = CliRunner().invoke(command.main, asked, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    page = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "| pairs | 1 | 1 | 0 |" in page
    assert "| cases | 8 |" in page
    assert "Nothing was found." in page
    keep(tmp_path, done("pairs", 1, 1.0, ("tokens differ",)))
    assert CliRunner().invoke(command.main, asked, catch_exceptions=False).exit_code == 1
    page = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "- pairs 1 (seed 1): tokens differ" in page
    assert "| largest score difference | 2e-06 |" in page


def test_the_summary_of_nothing() -> None:
    assert "Nothing was found." in summary([], "a processor", "versions")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--kinds", "pairs,walks"], "unknown kinds: walks; there are pairs, readers, kills, memory"),
        (["--only", "walks:1"], "'walks:1' is no round: give KIND:NUMBER, for example pairs:3"),
        (["--only", "pairs"], "'pairs' is no round: give KIND:NUMBER"),
    ],
)
def test_wrong_requests(tmp_path: Path, asked: list[str], said: str) -> None:
    told = CliRunner().invoke(
        command.main, [*asked, "--bundle", str(tmp_path), "--directory", str(tmp_path / "soak")]
    )
    assert told.exit_code == 2
    assert said in " ".join(told.output.replace("│", " ").split())


def waited_for(running: Running) -> Round:
    ends = time.monotonic() + 120
    while (ended := running.ended()) is None:
        assert time.monotonic() < ends
        time.sleep(0.05)
    return ended


def test_a_round_that_dies_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "tests", "examples/digits"))
    monkeypatch.setenv("PYTHONPATH", paths)
    ended = waited_for(Running.start("walks", 0, 1, tmp_path))
    assert ended.outcome.found[0].startswith("the round ended with 1: ")
    assert "No module named 'support.soak.walks'" in ended.outcome.found[0]
    assert (tmp_path / "walks-0" / "log.txt").exists()
    running = Running.start("memory", 0, 1, tmp_path)
    os.killpg(running.process.pid, signal.SIGSEGV)
    assert waited_for(running).outcome.found[0].startswith("the round was killed by SIGSEGV")
    monkeypatch.setattr("support.soak.schedule.LONGEST_ROUND_S", 0.0)
    assert waited_for(Running.start("memory", 1, 1, tmp_path)).outcome.found[0].startswith("the round hung")


def test_every_turn_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No draw leaves a command, a way of calling or a precision out."""
    for kind, module in (("pairs", pairs), ("kills", kills), ("memory", memory)):
        asked: list[object] = []
        monkeypatch.setattr(module, "run", lambda *given, asked=asked: asked.append(given[2]) or Outcome())
        for number in range(6):
            child.main(kind, 1, number, tmp_path)
        assert set(asked) == set(module.TURNS)
    assert (tmp_path / "outcome.json").exists()


@pytest.mark.broad
def test_a_round_of_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "KILLS", 1)
    outcome = kills.run(generator_of("kills", 1, 0), tmp_path, "add a precision")
    assert outcome.found == []
    assert outcome.tried == {
        "whole runs: export": 1,
        "whole runs: add a precision": 2,
        "kills: add a precision": 1,
    }


@pytest.mark.broad
def test_a_round_of_a_drawn_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "CASES", 8)
    outcome = pairs.run(generator_of("pairs", 1, 0), tmp_path, "int8")
    assert outcome.found == []
    assert outcome.tried["cases"] == 8
    assert outcome.tried["decodings in int8"] == 6
