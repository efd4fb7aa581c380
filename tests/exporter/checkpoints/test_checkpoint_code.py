"""Nothing in a checkpoint is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny.damaged_checkpoint import (
    HEAD,
    WEIGHTS,
    change_json,
    reasons,
    refusal,
)


def plant_code(directory: Path) -> Path:
    """A module that leaves a trace when it is imported."""
    trace = directory.parent / "trace"
    (directory / "planted.py").write_text(
        f"open({str(trace)!r}, 'w')\nclass Planted: ...\n", encoding="utf-8"
    )
    return trace


def names_code(file: str, code: str) -> str:
    return (
        f"{file} names code of the checkpoint's own (auto_map: {code}), which export-s2t never runs; where a class "
        "of transformers itself does the same, remove auto_map from the file"
    )


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"auto_map": {"AutoModel": "planted.Planted"}}),
        ("preprocessor_config.json", {"auto_map": {"AutoFeatureExtractor": "planted.Planted"}}),
        ("generation_config.json", {"auto_map": {"AutoGenerate": "planted.Planted"}}),
        # transformers would not need the class, as tokenizer.json says all; the author wanted another.
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["planted.Planted", None]}}),
    ],
)
def test_code_of_the_checkpoints_own_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, file: str, change: dict[str, Any]
) -> None:
    trace = plant_code(checkpoint)
    # transformers would ask whether to run it: a yes must not be waited for.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change_json(checkpoint / file, lambda c: c.update(change))
    assert reasons(checkpoint) == (names_code(file, "planted.Planted"),)
    assert not trace.exists()


def test_code_of_a_half_is_refused_with_all_other_reasons(checkpoint: Path) -> None:
    trace = plant_code(checkpoint)
    change_json(
        checkpoint / "config.json",
        lambda c: c["encoder"].update(model_type="planted", auto_map={"AutoConfig": "planted.Planted"}),
    )
    code, unknown = reasons(checkpoint)
    assert code == names_code("config.json", "planted.Planted")
    assert unknown.startswith("encoder has model_type 'planted', which this transformers does not know")
    assert not trace.exists()


def test_code_that_no_file_names_is_not_run_either(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = plant_code(checkpoint)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(feature_extractor_type="Planted"))
    assert refusal(checkpoint).startswith("the feature extractor cannot be read: ")
    assert not trace.exists()


class Malicious:
    """Unpickling it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_run(checkpoint: Path, tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    (checkpoint / WEIGHTS).unlink()
    file = checkpoint / "pytorch_model.bin"
    torch.save({HEAD: Malicious(trace)}, file, _use_new_zipfile_serialization=zipped)
    assert refusal(checkpoint) == (
        "the weights cannot be loaded: pytorch_model.bin is no PyTorch file, or it holds more than tensors and "
        "would execute code: have it saved as model.safetensors"
    )
    assert not trace.exists()
    # It does bite where code is allowed to run.
    torch.load(file, weights_only=False)
    assert trace.exists()
