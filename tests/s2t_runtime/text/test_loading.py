"""tokenizer.json that the Rust library takes and then fails on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.errors import BundleError
from s2t_runtime.text import loading


@pytest.fixture
def bundle(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The example bundle, whose manifest states no joining rule."""
    opened = open_bundle(digits_bundle)
    object.__setattr__(opened.manifest, "detokenizer", None)
    return opened


def test_tokens_that_it_cannot_decode(bundle: Bundle) -> None:
    decode = loading.load_detokenizer(bundle)
    for token in (-1, 2**64):
        with pytest.raises(BundleError, match=r"^tokenizer\.json cannot decode tokens: .+; export again$"):
            decode([token])


class Panic(BaseException):
    """As pyo3_runtime's, which no module offers."""


Panic.__name__ = "PanicException"


@pytest.mark.parametrize("error", [Exception("expected value at line 1"), Panic("range end index 12")])
def test_what_it_raises_while_it_reads(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_: str) -> Any:
        raise error

    monkeypatch.setattr(loading, "Tokenizer", type("Broken", (), {"from_file": staticmethod(fail)}))
    with pytest.raises(BundleError, match=rf"^tokenizer\.json cannot be read: {error}; export again$"):
        loading.load_detokenizer(bundle)


def test_a_panic_is_named_as_it_is_here() -> None:
    # A model that panics as the library of this day does; where a later one no longer does, it may go.
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    broken = tokenizer.to_str().replace(
        '"continuing_subword_prefix":null', '"continuing_subword_prefix":"éééééééé"'
    )
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        Tokenizer.from_str(broken)
    assert type(caught.value).__name__ == "PanicException"


def test_an_interruption_passes(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "Tokenizer", type("Broken", (), {"from_file": staticmethod(interrupt)}))
    with pytest.raises(KeyboardInterrupt):
        loading.load_detokenizer(bundle)
