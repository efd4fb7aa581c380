"""Bundles that are missing, altered or wrong in other ways, and what s2t_runtime says of each."""

from __future__ import annotations

import copy
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from support.cpp.alterations import (
    INT8_POLICY,
    Document,
    all_wrong,
    detokenizer,
    edit,
    flipped,
    folder,
    generation,
    ids_file,
    large_elsewhere,
    leaves,
    linked_elsewhere,
    loop,
    manifest_text,
    output_vocabulary,
    remove,
    rename_file,
    replace,
    some_tokens,
    unlisted_ids,
    unlisted_weights,
    vouched,
    without_start,
)
from support.cpp.golden_vectors import write_json

import s2t_runtime


@dataclass(frozen=True)
class RefusalCase:
    """One way to be refused."""

    sentence: str  # of cpp/sentences.json
    alter: Callable[[Path], None] = lambda _: None  # what is done to a copy of the bundle
    load: Document = field(default_factory=dict)
    options: Document | None = None  # None: loading is refused; else decoding with these
    audio: Document = field(default_factory=lambda: {"samples": 8000})
    path: str | None = None  # in place of the copy's
    foreign: bool = False  # the message holds words of a library, which another host has not


LOADING = {
    "a missing directory": RefusalCase("bundle.missing", path="/no/such/bundle"),
    "a missing model": RefusalCase("bundle.missing_model", path="owner/model-1.0"),
    "a file": RefusalCase("bundle.is_file", path="{bundle}/manifest.json"),
    "no manifest": RefusalCase("bundle.no_manifest", remove("manifest.json")),
    "a name.unfinished-1": RefusalCase("bundle.unfinished", remove("manifest.json")),
    "a checkpoint": RefusalCase(
        "bundle.checkpoint", lambda root: (root / "manifest.json").rename(root / "config.json") and None
    ),
    "a manifest of other bytes": RefusalCase(
        "bundle.unreadable", manifest_text(b'{"\xff": 1}'), foreign=True
    ),
    "no JSON": RefusalCase("manifest.not_json", manifest_text(b'{"format_version": 2,'), foreign=True),
    "no number of JSON": RefusalCase(
        "manifest.not_json", manifest_text(b'{"format_version": NaN}'), foreign=True
    ),
    "endless brackets": RefusalCase("manifest.not_json", manifest_text(b"[" * 100_000), foreign=True),
    "no object": RefusalCase("manifest.not_object", manifest_text(b"[1, 2]")),
    "a text": RefusalCase("manifest.not_object", manifest_text(b'"' + b"x" * 50 + b'"')),
    "no version": RefusalCase("manifest.version", edit(lambda document: document.pop("format_version"))),
    "version true": RefusalCase(
        "manifest.version", edit(lambda document: document.update(format_version=True))
    ),
    "version 0": RefusalCase("manifest.version", edit(lambda document: document.update(format_version=0))),
    "version 1.0": RefusalCase(
        "manifest.version", edit(lambda document: document.update(format_version=1.0))
    ),
    "a newer version": RefusalCase("manifest.newer", manifest_text(b'{"format_version": 4}')),
    "wrong fields": RefusalCase("manifest.malformed", edit(all_wrong)),
    "missing fields": RefusalCase(
        "manifest.field.missing", manifest_text(b'{"format_version": 1, "audio": {}}')
    ),
    "no layers and no rate": RefusalCase(
        "manifest.field.wrong",
        edit(
            lambda document: (
                document["decoder"].update(layers=0) or document["audio"].update(sampling_rate=-5)
            )
        ),
    ),
    "a vocabulary that the graphs do not have": RefusalCase(
        "manifest.field.wrong", edit(lambda document: document["decoder"].update(vocab_size=2**40))
    ),
    "a number beyond 64 bits": RefusalCase(
        "manifest.field.wrong", edit(lambda document: document["decoder"].update(heads=10**30))
    ),
    "a number beyond double precision": RefusalCase(
        "manifest.not_json", edit(lambda document: document["decoder"].update(heads=10**400)), foreign=True
    ),
    "a wrong field": RefusalCase(
        "manifest.field.wrong", edit(lambda document: document.update(default_precision=""))
    ),
    "a backslash": RefusalCase("bundle.bad_path.backslash", rename_file("fp32\\x")),
    "a drive": RefusalCase("bundle.bad_path.backslash", rename_file("C:x")),
    "a control character": RefusalCase("bundle.bad_path.control", rename_file("x\n'y")),
    "an absolute path": RefusalCase("bundle.bad_path.absolute", rename_file("/etc/passwd")),
    "a path that leaves": RefusalCase("bundle.bad_path.part", rename_file("fp32/../../x")),
    "an empty path": RefusalCase("bundle.bad_path", rename_file("")),
    "a loop of links": RefusalCase("bundle.loop", loop, foreign=True),
    "a link to other bytes": RefusalCase("bundle.link", leaves),
    "a link to nothing": RefusalCase("bundle.link", linked_elsewhere("vocabulary.bin", lambda _: None)),
    "a link to bytes of the same size": RefusalCase(
        "bundle.damaged.hash", linked_elsewhere("fp32/encoder.onnx.data", flipped)
    ),
    "a link to large bytes of the same size": RefusalCase("bundle.damaged.hash", large_elsewhere),
    "a link to weights without a hash": RefusalCase("bundle.link_unlisted", unlisted_weights),
    "graphs that are not files": RefusalCase(
        "bundle.unlisted", edit(lambda document: document["files"].pop("fp32/encoder.onnx"))
    ),
    "a missing file": RefusalCase("bundle.damaged.missing", remove("vocabulary.bin")),
    "a folder for a file": RefusalCase("bundle.damaged.irregular", folder),
    "a truncated file": RefusalCase(
        "bundle.damaged.size",
        lambda root: replace(root / "vocabulary.bin", (root / "vocabulary.bin").read_bytes()[:-1]),
    ),
    "a changed file": RefusalCase(
        "bundle.damaged.hash",
        lambda root: replace(root / "tokenizer.json", flipped((root / "tokenizer.json").read_bytes())),
    ),
    "many missing files": RefusalCase(
        "bundle.damaged.more",
        remove(
            "vocabulary.bin",
            "tokenizer.json",
            "fp32/encoder.onnx",
            "fp32/decoder_first_step.onnx",
            "fp32/decoder_with_past.onnx",
            "fp32/encoder.onnx.data",
            "fp32/decoder.onnx.data",
        ),
    ),
    "no vocabulary": RefusalCase(
        "bundle.no_such_file", edit(lambda document: document["files"].pop("vocabulary.bin"))
    ),
    "a restricted vocabulary of format 2": RefusalCase(
        "manifest.field.wrong", output_vocabulary(ids_file([1]), 1, format_version=2)
    ),
    "a short list of tokens": RefusalCase("output_vocabulary.size", output_vocabulary(b"\0\0\0\0\1", 2)),
    "an empty list of tokens": RefusalCase("output_vocabulary.size", output_vocabulary(b"", 0)),
    "a list of tokens that falls": RefusalCase(
        "output_vocabulary.ids", output_vocabulary(ids_file([5, 3]), 2)
    ),
    "a list of tokens that no decoder has": RefusalCase(
        "output_vocabulary.ids", output_vocabulary(ids_file([5, 400]), 2)
    ),
    "a negative token": RefusalCase("output_vocabulary.ids", output_vocabulary(ids_file([-5, 40]), 2)),
    "a list of tokens that is no file": RefusalCase("bundle.no_such_file", unlisted_ids),
    "a vocabulary of another kind": RefusalCase(
        "vocabulary.magic", vouched("vocabulary.bin", lambda _: b"\x00'V\xff.")
    ),
    "an empty vocabulary": RefusalCase("vocabulary.magic", vouched("vocabulary.bin", lambda _: b"")),
    "a short vocabulary": RefusalCase("vocabulary.short", vouched("vocabulary.bin", lambda data: data[:9])),
    "a cut vocabulary": RefusalCase("vocabulary.short", vouched("vocabulary.bin", lambda data: data[:400])),
    "a newer vocabulary": RefusalCase(
        "vocabulary.version",
        vouched("vocabulary.bin", lambda data: data[:4] + struct.pack("<I", 7) + data[8:]),
    ),
    "a vocabulary with more": RefusalCase(
        "vocabulary.offsets", vouched("vocabulary.bin", lambda data: data + b"x")
    ),
    "a vocabulary that falls": RefusalCase(
        "vocabulary.offsets", vouched("vocabulary.bin", lambda data: data[:20] + b"\xff" * 8 + data[28:])
    ),
    "an unknown precision": RefusalCase("bundle.precision", load={"precision": "fp'8"}),
    # Each host knows providers of its own, so what follows the colon is not compared.
    "an unknown provider": RefusalCase("session.provider", load={"provider": "tpu"}, foreign=True),
    "no CUDA": RefusalCase("session.no_provider", load={"provider": "cuda"}),
    "int8 on a GPU": RefusalCase(
        "session.cpu_only",
        edit(lambda document: document["graphs"]["fp32"].update(policy=INT8_POLICY)),
        load={"provider": "cuda"},
    ),
    "no threads": RefusalCase("session.threads", load={"threads": 0}),
    "a graph of other bytes": RefusalCase(
        "session.failed", vouched("fp32/encoder.onnx", lambda _: b"no graph"), foreign=True
    ),
    "an unknown option": RefusalCase("option.unknown", generation(beams=3, Beams=1)),
    "refused options": RefusalCase(
        "option.not_supported", generation(guidance_scale=3, assistant_model="x", y=1)
    ),
    "an option out of range": RefusalCase("option.value", generation(top_p=1.5)),
    "an integer beyond 63 bits": RefusalCase("option.value.integer_most", generation(num_beams=2**63)),
    "an integer beyond 64 bits": RefusalCase("option.value.integer_most", generation(seed=10**30)),
    "a number in place of an integer": RefusalCase("option.value.integer_most", generation(top_k=1e300)),
    "an integer far below zero": RefusalCase("option.value.integer", generation(min_length=-(10**30))),
    "a bias beyond single precision": RefusalCase(
        "option.value.single", generation(sequence_bias=[[[5], -1e39]])
    ),
    "a temperature that is zero in single precision": RefusalCase(
        "option.value.single_positive", generation(temperature=1e-40)
    ),
    "a function in a bundle": RefusalCase("option.value.function", generation(prefix_allowed_tokens_fn=[])),
    "an option of another type": RefusalCase("option.value", generation(bad_words_ids=["a", {"b": None}])),
}
DECODING = {
    "metaspace without its character": RefusalCase(
        "detokenizer.metaspace", detokenizer(kind="metaspace"), options={}
    ),
    "wordpiece without its prefix": RefusalCase(
        "detokenizer.wordpiece", detokenizer(kind="wordpiece"), options={}
    ),
    "a step without its fields": RefusalCase(
        "detokenizer.step",
        detokenizer(kind="steps", steps=[{"step": "metaspace", "pattern": ""}]),
        options={},
    ),
    "no start token": RefusalCase("option.no_start", edit(without_start), options={}),
    "no languages": RefusalCase(
        "option.no_languages",
        edit(lambda document: document.update(languages={})),
        options={"language": "d'e"},
    ),
    "max_length": RefusalCase("option.outranked", options={"max_length": 9, "max_new_tokens": 4}),
    "min_length": RefusalCase("option.outranked", options={"min_length": 9, "min_new_tokens": 4}),
    "a token that no bundle has": RefusalCase("option.token_range", generation(pad_token_id=400), options={}),
    "a token that was left out": RefusalCase(
        "option.unwritable", some_tokens(), options={"suppress_tokens": [8, 9, 350]}
    ),
    "a prompt that was left out": RefusalCase(
        "option.unwritable", some_tokens(), options={"decoder_prompt_ids": [2, 9]}
    ),
    "an end that was left out": RefusalCase("option.unwritable", some_tokens(2), options={}),
    "a word that was left out": RefusalCase(
        "option.unwritable", some_tokens(), options={"bad_words_ids": [[8], [20, 9]]}
    ),
    "a bias that was left out": RefusalCase(
        "option.unwritable", some_tokens(), options={"sequence_bias": [[[9], 1.0]]}
    ),
    "a language that was left out": RefusalCase(
        "option.unwritable", some_tokens(4), options={"language": "de"}
    ),
    "an unknown token before one that was left out": RefusalCase(
        "option.token_range", some_tokens(), options={"suppress_tokens": [9, 400]}
    ),
    "two languages": RefusalCase(
        "option.two_languages", options={"language": "de", "forced_bos_token_id": 9}
    ),
    "a language behind a prompt": RefusalCase(
        "option.forced_after_prompt", options={"language": "de", "decoder_prompt_ids": [2, 5]}
    ),
    "an end that is suppressed": RefusalCase(
        "option.forced_suppressed", options={"forced_eos_token_id": [2, 3], "suppress_tokens": [3, 2]}
    ),
    "a long prompt": RefusalCase(
        "option.no_room", options={"decoder_prompt_ids": [2, 5, 6], "max_length": 3}
    ),
    "a long text": RefusalCase("option.too_long", options={"max_length": 130}),
    "a long text in place of a default": RefusalCase(
        "option.too_long", generation(max_new_tokens=4), options={"max_length": 130}
    ),
    "a long new text": RefusalCase("option.too_long_new", options={"max_new_tokens": 129}),
    "a long least text": RefusalCase(
        "option.min_above_max", options={"min_new_tokens": 9, "max_new_tokens": 5}
    ),
    "a steep penalty": RefusalCase("option.length_penalty", options={"length_penalty": -1e20}),
    "a language that is no token": RefusalCase(
        "option.token_range",
        edit(lambda document: document["languages"].update(xx=-1)),
        options={"language": "xx"},
    ),
    "beams beyond all memory": RefusalCase("option.memory", options={"num_beams": 10**9}),
    "the most beams that an integer can say": RefusalCase("option.memory", options={"num_beams": 2**63 - 1}),
    "decay without an end": RefusalCase(
        "option.decay_without_end", options={"exponential_decay_length_penalty": [1, 2.0], "eos_token_id": []}
    ),
    "many sequences": RefusalCase(
        "option.more_sequences", options={"num_return_sequences": 3, "num_beams": 2}
    ),
    "scores beyond all numbers": RefusalCase(
        "option.infinite",
        options={
            "exponential_decay_length_penalty": [0, 1e300],
            "renormalize_logits": True,
            "num_beams": 2,
            "min_new_tokens": 5,
        },
    ),
    "no audio": RefusalCase("audio.empty", options={}, audio={"samples": 0}),
    "short audio": RefusalCase("audio.short", options={}, audio={"samples": 399}),
    "long audio": RefusalCase("audio.long", options={}, audio={"samples": 960_001}),
    "loud audio": RefusalCase("audio.loud", options={}, audio={"samples": 5000, "loud": 3e38}),
    "NaN": RefusalCase("audio.not_finite", options={}, audio={"samples": 5000, "not_finite": [77, 4999]}),
}


