"""The runtime gives what eager PyTorch answered; where torch is absent, it was asked before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.cpp.reading import read_audio, read_cases
from support.digits.made import RECORDINGS
from support.digits.scale import RATE, TOLERANCE

import s2t_runtime
from s2t_runtime import SpeechToText


def test_the_runtime_gives_them(model: SpeechToText, vectors: Path) -> None:
    faults = []
    for case in read_cases(vectors):
        results = model.generate(read_audio(vectors, case["audio"]), sampling_rate=RATE, **case["options"])
        for result, wanted in zip(results, case["results"], strict=True):
            for got, one in zip(result.hypotheses, wanted, strict=True):
                if list(got.tokens) != one["tokens"]:
                    faults.append(f"{case['name']}: {got.tokens}, eager has {one['tokens']}")
                    continue
                differences = np.abs(
                    np.subtract([got.score, *got.log_probs], [one["score"], *one["log_probs"]])
                )
                if not differences.max() <= TOLERANCE:
                    faults.append(f"{case['name']}: scores differ by {differences.max()}")
    assert faults == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_write_what_was_said(request: pytest.FixtureRequest, precision: str) -> None:
    """Their budget is held at export; here, that this onnxruntime computes what was judged then."""
    bundle: Path = request.getfixturevalue(f"digits_{precision}_bundle")
    lines = (RECORDINGS.parent / "references.de.tsv").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("\t") for line in lines)
    recordings = sorted(RECORDINGS.glob("*.wav"))
    with s2t_runtime.load(bundle, precision=precision, threads=1) as model:
        results = model.generate(list(recordings), language="de", num_beams=3)
    assert len(recordings) >= 7
    assert {path.name: result.text for path, result in zip(recordings, results, strict=True)} == {
        path.name: said[path.name] for path in recordings
    }
