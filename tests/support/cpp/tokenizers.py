"""Texts of every tokenizer kind of the support matrix, as the tokenizers themselves write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from support.cpp.golden_vectors import write_json
from support.tiny.sentencepiece_models import FAST, PYTHON
from support.tiny.tokenizer_kinds import KINDS, wrapped
from transformers import AutoTokenizer

from exporter.checkpoints.companions.loading import load_tokenizer
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.tokenizers.files import VOCABULARY, write_tokenizer


def tokenizers(directory: Path) -> Iterator[tuple[str, Any, Any]]:
    """Name, tokenizer as transformers gives it, and the same as the export reads it."""
    for name, (make, _) in KINDS.items():
        for cleanup in (False, True):
            tokenizer = wrapped(make(), cleanup=cleanup)
            yield f"{name}{', cleaned up' if cleanup else ''}", tokenizer, tokenizer
    for name, layout in {**FAST, **PYTHON}.items():
        checkpoint = layout.write(directory / name / "checkpoint")
        files = CheckpointFiles("the checkpoint", checkpoint, "some/model", None, None)
        yield name, AutoTokenizer.from_pretrained(checkpoint), load_tokenizer(files)


def write_tokenizers(directory: Path, rng: np.random.Generator) -> None:
    """Write tokenizers.json: a vocabulary and a joining rule each, ids, and the tokenizer's text of them."""
    cases = []
    for name, original, exported in tokenizers(directory / "tokenizers"):
        folder = directory / "tokenizers" / name
        folder.mkdir(parents=True, exist_ok=True)
        rule = write_tokenizer(exported, folder)
        if rule is None:
            raise AssertionError(f"{name} has no joining rule")
        size = len(original)
        sequences = [[], [*range(size)], [*range(size - 1, -1, -1)]]
        sequences += [rng.integers(size, size=int(rng.integers(1, 20))).tolist() for _ in range(60)]
        texts = [{"ids": ids, "text": original.decode(ids, skip_special_tokens=True)} for ids in sequences]
        vocabulary = str((folder / VOCABULARY).relative_to(directory))
        detokenizer = dataclasses.asdict(rule)
        cases.append({"name": name, "vocabulary": vocabulary, "detokenizer": detokenizer, "texts": texts})
    write_json(directory / "tokenizers.json", {"cases": cases})