def write_refusals(bundle: Path, directory: Path) -> None:
    """Write refusals.json and the altered bundles."""
    cases = []
    plain = directory / "bundles" / "fp32 alone"
    _copy_fp32(bundle, plain)
    for name, case in {**LOADING, **DECODING}.items():
        root = directory / "bundles" / name
        _copy(plain, root)
        case.alter(root)
        path = str(root) if case.path is None else case.path.format(bundle=plain)
        message = refusal(case, path)
        cases.append(
            {
                "name": name, "sentence": case.sentence, "path": path, "load": case.load, "options": case.options,
                "audio": case.audio, "message": message, "foreign": case.foreign,
            }
        )  # fmt: skip
    write_json(directory / "refusals.json", {"cases": cases})
    # Nothing that s2t_runtime refuses: it has tokenizer.json.
    _copy(plain, directory / "bundles" / "no detokenizer")
    edit(lambda document: document.update(detokenizer=None))(directory / "bundles" / "no detokenizer")
    for size in (300, 500):  # the graphs have 400 tokens
        root = directory / "bundles" / f"{size} tokens"
        _copy(plain, root)
        edit(lambda document, size=size: _claim_tokens(document, size))(root)


def _claim_tokens(document: Document, size: int) -> None:
    """Another vocabulary, said of the decoder and of its logits alike."""
    document["decoder"]["vocab_size"] = size
    for graphs in document["graphs"].values():
        for output in graphs["decoder_with_past"]["outputs"]:
            if output["name"] == "logits":
                output["shape"][-1] = size


