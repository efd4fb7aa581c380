"""Finds ties that a configuration declares and a file contradicts."""

from __future__ import annotations

from typing import Any


def broken_ties(model: Any, role: str = "") -> tuple[str, ...]:
    """Pairs of head and embedding that should be one matrix and are not.

    transformers 5 keeps both as the file has them; 4 let the embedding win.

    Args:
        model: as it was loaded.
        role: ``decoder`` where it is that half, ``encoder`` where it is the other; empty for both together.
    """
    decoder = model if role == "decoder" else getattr(model, "decoder", None)
    if role == "encoder" or decoder is None or not getattr(decoder.config, "tie_word_embeddings", True):
        return ()
    head, embeddings = decoder.get_output_embeddings(), decoder.get_input_embeddings()
    if head is None or head.weight is embeddings.weight:
        return ()
    names = {id(module): name for name, module in model.named_modules()}
    return (f"{names[id(head)]}.weight and {names[id(embeddings)]}.weight",)
