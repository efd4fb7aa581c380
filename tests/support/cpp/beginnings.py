"""Bundles whose decoders count positions from the padding token, and what eager PyTorch makes of it in front."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from support.digits.scale import RATE, Waveform
from support.tiny.models import Pair, bundle, load

import s2t_runtime
from exporter.parity.coverage import beginnings
from exporter.parity.decodings import as_generate_takes_them
from exporter.reference.eager import EagerReference

DECODERS = ("roberta", "gpt2")
"""The second counts from none, so that its forced tokens join."""


def beginning_variants(directory: Path, audio: Mapping[str, Waveform]) -> Iterator[dict[str, Any]]:
    """A variant for each decoder, its bundle below ``directory``."""

    def once(name: str, make: Callable[[Path], None]) -> Path:
        path = directory / name
        if not path.exists():
            make(path)
        return path

    directory.mkdir(parents=True, exist_ok=True)
    for name in DECODERS:
        pair = Pair("wav2vec2-group", name, return_attention_mask=False)
        root, reference = bundle(once, pair), EagerReference(load(once, pair))
        with s2t_runtime.load(root, threads=1) as model:
            asked = beginnings(model, reference.model.config.decoder.pad_token_id)
        chosen = sorted(audio, key=lambda one: len(audio[one]))[:2]
        cases = [
            _case(reference, audio, chosen, {**options, "num_beams": width})
            for options in asked
            for width in (1, 3)
        ]
        yield {"name": f"beginnings: {name}", "bundle": str(root), "precision": "fp32", "cases": cases}


def _case(
    reference: EagerReference, audio: Mapping[str, Waveform], chosen: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    told = as_generate_takes_them(options)
    results = []
    for name in chosen:
        (found,) = reference.generate([audio[name]], **told)
        hypotheses = [
            {"tokens": tokens, "score": score}
            for tokens, score in zip(found.tokens, found.scores, strict=True)
        ]
        results.append({"language": None, "audio_s": len(audio[name]) / RATE, "hypotheses": hypotheses})
    return {"audio": chosen, "options": options, "results": results}
