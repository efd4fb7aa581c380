"""Engines that compile-s2t really built, up to the GPU: their records drive a whole decoding in float16."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.digits.audio import usual_batches
from support.doubles.engine_executor import ExecutorDouble
from support.engines.sets import graph_files

import s2t_runtime
from s2t_runtime import AudioError, SpeechToText
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.sessions.engines.choice import EngineHost, check_plans, choose_engines
from s2t_runtime.sessions.engines.session import EngineSession

RATE = 16_000


@pytest.fixture(scope="module")
def compiled(digits_fp16_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The digits bundle with fp16 engines for two profiles."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")
    import shutil

    from exporter.engines.build import compile_bundle
    from exporter.engines.options import AudioSpan, EngineOptions

    root = tmp_path_factory.mktemp("compiled") / "bundle"
    bundle = open_bundle(shutil.copytree(digits_fp16_bundle, root))
    spans = AudioSpan("short", 0.025, 2), AudioSpan("long", 2, 20)
    options = EngineOptions(
        flavour="tensorrt-rtx", targets=("sm86",), max_length=64, spans=spans, first_step=True
    )
    compile_bundle(bundle, options)
    return bundle


def host(compiled: Bundle) -> EngineHost:
    """An Ampere GPU with the TensorRT-RTX that is installed here."""
    import tensorrt_rtx

    return EngineHost("NVIDIA A10", (8, 6), {"tensorrt-rtx": tensorrt_rtx.__version__}, {})


def test_they_are_chosen_for_the_gpu_that_they_were_built_for(compiled: Bundle) -> None:
    engines = choose_engines(compiled, None, host(compiled))
    assert engines.precision == "fp16"
    assert set(engines.records) == {"encoder", "decoder_with_past", "decoder_first_step"}
    check_plans(engines, "full")
    cached = {tensor.dtype for tensor in engines.records["decoder_with_past"].inputs if "past" in tensor.name}
    assert cached == {"float16"}


def test_their_records_drive_a_decoding_that_equals_onnx_runtimes(compiled: Bundle) -> None:
    engines = choose_engines(compiled, "fp16", host(compiled))
    executor = ExecutorDouble(engines, graph_files(compiled, "fp16"))
    safe = compiled.manifest.audio.padding_safe
    waveforms = [waveform for batch in usual_batches() for waveform in batch.waveforms][:4]
    with (
        s2t_runtime.load(compiled.root, precision="fp16", threads=1) as reference,
        SpeechToText(compiled, EngineSession(engines, executor, padding_safe=safe)) as model,
    ):
        for beams in (1, 5):
            wanted = reference.generate(waveforms, sampling_rate=RATE, num_beams=beams)
            found = model.generate(waveforms, sampling_rate=RATE, num_beams=beams)
            assert [[(h.tokens, h.score) for h in one.hypotheses] for one in found] == [
                [(h.tokens, h.score) for h in one.hypotheses] for one in wanted
            ]
        assert {(program.graph, program.profile) for program in executor.enqueued} >= {
            ("encoder", 0), ("encoder", 1), ("decoder_with_past", 1), ("decoder_first_step", 1)
        }  # fmt: skip
        with pytest.raises(
            AudioError, match=r"--flavour tensorrt-rtx --precision fp16 --targets sm86 --first-step"
        ):
            model.generate(waveforms[0].repeat(8), sampling_rate=RATE)
