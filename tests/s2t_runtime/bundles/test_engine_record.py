"""The json beside an engine: one exact text, what reading ignores, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from s2t_runtime.bundles.engine_record import AxisRange, BoundTensor, EngineRecord, Profile
from s2t_runtime.errors import BundleError

RECORD = EngineRecord(
    record_version=1,
    flavour="tensorrt-rtx",
    version="1.7.1.116",
    graph="decoder_first_step",
    precision="fp16",
    targets=("sm86", "sm120"),
    source_path="fp16/decoder_first_step.onnx",
    source_sha256="aaaa",
    weights_sha256={"decoder.onnx.data": "bbbb"},
    plan_size=12345,
    plan_sha256="cccc",
    profiles=(Profile("short", {"batch": AxisRange(1, 1, 4)}, {"candidates": AxisRange(1, 10, 3840)}),),
    inputs=(
        BoundTensor("input_ids", "int64", ("batch", 1, "prompt")),
        BoundTensor("candidates", "int64", ()),
    ),
    outputs=(BoundTensor("logits", "float32", ("batch", 1, 40)),),
    census={"MATRIX_MULTIPLY": {"HALF": 12, "FLOAT": 1}},
    options={"first_step": True},
)
TEXT = """{
  "record_version": 1,
  "flavour": "tensorrt-rtx",
  "version": "1.7.1.116",
  "graph": "decoder_first_step",
  "precision": "fp16",
  "targets": [
    "sm86",
    "sm120"
  ],
  "source_path": "fp16/decoder_first_step.onnx",
  "source_sha256": "aaaa",
  "weights_sha256": {
    "decoder.onnx.data": "bbbb"
  },
  "plan_size": 12345,
  "plan_sha256": "cccc",
  "profiles": [
    {
      "name": "short",
      "axes": {
        "batch": {
          "min": 1,
          "opt": 1,
          "max": 4
        }
      },
      "values": {
        "candidates": {
          "min": 1,
          "opt": 10,
          "max": 3840
        }
      }
    }
  ],
  "inputs": [
    {
      "name": "input_ids",
      "dtype": "int64",
      "axes": [
        "batch",
        1,
        "prompt"
      ]
    },
    {
      "name": "candidates",
      "dtype": "int64",
      "axes": []
    }
  ],
  "outputs": [
    {
      "name": "logits",
      "dtype": "float32",
      "axes": [
        "batch",
        1,
        40
      ]
    }
  ],
  "census": {
    "MATRIX_MULTIPLY": {
      "FLOAT": 1,
      "HALF": 12
    }
  },
  "options": {
    "first_step": true
  }
}
"""


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(TEXT), **fields})


def test_the_text_is_this() -> None:
    assert RECORD.to_json() == TEXT


def test_reading_gives_the_record_back() -> None:
    assert EngineRecord.from_json(TEXT) == RECORD


def test_unknown_fields_are_ignored() -> None:
    assert EngineRecord.from_json(changed(speed="unknown")) == RECORD


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineRecord)][1:])
def test_every_field_is_needed(field: str) -> None:
    document = json.loads(TEXT)
    del document[field]
    with pytest.raises(BundleError) as caught:
        EngineRecord.from_json(json.dumps(document), "encoder.json")
    assert str(caught.value) == (
        f"encoder.json is malformed: {field} is missing: run compile-s2t BUNDLE --force"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "the engine's json holds an array, wanted an object: run compile-s2t BUNDLE --force"),
        (
            changed(record_version="1"),
            'the engine\'s json has record_version "1", wanted 1 or more: run compile-s2t BUNDLE --force',
        ),
        (
            changed(record_version=2, flavour=None),
            "the engine's json has record_version 2; this s2t_runtime reads up to 1: install a newer export-s2t or "
            "run compile-s2t BUNDLE --force",
        ),
        (
            changed(flavour="cuda", plan_size="1"),
            'the engine\'s json is malformed: flavour is "cuda", wanted one of tensorrt, tensorrt-rtx; plan_size is '
            '"1", wanted an integer: run compile-s2t BUNDLE --force',
        ),
        (
            changed(inputs=[{"name": "a", "dtype": "float8", "axes": [None]}]),
            'the engine\'s json is malformed: inputs[0].dtype is "float8", wanted one of float32, float16, int64, '
            "bool; inputs[0].axes[0] is null, wanted a text or an integer: run compile-s2t BUNDLE --force",
        ),
        (
            changed(
                profiles=[{"name": "p", "axes": {"batch": {"min": 2, "opt": 1, "max": 4}}, "values": {}}]
            ),
            "the engine's json is malformed: profile p: batch has minimum 2, optimum 1, maximum 4, wanted 0 or more in "
            "ascending order: run compile-s2t BUNDLE --force",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        EngineRecord.from_json(text)
    assert str(caught.value) == message


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(
        BundleError, match=r"^encoder\.json is not JSON \(.+\): run compile-s2t BUNDLE --force$"
    ):
        EngineRecord.from_json(TEXT[:-10], "encoder.json")


@pytest.mark.parametrize("value", [math.nan, object()])
def test_what_json_cannot_hold_is_not_written(value: object) -> None:
    with pytest.raises(BundleError, match=r"^the record of decoder_first_step cannot be written as JSON: "):
        dataclasses.replace(RECORD, options={"value": value}).to_json()


def test_what_reading_would_refuse_is_not_written() -> None:
    with pytest.raises(BundleError, match=r"^decoder_first_step\.json is malformed: flavour is"):
        dataclasses.replace(RECORD, flavour="cuda").to_json()
