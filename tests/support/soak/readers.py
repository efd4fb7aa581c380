"""A round of the soak: damaged files for every reader. Each is read, or refused in one sentence of ours."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from support.engines.sets import Limits, record_of
from support.places import ROOT
from support.records.latency_records import latency_record
from support.soak.child import BUNDLE, CPP_FUZZERS
from support.soak.mutations import damaged_bytes, damaged_json
from support.soak.outcome import Outcome
from transformers.utils import logging

import s2t_runtime
from benchmarks.records.read import read_record
from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from s2t_runtime.audio import check_audio, read_audio
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.errors import S2TError
from s2t_runtime.text.loading import load_detokenizer
from s2t_runtime.text.vocabulary import Vocabulary

Generator = np.random.Generator

_CHECKPOINT = ROOT / "examples" / "digits" / "checkpoint"
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_LONGEST_SENTENCE = 4000
FUZZ_SECONDS = 20
COUNTS = {
    "audio": 1500,
    "manifest": 400,
    "tokenizer": 150,
    "vocabulary": 600,
    "record": 200,
    "checkpoint": 60,
}
"""How many inputs a round gives each reader."""


def run(rng: Generator, folder: Path) -> Outcome:
    """Damage what each reader reads, over and over."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    outcome = Outcome()
    for reader, read in _readers(folder).items():
        for number in range(COUNTS[reader]):
            _try(reader, lambda read=read: read(rng), folder, number, outcome)
    if CPP_FUZZERS in os.environ:
        _fuzz_cpp(rng, Path(os.environ[CPP_FUZZERS]), outcome)
    else:
        outcome.tried["rounds without C++"] += 1
    return outcome


