"""What CTranslate2's Whisper search must know to decode another model, and what it cannot do of what that one asks."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.peers.protocol import Task
from benchmarks.peers.tasks import search_plan
from s2t_runtime.bundles.bundle import Bundle

_KNOWN: Final = frozenset(
    {
        "num_beams",
        "max_length",
        "max_new_tokens",
        "early_stopping",
        "length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "eos_token_id",
        "bos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
    }
)
"""Generation options that its search has as well."""


def search_facts(bundle: Bundle, task: Task) -> dict[str, Any]:
    """What the search needs to know, and what keeps its tokens from being compared.

    Args:
        bundle: says what tokens mean, and what the model was trained for.
        task: any of those that will be asked; all begin with the same tokens.
    """
    plan = search_plan(bundle, task)
    first = plan.forced_bos_token_id
    start = plan.prompt[0]
    remarks = []
    if len(plan.prompt) > 1 or first is None:
        remarks.append("halves only, no text: Whisper's search wants a prompt of two tokens")
    if len(plan.eos_token_ids) != 1:
        remarks.append(f"halves only, no text: it has one end token, the model {len(plan.eos_token_ids)}")
    if bundle.output_ids() is not None:
        remarks.append("halves only, no text: it has every token, the bundle some")
    comparable = not remarks
    untrained = bundle.manifest.provenance.get("untrained")
    unknown = sorted(set(bundle.manifest.generation) - _KNOWN)
    if unknown:
        remarks.append(f"without {', '.join(unknown)}, so tokens may differ")
    return {
        "prompt": [start, start if first is None else first],
        "end": plan.eos_token_ids[0] if plan.eos_token_ids else 0,
        "forced_end": plan.forced_eos_token_ids[0] if plan.forced_eos_token_ids else None,
        "length_penalty": plan.length_penalty,
        "vocabulary": bundle.manifest.decoder.vocab_size,
        "comparable": comparable,
        "untrained": isinstance(untrained, list | tuple) and "*" in untrained,
        "remarks": remarks,
    }
