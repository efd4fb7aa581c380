"""Golden vectors of the digits model: what eager PyTorch answers, for every host of a bundle to give as well.

    PYTHONPATH=.:tests:examples/digits python -m support.cpp.golden_vectors BUNDLE OUTPUT

writes OUTPUT/golden.json, whose audio lies beside it, and what else the tests of cpp/ compare with: the answers of
s2t_runtime to many more options (runtime.json), altered bundles and what is said of them (refusals.json), texts
(texts.json, tokenizers.json), recordings (recordings.json), other precisions and a restricted vocabulary
(variants.json). Nothing of it is kept: each run asks anew. BUNDLE holds fp32, fp16 and int8.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from support.digits.audio import carried_batches, probe_batches
from support.digits.cases import Eager
from support.digits.made import CHECKPOINT
from support.digits.option_cases import CASES, NOTHING, Base
from support.digits.scale import RATE, Waveform

STOPPINGS = (False, True, "never")
# Utterance, beams and length penalty with which the way to stop changes the answer; of most it does not.
TELLING = (("probe_0_3", 5, 2.0), ("carried_cut_4", 5, 2.0), ("probe_1_0", 2, 1.0), ("probe_1_0", 3, 1.0))


@dataclass(frozen=True)
class GoldenCase:
    """Utterances decoded as one batch; options by name, as JSON holds them."""

    name: str
    audio: tuple[str, ...]
    options: Mapping[str, Any]
    eager: Mapping[str, Any] | None = None  # where transformers spells the options differently


def golden_audio() -> dict[str, Waveform]:
    """Recordings that the repository carries, whole and cut, and stand-ins for speech, by name."""
    audio = {}
    for batch in (*carried_batches(), *probe_batches()):
        for number, waveform in enumerate(batch.waveforms):
            audio[f"{batch.name} {number}".replace(",", "").replace(" ", "_")] = waveform
    return audio


def golden_cases(eager: Eager, audio: Mapping[str, Waveform]) -> Iterator[GoldenCase]:
    """Every width with every way to stop, every option at two widths, and batches of different lengths."""
    names = sorted(audio, key=lambda name: len(audio[name]))
    for turn, (width, stopping) in enumerate((w, s) for w in range(1, 6) for s in STOPPINGS):
        options = {
            "num_beams": width, "num_return_sequences": width, "early_stopping": stopping, "max_new_tokens": 28,
            "length_penalty": (1.0, 2.0, 0.8)[(turn + turn // 3) % 3],
        }  # fmt: skip
        yield GoldenCase(f"{width} beams, early_stopping {stopping}", (names[turn % len(names)],), options)
    for name, width, penalty in TELLING:
        for stopping in STOPPINGS:
            options = {
                "num_beams": width, "num_return_sequences": width, "early_stopping": stopping, "max_new_tokens": 28,
                "length_penalty": penalty,
            }  # fmt: skip
            yield GoldenCase(f"{name}, {width} beams, early_stopping {stopping}", (name,), options)
    spoken = [name for name in names if name.startswith("carried")]
    yield from _option_cases(eager, audio, spoken[len(spoken) // 2])
    for width in (1, 2, 4, 5):
        rotated = names[width:] + names[:width]
        options = {"num_beams": width, "num_return_sequences": width, "max_new_tokens": 24}
        yield GoldenCase(
            f"a batch, {width} beams", tuple(rotated[:5]), {**options, "forced_bos_token_id": 3 + width}
        )
    rules = {"no_repeat_ngram_size": 2, "repetition_penalty": 1.2, "min_new_tokens": 9, "max_new_tokens": 24}
    yield GoldenCase(
        "a batch with rules", tuple(names[::3]), {"num_beams": 3, "num_return_sequences": 2, **rules}
    )


def _option_cases(eager: Eager, audio: Mapping[str, Waveform], name: str) -> Iterator[GoldenCase]:
    for width in (1, 4):
        plain = NOTHING.options(Base(()), width)
        base = Base(eager.generate(audio[name], **plain)[0].tokens)
        for case in (NOTHING, *CASES):
            options = {key: value for key, value in case.options(base, width).items() if value is not None}
            if width in case.widths and not any(map(callable, options.values())):
                yield GoldenCase(f"{case.name}, {width} beams", (name,), options, case.eager_options(options))


def write_golden(directory: Path) -> None:
    """Write golden.json and its audio."""
    eager, audio = Eager(CHECKPOINT), golden_audio()
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    for name, waveform in audio.items():
        soundfile.write(directory / "audio" / f"{name}.wav", waveform, RATE, subtype="FLOAT")
    cases = [
        {
            "name": case.name,
            "audio": case.audio,
            "options": _jsonable(case.options),
            "results": [_answers(eager, audio[name], case.eager or case.options) for name in case.audio],
        }
        for case in golden_cases(eager, audio)
    ]
    write_json(directory / "golden.json", {"cases": cases})


def _answers(eager: Eager, audio: Waveform, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [asdict(hypothesis) for hypothesis in eager.generate(audio, **options)]


def _jsonable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings of sequences, which JSON has not, as pairs."""
    return {
        name: [[list(ids), bias] for ids, bias in value.items()] if isinstance(value, Mapping) else value
        for name, value in options.items()
    }


def write_json(path: Path, document: object) -> None:
    """A file that every JSON reader takes."""
    path.write_text(
        json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def write_all(bundle: Path, directory: Path) -> None:
    """Everything that the tests of cpp/ compare with."""
    from support.cpp.machines import write_machines
    from support.cpp.refusals import write_refusals
    from support.cpp.runtime_answers import write_recordings, write_runtime, write_texts
    from support.cpp.segments import write_segments
    from support.cpp.tokenizers import write_tokenizers
    from support.cpp.variants import write_variants

    directory.mkdir(parents=True, exist_ok=True)
    write_golden(directory)
    write_runtime(bundle, directory, np.random.default_rng(7))
    write_texts(directory, np.random.default_rng(8))
    write_tokenizers(directory, np.random.default_rng(10))
    write_recordings(directory, np.random.default_rng(9))
    write_refusals(bundle, directory)
    write_machines(directory)
    write_segments(directory)
    write_variants(bundle, directory, np.random.default_rng(11))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write golden vectors of the digits model.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    request = parser.parse_args()
    write_all(request.bundle.resolve(), request.output.resolve())
