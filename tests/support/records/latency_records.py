"""Records as bench-s2t writes them, measured on peers whose times are drawn, not taken."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.measuring.busy import Load
from benchmarks.measuring.interleaved import Repetitions, measure
from benchmarks.measuring.processor_time import Others
from benchmarks.peers.protocol import Answer, Case, Run, StageTimes, Task
from benchmarks.records.ratios import with_ratios
from benchmarks.records.record import _finite, record_of, with_floor

EAGER = Case("eager fp32", "torch", {"device": "cpu"}, "fp32")
PLAIN = Case("onnxruntime cpu fp32", "runtime", {"provider": "cpu"}, "fp32")
SMALL = Case("onnxruntime cpu int8", "runtime", {"provider": "cpu"}, "int8")
HALVES = Case("CTranslate2 int8", "ctranslate2", {"device": "cpu"}, "int8")
"""It has no text."""
REMARK = "halves: no adapter"
CASES = (EAGER, PLAIN, SMALL)
SPEED: Mapping[str, float] = {EAGER.name: 1.0, PLAIN.name: 3.0, SMALL.name: 9.0}
TASKS = tuple(
    Task(f"{length} s, {beams} beam{'s' if beams > 1 else ''}", (f"{length}s.wav",), float(length), beams, 12)
    for length in (2, 10, 30)
    for beams in (1, 5)
)
RECORDINGS = tuple(
    Task(
        f"{name}.wav, 5 beams",
        (f"/audio/{name}.wav",),
        length,
        5,
        12,
        workload="2 recordings, 5 beams",
        exact=False,
    )
    for name, length in (("one", 1.5), ("two", 4.0))
)
ENVIRONMENT: dict[str, Any] = {
    "date": "2026-11-24T12:00:00+00:00",
    "machine": {
        "cpu": {"model": "Xeon & Co", "usable_cores": 2},
        "gpus": [],
        "cuda": None,
        "gpu_state": None,
        "frequency_governor": None,
    },
    "versions": {"python": "3.12.1", "torch": "2.13.0"},
    "tensorrt": {},
    "threads": {"asked": 2, "OMP_NUM_THREADS": "1"},
    "spin": False,
    "commit": "0123",
    "bundle": {"model": "small", "parameters": 12345, "vocabulary": 99, "sha256": "f" * 64},
}


@dataclass
class DrawnPeer:
    """Its times are about those of SPEED, with so much noise; the int8 one answers differently in the end."""

    case: Case
    generator: np.random.Generator
    noise: float
    slower: float
    load_s: float = 1.25
    threads: int | None = 2

    def run(self, task: Task) -> Run:
        # As of a forced first token, which the bundle and CTranslate2 feed with the prompt, and eager does not.
        first_tokens = 1 if self.case.kind == "torch" else 2
        steps = task.tokens - first_tokens
        seconds = self.slower / SPEED.get(self.case.name, 2.0)
        drawn = seconds * np.exp(self.noise * self.generator.standard_normal(steps + 5))
        later = tuple((0.2 * drawn[5:] * (1 + 0.002 * np.arange(steps))).tolist())
        audio, encoder, first, search, text = (
            drawn[:5] * (0.002, 0.25 * task.audio_s, 0.2, 0.004, 0.001)
        ).tolist()
        total = audio + encoder + first + sum(later) + search + text
        times = StageTimes(audio, encoder, first, later, search, text, total, first_tokens)
        return Run(times, self._tokens(task))

    def answer(self, task: Task) -> Answer:
        if self.case is HALVES:
            return Answer((), (), REMARK)
        score = -0.51 if self.case is SMALL else -0.5
        return Answer(self._tokens(task), (score,))

    def memory(self) -> dict[str, int]:
        return {"RssAnon": 100 << 20, "VmRSS": 200 << 20, "VmHWM": 300 << 20}

    def close(self) -> None: ...

    def _tokens(self, task: Task) -> tuple[tuple[int, ...], ...]:
        if self.case is HALVES:
            return ()
        last = 1 if self.case is SMALL else 2
        return ((0, *range(10, 9 + task.tokens), last),)


def latency_record(
    *,
    seed: int = 0,
    slower: Mapping[str, float] | None = None,
    repetitions: int = 10,
    noise: float = 0.02,
    cases: tuple[Case, ...] = CASES,
    tasks: tuple[Task, ...] = TASKS,
) -> dict[str, Any]:
    """A record as it is read back from its file.

    Args:
        seed: of the noise.
        slower: case -> factor on all its times.
        repetitions: of each case and task.
        noise: of each stage, as a share of it.
        cases: to measure.
        tasks: to measure.
    """
    generator = np.random.default_rng(seed)

    def start(case: Case) -> DrawnPeer:
        return DrawnPeer(case, generator, noise, (slower or {}).get(case.name, 1.0))

    counts = Repetitions(1, repetitions)
    made = record_of(
        replace(measure(cases, tasks, counts, start=start), others=Others(0.02, 0.01)),
        cases,
        tasks,
        repetitions=counts,
        references=(cases[0].name,),
        left_out={},
        environment=ENVIRONMENT,
        load=Load(0.1, 2),
    )
    made = with_floor(made, {"fp32": 1_500_000_000, "int8": 400_000_000}, Bandwidth(4e10, "sums"))
    made["floor"]["device"] = "cpu"
    made |= {"base": cases[0].name, "parity_basis": f"tokens and scores are compared with {cases[0].name}"}
    read: dict[str, Any] = json.loads(json.dumps(_finite(with_ratios(made))))
    return read


def altered(record: dict[str, Any], case: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy of a record, and its first row of a case."""
    new = copy.deepcopy(record)
    return new, next(one for one in new["rows"] if one["case"] == case)
