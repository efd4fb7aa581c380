"""Bundles of other precisions and with a restricted vocabulary: what s2t_runtime and eager PyTorch answer."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.cpp.alterations import edit
from support.cpp.beginnings import beginning_variants
from support.cpp.golden_vectors import CHECKPOINT, golden_audio, write_json
from support.cpp.runtime_answers import answer, answers
from support.digits.scale import RATE, Waveform
from support.link_layouts import LAYOUTS
from support.restricted.bundles import write_restricted
from support.restricted.eager import suppressed_generate

import s2t_runtime
from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint

GERMAN = 4
KEPT = [token for token in range(400) if token % 3 or token == 396]
SEARCHES: list[dict[str, Any]] = [
    {"num_beams": 1},
    {"num_beams": 2, "num_return_sequences": 2, "early_stopping": "never"},
    {"num_beams": 3, "num_return_sequences": 3, "early_stopping": False, "forced_bos_token_id": GERMAN},
    {"num_beams": 5, "num_return_sequences": 4, "early_stopping": True, "length_penalty": 2.0},
]


# Lengths that a bundle stores, some beyond the decoder's 128 positions, and calls over each of them.
STORED_LENGTHS: dict[str, dict[str, Any]] = {
    "a text without end": {"max_length": 400, "eos_token_id": [399], "num_beams": 1},
    "a long text": {"max_new_tokens": 400, "num_beams": 2},
    "a least above the most": {"max_length": 20, "min_new_tokens": 40},
    "a least beyond the positions": {"max_length": 400, "min_length": 300, "num_beams": 1},
    "short texts": {"max_new_tokens": 4, "min_new_tokens": 2},
}
CALLED_LENGTHS: tuple[dict[str, Any], ...] = (
    {},
    {"max_length": 31},
    {"max_new_tokens": 6},
    {"max_length": 9, "min_length": 3},
    {"decoder_prompt_ids": [2, 20, 21]},
    {"max_length": 130},
    {"max_new_tokens": 129},
    {"min_length": 25},
)


def write_variants(bundle: Path, directory: Path, rng: np.random.Generator) -> None:
    """Write variants.json, and the restricted bundle: the encoder of ``bundle``, and a decoder of its own."""
    restricted = directory / "bundles" / "restricted"
    checkpoint = load_checkpoint(locate_checkpoint(str(CHECKPOINT)))
    write_restricted(checkpoint, bundle / "fp32", KEPT, restricted, both=False)
    audio = {name: waveform for name, waveform in golden_audio().items() if len(waveform) < 2 * RATE}
    languages = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["languages"]
    edit(lambda document: document.update(languages=languages))(restricted)
    variants = []
    for name, path, precision, count in (
        ("fp16", bundle, "fp16", 20),
        ("int8", bundle, "int8", 20),
        ("restricted", restricted, "fp32", 80),
    ):
        with s2t_runtime.load(path, precision=precision, threads=1) as model:
            found = model.output_token_ids
            ids = None if found is None else found.tolist()
            cases = answers(model, audio, rng, count, ids)
        variants.append({"name": name, "bundle": str(path), "precision": precision, "cases": cases})
    for name, layout in LAYOUTS.items():
        path = directory / "bundles" / "links" / name
        path.mkdir(parents=True)
        root = layout(directory / "bundles" / "fp32 alone", path)
        with s2t_runtime.load(root, threads=1) as model:
            cases = answers(model, audio, rng, 2, None)
        variants.append({"name": f"links, {name}", "bundle": str(root), "precision": "fp32", "cases": cases})
    with s2t_runtime.load(restricted) as model:
        found = model.output_token_ids
        if found is None:
            raise AssertionError(f"{restricted} can write every token")
        cases = _eager_cases(checkpoint, found.tolist(), audio)
    variants.append(
        {"name": "restricted, by eager", "bundle": str(restricted), "precision": "fp32", "cases": cases}
    )
    variants += _lengths(directory / "bundles", audio)
    variants += beginning_variants(directory / "bundles" / "beginnings", audio)
    write_json(directory / "variants.json", {"cases": variants})


def _lengths(bundles: Path, audio: Mapping[str, Waveform]) -> Iterator[dict[str, Any]]:
    """Bundles that store other lengths than the checkpoint's; their files are those of one that others made."""
    name = min(audio, key=lambda one: len(audio[one]))
    for title, stored in STORED_LENGTHS.items():
        root = bundles / title
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(bundles / "fp32 alone", root, copy_function=os.link)
        edit(lambda document, stored=stored: _store(document["generation"], stored))(root)
        with s2t_runtime.load(root, threads=1) as model:
            cases = [answer(model, audio, [name], options) for options in CALLED_LENGTHS]
        yield {"name": f"lengths: {title}", "bundle": str(root), "precision": "fp32", "cases": cases}


def _store(generation: dict[str, Any], stored: Mapping[str, Any]) -> None:
    for length in ("max_length", "max_new_tokens", "min_length", "min_new_tokens"):
        generation.pop(length, None)
    generation.update(stored)


def _eager_cases(
    checkpoint: Checkpoint, ids: Sequence[int], audio: Mapping[str, Waveform]
) -> list[dict[str, Any]]:
    cases = []
    for name in sorted(audio)[::3]:
        for search in SEARCHES:
            options = {"max_new_tokens": 20, **search}
            found = suppressed_generate(checkpoint, ids, audio[name], options)
            hypotheses = [
                {"tokens": tokens, "score": score}
                for tokens, score in zip(found.tokens, found.scores, strict=True)
            ]
            length_s = len(audio[name]) / RATE
            language = "de" if options.get("forced_bos_token_id") == GERMAN else None
            result = {"language": language, "audio_s": length_s, "hypotheses": hypotheses}
            cases.append({"audio": [name], "options": options, "results": [result]})
    return cases