def _fuzz_cpp(rng: Generator, targets: Path, outcome: Outcome) -> None:
    """libFuzzer on the readers of the C++ library; what it finds lies beside the targets."""
    seed = int(rng.integers(1, 1 << 30))
    done = subprocess.run(
        [str(ROOT / "cpp" / "fuzz" / "run.sh"), str(targets), str(FUZZ_SECONDS), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    runs = [int(number) for number in re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)]
    outcome.tried["damaged inputs in C++"] += sum(runs)
    if done.returncode != 0 or not runs:
        outcome.found.append(f"the fuzzers ended with {done.returncode}: {said[-1500:]}")


def _try(reader: str, read: Callable[[], None], folder: Path, number: int, outcome: Outcome) -> None:
    outcome.tried[f"damaged inputs: {reader}"] += 1
    try:
        read()
    except S2TError as error:
        outcome.tried[f"refused: {reader}"] += 1
        if len(str(error)) > _LONGEST_SENTENCE:
            outcome.found.append(f"{reader}, input {number}: refused at length: {str(error)[:300]}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        kept = folder / f"found-{reader}-{number}"
        if (folder / "current").exists():
            shutil.copyfile(folder / "current", kept)
        outcome.found.append(
            f"{reader}, input {number} ({kept.name}): {type(error).__name__}: {str(error)[:300]} at "
            f"{Path(place.filename).name}:{place.lineno}"
        )


def _readers(folder: Path) -> dict[str, Callable[[Generator], None]]:
    return {
        "audio": _Audio(folder),
        "manifest": _Manifests(folder),
        "tokenizer": _Tokenizers(folder),
        "vocabulary": _Vocabularies(folder),
        "record": _Records(folder),
        "checkpoint": _Checkpoints(folder),
    }


def _keep(folder: Path, data: bytes) -> bytes:
    """Should the process die over it, it is there to be looked at."""
    (folder / "current").write_bytes(data)
    return data


class _Audio:
    """Recordings in every format that is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        samples = np.random.default_rng(0).normal(0, 0.2, (3000, 2))
        self._seeds = []
        for form, subtype in (
            ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAVEX", "PCM_24"), ("FLAC", "PCM_16"),
            ("AIFF", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("CAF", "PCM_16"),
            ("AU", "PCM_16"), ("W64", "PCM_16"),
        ):  # fmt: skip
            if subtype in soundfile.available_subtypes(form):
                file = io.BytesIO()
                soundfile.write(file, samples, 16000, format=form, subtype=subtype)
                self._seeds.append(file.getvalue())

    def __call__(self, rng: Generator) -> None:
        seed, other = (self._seeds[index] for index in rng.integers(len(self._seeds), size=2))
        data = _keep(self._folder, damaged_bytes(rng, seed, other))
        samples = read_audio(data, sampling_rate=None, target_rate=16000)
        check_audio(samples, min_samples=1, max_samples=10**9, sampling_rate=16000)
        if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
            raise AssertionError(f"read as {samples.dtype} {samples.shape}, or not finite")


class _Manifests:
    """A bundle whose manifest is damaged; every fourth that opens is loaded and decodes."""

    def __init__(self, folder: Path) -> None:
        self._root = copied(Path(os.environ[BUNDLE]), folder / "manifests")
        self._text = (self._root / "manifest.json").read_text(encoding="utf-8")
        self._opened, self._folder = 0, folder
        self._audio = np.zeros(4000, np.float32)

    def __call__(self, rng: Generator) -> None:
        data = _keep(self._folder, damaged_json(rng, self._text))
        (self._root / "manifest.json").unlink()
        (self._root / "manifest.json").write_bytes(data)
        open_bundle(self._root)
        self._opened += 1
        if self._opened % 4 == 0:
            with s2t_runtime.load(self._root, threads=1) as model:
                rate = model.manifest.audio.sampling_rate
                model.generate(self._audio, sampling_rate=rate, num_beams=1, max_new_tokens=2)


class _Tokenizers:
    """A tokenizer.json that is damaged, for a bundle that states no joining rule."""

    def __init__(self, folder: Path) -> None:
        self._root = copied(Path(os.environ[BUNDLE]), folder / "tokenizers")
        self._text = (self._root / "tokenizer.json").read_text(encoding="utf-8")
        self._manifest = json.loads((self._root / "manifest.json").read_text(encoding="utf-8"))
        self._manifest["detokenizer"] = None
        self._folder = folder

    def __call__(self, rng: Generator) -> None:
        data = _keep(self._folder, damaged_json(rng, self._text))
        for name in ("tokenizer.json", "manifest.json"):
            (self._root / name).unlink()
        (self._root / "tokenizer.json").write_bytes(data)
        found = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        document = {**self._manifest, "files": {**self._manifest["files"], "tokenizer.json": found}}
        (self._root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        decode = load_detokenizer(open_bundle(self._root))
        decode([int(token) for token in rng.integers(400, size=20)])


class _Vocabularies:
    """The table of tokens that C++ reads."""

    def __init__(self, folder: Path) -> None:
        self._data = (Path(os.environ[BUNDLE]) / "vocabulary.bin").read_bytes()
        self._folder = folder

    def __call__(self, rng: Generator) -> None:
        path = self._folder / "vocabulary.bin"
        path.write_bytes(_keep(self._folder, damaged_bytes(rng, self._data)))
        vocabulary = Vocabulary.read(path)
        for token in range(0, len(vocabulary), max(len(vocabulary) // 50, 1)):
            vocabulary.token(token)


class _Records:
    """What lies beside engines, and what bench-s2t wrote."""

    def __init__(self, folder: Path) -> None:
        bundle = open_bundle(os.environ[BUNDLE])
        self._engine = record_of(bundle, bundle.manifest.default_precision, "encoder", (Limits(),)).to_json()
        self._bench = json.dumps(latency_record())
        self._folder = folder

    def __call__(self, rng: Generator) -> None:
        if rng.random() < 0.5:
            EngineRecord.from_json(
                _keep(self._folder, damaged_json(rng, self._engine)).decode("utf-8", "replace")
            )
            return
        path = self._folder / "latency.json"
        path.write_bytes(_keep(self._folder, damaged_json(rng, self._bench)))
        read_record(path)


class _Checkpoints:
    """A checkpoint with one damaged file: configuration, tokenizer, or the header of its weights."""

    def __init__(self, folder: Path) -> None:
        self._root, self._folder = folder / "checkpoint", folder
        self._weights = (_CHECKPOINT / "model.safetensors").read_bytes()

    def __call__(self, rng: Generator) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        copied(_CHECKPOINT, self._root)
        name = str(rng.choice((*_SMALL_FILES, "model.safetensors")))
        if name == "model.safetensors":
            data = damaged_bytes(rng, self._weights)
        else:
            data = damaged_json(rng, (_CHECKPOINT / name).read_text(encoding="utf-8"))
        (self._root / name).unlink()
        (self._root / name).write_bytes(_keep(self._folder, data))
        load_checkpoint(locate_checkpoint(str(self._root)))


def copied(source: Path, target: Path) -> Path:
    """A copy of its own: onnx_ir refuses the weights of a bundle whose files have several names."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    return target
