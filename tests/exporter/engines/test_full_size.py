"""TensorRT-RTX at the real size: xls-r-300m's encoder and an mBART-large decoder with random weights, in fp16."""

from __future__ import annotations

import json
import resource
import time

import pytest
from support.graphs.small_graphs import needs_tensorrt_rtx
from support.places import ROOT

from exporter import ExportOptions, export_checkpoint
from exporter.checkpoints.sources.kinds import RandomWeightsSource
from exporter.engines.build import CompileResult, compile_bundle
from exporter.engines.options import EngineOptions
from s2t_runtime.bundles.bundle import Bundle, open_bundle

pytestmark = [pytest.mark.full_size, needs_tensorrt_rtx]
GEOMETRY = ROOT / "tests" / "data" / "xls-r-300m"
PEAK_BYTES = 6e9


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    base = tmp_path_factory.mktemp("full-size")
    source = RandomWeightsSource(str(GEOMETRY))
    options = ExportOptions(output=base / "bundle", precisions=("fp16",), max_audio_s=30.0, check=False)
    export_checkpoint(source, options)
    return open_bundle(base / "bundle")


@pytest.fixture(scope="module")
def compiled(bundle: Bundle) -> CompileResult:
    started_s = time.perf_counter()
    result = compile_bundle(bundle, EngineOptions(flavour="tensorrt-rtx", first_step=True))
    seconds = {engine.record.graph: round(engine.seconds, 1) for engine in result.engines}
    print(f"\nbuilt in {time.perf_counter() - started_s:.1f} s: {json.dumps(seconds)}")  # noqa: T201 - the measurement
    return result


def test_plans_are_little_more_than_their_weights(bundle: Bundle, compiled: CompileResult) -> None:
    for engine in compiled.engines:
        (weights,) = engine.record.weights_sha256
        size = bundle.manifest.files[f"fp16/{weights}"].size
        # Both decoders point into one file, and each of them uses nearly all of it.
        assert engine.record.plan_size == pytest.approx(size, rel=0.03)


def test_no_build_needs_more_memory_than_a_small_machine_has(compiled: CompileResult) -> None:
    # Kilobytes, of the largest child so far: the builds' processes are the only large ones.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < PEAK_BYTES


def test_every_product_is_in_half(compiled: CompileResult) -> None:
    for engine in compiled.engines:
        products = engine.record.census["MATRIX_MULTIPLY"]
        assert products["HALF"] > 0.9 * sum(products.values())
