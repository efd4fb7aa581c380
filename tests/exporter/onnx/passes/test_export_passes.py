"""Edits after export: what each changes, what it leaves, and how decoder weights are shared in real files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny import models as tiny_models
from support.tiny.decoders import tiny_decoder
from support.tiny.models import Once

from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import GraphError
from exporter.onnx.passes.apply_signature import apply_signature
from exporter.onnx.passes.share_weights import share_weights
from exporter.onnx.passes.strip_metadata import strip_metadata
from graphs import GraphSignature, TensorSpec

SIGNATURE = GraphSignature(
    "sum",
    (TensorSpec("audio", "float32", ("batch", 16)),),
    (TensorSpec("logits", "float32", ("batch", 16)),),
)


def model_of(
    weights: Mapping[str, Any], *, graph: str = "main", names: tuple[str, str] = ("arg0", "add_1")
) -> ir.Model:
    """One input, every weight added to it in turn."""
    given, result = names
    nodes, last = [], given
    for place, name in enumerate(weights):
        output = result if place == len(weights) - 1 else f"sum_{place}"
        nodes.append(helper.make_node("Add", [last, name], [output], name=f"add_{place}"))
        last = output
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            graph,
            [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["s0", 16])],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["s0", 16])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return ir.serde.deserialize_model(proto)


def matrix(seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal((8, 16), dtype=np.float32)


def test_signature_renames_values_axes_and_graph() -> None:
    model, changed = apply_signature(model_of({"w": matrix(0)}), SIGNATURE)
    assert changed
    assert model.graph.name == "sum"
    for value, name in ((model.graph.inputs[0], "audio"), (model.graph.outputs[0], "logits")):
        assert value.name == name
        assert value.shape == ir.Shape(("batch", 16))
    assert model.graph.node(0).inputs[0] is model.graph.inputs[0]


def test_signature_leaves_a_graph_that_has_the_names() -> None:
    model, _ = apply_signature(model_of({"w": matrix(0)}), SIGNATURE)
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    same, changed = apply_signature(model, SIGNATURE)
    assert not changed
    assert ir.serde.serialize_model(same).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_signature_refuses_another_number_of_values(kind: str) -> None:
    more = {"inputs": SIGNATURE.inputs, "outputs": SIGNATURE.outputs}
    more[kind] = (*more[kind], TensorSpec("beam_index", "int64", ("batch",)))
    with pytest.raises(GraphError, match=rf"sum graph has 1 {kind} .*contract has 2 .*beam_index"):
        apply_signature(model_of({"w": matrix(0)}), GraphSignature("sum", **more))


def test_metadata_is_stripped_everywhere() -> None:
    model = model_of({"w": matrix(0)})
    node = model.graph.node(0)
    for holder in (model, model.graph, node, node.inputs[0], node.outputs[0]):
        holder.metadata_props["pkg.torch.onnx.stack_trace"] = 'File "somewhere/model.py", line 1'
        holder.doc_string = "a note"
    model, changed = strip_metadata(model)
    assert changed
    proto = ir.serde.serialize_model(model)
    assert b"somewhere" not in proto.SerializeToString()
    assert b"a note" not in proto.SerializeToString()


def test_stripping_leaves_a_bare_graph() -> None:
    model = model_of({"w": matrix(0)})
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    same, changed = strip_metadata(model)
    assert not changed
    assert ir.serde.serialize_model(same).SerializeToString(deterministic=True) == before


def stored(model: ir.Model) -> dict[str, tuple[int, int]]:
    """Offset and length of each external weight."""
    return {
        name: (value.const_value.offset, value.const_value.length)
        for name, value in model.graph.initializers.items()
        if isinstance(value.const_value, ir.ExternalTensor)
    }


def test_the_same_content_is_stored_once_whatever_its_name(tmp_path: Path) -> None:
    models = [model_of({"val_12": matrix(0), "twin": matrix(0)}), model_of({"val_57": matrix(0)})]
    shared, changed = share_weights(models, tmp_path, "weights.data")
    assert changed
    places = [place for model in shared for place in stored(model).values()]
    assert places == [(0, 512)] * 3
    assert (tmp_path / "weights.data").stat().st_size == 512


def test_other_content_is_stored_twice_under_one_name(tmp_path: Path) -> None:
    first, second = share_weights(
        [model_of({"val_12": matrix(0)}), model_of({"val_12": matrix(1)})], tmp_path, "weights.data"
    )[0]
    assert stored(first)["val_12"] != stored(second)["val_12"]
    for model, seed in ((first, 0), (second, 1)):
        np.testing.assert_array_equal(model.graph.initializers["val_12"].const_value.numpy(), matrix(seed))


def test_bytes_alike_but_for_shape_or_dtype_are_not_mixed_up(tmp_path: Path) -> None:
    zeros = {"f": np.zeros((8, 16), np.float32), "wide": np.zeros((1, 128), np.float32)}
    model = model_of({"f": zeros["f"]})
    for name, content in (("wide", zeros["wide"]), ("ids", np.zeros((8, 16), np.int32))):
        model.graph.initializers[name] = ir.Value(name=name, const_value=ir.tensor(content))
    share_weights([model], tmp_path, "weights.data")
    assert len(set(stored(model).values())) == 3
    for name, shape, dtype in (("f", (8, 16), "f4"), ("wide", (1, 128), "f4"), ("ids", (8, 16), "i4")):
        got = model.graph.initializers[name].const_value.numpy()
        assert (got.shape, got.dtype) == (shape, np.dtype(dtype))


def test_large_weights_start_on_page_borders_and_small_ones_on_cache_lines(tmp_path: Path) -> None:
    large = np.arange(1 << 14, dtype=np.float32)
    weights = {"w0": matrix(0), "w1": matrix(1), "large": large, "w2": matrix(2), "other": large + 1}
    weights["short"] = np.arange(65, dtype=np.float32)
    model = model_of({**weights, "last": matrix(3)})
    share_weights([model], tmp_path, "weights.data")
    after = 4096 + (1 << 16) + 4096 + (1 << 16)
    assert [offset for offset, _ in stored(model).values()] == [
        0, 512, 4096, 4096 + (1 << 16), 4096 + (1 << 16) + 4096, after, after + 320
    ]  # fmt: skip


def test_small_tensors_stay_in_the_model(tmp_path: Path) -> None:
    model = model_of({"bias": np.arange(16, dtype=np.float32), "w": matrix(0)})
    share_weights([model], tmp_path, "weights.data")
    assert set(stored(model)) == {"w"}


def test_nothing_large_leaves_models_and_directory_alone(tmp_path: Path) -> None:
    model = model_of({"bias": np.arange(16, dtype=np.float32)})
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    same, changed = share_weights([model], tmp_path, "weights.data")
    assert not changed
    assert list(tmp_path.iterdir()) == []
    assert ir.serde.serialize_model(same[0]).SerializeToString(deterministic=True) == before


def test_shared_models_run_in_onnxruntime(tmp_path: Path) -> None:
    contents = [{"a": matrix(0), "b": matrix(1)}, {"b": matrix(0), "a": matrix(2)}]
    models, _ = share_weights([model_of(weights) for weights in contents], tmp_path, "weights.data")
    audio = matrix(9)
    for number, (model, weights) in enumerate(zip(models, contents, strict=True)):
        path = tmp_path / f"model-{number}.onnx"
        ir.save(model, path)
        assert path.stat().st_size < 2048
        onnx.checker.check_model(str(path))
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"arg0": audio})
        np.testing.assert_allclose(got, audio + sum(weights.values()), rtol=1e-6)


DECODER_FILES = ("decoder_first_step.onnx", "decoder_with_past.onnx")


def external(path: Path) -> dict[str, tuple[str, int, int]]:
    """File, offset and length of each external weight of a saved graph."""
    found = {}
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            entry = {item.key: item.value for item in tensor.external_data}
            found[tensor.name] = (entry["location"], int(entry["offset"]), int(entry["length"]))
    return found


DECODERS = ["gpt2", "mbart", "bert", pytest.param("bart", marks=pytest.mark.broad)]


@pytest.mark.parametrize("name", DECODERS)
def test_both_decoder_files_reference_one_weight_file(once: Once, name: str) -> None:
    directory = tiny_models.decoder_graphs(once, name)
    first, later = (external(directory / file) for file in DECODER_FILES)
    assert {location for location, _, _ in (*first.values(), *later.values())} == {"decoder.onnx.data"}
    assert sorted(set(first.values())) == sorted(set(later.values()))
    assert sorted(file.name for file in directory.iterdir()) == sorted((*DECODER_FILES, "decoder.onnx.data"))


def decoder_bytes(decoder: Any, tensors: Iterable[str]) -> int:
    """Bytes of the decoder's parameters and tables that its files need: those large enough to be moved."""
    # A tied embedding appears once.
    needed = [
        tensor.nbytes
        for path, tensor in (*decoder.named_parameters(), *decoder.named_buffers())
        if tensor.nbytes >= 256 and not projects_encoder_states(path)
    ]
    assert len(needed) <= len(set(tensors))
    return sum(needed)


