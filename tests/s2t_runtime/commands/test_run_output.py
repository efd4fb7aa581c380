"""What run-s2t prints: JSON lines, plain lines, the table, and the text as it comes."""

from __future__ import annotations

import io
import math
import os
import pty
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.doubles.model import FakeModel, invoke, records, result_of

from s2t_runtime.commands import run as cli_run
from s2t_runtime.commands.run_output import Outcome, table_output
from s2t_runtime.errors import AudioError


def test_json_lines(fake_model: FakeModel) -> None:
    fake_model.answer = lambda name: result_of(name, count=2)
    invocation = invoke("bundle", "a.wav", "b.wav", "--json")
    assert invocation.exit_code == 0
    assert invocation.stderr == ""
    first, second = records(invocation)
    assert first == {
        "audio": "a.wav",
        "text": "text 0 of a.wav 四百二十七",
        "language": "ja",
        "score": -0.25,
        "tokens": [2, 7, 2],
        "hypotheses": [
            {"text": "text 0 of a.wav 四百二十七", "tokens": [2, 7, 2], "score": -0.25},
            {"text": "text 1 of a.wav 四百二十七", "tokens": [2, 8, 2], "score": -1.25},
        ],
        "audio_s": 2.0,
        "timings_s": {"encoder": 0.25, "first_step": 0.125, "decode": 0.125, "total": 0.5},
    }
    assert list(first) == [
        "audio",
        "text",
        "language",
        "score",
        "tokens",
        "hypotheses",
        "audio_s",
        "timings_s",
    ]
    assert second["audio"] == "b.wav"
    assert "四百二十七" in invocation.stdout  # as it is, not escaped
    assert fake_model.closed


@pytest.mark.parametrize("score", [-math.inf, math.inf, math.nan])
def test_a_score_that_json_cannot_say_is_null(fake_model: FakeModel, score: float) -> None:
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], score=score)
    fake_model.answer = lambda _: replace(result, score=score, hypotheses=(hypothesis,))
    [record] = records(invoke("bundle", "a.wav", "--json"))
    assert record["score"] is None
    assert record["hypotheses"][0]["score"] is None


def test_plain_lines(fake_model: FakeModel) -> None:
    fake_model.answer = lambda name: result_of(name, count=2)
    invocation = invoke("bundle", "a.wav", "--num-return-sequences", "2", "--num-beams", "2")
    assert invocation.stdout.splitlines() == [
        "a.wav: text 0 of a.wav 四百二十七  (ja, score -0.2500, 2.00 s, real-time factor 0.250)",
        "    2. text 1 of a.wav 四百二十七  (score -1.2500)",
    ]


def test_plain_lines_are_whole_and_one_for_each_text(fake_model: FakeModel) -> None:
    text = "a long text, " * 100 + "[bold]no markup[/]\twith\na \x1b[31mbreak"
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], text=text)
    fake_model.answer = lambda _: replace(result, text=text, language=None, hypotheses=(hypothesis,))
    [line] = invoke("bundle", "a.wav").stdout.splitlines()
    said = "a long text, " * 100 + "[bold]no markup[/] with a  [31mbreak"
    assert line == f"a.wav: {said}  (score -0.2500, 2.00 s, real-time factor 0.250)"


def table_of(outcomes: Sequence[Outcome], monkeypatch: pytest.MonkeyPatch, width: int = 120) -> str:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", str(width))
    with table_output() as output:
        for outcome in outcomes:
            output.write(outcome)
    return shown.getvalue()


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome("[a].wav", result_of("[a].wav", count=2), 0.25),
        Outcome("bad.wav", AudioError("it is\nnoise")),
    ]
    lines = table_of(outcomes, monkeypatch).splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [cell.strip() for cell in lines[1].split("┃")[1:-1]] == [
        "audio",
        "text",
        "language",
        "score",
        "seconds",
        "real-time factor",
    ]
    assert rows == [
        ["[a].wav", "text 0 of [a].wav 四百二十七", "ja", "-0.2500", "2.00", "0.250"],
        ["", "text 1 of [a].wav 四百二十七", "", "-1.2500", "", ""],
    ]
    assert capsys.readouterr().err == "run-s2t: bad.wav: it is noise\n"


def test_a_narrow_table_folds_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of("a")
    hypothesis = replace(result.hypotheses[0], text="x" * 300)
    outcome = Outcome("a.wav", replace(result, hypotheses=(hypothesis,)), 0.25)
    table = table_of([outcome], monkeypatch, width=60)
    assert table.replace("text", "").count("x") == 300
    assert "…" not in table


def test_an_interrupted_table_shows_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)

    def interrupted() -> None:
        with table_output() as output:
            output.write(Outcome("a.wav", result_of("a.wav"), 0.25))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "a.wav" in shown.getvalue()


def test_a_terminal_gets_the_table(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli_run.run(cli_run.parse(["bundle", "a.wav"])) == 0
        shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "┃" in shown
    assert "real-time factor" in shown


# As it comes


def test_json_lines_as_it_comes(fake_model: FakeModel) -> None:
    invocation = invoke("bundle", "a.wav", "b.wav", "--json", "--stream", "--batch-size", "2")
    assert invocation.exit_code == 0, invocation.output
    *events, first, second = records(invocation)
    assert events == [
        {"audio": audio, "sequence": 0, "text_so_far": text, "tokens_so_far": tokens, "final": final}
        for audio, text, tokens, final in [
            ("a.wav", "te 0", [2, 7], False),
            ("b.wav", "te 1", [2, 7], False),
            ("a.wav", "text 0", [2, 7, 2], True),
            ("b.wav", "text 1", [2, 7, 2], True),
        ]
    ]
    assert (first["audio"], second["audio"]) == ("a.wav", "b.wav")
    assert fake_model.calls == [(["a.wav", "b.wav"], {})]


def test_a_terminal_shows_it_as_it_comes(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("rich.status.Status.update", lambda _, status, **__: said.append(str(status)))
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli_run.run(cli_run.parse(["bundle", "a[b]\n.wav", "--stream"])) == 0
        os.read(leader, 65536)
    os.close(leader)
    # rich before 10.2 announces the first status too.
    assert said[-2:] == ["a[b] .wav: te 0", "a[b] .wav: text 0"]
    assert fake_model.closed


def test_a_pipe_does_not_show_it_as_it_comes(fake_model: FakeModel) -> None:
    invocation = invoke("bundle", "a.wav", "--stream")
    assert invocation.exit_code == 1
    assert invocation.stderr == (
        "run-s2t: error: --stream would be ignored: standard output is neither a terminal nor JSON lines; pass "
        "--json as well or leave --stream out\n"
    )
    assert not fake_model.calls
