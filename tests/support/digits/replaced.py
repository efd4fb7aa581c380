"""Two bundles of one geometry, one of which is put in the other's place."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from support.digits.made import RECORDINGS

import s2t_runtime

RECORDING = RECORDINGS / "several_digits_427.wav"
WEIGHTS = ("fp32/encoder.onnx.data", "fp32/decoder.onnx.data")


def write_two(bundle: Path, one: Path, other: Path) -> None:
    """A copy of a bundle, and one whose weights are a little greater, as those of another training would be."""
    for copy in (one, other):
        shutil.copytree(bundle, copy)
    document = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    for name in WEIGHTS:
        values = np.fromfile(other / name, np.float32)
        usual = np.isfinite(values) & (abs(values) < 10) & (abs(values) > 1e-6)  # integers and the like stay
        np.where(usual, values * np.float32(1.02), values).astype(np.float32).tofile(other / name)
        document["files"][name]["sha256"] = hashlib.sha256((other / name).read_bytes()).hexdigest()
    (other / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def replace(live: Path, other: Path) -> None:
    """Put a bundle in the place of another, as export-s2t --force does."""
    old = live.with_name(f"{live.name}.replaced-0")
    live.rename(old)
    other.rename(live)
    shutil.rmtree(old)


def answer(root: Path, **load: object) -> tuple[float, ...]:
    """What tells one bundle from the other, and either from a mixture: log-probabilities of a few tokens."""
    with s2t_runtime.load(root, threads=1, **load) as model:  # type: ignore[arg-type]  # keywords of load
        return model.generate(RECORDING, num_beams=1, max_new_tokens=3).hypotheses[0].log_probs
