"""Flax's files: every array as it was saved, and damage in a sentence."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch
from support.older.flax_files import FLAX, Flat, array, nested, packed, write_flax, write_shards

from exporter.checkpoints.weights.flax_files import read_flax
from exporter.errors import CheckpointError

PATH = ("encoder", "norm", "scale")
DAMAGED = "is damaged: an array is its shape, the name of its dtype and its bytes"
ADVICE = "have the weights saved by Flax's save_pretrained()"
KINDS = (
    *(torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.bool, torch.int8, torch.int16),
    *(torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


def some_arrays() -> Flat:
    torch.manual_seed(1)
    return {
        ("decoder", "kernel"): torch.randn(3, 5),
        ("decoder", "bias"): torch.randn(5).bfloat16(),
        PATH: torch.randn(4),
        ("step",): torch.tensor(7, dtype=torch.int32),
        ("empty",): torch.zeros(0, 3),
    }


def same(found: Flat, wanted: Flat) -> bool:
    return found.keys() == wanted.keys() and all(
        found[keys].dtype == value.dtype and torch.equal(found[keys], value) for keys, value in wanted.items()
    )


def refusal(*paths: Path) -> str:
    """The message, less the file that it begins with."""
    with pytest.raises(CheckpointError) as caught:
        read_flax(paths)
    message = str(caught.value)
    assert "\n" not in message
    start = next(f"{path.parent}/" for path in paths)
    return message.removeprefix(start)


def refusal_of(directory: Path, content: bytes) -> str:
    path = directory / FLAX
    path.write_bytes(content)
    return refusal(path).removeprefix(f"{FLAX}: ")


def refusal_of_leaf(directory: Path, leaf: Any) -> str:
    return refusal_of(directory, packed(nested({PATH: leaf})))


# What is read.


def test_every_array_as_it_was_saved(tmp_path: Path) -> None:
    assert same(read_flax([write_flax(tmp_path, some_arrays())]), some_arrays())


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_every_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    saved: Flat = {PATH: torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)}
    assert same(read_flax([write_flax(tmp_path, saved)]), saved)


def test_arrays_are_the_callers_own(tmp_path: Path) -> None:
    path = write_flax(tmp_path, some_arrays())
    found = read_flax([path])
    path.unlink()
    for value in found.values():
        assert value.is_contiguous()
        assert value.data_ptr() % value.element_size() == 0
        value.zero_()


def test_large_arrays_in_pieces(tmp_path: Path) -> None:
    content = write_flax(tmp_path, some_arrays(), piece=4).read_bytes()
    assert b"__msgpack_chunked_array__" in content
    assert same(read_flax([tmp_path / FLAX]), some_arrays())


def test_shards_in_any_order(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, some_arrays())
    assert len(shards) == 2
    assert same(read_flax(shards), some_arrays())
    assert same(read_flax(shards[::-1]), some_arrays())


def test_a_numpy_scalar(tmp_path: Path) -> None:
    (tmp_path / FLAX).write_bytes(packed({"scale": msgpack.ExtType(3, array(torch.tensor(2.5)))}))
    assert read_flax([tmp_path / FLAX]) == {("scale",): torch.tensor(2.5)}


def test_of_a_train_state_the_parameters(tmp_path: Path) -> None:
    state = {
        "step": 3,
        "params": nested({PATH: torch.ones(2)}),
        "opt_state": {"0": {"mu": nested({PATH: torch.zeros(2)}), "count": None}},
        "note": msgpack.ExtType(99, b""),
    }
    (tmp_path / FLAX).write_bytes(packed(state))
    assert same(read_flax([tmp_path / FLAX]), {PATH: torch.ones(2)})


def test_the_statistics_of_norms_are_with_the_parameters(tmp_path: Path) -> None:
    mean = ("encoder", "norm", "mean")
    state = {"params": nested({PATH: torch.ones(2)}), "batch_stats": nested({mean: torch.zeros(2)})}
    (tmp_path / FLAX).write_bytes(packed(state))
    assert same(read_flax([tmp_path / FLAX]), {PATH: torch.ones(2), mean: torch.zeros(2)})


# What is refused.


def test_damage_anywhere_is_refused_or_reads_as_weights(tmp_path: Path) -> None:
    whole = packed(nested(some_arrays()), piece=4)
    drawn = random.Random(5)  # noqa: S311 - which bytes are damaged
    path, refused = tmp_path / FLAX, 0
    for _ in range(1000):
        content = bytearray(whole)
        content[drawn.randrange(len(whole))] = drawn.randrange(256)
        path.write_bytes(content)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_flax([path]).values())
        except CheckpointError:
            refused += 1
    assert 200 < refused < 1000


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / FLAX).startswith(
        f"{FLAX}: no file of Flax weights, or it is damaged: [Errno 2] No such file or directory"
    )


@pytest.mark.parametrize("size", [0, 1, 5, 60, -1])
def test_a_truncated_file(tmp_path: Path, size: int) -> None:
    message = refusal_of(tmp_path, packed(nested(some_arrays()))[:size])
    assert message.startswith("no file of Flax weights, or it is damaged: ")
    assert message.endswith("; fetch it anew")


@pytest.mark.parametrize("content", [b"garbage", b"\xc1", b"version https://git-lfs.github.com/spec/v1\n"])
def test_no_msgpack(tmp_path: Path, content: bytes) -> None:
    message = refusal_of(tmp_path, content)
    assert message.startswith("no file of Flax weights, or it is damaged: ")


@pytest.mark.parametrize(("tree", "kind"), [([1, 2], "a list"), (3, "a int"), (None, "nothing")])
def test_other_msgpack(tmp_path: Path, tree: Any, kind: str) -> None:
    assert refusal_of(tmp_path, packed(tree)) == (
        f"msgpack of {kind}, and Flax weights are a map: is this flax_model.msgpack?"
    )


def test_no_arrays(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, packed({"encoder": {}})) == (
        "there is no array in it, and Flax weights are maps of arrays"
    )


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        (1.5, "is a float, and no array"),
        (None, "is nothing, and no array"),
        ([1.0], "is a list, and no array"),
        (msgpack.ExtType(2, msgpack.packb((1.0, 2.0))), "is a complex number, and no array"),
        (msgpack.ExtType(42, b""), "is of the unknown extension type 42, and no array"),
        (msgpack.ExtType(1, b""), DAMAGED),
        (msgpack.ExtType(1, b"\x01"), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb(((2,), "float32"))), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb(((2,), "float32", b"", 1))), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb(((2,), "float32", 1.5))), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb((2, "float32", b""))), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb(((math.inf,), "float32", b""))), DAMAGED),
        (msgpack.ExtType(1, msgpack.packb(((-2,), "float32", b""))), DAMAGED),
        (
            msgpack.ExtType(1, msgpack.packb(((2,), "float32", b"1234567"))),
            "is damaged: 7 bytes, and float32 [2] takes 8",
        ),
        (
            msgpack.ExtType(1, array(torch.zeros(2, 3))[:-1]),
            "is damaged: 23 bytes, and float32 [2, 3] takes 24",
        ),
        (
            msgpack.ExtType(1, array(torch.zeros(2), dtype="complex64")),
            "has the dtype complex64, and none of bfloat16, float16, float32, float64, bool, int8, int16, int32, "
            "int64, uint8, uint16, uint32, uint64",
        ),
    ],
)
def test_what_is_no_array_is_named(tmp_path: Path, leaf: Any, reason: str) -> None:
    assert refusal_of_leaf(tmp_path, leaf) == f"encoder/norm/scale {reason}: {ADVICE}"


PIECES = "is damaged: an array in pieces is its shape and pieces numbered from 0, flat and of one dtype"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": None}, PIECES),
        ({"shape": {"1": 4}}, PIECES),
        ({"shape": {"0": -4}}, PIECES),
        ({"chunks": {}}, PIECES),
        ({"chunks": {"0": torch.zeros(2), "2": torch.zeros(2)}}, PIECES),
        ({"chunks": {"0": torch.zeros(2), "1": torch.zeros(2).half()}}, PIECES),
        ({"chunks": {"0": torch.zeros(2, 2)}}, PIECES),
        ({"chunks": {"0": 4}}, PIECES),
        ({"chunks": {"0": torch.zeros(3)}}, "is damaged: its pieces hold 3 numbers, and [4] takes 4"),
        ({"chunks": {"0": msgpack.ExtType(1, b"")}}, DAMAGED),
    ],
)
def test_pieces_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    whole = {"__msgpack_chunked_array__": True, "shape": {"0": 4}, "chunks": {"0": torch.zeros(4)}}
    assert refusal_of_leaf(tmp_path, {**whole, **changes}) == f"encoder/norm/scale {reason}: {ADVICE}"


def test_shards_that_hold_the_same(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = write_flax(tmp_path, some_arrays()), write_flax(tmp_path / "other", some_arrays())
    assert refusal(first, second).endswith(
        "decoder/kernel comes twice, here and before it, and each weight is saved once: give all shards of one "
        "checkpoint, or have it saved anew"
    )
