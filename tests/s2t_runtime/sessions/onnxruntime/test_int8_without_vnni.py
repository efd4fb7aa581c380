"""int8 on an x86 processor without VNNI, where products of uint8 with int8 overflow: emulated by qemu-user."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT

EMULATOR = shutil.which("qemu-x86_64")
RECORDING = ROOT / "examples" / "digits" / "recordings" / "long_1952_noisy.wav"

pytestmark = [
    pytest.mark.broad,
    pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64 (Debian: qemu-user)"),
]

DECODE = """
import json, sys
import s2t_runtime, s2t_runtime.sessions.onnxruntime.graph_loader
if sys.argv[3] == "planted":
    s2t_runtime.sessions.onnxruntime.graph_loader.products_overflow = lambda ort: False
with s2t_runtime.load(sys.argv[1], precision="int8", threads=1) as model:
    result = model.generate(sys.argv[2], num_beams=1)
print(json.dumps([result.tokens, result.hypotheses[0].log_probs]))
"""


def decoded(bundle: Path, *before: str, fault: str = "") -> tuple[list[int], list[float]]:
    """Tokens and log-probabilities of a process of its own."""
    arguments = [sys.executable, "-c", DECODE, str(bundle), str(RECORDING), fault]
    run = subprocess.run([*before, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    tokens, log_probs = json.loads(run.stdout)
    return tokens, log_probs


def test_the_numbers_are_those_of_a_processor_with_it(digits_int8_bundle: Path) -> None:
    tokens, log_probs = decoded(digits_int8_bundle)
    old = (str(EMULATOR), "-cpu", "Haswell")
    emulated, emulated_log_probs = decoded(digits_int8_bundle, *old)
    assert emulated == tokens
    np.testing.assert_allclose(emulated_log_probs, log_probs, atol=1e-5)
    # Without ONNX Runtime's option they are not, or this test would prove nothing.
    _, overflown = decoded(digits_int8_bundle, *old, fault="planted")
    assert len(overflown) != len(log_probs) or np.abs(np.subtract(overflown, log_probs)).max() > 1e-3
