"""A bundle on the GPU against eager PyTorch: in float32 on the CPU, and in both precisions on the GPU."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measuring.agreement import Agreement, agreement
from benchmarks.peers.protocol import Answer, Task
from benchmarks.peers.runtime.peer import open_peer as open_runtime
from benchmarks.peers.torch.peer import open_peer as open_torch

HALF_SCORES = 0.1
"""What an fp16 bundle promises of log-probabilities, and so of scores, which are their means."""
HALF_TOKENS = 0.95
"""Of the tokens, before the first that differs."""


def answers_of_eager(bundle: Path, against: Path, precision: str, tasks: Sequence[Task]) -> list[Answer]:
    peer = open_torch(bundle=str(bundle), against=[str(against)], device="cuda", precision=precision)
    answers = [peer.answer(task) for task in tasks]
    del peer
    gc.collect()  # its timers refer to it
    torch.cuda.empty_cache()  # engines need the room
    return answers


def answers_of_runtime(
    bundle: Path, provider: str, precision: str, tasks: Sequence[Task], flavour: str | None = None
) -> list[Answer]:
    peer = open_runtime(bundle=str(bundle), provider=provider, precision=precision, flavour=flavour)
    answers = [peer.answer(task) for task in tasks]
    peer.close()
    return answers


def compared(
    answers: Sequence[Answer], references: Sequence[Answer], tasks: Sequence[Task]
) -> list[Agreement]:
    triples = zip(answers, references, tasks, strict=True)
    return [agreement(answer, reference, task.tokens) for answer, reference, task in triples]


def check_half(found: Sequence[Agreement]) -> None:
    """Scores within fp16's budget, tokens nearly all the same."""
    assert max(one.score_difference for one in found) < HALF_SCORES  # a NaN is not
    assert sum(one.agreeing for one in found) >= HALF_TOKENS * sum(one.tokens for one in found)
