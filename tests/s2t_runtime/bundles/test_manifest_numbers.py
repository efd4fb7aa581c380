"""Numbers of a manifest that no model has are found when it is opened, before memory is asked for by them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.errors import BundleError

REMEDY = "copy the bundle again or export again"


def alter(root: Path, path: str, value: Any) -> None:
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    *folders, name = path.split(".")
    inner = document
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def refusal(root: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(root)
    return str(caught.value)


COUNTS = ("audio.sampling_rate", "audio.min_samples", "audio.max_samples", "decoder.layers", "decoder.heads",
          "decoder.head_dim", "decoder.vocab_size", "decoder.max_positions", "decoder.max_candidates")  # fmt: skip


@pytest.mark.parametrize("path", COUNTS)
def test_counts_are_counts(root: Path, path: str) -> None:
    for value in (0, -1, -(2**63)):
        alter(root, path, value)
        assert f"{path} is {value}, wanted an integer of at least 1" in refusal(root)
    for value, shown in ((2**63, "9223372036854775808"), (10**30, "1e+30"), (-(10**30), "-1e+30")):
        alter(root, path, value)
        assert f"{path} is {shown}, wanted an integer" in refusal(root)
    alter(root, path, 10**400)
    shown = "1" + "0" * 39 + "..."
    assert refusal(root) == f"manifest.json is not JSON ({shown} is beyond double precision): {REMEDY}"


def test_the_vocabulary_is_that_of_the_graphs(root: Path) -> None:
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    graph = document["graphs"]["fp32"]["decoder_with_past"]
    graph["outputs"] = [{"name": "logits", "dtype": "float32", "shape": ["batch", "beams", 40]}]
    (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    alter(root, "decoder.vocab_size", 40)
    assert open_bundle(root).manifest.decoder.vocab_size == 40
    alter(root, "decoder.vocab_size", 2**40)
    assert refusal(root) == (
        "manifest.json is malformed: decoder.vocab_size is 1099511627776, wanted 40, the columns of the logits of "
        f"fp32: {REMEDY}"
    )


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1" + "0" * 400])
def test_numbers_beyond_double_precision_are_no_json(root: Path, text: str) -> None:
    path = root / "manifest.json"
    path.write_text(
        re.sub(r'"generation": \{', f'"generation": {{"seed": {text}, ', path.read_text()), encoding="utf-8"
    )
    assert "is beyond double precision): copy the bundle again" in refusal(root)
