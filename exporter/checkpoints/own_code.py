"""Finds files of a checkpoint that name Python code to be run: it never is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_MAY_NAME_CODE = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)


def code_reasons(directory: Path) -> list[str]:
    """One reason per file that names Python code to be run: it never is."""
    return [
        f"{name} names code of the checkpoint's own (auto_map: {', '.join(code)}), which export-s2t never runs; "
        "where a class of transformers itself does the same, remove auto_map from the file"
        for name in _MAY_NAME_CODE
        if (code := _named_code(directory / name))
    ]


def _named_code(path: Path) -> list[str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # whoever needs the file will say what is wrong with it
    if not isinstance(document, Mapping):
        return []
    objects = [document, *(value for value in document.values() if isinstance(value, Mapping))]
    found = []
    for maps in (one["auto_map"] for one in objects if isinstance(one.get("auto_map"), Mapping)):
        for code in maps.values():
            found += [str(part) for part in (code if isinstance(code, list) else [code]) if part]
    return sorted(set(found))