def projects_encoder_states(path: str) -> bool:
    """The cross projections of keys and values are the encoder graph's."""
    of_cross = "encoder_attn" in path or "crossattention" in path
    return of_cross and any(part in path for part in ("k_proj", "v_proj", ".key.", ".value.", ".c_attn."))


@pytest.mark.parametrize("name", DECODERS)
def test_tiny_weight_files_hold_no_parameter_twice(once: Once, name: str) -> None:
    directory, decoder = tiny_models.decoder_graphs(once, name), tiny_decoder(name)
    files = [external(directory / file) for file in DECODER_FILES]
    held = sum(length for _, _, length in {place for file in files for place in file.values()})
    # Embeddings this small are folded into a transposed copy for the vocabulary product.
    folded = decoder.get_input_embeddings().weight.nbytes
    assert held - decoder_bytes(decoder, files[1]) in {0, folded}


def test_the_example_s_weight_file_is_as_large_as_its_decoder(
    digits_bundle: Path, digits_checkpoint: Path
) -> None:
    decoder = load_checkpoint(locate_checkpoint(str(digits_checkpoint))).model.decoder
    assert decoder.get_input_embeddings().weight is decoder.get_output_embeddings().weight
    size = (digits_bundle / "fp32" / "decoder.onnx.data").stat().st_size
    wanted = decoder_bytes(decoder, external(digits_bundle / "fp32" / DECODER_FILES[1]))
    assert abs(size - wanted) <= 0.05 * wanted
