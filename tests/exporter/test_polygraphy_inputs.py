"""The data loader script for Polygraphy, run by `polygraphy run` itself, and what its comparisons see."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner, Result
from support.places import ROOT

from exporter import polygraphy_inputs
from exporter.onnx.session import GraphRunner
from exporter.polygraphy_inputs import VARIABLE, InputSizes, graph_inputs, load_data, main
from s2t_runtime import OptionError
from s2t_runtime.bundles.bundle import GRAPH_NAMES, Bundle, open_bundle
from s2t_runtime.bundles.manifest import GraphInfo

SIZES = InputSizes(batch=3, seconds=0.5, beams=2, past=4, new=1, candidates=5)
FLAGS = "--batch 3 --seconds 0.5 --beams 2 --past 4 --candidates 5"
needs_polygraphy = pytest.mark.skipif(
    importlib.util.find_spec("polygraphy") is None, reason="Polygraphy is not installed"
)
every_graph = pytest.mark.parametrize("graph", GRAPH_NAMES)
both_precisions = pytest.mark.parametrize("precision", ["fp32", "fp16"])


@pytest.fixture(scope="module")
def bundle(digits_fp16_bundle: Path) -> Bundle:
    return open_bundle(digits_fp16_bundle)


def info_of(bundle: Bundle, precision: str, graph: str) -> GraphInfo:
    return getattr(bundle.precision(precision), graph)  # type: ignore[no-any-return]


def invoke(*args: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, [str(arg) for arg in args], terminal_width=120)


@both_precisions
@every_graph
def test_names_types_and_shapes_are_the_manifest_s(bundle: Bundle, graph: str, precision: str) -> None:
    inputs, info = graph_inputs(bundle, graph, precision, SIZES, 0), info_of(bundle, precision, graph)
    assert list(inputs) == [tensor.name for tensor in info.inputs]
    assert [array.dtype.name for array in inputs.values()] == [tensor.dtype for tensor in info.inputs]
    first = graph == "decoder_first_step"
    sizes = {"batch": 3, "samples": 8000, "prompt": 1, "new": 1, "beams": 2, "past": 4, "rows": 6}
    frames = inputs["encoder_mask"].shape[1] if "encoder_mask" in inputs else 0
    for tensor, array in zip(info.inputs, inputs.values(), strict=True):
        wanted = tuple({**sizes, "frames": frames}.get(str(axis), axis) for axis in tensor.shape)
        assert array.shape == wanted
    if graph != "encoder":
        assert inputs["encoder_mask"][0].all()
        assert not inputs["encoder_mask"][2].all()
        assert inputs["candidates"] == 5
    assert first == (graph != "encoder" and "past_key.0" not in inputs)


def test_masks_and_caches_are_what_the_graphs_return(bundle: Bundle) -> None:
    audio = graph_inputs(bundle, "encoder", "fp32", SIZES, 3)
    assert audio["audio_lengths"].tolist() == [8000, 6400, 5120]
    assert np.abs(audio["audio"][0]).max() == 0.5
    assert not audio["audio"][2, 5120:].any()
    encoded = GraphRunner(bundle.graph_path("fp32", "encoder")).run(audio)
    stepped = graph_inputs(bundle, "decoder_with_past", "fp32", SIZES, 3)
    for name in ("encoder_mask", "cross_key.0", "cross_value.2"):
        np.testing.assert_array_equal(stepped[name], encoded[name])
    assert (stepped["beam_index"] // 2 == np.arange(3)[:, None]).all()
    half = graph_inputs(bundle, "decoder_with_past", "fp16", SIZES, 3)
    for name, array in stepped.items():
        np.testing.assert_array_equal(half[name], array.astype(half[name].dtype))
    # The cache is one of tokens that were fed: its rows differ from each other, and every position holds something.
    keys = stepped["past_key.0"]
    assert (np.abs(keys).max(axis=(1, 3)) > 0.01).all()
    assert all(not np.array_equal(keys[row], keys[row + 1]) for row in range(5))


def test_an_empty_cache(bundle: Bundle) -> None:
    inputs = graph_inputs(bundle, "decoder_with_past", "fp16", InputSizes(batch=2, beams=3, past=0), 0)
    assert inputs["past_key.0"].shape == (2, 4, 0, 40)
    assert inputs["beam_index"].tolist() == [[0, 0, 0], [1, 1, 1]]
    outputs = GraphRunner(bundle.graph_path("fp16", "decoder_with_past")).run(inputs)
    assert outputs["present_key.0"].shape == (6, 4, 1, 40)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (InputSizes(seconds=0.01), "seconds is 0.01, but the bundle takes 0.025 .. 60"),
        (InputSizes(seconds=61), "seconds is 61, but the bundle takes 0.025 .. 60"),
        (InputSizes(candidates=401), "candidates is 401, but the bundle takes 1 .. 400"),
        (InputSizes(past=128), "past and new are 129 tokens together, but the decoder has 128 positions"),
    ],
)
def test_sizes_that_the_bundle_does_not_take(bundle: Bundle, sizes: InputSizes, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        graph_inputs(bundle, "decoder_with_past", None, sizes, 0)


def test_several_iterations(digits_fp16_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{digits_fp16_bundle} encoder {FLAGS} --iterations 2 --seed 7")
    first, second = load_data()
    assert not np.array_equal(first["audio"], second["audio"])
    monkeypatch.setenv(VARIABLE, f"{digits_fp16_bundle} encoder {FLAGS} --seed 8")
    (alone,) = load_data()
    np.testing.assert_array_equal(alone["audio"], second["audio"])


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (None, 1, 'set S2T_INPUTS to what the inputs are, for example S2T_INPUTS="BUNDLE encoder"'),
        (
            "b encoder -o a.json",
            1,
            "S2T_INPUTS has --output, but Polygraphy takes the inputs itself: leave it out",
        ),
        ("b no_graph", 2, "'no_graph' is not one of 'encoder', 'decoder_first_step', 'decoder_with_past'"),
        ("no_bundle encoder", 1, "no_bundle does not exist"),
    ],
)
def test_a_wrong_variable(
    value: str | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(SystemExit) as caught:
        next(load_data())
    assert caught.value.code == code
    assert said in capsys.readouterr().err


def test_how_the_command_ends(
    digits_fp16_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("--path").stdout.strip() == str(ROOT / "exporter" / "polygraphy_inputs.py")
    result = invoke(digits_fp16_bundle, "encoder")
    assert result.exit_code == 2
    assert (
        "give --output FILE.json, or let Polygraphy call this script (--data-loader-script)" in result.stderr
    )
    result = invoke(digits_fp16_bundle, "encoder", "--seconds", 99, "-o", tmp_path / "a.json")
    assert (result.exit_code, result.stderr) == (
        1, "polygraphy_inputs: error: seconds is 99, but the bundle takes 0.025 .. 60\n"
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "polygraphy.json", None)
    result = invoke(digits_fp16_bundle, "encoder", "-o", tmp_path / "a.json")
    line = 'polygraphy_inputs: error: polygraphy not installed; run: pip install "export-s2t[tensorrt-rtx]"'
    assert (result.exit_code, result.stderr.strip()) == (1, line)


@needs_polygraphy
def test_a_file_that_cannot_be_written(digits_fp16_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "file" / "a.json"
    path.parent.write_text("", encoding="utf-8")
    result = invoke(digits_fp16_bundle, "encoder", "-o", path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"polygraphy_inputs: error: {path} cannot be written: ")


def polygraphy(*args: object, inputs: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from polygraphy.tools import main; sys.exit(main())",
            *map(str, args),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: inputs},
        capture_output=True,
        text=True,
        check=False,
    )


def save_outputs(path: Path, runtime: dict[str, Any]) -> None:
    from polygraphy.comparator import RunResults

    results = RunResults()
    results.add([runtime], runtime=0.0, runner_name="export-s2t")
    results.save(str(path))


@needs_polygraphy
@pytest.mark.parametrize(
    ("graph", "precision"),
    [
        (graph, precision)
        if (graph, precision) in {("encoder", "fp32"), ("decoder_with_past", "fp16")}
        else pytest.param(graph, precision, marks=pytest.mark.broad)
        for graph in GRAPH_NAMES
        for precision in ("fp32", "fp16")
    ],
)
def test_polygraphy_computes_what_the_graphs_do_here(
    digits_fp16_bundle: Path, bundle: Bundle, tmp_path: Path, graph: str, precision: str
) -> None:
    path = bundle.graph_path(precision, graph)
    saved = tmp_path / "outputs.json"
    save_outputs(saved, GraphRunner(path).run(graph_inputs(bundle, graph, precision, SIZES, 0)))
    script = ("--data-loader-script", polygraphy_inputs.__file__)
    done = polygraphy(
        *("run", path, "--onnxrt", *script, "--load-outputs", saved, "--atol", 1e-5, "--rtol", 1e-5),
        inputs=f"{digits_fp16_bundle} {graph} --precision {precision} {FLAGS}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = [tensor.name for tensor in info_of(bundle, precision, graph).outputs]
    assert [name for name in outputs if f"PASSED | Output: '{name}'" not in done.stdout] == []


@needs_polygraphy
def test_a_damaged_graph_is_seen(digits_fp16_bundle: Path, bundle: Bundle, tmp_path: Path) -> None:
    graph = "decoder_with_past"
    inputs, saved = tmp_path / "inputs.json", tmp_path / "outputs.json"
    result = invoke(digits_fp16_bundle, graph, *FLAGS.split(), "--precision", "fp32", "-o", inputs)
    assert result.stdout.startswith(f"{inputs}: input_ids [3, 2, 1], beam_index [3, 2], encoder_mask [3, ")
    source = bundle.graph_path("fp32", graph)
    save_outputs(saved, GraphRunner(source).run(graph_inputs(bundle, graph, "fp32", SIZES, 0)))
    shutil.copytree(source.parent, tmp_path / "fp32")
    model = ir.load(source)
    reorder = next(
        node for node in model.graph if node.op_type == "Gather" and node.inputs[0].name == "past_key.0"
    )
    reorder.outputs[0].replace_all_uses_with(reorder.inputs[0])  # beams keep the cache of another
    ir.save(model, tmp_path / "fp32" / source.name)
    flags = ("--onnxrt", "--load-inputs", inputs, "--load-outputs", saved, "--atol", 1e-3, "--rtol", 0)
    done = polygraphy("run", tmp_path / "fp32" / source.name, *flags)
    assert done.returncode == 1
    assert "FAILED | Output: 'present_key.0'" in done.stdout
    assert "FAILED | Output: 'logits'" in done.stdout
