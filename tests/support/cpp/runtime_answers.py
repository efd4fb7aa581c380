"""What s2t_runtime answers, for the C++ host to give as well: random options, random texts, WAV files of all sorts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import soundfile
from support.cpp.golden_vectors import golden_audio, write_json
from support.digits.scale import RATE, Waveform

import s2t_runtime
from s2t_runtime.bundles.json_records import OneOf
from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep
from s2t_runtime.text.detokenizer import join_tokens

Generator = np.random.Generator

# Values to draw from, by option.
POSSIBLE: dict[str, Sequence[Any]] = {
    "num_beams": (1, 2, 3, 4, 5, 7),
    "num_return_sequences": (1, 2, 3),
    "max_new_tokens": (1, 3, 8, 12, 20),
    "max_length": (9, 20, 129),
    "min_length": (0, 5, 8),
    "min_new_tokens": (0, 4, 7),
    "length_penalty": (1.0, 0.0, -1.5, 2.5, 0.3),
    "early_stopping": (True, False, "never"),
    "forced_bos_token_id": (4, 5, 9, 99),
    "forced_eos_token_id": (2, 3, [], [3]),
    "eos_token_id": (2, [2, 95], [], [2, 20, 30, 40]),
    "decoder_start_token_id": (2, 0, 1),
    "pad_token_id": (1, 7),
    "decoder_prompt_ids": ([2], [2, 9], [9, 20, 21], [2, 4, 30, 31, 32], [1, 9], [2, 1, 20]),
    "suppress_tokens": ([], [3], [95, 100, 364, 3], list(range(20, 200))),
    "begin_suppress_tokens": ([95], [4, 5, 6]),
    "no_repeat_ngram_size": (0, 1, 2, 3),
    "repetition_penalty": (1.0, 1.5, 6.0, 0.4),
    "bad_words_ids": ([], [[95]], [[95, 396], [100], [2]]),
    "sequence_bias": ([], [[[95], -3.5], [[95, 396], 2.0], [[2], -0.25]], [[[95], 1.0], [[95], 2.0]]),
    "exponential_decay_length_penalty": ([], [2, 1.5], [5, 0.5]),
    "renormalize_logits": (True, False),
    "language": ("de", "cy", "ja"),
    "do_sample": (False,),
}
IMPOSSIBLE: dict[str, Sequence[Any]] = {
    "num_beams": (0, True, "five"),
    "max_new_tokens": (500, 0),
    "max_length": (1, 130),
    "min_new_tokens": (30,),
    "length_penalty": (100.0, "1"),
    "early_stopping": ("soon", None),
    "forced_bos_token_id": (400, -1),
    "forced_eos_token_id": ([5, -2],),
    "decoder_start_token_id": (400, [2]),
    "suppress_tokens": ([-1], [400], [1.5]),
    "no_repeat_ngram_size": (-2,),
    "repetition_penalty": (0.0, -1.0),
    "bad_words_ids": ([[]], [[400]], [3], {"a": 1}),
    "sequence_bias": ([[[], 1.0]], [[[95], "x"]], [[95]], 7),
    "exponential_decay_length_penalty": ([1, 0.0], [1], "x"),
    "renormalize_logits": ("yes",),
    "language": ("tlh", "", 4),
    "do_sample": (1,),
    "beams": (5,),
    "stop_strings": ("x",),
}
LIKELY = ("num_beams", "num_return_sequences", "max_new_tokens", "language")
HOLD_IDS = (
    "forced_bos_token_id", "forced_eos_token_id", "eos_token_id", "decoder_start_token_id", "pad_token_id",
    "decoder_prompt_ids", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias",
)  # fmt: skip
EXCLUDED = {  # the second would be refused beside the first
    "max_new_tokens": ("max_length",), "min_new_tokens": ("min_length",), "language": ("forced_bos_token_id",),
    "decoder_prompt_ids": ("language", "forced_bos_token_id"),
}  # fmt: skip


def _random_options(rng: Generator) -> dict[str, Any]:
    options = {
        name: pool[int(rng.integers(len(pool)))]
        for name, pool in POSSIBLE.items()
        if rng.random() < (0.7 if name in LIKELY else 0.12)
    }
    for name, others in EXCLUDED.items() if rng.random() < 0.9 else ():
        for other in others if name in options else ():
            options.pop(other, None)
    if options.get("num_return_sequences", 1) > options.get("num_beams", 5) and rng.random() < 0.9:
        options.pop("num_return_sequences")
    if rng.random() < 0.2:
        name = str(rng.choice(sorted(IMPOSSIBLE)))
        options[name] = IMPOSSIBLE[name][int(rng.integers(len(IMPOSSIBLE[name])))]
    return options


def write_runtime(bundle: Path, directory: Path, rng: Generator, count: int = 300) -> None:
    """Write runtime.json: random options, and the results or the error."""
    audio = {name: waveform for name, waveform in golden_audio().items() if len(waveform) < 2 * RATE}
    with s2t_runtime.load(bundle, precision="fp32", threads=1) as model:
        write_json(directory / "runtime.json", {"cases": answers(model, audio, rng, count)})


def answers(
    model: s2t_runtime.SpeechToText,
    audio: Mapping[str, Waveform],
    rng: Generator,
    count: int,
    writable: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Random options for random recordings, and what s2t_runtime answers.

    Args:
        model: of the digits checkpoint.
        audio: recordings by name.
        rng: where options and names come from.
        count: how many cases; those that a prefix function is refused in come on top.
        writable: the ids of a restricted vocabulary; most cases name no other.
    """
    names = sorted(audio)
    cases = []
    for _ in range(count):
        chosen = [names[index] for index in rng.integers(len(names), size=int(rng.integers(1, 4)))]
        options = _random_options(rng)
        if writable is not None and rng.random() < 0.8:
            options = {
                name: value
                for name, value in options.items()
                if name not in HOLD_IDS or _ids_of(value) <= {*writable}
            }
        cases.append(answer(model, audio, chosen, options))
    absent = () if writable is None else sorted(set(range(400)) - {*writable})[:1]
    return [*cases, *_prefix_refusals(model, names[0], audio[names[0]], absent)]


