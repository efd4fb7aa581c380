"""Which cases a bundle is measured with, and what their answers are compared with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.bench.cases import (
    basis_sentence,
    choose_cases,
    offered_peers,
    reference_order,
    with_reference,
)
from benchmarks.peers.protocol import Case

OWN = "onnxruntime cpu fp32"


def test_the_best_reference_comes_first() -> None:
    own: Callable[..., tuple[Case, ...]] = choose_cases
    cases = own(
        "b", ("cuda", "cpu"), ("fp16", "fp32"), peers=tuple(reversed(offered_peers())), against=("c",)
    )
    assert reference_order(cases) == [
        "eager fp32",
        "torch.compile fp32",
        "onnxruntime cpu fp32",
        "onnxruntime cuda fp32",
        "onnxruntime cpu fp16",
        "onnxruntime cuda fp16",
        "CTranslate2 fp32",
        "CTranslate2 int8",
    ]


@pytest.mark.parametrize(
    ("basis", "peers", "against", "sentence"),
    [
        ("eager fp32", ("eager",), True, "eager fp32, which runs the checkpoint in PyTorch"),
        (
            OWN,
            (),
            False,
            f"{OWN}, the bundle itself, not with the checkpoint in PyTorch: --against CHECKPOINT compares with eager "
            "PyTorch",
        ),
        (
            OWN,
            ("ctranslate2",),
            True,
            f"{OWN}, the bundle itself, not with the checkpoint in PyTorch: --peers eager runs the checkpoint in "
            "PyTorch",
        ),
        (
            OWN,
            ("eager", "ctranslate2"),
            True,
            f"{OWN}, the bundle itself, not with the checkpoint in PyTorch: eager fp32 could not be measured",
        ),
        (
            "CTranslate2 fp32",
            ("eager", "ctranslate2"),
            True,
            f"CTranslate2 fp32, neither the bundle nor the checkpoint in PyTorch: eager fp32, {OWN} could not be "
            "measured",
        ),
    ],
)
def test_what_answers_are_compared_with_is_said(
    basis: str, peers: tuple[str, ...], sentence: str, *, against: bool
) -> None:
    cases = choose_cases("b", ("cpu",), ("fp32",), peers=peers, against=("c",) if against else ())
    chosen = next(case for case in cases if case.name == basis)
    said = basis_sentence(chosen, cases, against=against)
    assert said == f"tokens and scores are compared with {sentence}"


def test_spinning_is_asked_of_the_bundle_on_onnxruntime_alone() -> None:
    cases = choose_cases("b", ("cpu", "tensorrt"), ("fp32",), peers=("eager",), against=("c",), spin=True)
    assert [case.settings.get("spin") for case in cases] == [None, True, None]
    assert all("spin" not in case.settings for case in choose_cases("b", ("cpu",), ("fp32",)))


def test_int8_alone_is_compared_with_the_bundles_fp32() -> None:
    cases = choose_cases("b", ("cpu",), ("int8",), threads=2)
    *measured_cases, reference = with_reference(cases, "b", ("fp32", "int8"), 2)
    assert tuple(measured_cases) == cases
    settings = {"bundle": "b", "provider": "cpu", "precision": "fp32", "threads": 2}
    assert reference == Case(OWN, "runtime", settings, "fp32", timed=False)
    assert reference_order((*cases, reference)) == [OWN, "onnxruntime cpu int8"]


@pytest.mark.parametrize(
    ("precisions", "held", "peers"),
    [
        (("fp32", "int8"), ("fp32", "int8"), ()),  # measured anyway
        (("int8",), ("int8",), ()),  # there is none
        (("int8",), ("fp32", "int8"), ("eager",)),  # eager is better
    ],
)
def test_no_reference_is_added_where_there_is_one_or_none(
    precisions: tuple[str, ...], held: tuple[str, ...], peers: tuple[str, ...]
) -> None:
    cases = choose_cases("b", ("cpu",), precisions, peers=peers, against=("c",))
    assert with_reference(cases, "b", held) == cases
