"""run-s2t with a model that only says what it was asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from click.testing import Result as Invocation
from support.command_line import runner
from support.places import ROOT

from s2t_runtime.commands import run as cli_run
from s2t_runtime.errors import OptionError, S2TError
from s2t_runtime.results import Hypothesis, Result, TokenEvent

COMMAND = "from s2t_runtime.commands.run import main; main()"


def result_of(name: str, count: int = 1) -> Result:
    hypotheses = tuple(
        Hypothesis(f"text {rank} of {name} 四百二十七", (2, 7 + rank, 2), -0.25 - rank, (-0.5, -0.25))
        for rank in range(count)
    )
    best = hypotheses[0]
    timings_s = {"encoder": 0.25, "first_step": 0.125, "decode": 0.125, "total": 0.5}
    return Result(best.text, best.tokens, best.score, "ja", hypotheses, timings_s, 2.0)


@dataclass
class FakeModel:
    """Says what it was asked, and refuses audio called bad*, as one bad member spoils a batch."""

    calls: list[tuple[list[Any], Mapping[str, Any]]] = field(default_factory=list)
    refused: Mapping[str, S2TError] = field(default_factory=dict)
    answer: Callable[[str], Result] = result_of
    plan_error: OptionError | None = None
    closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def plan(self, **_: Any) -> None:
        if self.plan_error is not None:
            raise self.plan_error

    def generate(
        self, audio: list[Any], on_token: Callable[[TokenEvent], object] | None = None, **options: Any
    ) -> list[Result]:
        assert isinstance(audio, list)
        self.calls.append((audio, options))
        for source in audio:
            if source in self.refused:
                raise self.refused[source]
        if on_token is not None:
            for end, text in ((2, "te"), (3, "text")):
                for utterance in range(len(audio)):
                    on_token(TokenEvent(utterance, 0, (2, 7, 2)[:end], f"{text} {utterance}", end == 3))
        return [self.answer(source if isinstance(source, str) else "bytes") for source in audio]


def invoke(*args: str, stdin: bytes | None = None) -> Invocation:
    return runner().invoke(cli_run.main, list(args), input=stdin)


def records(invocation: Invocation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in invocation.stdout.splitlines()]


def run_process(*args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **settings,
    )
