"""Decides which tensors too many or too few in a file provably cannot change what generate() gives.

An extra tensor is accepted as a constant, a copy, zeros, or a part that is trained and not decoded with; a
missing one where the model computes it, or trains with it alone. Everything else is a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

CONSTANTS = "constants that older versions saved"
COPIES = "second copies of tied matrices"
ZEROS = "a bias that is all zero"
TRAINING = "parts for training only"
COMPUTED = "tables that the model computes"
TEXT_ENCODER = "the encoder half of a text model"
OTHER_HEADS = "parts of another task's model"
IGNORED = "left out with --ignore-weights"

_CONSTANTS = re.compile(r"(^|\.)(masked_bias|_float_tensor|version|num_updates|num_batches_tracked)$")
_POSITION_IDS = re.compile(r"(^|\.)position_ids$")
_TOKEN_TYPES = re.compile(r"(^|\.)token_type_ids$")
_SINUSOIDAL = re.compile(r"(^|\.)(embed_positions\.weights?)$")
_COPIES = re.compile(
    r"(^|\.)(lm_head\.weight|lm_head\.decoder\.weight|shared\.weight|embed_tokens\.weight|word_embeddings\.weight|"
    r"wte\.weight|output_projection\.weight|predictions\.decoder\.weight|generator_lm_head\.weight)$"
)
_BIAS_COPIES = re.compile(r"(^|\.)(decoder\.bias|lm_head\.bias|predictions\.bias)$")
_ZEROS = re.compile(r"(^|\.)final_logits_bias$")
_MASKED = "masked_spec_embed"
_ENCODER_TRAINING = re.compile(
    r"^(masked_spec_embed|label_embs_concat|label_embeddings_concat)$|"
    r"^(lm_head|quantizer|project_q|project_hid|ctc_proj|final_proj|speaker_proj)\."
)
_DECODER_TRAINING = re.compile(r"^(\w+\.)?pooler\.|^cls\.seq_relationship\.")
_TEXT_ENCODER = re.compile(r"^(model\.)?encoder\.")
_COMPUTED = re.compile(r"(^|\.)(num_batches_tracked|inv_freq|position_ids)$")


@dataclass(frozen=True)
class Part:
    """Which half of a model a name belongs to, and the name inside it."""

    role: str
    """``encoder``, ``decoder``, or nothing."""
    name: str


@dataclass(frozen=True)
class Verdict:
    """What was accepted, and why; what was not."""

    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reason -> names."""
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def judge(
    model: Any,
    tensors: Mapping[str, Tensor],
    *,
    missing: Collection[str],
    unexpected: Collection[str],
    role: str = "",
    ignored: Collection[str] = (),
) -> Verdict:
    """Look at each tensor that the file has and the model has not, and the other way round.

    Args:
        model: as it was loaded.
        tensors: of the file, by the names that the model would use.
        missing: the model's names that the file lacks.
        unexpected: the file's names that the model has no place for.
        role: ``encoder`` or ``decoder`` where the model is one half; empty where names say it.
        ignored: patterns of names to leave out, as for ``fnmatch``.
    """
    accepted: dict[str, list[str]] = {}
    refused = {"missing": [], "unexpected": []}  # type: dict[str, list[str]]
    for name in sorted(unexpected):
        why = _why_extra(model, name, tensors, role)
        if why is None and any(fnmatchcase(name, pattern) for pattern in ignored):
            why = IGNORED
        (refused["unexpected"] if why is None else accepted.setdefault(why, [])).append(name)
    for name in sorted(missing):
        why = _why_missing(model, name, role)
        (refused["missing"] if why is None else accepted.setdefault(why, [])).append(name)
    kept = {why: tuple(names) for why, names in accepted.items()}
    return Verdict(kept, tuple(refused["missing"]), tuple(refused["unexpected"]))


def _why_missing(model: Any, name: str, role: str) -> str | None:
    part = _part(name, role)
    if part.role == "encoder" and part.name == _MASKED:
        return TRAINING
    if _COMPUTED.search(name) and name in dict(model.named_buffers()):
        return COMPUTED
    module = model.get_submodule(name.rpartition(".")[0])
    return COMPUTED if "Sinusoidal" in type(module).__name__ else None


def _why_extra(model: Any, name: str, tensors: Mapping[str, Tensor], role: str) -> str | None:
    part, tensor = _part(name, role), tensors.get(name)
    if _CONSTANTS.search(name) and (tensor is None or tensor.numel() == 1):
        return CONSTANTS
    if tensor is not None:
        why = _by_value(model, name, tensor, part)
        if why is not None:
            return why
    if part.role == "encoder" and _ENCODER_TRAINING.search(part.name):
        return TRAINING
    if part.role == "decoder" and _TEXT_ENCODER.match(part.name) and _is_half_of_a_text_model(model, role):
        return TEXT_ENCODER
    if part.role == "decoder" and _DECODER_TRAINING.search(part.name):
        return TRAINING
    return OTHER_HEADS if role == "encoder" and _is_head(model, name, tensors) else None


def _is_half_of_a_text_model(model: Any, role: str) -> bool:
    """Whether the decoder is of a family (BART's) whose models have a text encoder beside it."""
    decoder = model if role else model.decoder
    return hasattr(getattr(decoder, "model", None), "decoder")


def _by_value(model: Any, name: str, tensor: Tensor, part: Part) -> str | None:
    if _equals(tensor, _own(model, name)):  # a buffer that today's model keeps to itself
        return CONSTANTS
    if _POSITION_IDS.search(name) and torch.equal(tensor.flatten(), torch.arange(tensor.numel())):
        return CONSTANTS
    if _TOKEN_TYPES.search(name) and not tensor.any():
        return CONSTANTS
    if _SINUSOIDAL.search(name) and _equals(tensor, _own(model, re.sub(r"weights?$", "weight", name))):
        return CONSTANTS
    if _ZEROS.search(name) and not tensor.any():
        return ZEROS
    decoder = getattr(model, "decoder", model) if not part.role or part.role == "decoder" else None
    return COPIES if decoder is not None and _is_copy(decoder, name, tensor) else None


def _is_copy(decoder: Any, name: str, tensor: Tensor) -> bool:
    head = decoder.get_output_embeddings() if hasattr(decoder, "get_output_embeddings") else None
    if _COPIES.search(name):
        embeddings = decoder.get_input_embeddings()
        return any(_equals(tensor, module.weight) for module in (head, embeddings) if module is not None)
    return (
        bool(_BIAS_COPIES.search(name)) and head is not None and _equals(tensor, getattr(head, "bias", None))
    )


def _is_head(model: Any, name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether an encoder's file has it beside the model proper: what reads the states, and gives none.

    Only a file that names the model proper can tell: in one without the prefix, every name is the encoder's own.
    """
    prefix = f"{model.base_model_prefix}."
    named = any(other.startswith(prefix) for other in tensors)
    return named and name in tensors and not name.startswith(prefix)


def _part(name: str, role: str) -> Part:
    if role:
        return Part(role, name)
    first, _, rest = name.partition(".")
    return Part(first, rest) if first in ("encoder", "decoder") else Part("", name)


def _own(model: Any, name: str) -> Tensor | None:
    path, _, last = name.rpartition(".")
    try:
        found = getattr(model.get_submodule(path), last, None)
    except AttributeError:
        return None
    return found if isinstance(found, Tensor) else None


def _equals(tensor: Tensor, own: Tensor | None) -> bool:
    return own is not None and tensor.shape == own.shape and torch.equal(tensor.to(own.dtype), own.detach())
