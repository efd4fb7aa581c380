"""What ONNX Runtime refuses or cannot do becomes one of our errors, with what to do."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import s2t_runtime
from s2t_runtime import BundleError, OptionError, SessionError, SpeechToText
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.sessions.onnxruntime.session import OnnxSession, larger_first, runtime_description
from s2t_runtime.text.loading import load_detokenizer


@pytest.fixture
def session(model: SpeechToText) -> OnnxSession:
    assert model._session is not None
    return model._session


def test_an_unknown_provider_lists_the_known_ones(digits_bundle: Path) -> None:
    with pytest.raises(
        OptionError,
        match=r"^provider 'tpu' is unknown; known: cpu, cuda, tensorrt, tensorrt-ep, nv-tensorrt-rtx$",
    ):
        s2t_runtime.load(digits_bundle, provider="tpu")


def test_a_provider_that_the_build_lacks_says_what_to_install(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    message = (
        "provider 'cuda' needs CUDAExecutionProvider, but this onnxruntime offers CPUExecutionProvider; install "
        "onnxruntime-gpu in place of onnxruntime, or use provider 'cpu'"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        s2t_runtime.load(digits_bundle, provider="cuda")


def test_a_provider_that_does_not_start_is_no_silent_fallback(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FallenBack:
        def __init__(self, *_: object, providers: Sequence[str]) -> None:
            assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(
        ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(ort, "InferenceSession", FallenBack)
    message = (
        "onnxruntime could not start CUDAExecutionProvider for encoder.onnx and fell back to "
        "CPUExecutionProvider; doctor-s2t says what is missing"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)}$"):
        s2t_runtime.load(digits_bundle, provider="cuda")


@pytest.mark.parametrize(("threads", "shown"), [(0, "0"), (1025, "1025"), (True, "True"), (10**400, "huge")])
def test_a_number_of_threads_that_is_none(digits_bundle: Path, threads: int, shown: str) -> None:
    message = (
        f"threads is {shown}; it must be from 1 to 1024, or unset for the cores that this process may use"
    )
    with pytest.raises(OptionError, match=f"^{message}$"):
        s2t_runtime.load(digits_bundle, threads=threads)


def test_numpys_integers_are_numbers_of_threads(digits_bundle: Path) -> None:
    with s2t_runtime.load(digits_bundle, threads=np.int64(1)) as model:  # type: ignore[arg-type]
        assert model.generate(np.zeros(16_000, dtype=np.float32), sampling_rate=16_000).tokens


def test_a_graph_that_is_no_onnx(digits_bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))
    (broken / "fp32" / "encoder.onnx").write_bytes(b"no graph")
    opened = Bundle(broken, open_bundle(digits_bundle).manifest)

    with pytest.raises(SessionError, match=r"^ONNX Runtime failed while loading encoder\.onnx: "):
        OnnxSession(opened, "fp32", provider="cpu", threads=1)


def test_a_run_that_fails(session: OnnxSession) -> None:
    audio, lengths = np.zeros((1, 1), dtype=np.float32), np.array([1])
    with pytest.raises(SessionError, match=r"^ONNX Runtime failed while encoding 1 x 1 samples: "):
        session.encode(audio, lengths)


@pytest.mark.parametrize("row", [-1, 1])
def test_rows_outside_the_cache_never_reach_the_graph(session: OnnxSession, row: int) -> None:
    audio = np.ones((1, 8000), dtype=np.float32)
    state = session.start(session.encode(audio, np.array([8000])))
    message = f"beam_index runs from {row} to {row}, but the cache has 1 rows"
    with pytest.raises(SessionError, match=f"^{message}$"):
        state(np.array([[[2]]]), np.array([[row]]), 3)
    assert state.step_times_s == []


def test_runtime_description_is_that_of_the_library() -> None:
    described = runtime_description()
    assert described == {"version": ort.__version__, "providers": ort.get_available_providers()}


def test_text_without_a_joining_rule_comes_from_the_tokenizer(digits_bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(digits_bundle)
    bare = Bundle(opened.root, dataclasses.replace(opened.manifest, detokenizer=None))
    ids = [2, 4, *range(16, 60), 2]
    assert load_detokenizer(bare)(ids) == load_detokenizer(opened)(ids) != ""

    shutil.copytree(digits_bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=r"^tokenizer\.json cannot be read: .*; export again$"):
        load_detokenizer(Bundle(tmp_path / "bundle", bare.manifest))


def test_the_graph_with_more_weights_is_loaded_first(digits_bundle: Path) -> None:
    bundle = open_bundle(digits_bundle)
    files = bundle.manifest.files
    assert files["fp32/encoder.onnx.data"].size > files["fp32/decoder.onnx.data"].size
    assert larger_first(bundle, "fp32") == ["encoder", "decoder_with_past"]
    larger = dataclasses.replace(files["fp32/decoder.onnx.data"], size=10**9)
    changed = dataclasses.replace(bundle.manifest, files={**files, "fp32/decoder.onnx.data": larger})
    assert larger_first(Bundle(digits_bundle, changed), "fp32") == ["decoder_with_past", "encoder"]
