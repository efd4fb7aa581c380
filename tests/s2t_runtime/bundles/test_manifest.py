"""The schema of manifest.json: its exact text, what reading ignores, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from s2t_runtime.bundles.manifest import (
    AudioInfo,
    BlockPrecision,
    DecoderInfo,
    Detokenizer,
    FileInfo,
    GraphInfo,
    Manifest,
    ModelInfo,
    OutputVocabularyInfo,
    PrecisionErrors,
    PrecisionInfo,
    PrecisionPolicy,
    TensorInfo,
)
from s2t_runtime.errors import BundleError

GOLDEN = """\
{
  "format_version": 2,
  "model": {
    "id": "someone/speech-model",
    "revision": null,
    "architecture": "SpeechEncoderDecoderModel",
    "encoder": "wav2vec2",
    "decoder": "mbart",
    "parameters": 12345,
    "licence": "apache-2.0",
    "card_url": null
  },
  "audio": {
    "sampling_rate": 16000,
    "min_samples": 400,
    "max_samples": 480000,
    "padding_safe": true
  },
  "graphs": {
    "fp32": {
      "encoder": {
        "path": "fp32/encoder.onnx",
        "inputs": [
          {
            "name": "audio",
            "dtype": "float32",
            "shape": [
              "batch",
              "samples"
            ]
          }
        ],
        "outputs": []
      },
      "decoder_first_step": {
        "path": "fp32/decoder_first_step.onnx",
        "inputs": [],
        "outputs": [
          {
            "name": "logits",
            "dtype": "float32",
            "shape": [
              "batch",
              1,
              32
            ]
          }
        ]
      },
      "decoder_with_past": {
        "path": "fp32/decoder_with_past.onnx",
        "inputs": [],
        "outputs": []
      },
      "policy": {
        "base": "float16",
        "blocks": {
          "encoder.layers.1 (residual)": {
            "precision": "float32",
            "reason": "its values reach 1e+05",
            "extra_bytes": 0
          },
          "norms": {
            "precision": "float32",
            "reason": "sums of squares",
            "extra_bytes": 320
          }
        },
        "budget": {
          "log_prob_difference": 0.1,
          "token_agreement": 0.95
        },
        "measured": {
          "log_prob_difference": 0.0125,
          "token_agreement": 1.0
        }
      }
    }
  },
  "files": {
    "fp32/encoder.onnx": {
      "size": 7,
      "sha256": "0f"
    },
    "tokenizer.json": {
      "size": 2,
      "sha256": "aa"
    }
  },
  "default_precision": "fp32",
  "decoder": {
    "layers": 2,
    "heads": 4,
    "head_dim": 8,
    "vocab_size": 32,
    "max_positions": null,
    "cross_attention": "shared",
    "max_candidates": 32,
    "output_vocabulary": null,
    "alone_ids": [
      1
    ]
  },
  "generation": {
    "early_stopping": "never",
    "num_beams": 5,
    "suppress_tokens": [
      1,
      2
    ]
  },
  "languages": {
    "de": 7,
    "fr": 8
  },
  "detokenizer": {
    "kind": "metaspace",
    "replacement": "▁",
    "prepend_scheme": "always",
    "prefix": null,
    "cleanup": false,
    "clean_up_tokenization_spaces": true,
    "steps": []
  },
  "provenance": {
    "neutral": [
      "tokenizer"
    ],
    "opset": 20,
    "options": {
      "check": true
    },
    "parity": "passed",
    "seed": 7,
    "source": {
      "decoder": {
        "id": "someone/text",
        "revision": "2b"
      },
      "encoder": {
        "id": "someone/speech",
        "revision": null
      },
      "kind": "pair"
    },
    "untrained": [
      "decoder.layers.*.crossattention.weight",
      "enc_to_dec_proj.weight"
    ],
    "versions": {
      "onnx": "1.23",
      "torch": "2.13"
    }
  }
}
"""


PROVENANCE: dict[str, object] = {
    "source": {
        "kind": "pair",
        "encoder": {"id": "someone/speech", "revision": None},
        "decoder": {"id": "someone/text", "revision": "2b"},
    },
    "untrained": ["decoder.layers.*.crossattention.weight", "enc_to_dec_proj.weight"],
    "seed": 7,
    "neutral": ["tokenizer"],
    "parity": "passed",
    "versions": {"onnx": "1.23", "torch": "2.13"},
    "opset": 20,
    "options": {"check": True},
}


def small_manifest() -> Manifest:
    audio = TensorInfo("audio", "float32", ("batch", "samples"))
    logits = TensorInfo("logits", "float32", ("batch", 1, 32))
    graphs = PrecisionInfo(
        encoder=GraphInfo("fp32/encoder.onnx", (audio,), ()),
        decoder_first_step=GraphInfo("fp32/decoder_first_step.onnx", (), (logits,)),
        decoder_with_past=GraphInfo("fp32/decoder_with_past.onnx", (), ()),
        policy=PrecisionPolicy(
            "float16",
            {
                "norms": BlockPrecision("float32", "sums of squares", 320),
                "encoder.layers.1 (residual)": BlockPrecision("float32", "its values reach 1e+05", 0),
            },
            budget=PrecisionErrors(0.1, 0.95),
            measured=PrecisionErrors(0.0125, 1.0),
        ),
    )
    return Manifest(
        format_version=2,
        model=ModelInfo(
            id="someone/speech-model",
            revision=None,
            architecture="SpeechEncoderDecoderModel",
            encoder="wav2vec2",
            decoder="mbart",
            parameters=12345,
            licence="apache-2.0",
            card_url=None,
        ),
        audio=AudioInfo(16000, 400, 480000, padding_safe=True),
        graphs={"fp32": graphs},
        files={"fp32/encoder.onnx": FileInfo(7, "0f"), "tokenizer.json": FileInfo(2, "aa")},
        default_precision="fp32",
        decoder=DecoderInfo(2, 4, 8, 32, None, "shared", 32, alone_ids=(1,)),
        generation={"early_stopping": "never", "num_beams": 5, "suppress_tokens": [1, 2]},
        languages={"de": 7, "fr": 8},
        detokenizer=Detokenizer("metaspace", "▁", "always", clean_up_tokenization_spaces=True),
        provenance=PROVENANCE,
    )


def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(GOLDEN)
    return read


def refusal(changed: object) -> str:
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(json.dumps(changed))
    return str(caught.value)


def test_the_text_is_pinned() -> None:
    assert small_manifest().to_json() == GOLDEN


def test_reading_gives_back_what_was_written() -> None:
    assert Manifest.from_json(GOLDEN) == small_manifest()


def test_mappings_are_written_sorted_whatever_order_they_were_filled_in() -> None:
    manifest = small_manifest()
    shuffled = replace(
        manifest,
        languages={"fr": 8, "de": 7},
        files=dict(reversed(list(manifest.files.items()))),
        provenance=dict(reversed(list(PROVENANCE.items()))),
    )
    assert shuffled.to_json() == GOLDEN


def test_text_is_not_escaped() -> None:
    assert '"日本語": 3' in replace(small_manifest(), languages={"日本語": 3}).to_json()


def test_unknown_fields_are_ignored_at_every_level() -> None:
    changed = document()
    changed["future"] = {"a": [1]}
    changed["model"]["future"] = 1
    changed["graphs"]["fp32"]["future"] = 1
    changed["graphs"]["fp32"]["encoder"]["inputs"][0]["future"] = None
    changed["files"]["tokenizer.json"]["future"] = "x"
    changed["detokenizer"]["future"] = True
    assert Manifest.from_json(json.dumps(changed)) == small_manifest()


def test_fields_with_a_default_may_be_missing() -> None:
    changed = document()
    changed["detokenizer"] = {"kind": "byte_level"}
    assert Manifest.from_json(json.dumps(changed)).detokenizer == Detokenizer("byte_level")
    del changed["graphs"]["fp32"]["policy"]
    assert Manifest.from_json(json.dumps(changed)).graphs["fp32"].policy is None
    changed["detokenizer"] = None
    assert Manifest.from_json(json.dumps(changed)).detokenizer is None
    del changed["decoder"]["output_vocabulary"]
    assert Manifest.from_json(json.dumps(changed)).decoder.output_vocabulary is None
    changed["decoder"]["alone_ids"] = None
    assert Manifest.from_json(json.dumps(changed)).decoder.alone_ids is None
    del changed["decoder"]["alone_ids"]
    assert Manifest.from_json(json.dumps(changed)).decoder.alone_ids is None


def test_a_restricted_output_is_of_format_3_so_that_older_readers_refuse_it() -> None:
    plain = small_manifest()
    assert plain.decoder.format_version == 2
    decoder = replace(plain.decoder, output_vocabulary=OutputVocabularyInfo("output_vocabulary.bin", 7))
    assert decoder.format_version == 3
    written = replace(plain, decoder=decoder, format_version=3).to_json()
    assert Manifest.from_json(written).decoder == decoder
    assert refusal({**json.loads(written), "format_version": 2}) == (
        "manifest.json is malformed: format_version is 2, wanted 3 with decoder.output_vocabulary: copy the "
        "bundle again or export again"
    )


def test_numbers_may_be_written_without_a_fraction() -> None:
    changed = document()
    changed["graphs"]["fp32"]["policy"]["measured"] = {"log_prob_difference": 0, "token_agreement": 1}
    policy = Manifest.from_json(json.dumps(changed)).graphs["fp32"].policy
    assert policy is not None
    assert policy.measured == PrecisionErrors(0.0, 1.0)
    assert policy.fp32_blocks == {
        "encoder.layers.1 (residual)": "its values reach 1e+05",
        "norms": "sums of squares",
    }
    for wrong in ("0.1", True, None):
        changed["graphs"]["fp32"]["policy"]["measured"]["token_agreement"] = wrong
        path = "graphs.fp32.policy.measured.token_agreement"
        assert f"{path} is {json.dumps(wrong)}, wanted a number" in refusal(changed)


def test_a_newer_version_is_refused_before_anything_else() -> None:
    assert refusal({"format_version": 4, "model": "of another shape"}) == (
        "manifest.json has format_version 4; this s2t_runtime reads up to 3: install a newer export-s2t"
    )


@pytest.mark.parametrize(("version", "shown"), [("1", '"1"'), (True, "true"), (0, "0"), (None, "null")])
def test_a_version_must_be_a_positive_integer(version: object, shown: str) -> None:
    assert refusal({"format_version": version}) == (
        f"manifest.json has format_version {shown}, wanted 1 or more: copy the bundle again or export again"
    )


def test_every_missing_field_is_named() -> None:
    message = refusal({"format_version": 1})
    for field in fields(Manifest):
        if field.name != "format_version":
            assert f"{field.name} is missing" in message


def test_all_problems_are_named_with_their_path_in_one_error() -> None:
    changed = document()
    del changed["model"]["id"]
    changed["audio"]["sampling_rate"] = 16000.0
    changed["audio"]["padding_safe"] = 1
    changed["audio"]["min_samples"] = True
    changed["graphs"]["fp32"]["encoder"]["inputs"][0]["shape"][1] = 1.5
    changed["graphs"]["fp32"]["encoder"]["inputs"][0]["dtype"] = "float64"
    changed["graphs"]["fp32"]["decoder_first_step"]["outputs"] = {}
    changed["files"]["tokenizer.json"] = "aa"
    changed["decoder"]["cross_attention"] = "copied"
    changed["generation"] = []
    changed["languages"]["de"] = None
    changed["detokenizer"]["kind"] = 3
    assert refusal(changed) == (
        "manifest.json is malformed: "
        "model.id is missing; "
        "audio.sampling_rate is 16000.0, wanted an integer; "
        "audio.min_samples is true, wanted an integer; "
        "audio.padding_safe is 1, wanted true or false; "
        "graphs.fp32.encoder.inputs[0].dtype is "
        '"float64", wanted one of float32, float16, int64, bool; '
        "graphs.fp32.encoder.inputs[0].shape[1] is 1.5, wanted an integer or a text; "
        "graphs.fp32.decoder_first_step.outputs is an object, wanted an array; "
        'files.tokenizer.json is "aa", wanted an object; '
        'decoder.cross_attention is "copied", wanted one of shared, expanded; '
        "generation is an array, wanted an object; "
        "languages.de is null, wanted an integer; "
        "detokenizer.kind is 3, wanted a text: "
        "copy the bundle again or export again"
    )


def test_a_long_value_is_shortened_in_the_message() -> None:
    changed = document()
    changed["decoder"]["layers"] = "x" * 1000
    assert "decoder.layers is " + '"' + "x" * 39 + "..., wanted" in refusal(changed)


def test_the_default_precision_must_be_there() -> None:
    changed = document()
    changed["default_precision"] = "fp16"
    assert "default_precision is \"fp16\", wanted one of ['fp32']:" in refusal(changed)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, GOLDEN.replace("12345", "NaN"), GOLDEN[:-10]])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is not JSON \(.*copy the bundle again"):
        Manifest.from_json(text)


def test_what_is_not_an_object_is_refused() -> None:
    assert refusal([1]) == (
        "manifest.json holds an array, wanted an object: copy the bundle again or export again"
    )


def test_a_writer_hears_of_its_mistakes() -> None:
    with pytest.raises(BundleError, match=r"cannot be written as JSON: .*int64"):
        replace(small_manifest(), languages={"de": np.int64(7)}).to_json()  # type: ignore[dict-item]
    with pytest.raises(BundleError, match=r"cannot be written as JSON: .*not JSON compliant"):
        replace(small_manifest(), generation={"temperature": float("nan")}).to_json()
    with pytest.raises(BundleError, match="default_precision"):
        replace(small_manifest(), default_precision="int8").to_json()
