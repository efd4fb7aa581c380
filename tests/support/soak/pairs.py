"""A round of the soak: a drawn model is exported, and decoded by eager, by Python and by C++."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from support.cpp.golden_vectors import write_json
from support.cpp.runtime_answers import answer
from support.soak import drawing
from support.soak.against_eager import Case, Judge, draw_cases
from support.soak.child import CPP_TESTS
from support.soak.outcome import Outcome
from support.tiny.encoders import SAMPLING_RATE
from transformers.utils import logging

import s2t_runtime
from exporter import ExportOptions, export_checkpoint
from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import ParityError, PrecisionError, UnsupportedModelError
from exporter.reference.audio_limits import min_samples
from s2t_runtime.sessions.protocol import Float32

CASES = 40
CASES_FOR_LOWER = 10
BUDGET = 0.1
TURNS = (None, "int8", None, "fp16", None, "int8")
"""The precision beside fp32; the search for what fp16 cannot hold takes minutes."""


def run(rng: np.random.Generator, folder: Path, lower: str | None) -> Outcome:
    """One model: fp32 against eager, in some rounds a lower precision within its budget, C++ as Python."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    outcome, drawn = Outcome(), drawing.DrawnModel.of(rng)
    outcome.figures["model"] = str(drawn)
    drawn.save(folder / "checkpoint")
    try:
        _export(folder, ("fp32",))
    except UnsupportedModelError as error:
        outcome.tried[f"models refused: {str(error).splitlines()[0][:80]}"] += 1
        return outcome
    outcome.tried["models"] += 1
    checkpoint = load_checkpoint(locate_checkpoint(str(folder / "checkpoint")))
    shortest = min_samples(checkpoint)
    audio = {
        f"audio_{number}": drawing.waveform(rng, shortest, steady=not drawn.has_log_mel)
        for number in range(6)
    }
    _write_audio(folder / "audio", audio)
    cases, judge = draw_cases(rng, list(audio), CASES, drawn.generation), Judge(checkpoint, audio, outcome)
    with s2t_runtime.load(folder / "bundle", threads=1) as model:
        for case in cases:
            judge.compare(model, case)
        variants = [_variant("fp32", folder / "bundle", "fp32", model, audio, cases)]
    if lower is not None:
        variants += _lower(folder, lower, judge, audio, cases[:CASES_FOR_LOWER], outcome)
    _compare_cpp(folder, variants, outcome)
    return outcome


def _export(folder: Path, precisions: Sequence[str], name: str = "bundle") -> Path:
    options = ExportOptions(
        output=folder / name, precisions=tuple(precisions), max_audio_s=4.0, check=False, budget=BUDGET
    )
    export_checkpoint(str(folder / "checkpoint"), options)
    return folder / name


def _lower(
    folder: Path, precision: str, judge: Judge, audio: Any, cases: Sequence[Case], outcome: Outcome
) -> list[dict[str, Any]]:
    try:
        bundle = _export(folder, (precision,), precision)
    except (PrecisionError, ParityError):
        outcome.tried[f"models that {precision} cannot hold within its budget"] += 1
        return []
    outcome.tried[f"models in {precision}"] += 1
    with s2t_runtime.load(bundle, precision=precision, threads=1) as model:
        judge.compare_scores(model, precision, BUDGET)
        return [_variant(precision, bundle, precision, model, audio, cases)]


def _write_audio(folder: Path, audio: dict[str, Float32]) -> None:
    folder.mkdir()
    for name, samples in audio.items():
        soundfile.write(folder / f"{name}.wav", samples, SAMPLING_RATE, subtype="FLOAT")


def _variant(
    name: str, bundle: Path, precision: str, model: Any, audio: dict[str, Float32], cases: Sequence[Case]
) -> dict[str, Any]:
    """What Python answers, for C++ to answer as well."""
    answers = [answer(model, audio, case.audio, case.options) for case in cases]
    return {"name": name, "bundle": str(bundle), "precision": precision, "cases": answers}


def _compare_cpp(folder: Path, variants: list[dict[str, Any]], outcome: Outcome) -> None:
    """The C++ tests decode the same cases, under AddressSanitizer and UBSan where they were built with them."""
    program = os.environ.get(CPP_TESTS)
    if program is None:
        outcome.tried["rounds without C++"] += 1
        return
    write_json(folder / "variants.json", {"cases": variants})
    environment = {**os.environ, "S2T_TEST_VECTORS": str(folder), "S2T_TEST_BUNDLE": str(folder / "bundle")}
    done = subprocess.run(
        [program, "--test-suite=soak", "--no-skip"],
        env={**environment, "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    outcome.tried["cases in C++"] += sum(len(variant["cases"]) for variant in variants)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        outcome.found.append(f"C++ does not answer as Python (exit {done.returncode}): {json.dumps(said)}")