def refusal(case: RefusalCase, path: str) -> str:
    """What s2t_runtime says of a case."""
    try:
        with s2t_runtime.load(path, **case.load) as model:
            if case.options is None:
                raise AssertionError(f"{path} was loaded")
            audio = np.zeros(case.audio["samples"], dtype=np.float32)
            audio[case.audio.get("not_finite", [])] = np.nan
            audio[:1] = case.audio.get("loud", 0.0)
            model.generate(audio, sampling_rate=16_000, **copy.deepcopy(case.options))
            raise AssertionError(f"{path} was decoded")
    except s2t_runtime.S2TError as error:
        return str(error)


def _copy_fp32(bundle: Path, root: Path) -> None:
    """A copy of the one precision, so that what is opened so often is small."""
    others = [name for name in ("fp16", "int8") if (bundle / name).is_dir()]

    def forget(document: Document) -> None:
        for name in others:
            del document["graphs"][name]
        files = document["files"]
        document["files"] = {name: files[name] for name in files if name.partition("/")[0] not in others}

    # Files of its own: onnx_ir does not read one that has several names, and others read the bundle too.
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(bundle, root)
    for name in others:
        shutil.rmtree(root / name)
    edit(forget)(root)


def _copy(bundle: Path, root: Path) -> None:
    """A copy whose files are the same ones on disk; whatever is altered is replaced first."""
    shutil.rmtree(root, ignore_errors=True)
    for source in bundle.rglob("*"):
        target = root / source.relative_to(bundle)
        if source.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
