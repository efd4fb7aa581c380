"""make matrix: what is run, what is left out as done, and the page; one pair is really run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
import pytest
from support.matrix import support_matrix
from support.matrix.support_matrix import once_in, pairs, run_pair, share, still_to_run, versions
from support.matrix.support_page import Result, read_results, render
from support.tiny.decoders import FAMILIES
from support.tiny.encoders import ENCODERS
from support.tiny.models import Pair

DONE = Result(
    "wav2vec2-group", "bart", "shared", {"torch": "2"}, decodings=16, identical=16, score_difference=3e-7
)


def test_every_encoder_meets_every_decoder() -> None:
    assert {(pair.encoder, pair.decoder) for pair in pairs()} == {
        (encoder, decoder) for encoder in ENCODERS for decoder in FAMILIES
    }
    assert {pair.return_attention_mask for pair in pairs()} == {False, True}
    loudness = {(pair.gain, pair.return_attention_mask) for pair in pairs()}
    assert loudness == {(gain, mask) for gain in (1.0, 1.5, 2.0) for mask in (False, True)}
    assert len({(pair.encoder, pair.gain) for pair in pairs()}) == len(ENCODERS)


def test_shards_divide_the_pairs() -> None:
    shards = [share(pairs(), f"{number}/3") for number in (1, 2, 3)]
    assert sorted(pair.name for shard in shards for pair in shard) == sorted(pair.name for pair in pairs())
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "one/two", "-1/2"])
def test_what_is_no_shard(shard: str) -> None:
    with pytest.raises(click.BadParameter, match=f"'{shard}' is no shard: give i/n, for example 2/4"):
        share(pairs(), shard)


def test_pairs_with_a_result_are_not_run_again() -> None:
    wanted = [Pair("wav2vec2-group", "bart"), Pair("hubert", "bart")]
    current = dataclasses.replace(DONE, versions=versions())
    done = {("wav2vec2-group", "bart"): current}
    assert list(still_to_run(wanted, done)) == wanted[1:]
    for changed in (DONE, current.failed("it broke")):
        assert list(still_to_run(wanted, {("wav2vec2-group", "bart"): changed})) == wanted


def test_results_of_all_shards_are_read_and_the_last_one_counts(tmp_path: Path) -> None:
    failed = DONE.failed("OSError: no room")
    other = dataclasses.replace(DONE, encoder="hubert")
    (tmp_path / "results-1-of-2.jsonl").write_text(
        "".join(json.dumps(r.record()) + "\n" for r in (failed, DONE))
    )
    (tmp_path / "results-2-of-2.jsonl").write_text(json.dumps(other.record()) + "\n")
    assert read_results(tmp_path) == {("wav2vec2-group", "bart"): DONE, ("hubert", "bart"): other}


def test_what_passes() -> None:
    assert DONE.passed
    assert not DONE.failed("it broke").passed
    assert not DONE.with_decoding(identical=False, score_difference=0.0).passed
    far = DONE.with_decoding(identical=True, score_difference=5e-4)
    assert not far.passed
    assert far.cell() == "5e-04, too far"
    assert dataclasses.replace(far, allowed_score_difference=1e-3).cell() == "5e-04"
    assert far.with_rounding(1.8e-4).cell() == "5e-04 (eager's own rounding 2e-04)"
    assert far.with_rounding(1e-4).cell() == "5e-04 (eager's own rounding 1e-04), too far"
    assert not Result("hubert", "bart", "shared", {}).passed


def test_the_page() -> None:
    encoders = [("a", ("hubert", {})), ("b", ("sew", {})), ("a-stable", ("hubert", {}))]
    made = {
        ("a", "bart"): dataclasses.replace(DONE, encoder="a"),
        ("b", "trocr"): Result("b", "trocr", "expanded", {"torch": "2"}).failed("OSError"),
        ("b", "bart"): dataclasses.replace(DONE, encoder="b").with_decoding(
            identical=False, score_difference=0.0
        ),
    }
    lines = render(encoders, ["bart", "trocr"], made).splitlines()
    assert "3 of 6 pairs run; versions: torch 2." in lines
    assert lines[lines.index("## hubert") :] == [
        "## hubert", "",
        "| decoder | cross-attention | a | a-stable |",
        "|---|---|---|---|",
        "| bart | shared | 3e-07 | not run |",
        "| trocr | expanded | not run | not run |",
        "",
        "## sew", "",
        "| decoder | cross-attention | b |",
        "|---|---|---|",
        "| bart | shared | tokens differ in 1 of 17 |",
        "| trocr | expanded | failed |",
    ]  # fmt: skip


@pytest.mark.broad
def test_a_pair_is_run_and_a_planted_bug_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once, pair = once_in(tmp_path), Pair("wav2vec2-layer", "roberta")
    result = run_pair(once, pair)
    assert (result.error, result.decodings, result.cross_attention) == ("", 16, "shared")
    assert result.passed
    # Projections of another decoder behind the encoder.
    other = support_matrix.cross_projections(once, "bert")
    monkeypatch.setattr(support_matrix, "cross_projections", lambda *_: other)
    assert not run_pair(once, pair).passed
