"""A decoder that is a script: its scores are a function of the tokens so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from s2t_runtime.sessions.protocol import Candidates, Float32, Int64

Script = Callable[[int, tuple[int, ...]], Sequence[float]]


def log_softmax(logits: Float32) -> Float32:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(np.float32)


@dataclass(frozen=True)
class Call:
    beam_index: Int64
    candidates: int
    with_logits: bool
    new: int


@dataclass
class ScriptedStep:
    """A decoder whose scores are a function of (utterance, tokens so far); it checks how it is called."""

    script: Script
    normalise: bool = True
    histories: list[list[tuple[int, ...]]] = field(default_factory=list)  # per utterance, per cache row
    calls: list[Call] = field(default_factory=list)

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        batch, beams, new = tokens.shape
        assert tokens.dtype == beam_index.dtype == np.int64
        assert beam_index.shape == (batch, beams)
        assert candidates >= 1
        if not self.histories:
            assert beams == 1
            assert beam_index.tolist() == [[b] for b in range(batch)]
            self.histories = [[()] for _ in range(batch)]
        else:
            assert new == 1
        previous = len(self.histories[0])
        flat = [row for rows in self.histories for row in rows]
        for b in range(batch):
            assert all(b * previous <= row < (b + 1) * previous for row in beam_index[b].tolist())
        self.histories = [
            [flat[beam_index[b, k]] + tuple(tokens[b, k].tolist()) for k in range(beams)]
            for b in range(batch)
        ]
        self.calls.append(Call(beam_index.copy(), candidates, with_logits, new))
        logits = np.array(
            [[self.script(b, row) for row in rows] for b, rows in enumerate(self.histories)], dtype=np.float32
        )
        log_probs = log_softmax(logits) if self.normalise else logits
        assert candidates <= logits.shape[-1]
        ids = np.argsort(-log_probs, axis=-1, kind="stable")[..., :candidates]
        return Candidates(np.take_along_axis(log_probs, ids, -1), ids, logits if with_logits else None)