def answer(
    model: s2t_runtime.SpeechToText,
    audio: Mapping[str, Waveform],
    chosen: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What s2t_runtime answers to recordings that are decoded as one batch: results, or an error."""
    case: dict[str, Any] = {"audio": chosen, "options": options}
    given: dict[str, Any] = dict(options)
    try:
        results = model.generate([audio[name] for name in chosen], sampling_rate=RATE, **given)
    except s2t_runtime.OptionError as error:
        return {**case, "error": str(error)}
    return {**case, "results": [_answer(result) for result in results]}


def _ids_of(value: Any) -> set[int]:
    """The integers in nested lists."""
    if isinstance(value, list | tuple):
        return set().union(*map(_ids_of, value))
    return {value} if type(value) is int else set()


def _answer(result: s2t_runtime.Result) -> dict[str, Any]:
    hypotheses = [
        # JSON has no infinity: a hypothesis that every rule forbids scores as little as can be.
        {"text": one.text, "tokens": one.tokens, "score": max(one.score, -3e38)}
        for one in result.hypotheses
    ]
    return {"language": result.language, "audio_s": result.audio_s, "hypotheses": hypotheses}


def _prefix_refusals(
    model: s2t_runtime.SpeechToText, name: str, waveform: Any, absent: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for allowed in ([], [2, 400], [-1], *([2, token] for token in absent)):
        try:
            model.generate(waveform, sampling_rate=RATE, prefix_allowed_tokens_fn=lambda *_, ids=allowed: ids)
        except s2t_runtime.OptionError as error:
            yield {"audio": [name], "options": {}, "allowed": allowed, "error": str(error)}


# --- texts

PIECES = (
    "a", "b", "▁", "▁wort", "wort▁", "##ing", "##", "nicht", " do not", " n't", " 's", " .", " ' ", "<0xE2>", "<0x82>",
    "<0xAC>", "<0xff>", "<0x+f>", "<0xzz>", "Ġder", "Ã¤", "ĊĊ", "日本", "é", "@@", "</w>", "|", "-", " ", "", "<0x4>",
)  # fmt: skip
RAW = (
    b"\xe2\x82",
    b"\xac",
    b"\xff",
    b"a",
    b" b",
    b"\xf0\x9f\x98",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xa4",
    b"\xe0\x80",
)
STEPS = next(
    note.values
    for note in get_type_hints(JoiningStep, include_extras=True)["step"].__metadata__
    if isinstance(note, OneOf)
)


def _random_step(rng: Generator) -> JoiningStep:
    patterns, contents = ("▁", "a", "##", "</w>", " ", "é", "@@"), (" ", "", "▁", "é日", "-", "ab")
    return JoiningStep(
        step=str(rng.choice(STEPS)),
        pattern=str(rng.choice(patterns)),
        content=str(rng.choice(contents)),
        count=int(rng.integers(4)),
        prepend_scheme=str(rng.choice(("always", "first", "never"))),
        cleanup=bool(rng.random() < 0.5),
    )


def _random_detokenizer(rng: Generator) -> Detokenizer:
    kind = str(rng.choice(("metaspace", "byte_level", "wordpiece", "steps", "steps", "steps")))
    return Detokenizer(
        kind=kind,
        replacement=str(rng.choice(("▁", "Ġ"))),
        prepend_scheme=str(rng.choice(("always", "first", "never"))),
        prefix=str(rng.choice(("##", "", "▁"))),
        cleanup=bool(rng.random() < 0.5),
        clean_up_tokenization_spaces=bool(rng.random() < 0.3),
        steps=tuple(_random_step(rng) for _ in range(int(rng.integers(4)))),
    )


def write_texts(directory: Path, rng: Generator, count: int = 2000) -> None:
    """Write texts.json: joining rules of every kind, tokens as hexadecimal bytes, and their text."""
    cases = []
    for _ in range(count):
        tokens = [
            RAW[int(rng.integers(len(RAW)))]
            if rng.random() < 0.15
            else PIECES[int(rng.integers(len(PIECES)))].encode()
            for _ in range(int(rng.integers(9)))
        ]
        detokenizer = _random_detokenizer(rng)
        document = json.loads(json.dumps(detokenizer, default=vars))
        text = join_tokens(tokens, detokenizer)
        cases.append({"detokenizer": document, "tokens": [token.hex() for token in tokens], "text": text})
    write_json(directory / "texts.json", {"cases": cases})


# --- recordings


def write_recordings(directory: Path, rng: Generator) -> None:
    """Write recordings.json: WAV files of every kind that the C++ host reads, and their samples as float32."""
    folder = directory / "recordings"
    folder.mkdir(exist_ok=True)
    cases = []
    for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        for channels in (1, 2, 3, 7):
            for form in ("WAV", "WAVEX"):
                name = f"{subtype}_{channels}_{form}.wav"
                samples = np.clip(rng.normal(0, 0.4, (500, channels)), -1, 1)
                soundfile.write(folder / name, samples, 8000, subtype=subtype, format=form)
                wanted = s2t_runtime_samples(folder / name)
                wanted.astype("<f4").tofile(folder / f"{name}.f32")
                cases.append(
                    {"path": f"recordings/{name}", "rate": 8000, "samples": f"recordings/{name}.f32"}
                )
    resampled = s2t_runtime_samples(folder / "FLOAT_1_WAV.wav", 16000)
    resampled.astype("<f4").tofile(folder / "resampled.f32")
    document = {
        "cases": cases,
        "resampled": {
            "path": "recordings/FLOAT_1_WAV.wav",
            "rate": 16000,
            "samples": "recordings/resampled.f32",
        },
    }
    write_json(directory / "recordings.json", document)


def s2t_runtime_samples(path: Path, rate: int = 8000) -> np.ndarray:
    """The samples of a file as s2t_runtime reads them."""
    from s2t_runtime.audio import read_audio

    return read_audio(path, sampling_rate=None, target_rate=rate)
