"""The profiles of a bundle: what they allow, how frames are found, and what is refused by axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.doubles.small_bundles import export
from support.tiny.encoders import ENCODERS
from support.tiny.models import MARKED_PAIRS, PAIRS, Once, Pair, encoder_graph

from exporter.engines.build import frames_of
from exporter.engines.options import AudioSpan, EngineOptions
from exporter.engines.profiles import profile_table, profiles_hash, profiles_of
from exporter.errors import EngineError
from exporter.onnx.session import GraphRunner
from graphs import DecoderGeometry, encoder_signature, first_step_signature, with_past_signature
from graphs.signature import GraphSignature
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.engine_record import AxisRange, Profile
from s2t_runtime.bundles.manifest import AudioInfo, FileInfo, GraphInfo, Manifest, TensorInfo
from s2t_runtime.sessions.profiles.table import bounds_of

RATE = 16000
GEOMETRY = DecoderGeometry(layers=1, heads=2, head_dim=8, vocab_size=50, max_positions=64)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Audio of 400 samples to 60 s, 64 positions, 3 beams by default, 50 candidates."""
    export(tmp_path / "bundle")
    found = open_bundle(tmp_path / "bundle").manifest
    decoder = dataclasses.replace(found.decoder, max_positions=64, max_candidates=50)
    return dataclasses.replace(
        found, audio=AudioInfo(RATE, 400, 60 * RATE, True), decoder=decoder, generation={"num_beams": 3}
    )


def count(samples: int) -> int:
    return samples // 320


def table(manifest: Manifest, **options: Any) -> tuple[Profile, ...]:
    return profile_table(manifest, EngineOptions(**options), count)


def test_the_default_table(manifest: Manifest) -> None:
    assert table(manifest) == (
        Profile(
            "default",
            axes={
                "batch": AxisRange(1, 1, 4),
                "samples": AxisRange(400, 160_000, 480_000),
                "frames": AxisRange(1, 500, 1500),
                "beams": AxisRange(1, 3, 5),
                "rows": AxisRange(1, 3, 20),
                "past": AxisRange(0, 32, 63),
                "new": AxisRange(1, 1, 16),
                "prompt": AxisRange(1, 1, 16),
            },
            values={"candidates": AxisRange(1, 6, 50)},
        ),
    )


def test_the_bundles_limits_go_before_the_defaults(manifest: Manifest) -> None:
    short = dataclasses.replace(manifest, audio=AudioInfo(RATE, 400, 5 * RATE, True))
    (profile,) = table(short)
    assert profile.axes["samples"] == AxisRange(400, 80_000, 80_000)


def test_each_span_has_a_profile(manifest: Manifest) -> None:
    profiles = table(manifest, spans=(AudioSpan("short", 1, 5), AudioSpan("long", 5, 30)), max_batch=2)
    assert [profile.name for profile in profiles] == ["short", "long"]
    assert [profile.axes["samples"] for profile in profiles] == [
        AxisRange(16_000, 80_000, 80_000),
        AxisRange(80_000, 160_000, 480_000),
    ]
    assert [profile.axes["frames"].min for profile in profiles] == [50, 250]
    assert [profile.axes["rows"].max for profile in profiles] == [10, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"spans": (AudioSpan("short", 0.01, 5),)},
            "profile short: axis samples begins at 160 (0.01 s), below the encoder's minimum of 400: begin at 0.025 s",
        ),
        (
            {"spans": (AudioSpan("long", 5, 61),)},
            "profile long: axis samples ends at 976000 (61 s), beyond the bundle's maximum of 960000: end at 60 s, or "
            "export again with --max-audio-seconds 61",
        ),
        (
            {"max_audio_s": 61},
            "profile default: axis samples ends at 976000 (61 s), beyond the bundle's maximum of 960000: end at 60 s, "
            "or export again with --max-audio-seconds 61",
        ),
        (
            {"max_audio_s": 0.02},
            "profile default: axis samples ends at 320 (0.02 s), below its minimum of 400: allow longer audio with "
            "--max-audio-seconds",
        ),
        (
            {"max_length": 66},
            "--max-length 66 (axis past) is beyond the 65 tokens that the decoder's 64 positions allow: give "
            "--max-length 65 or less",
        ),
    ],
)
def test_an_impossible_profile_names_its_axis(
    manifest: Manifest, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError) as caught:
        table(manifest, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("length", "past"), [(65, 63), (64, 63), (63, 62), (10, 9)])
def test_the_cache_holds_no_more_than_the_positions(manifest: Manifest, length: int, past: int) -> None:
    """The last token of a sequence is never fed, and the newest of the others is not in the cache."""
    (profile,) = table(manifest, max_length=length)
    assert profile.axes["past"].max == past
    assert profile.axes["new"].max == min(16, length)


def test_no_prompt_is_longer_than_the_positions(manifest: Manifest) -> None:
    short = dataclasses.replace(manifest, decoder=dataclasses.replace(manifest.decoder, max_positions=8))
    (profile,) = table(short)
    assert (profile.axes["past"].max, profile.axes["prompt"].max) == (7, 8)


def test_more_candidates_than_tensorrt_has(manifest: Manifest) -> None:
    decoder = dataclasses.replace(manifest.decoder, max_candidates=4000)
    with pytest.raises(EngineError) as caught:
        table(dataclasses.replace(manifest, decoder=decoder))
    assert str(caught.value) == (
        "profile default: shape value candidates ends at 4000, beyond TensorRT's limit of 3840: export the bundle again"
    )


