"""Recipes of published checkpoints that do not do what their files say, and what both hosts make of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from support.places import ROOT
from support.tiny.damaged_checkpoint import tiny_tokenizer
from support.tiny.models import Pair
from transformers import SpeechEncoderDecoderModel

import s2t_runtime
from exporter import ExportOptions, export_checkpoint

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"
PROMPT = [0, 5, 6]
KNOWN = 31
"""Tokens of the tiny tokenizer; the decoder has 60 ids, of which the last ones are somebody's timestamps."""
RECIPE = {"num_beams": 4, "no_repeat_ngram_size": 3, "max_new_tokens": 16, "early_stopping": True}
FLAGS = [
    "--num-beams",
    "4",
    "--no-repeat-ngram-size",
    "3",
    "--max-new-tokens",
    "16",
    "--early-stopping",
    "true",
]

Once = Callable[[str, Callable[[Path], None]], Path]


def save(directory: Path) -> None:
    """A checkpoint whose tokenizer is too small, and its bundle without normalisation."""
    checkpoint = directory / "checkpoint"
    Pair("wav2vec2-layer", "mbart").save(checkpoint)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (checkpoint / name).unlink(missing_ok=True)
    tiny_tokenizer().save_pretrained(checkpoint)
    export_checkpoint(str(checkpoint), ExportOptions(directory / "bundle", normalize=False))


@pytest.fixture
def made(once: Once) -> Path:
    return once("recipe-without-normalisation", save)


def eager(made: Path, *, normalised: bool) -> tuple[list[int], float]:
    """What the recipe's script does: raw samples, padded with zeros if at all, a text before the first word."""
    samples = torch.from_numpy(soundfile.read(RECORDING, dtype="float32")[0])
    if normalised:
        samples = (samples - samples.mean()) / (samples.var(unbiased=False) + 1e-7).sqrt()
    model = SpeechEncoderDecoderModel.from_pretrained(made / "checkpoint", dtype=torch.float32).eval()
    prompt = torch.tensor([PROMPT])
    with torch.no_grad():
        found = model.generate(
            samples[None],
            decoder_input_ids=prompt,
            return_dict_in_generate=True,
            output_scores=True,
            **RECIPE,
        )
    return found.sequences[0].tolist(), float(found.sequences_scores[0])


@pytest.mark.broad
def test_samples_are_not_normalised(made: Path) -> None:
    wanted, score = eager(made, normalised=False)
    assert abs(score - eager(made, normalised=True)[1]) > 1e-3  # so it can be seen
    assert max(wanted) >= KNOWN
    with s2t_runtime.load(made / "bundle") as model:
        (best, *_) = model.generate(str(RECORDING), decoder_prompt_ids=PROMPT, **RECIPE).hypotheses
    assert list(best.tokens) == wanted
    assert best.score == pytest.approx(score, abs=1e-4)
    manifest = json.loads((made / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["provenance"]["options"]["normalize"] is False


@pytest.mark.broad
def test_ids_beyond_the_tokenizer_are_tokens_and_no_text(made: Path) -> None:
    seen: list[s2t_runtime.TokenEvent] = []
    with s2t_runtime.load(made / "bundle") as model:
        result = model.generate(str(RECORDING), num_beams=1, max_new_tokens=12, on_token=seen.append)
    tokens = list(result.hypotheses[0].tokens)
    known = [token for token in tokens if token < KNOWN]
    assert 0 < len(known) < len(tokens)
    text = tiny_tokenizer().decode(known, skip_special_tokens=True)
    assert result.text == seen[-1].text == text
    assert list(seen[-1].tokens) == tokens


@pytest.mark.broad
def test_the_host_in_cpp_does_the_same(made: Path) -> None:
    build = os.environ.get("S2T_CPP_BUILD")
    if build is None:
        pytest.skip("needs what make cpp builds: make test-cpp sets S2T_CPP_BUILD")
    command = [
        Path(build) / "s2t-cli",
        made / "bundle",
        RECORDING,
        "--decoder-prompt-ids",
        "0,5,6",
        *FLAGS,
        "--json",
    ]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    result = json.loads(run.stdout)
    with s2t_runtime.load(made / "bundle") as model:
        wanted = model.generate(str(RECORDING), decoder_prompt_ids=PROMPT, **RECIPE)
    assert result["hypotheses"][0]["tokens"] == list(wanted.hypotheses[0].tokens)
    assert result["text"] == wanted.text
