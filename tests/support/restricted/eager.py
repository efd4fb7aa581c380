"""transformers' generate() with some rows of a decoder's output projection, in two ways that need nothing of ours.

Both tables are cut, input and output, and every id is renamed, so that generate() knows of no other token. Or
nothing is cut: all other tokens are suppressed and the scores renormalised.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.reference.eager import EagerHypotheses, EagerReference

Waveform = NDArray[np.float32]
Options = Mapping[str, Any]
Eager = Callable[[Checkpoint, Sequence[int], Waveform, Options], Any]
_IDS = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
)


def cut_generate(checkpoint: Checkpoint, ids: Sequence[int], audio: Waveform, options: Options) -> Any:
    """Hypotheses of a model that never had the other tokens."""
    place = {token: column for column, token in enumerate(ids)}
    reference = EagerReference(dataclasses.replace(checkpoint, model=_cut(checkpoint.model, place)))
    renamed = {name: _renamed(value, place) if name in _IDS else value for name, value in options.items()}
    (found,) = reference.generate([audio], **renamed)
    return EagerHypotheses(
        tuple(tuple(ids[column] for column in tokens) for tokens in found.tokens), found.scores
    )


def _cut(model: Any, place: Mapping[int, int]) -> Any:
    model = copy.deepcopy(model)
    decoder, rows = model.decoder, torch.tensor(sorted(place))
    output, table = decoder.get_output_embeddings(), decoder.get_input_embeddings()
    for module, name in ((output, "weight"), (output, "bias"), (table, "weight")):
        whole = getattr(module, name)
        if whole is not None:
            setattr(module, name, nn.Parameter(whole.detach()[rows]))
    table.num_embeddings, table.padding_idx = len(place), None
    if hasattr(decoder, "final_logits_bias"):
        decoder.final_logits_bias = decoder.final_logits_bias[:, rows]
    model.config.decoder.vocab_size = decoder.config.vocab_size = len(place)
    for name in _IDS:
        setattr(model.generation_config, name, _renamed(getattr(model.generation_config, name, None), place))
    return model


def _renamed(value: Any, place: Mapping[int, int]) -> Any:
    if isinstance(value, list | tuple):
        return [_renamed(item, place) for item in value]
    return value if value is None else place[value]


def suppressed_generate(
    checkpoint: Checkpoint, ids: Sequence[int], audio: Waveform, options: Options
) -> EagerHypotheses:
    """Hypotheses of the whole model with ``suppress_tokens`` and ``renormalize_logits``."""
    reference = EagerReference(checkpoint)
    size = checkpoint.model.decoder.get_output_embeddings().weight.shape[0]
    others = sorted(set(range(size)) - set(ids))
    rules = {"renormalize_logits": True, **options, "suppress_tokens": others}
    (found,) = reference.generate([audio], **rules)
    if options["num_beams"] > 1:
        return found
    # Greedy decoding's own score is of raw logits: here it is that of the scores behind the rules.
    features = reference.features([audio])
    with torch.no_grad():
        output = checkpoint.model.generate(
            features[reference.input_name],
            attention_mask=features.get("attention_mask"),
            return_dict_in_generate=True,
            output_scores=True,
            **rules,
        )
    chosen = checkpoint.model.compute_transition_scores(output.sequences, output.scores)
    return EagerHypotheses(found.tokens, (float(chosen[0].sum() / chosen.shape[1]),))