def test_frames_that_shrink_with_the_audio_are_refused(manifest: Manifest) -> None:
    with pytest.raises(EngineError) as caught:
        profile_table(manifest, EngineOptions(), lambda samples: -samples)
    assert str(caught.value) == (
        "profile default: frames has minimum -400, optimum -160000 and maximum -480000; wanted 0 or more in ascending "
        "order"
    )


def graph_of(signature: GraphSignature) -> GraphInfo:
    tensors = [
        tuple(TensorInfo(spec.name, spec.dtype, spec.axes) for spec in specs)
        for specs in (signature.inputs, signature.outputs)
    ]
    return GraphInfo(f"fp32/{signature.name}.onnx", *tensors)


@pytest.mark.parametrize(
    ("signature", "axes", "values"),
    [
        (encoder_signature(GEOMETRY, 16), {"batch", "samples"}, set()),
        (first_step_signature(GEOMETRY), {"batch", "prompt", "frames"}, {"candidates"}),
        (
            with_past_signature(GEOMETRY),
            {"batch", "beams", "new", "frames", "rows", "past"},
            {"candidates"},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, GraphSignature) else "",
)
def test_each_graph_takes_the_rows_that_its_inputs_have(
    manifest: Manifest, signature: GraphSignature, axes: set[str], values: set[str]
) -> None:
    (profile,) = profiles_of(graph_of(signature), table(manifest))
    assert (set(profile.axes), set(profile.values)) == (axes, values)


def test_bounds(manifest: Manifest) -> None:
    graph = graph_of(with_past_signature(GEOMETRY))
    (profile,) = profiles_of(graph, table(manifest))
    bounds = {tensor.name: bounds_of(tensor.name, tensor.shape, profile) for tensor in graph.inputs}
    assert bounds["past_key.0"] == ((1, 2, 0, 8), (3, 2, 32, 8), (20, 2, 63, 8))
    assert bounds["candidates"] == ((1,), (6,), (50,))


def test_an_axis_that_no_profile_covers(manifest: Manifest) -> None:
    inputs = (TensorInfo("a", "float32", ("batch", "width")), TensorInfo("b", "int64", ()))
    with pytest.raises(EngineError) as caught:
        profiles_of(GraphInfo("fp32/a.onnx", inputs, ()), table(manifest))
    assert str(caught.value) == (
        "fp32/a.onnx has axis width of input a, shape value b, which no profile covers: export it again"
    )


def test_every_range_counts_for_the_folders_name(manifest: Manifest) -> None:
    hashes = [
        profiles_hash(table(manifest, **options))
        for options in (
            {},
            {"max_batch": 3},
            {"max_beams": 4},
            {"max_length": 50},
            {"max_prompt": 4},
            {"max_audio_s": 29},
            {"spans": (AudioSpan("a", 1, 30),)},
            {"spans": (AudioSpan("b", 1, 30),)},
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert all(len(digits) == 10 and int(digits, 16) >= 0 for digits in hashes)


# Frames, asked of the graph without running it, against what it gives when it runs.


def compare_frames(directory: Path, manifest: Manifest) -> None:
    info = dataclasses.replace(manifest.graphs["fp32"].encoder, path="encoder.onnx")
    bundle = Bundle(directory, dataclasses.replace(manifest, files={"encoder.onnx": FileInfo(1, "")}))
    runner = GraphRunner(directory / "encoder.onnx")
    for samples in (3_000, 4_321, 16_000, 33_333):
        feeds = {"audio": np.zeros((1, samples), np.float32), "audio_lengths": np.array([samples])}
        assert frames_of(bundle, info, samples) == runner.run(feeds)["encoder_states"].shape[1]


@pytest.mark.parametrize("pair", MARKED_PAIRS, ids=lambda pair: pair.name)
def test_frames_are_what_the_graph_gives(once: Once, manifest: Manifest, pair: Pair) -> None:
    compare_frames(encoder_graph(once, pair), manifest)


@pytest.mark.broad
@pytest.mark.parametrize(
    "encoder", [name for name in ENCODERS if name not in {pair.encoder for pair in PAIRS}]
)
def test_frames_of_every_encoder(once: Once, manifest: Manifest, encoder: str) -> None:
    compare_frames(encoder_graph(once, Pair(encoder, "bart")), manifest)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"encoder_mask": (1, "frames")},
            "fp32/encoder.onnx does not say how many frames 400 samples give (axis frames): export it again",
        )
    ],
)
def test_frames_that_the_graph_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shapes: dict[str, Any], message: str
) -> None:
    export(tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    answer: Callable[..., Any] = lambda *_, **__: shapes  # noqa: E731
    monkeypatch.setattr("exporter.onnx.session.output_shapes", answer)
    with pytest.raises(EngineError) as caught:
        frames_of(bundle, bundle.manifest.graphs["fp32"].encoder, 400)
    assert str(caught.value) == message


def test_an_encoder_that_onnxruntime_cannot_load(tmp_path: Path) -> None:
    export(tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    with pytest.raises(EngineError, match=r"^ONNX Runtime cannot load encoder\.onnx: "):
        frames_of(bundle, bundle.manifest.graphs["fp32"].encoder, 400)
