"""What is measured: a peer decodes a task, says how long each stage took, and what it answered.

A peer is one folder, ``benchmarks/peers/KIND``, whose ``peer.py`` imports nothing heavy before it is opened. It has

- ``open_peer(**settings) -> Peer``; a case names its kind and settings;
- ``OFFERS``, name -> ``Offer``s: what ``bench-s2t --peers NAME`` measures, unless it cannot be asked for;
- ``prepare(directory, tasks, **settings) -> settings``, if there is something to do before it is opened that must not
  count: it runs in a process of its own and gives the settings of ``open_peer``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Protocol

OWN: Final = "runtime"
"""Kind of the cases that are a bundle."""
STAGES: Final = ("audio", "encoder", "first_step", "step", "search", "detokenise", "total")
"""Of one decoding, in order; there is one sample of "step" for each step behind the first."""


@dataclass(frozen=True)
class Task:
    """One request, the same for every peer.

    The number of tokens is fixed (min_new_tokens = max_new_tokens), so that a peer whose scores are off by little
    is not fast because it stopped early. A recording is decoded until it ends instead, because its text counts.
    """

    name: str
    audio: tuple[str, ...]
    """Paths of the recordings, decoded as one batch."""
    audio_s: float
    """Length of all of them, in seconds."""
    beams: int
    tokens: int
    """Generated for each utterance."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further decoding options."""
    workload: str = ""
    """Of the row that it counts in, together with others; empty: a row of its own, under its name."""
    exact: bool = True
    """False: decoded until the end token comes, and ``tokens`` are the most."""
    prompt_length: int = 1
    """Tokens that the prompt has."""

    @property
    def decoding_options(self) -> dict[str, Any]:
        """As ``generate`` takes them, transformers' and ours."""
        count = {"min_new_tokens": self.tokens, "max_new_tokens": self.tokens}
        if not self.exact:
            del count["min_new_tokens"]
        return {**self.options, "num_beams": self.beams, **count}

    def generated(self, tokens: Sequence[int]) -> int:
        """How many tokens of a hypothesis were generated."""
        return self.tokens if self.exact else len(tokens) - self.prompt_length


@dataclass(frozen=True)
class StageTimes:
    """Seconds of one decoding, by the clock of the process that decoded.

    Attributes:
        audio_s: reading, resampling, checks, and whatever comes before the encoder.
        encoder_s: until its result is there, on the device.
        first_step_s: the prompt.
        steps_s: each later step of the decoder, until its scores are on the host.
        search_s: between the steps: choosing tokens, rules, book-keeping.
        detokenise_s: from tokens to text.
        total_s: of it all; the others add up to it.
        first_step_tokens: of an utterance that the first step is done with: the one that it gives, and those before
            it that were forced and fed with the prompt.
    """

    audio_s: float
    encoder_s: float
    first_step_s: float
    steps_s: tuple[float, ...]
    search_s: float
    detokenise_s: float
    total_s: float
    first_step_tokens: int = 1

    def samples(self, stage: str) -> tuple[float, ...]:
        """Of one of STAGES."""
        if stage == "step":
            return self.steps_s
        value: float = getattr(self, f"{stage}_s")
        return (value,)

    @property
    def decoding_s(self) -> float:
        """All steps and the search between them."""
        return self.first_step_s + sum(self.steps_s) + self.search_s


@dataclass(frozen=True)
class Run:
    """One timed decoding: its stages, and the best hypothesis of each utterance."""

    times: StageTimes
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Answer:
    """The best hypothesis of each utterance, prompt included, and its score."""

    tokens: tuple[tuple[int, ...], ...]
    """None at all: its tokens are no answer, and nothing is compared."""
    scores: tuple[float, ...]
    remark: str = ""
    """What a reader of the row must know, in a sentence without full stop."""


class Peer(Protocol):
    """Something that decodes tasks; opened once, used many times."""

    @property
    def threads(self) -> int | None:
        """Of the CPU that compute at once; None where it computes elsewhere, or nobody can tell."""

    def run(self, task: Task) -> Run:
        """Decode, and take the time of every stage."""

    def answer(self, task: Task) -> Answer:
        """Decode with scores; not timed, because some peers pay for them."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(frozen=True)
class Case:
    """One peer with its settings.

    Attributes:
        name: in tables and records.
        kind: its file is ``benchmarks/peers/KIND/peer.py``.
        settings: what its ``open_peer`` takes; JSON values.
        precision: of its weights; decides its bandwidth floor.
        timed: False for one that only answers, so that others can be compared with it.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    precision: str
    timed: bool = True


@dataclass(frozen=True)
class Offer:
    """A case that a peer's file offers.

    Attributes:
        name: in tables and records.
        precision: of its weights.
        settings: what its ``prepare`` or ``open_peer`` takes besides ``bundle``, ``against``, ``device`` and
            ``threads``.
    """

    name: str
    precision: str
    settings: Mapping[str, Any]


def peer_module(kind: str) -> ModuleType:
    """The peer's file."""
    return importlib.import_module(f"benchmarks.peers.{kind}.peer")


def open_peer(case: Case) -> Peer:
    """Open a case's peer in this process.

    Raises:
        S2TError: as the peer's ``open_peer`` does.
    """
    peer: Peer = peer_module(case.kind).open_peer(**case.settings)
    return peer


def best_of(hypotheses: Sequence[tuple[Sequence[int], float]], remark: str = "") -> Answer:
    """An answer from each utterance's best tokens and their score."""
    return Answer(
        tuple(tuple(map(int, tokens)) for tokens, _ in hypotheses),
        tuple(float(score) for _, score in hypotheses),
        remark,
    )
