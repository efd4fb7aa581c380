"""Options of transformers' ``generate()`` that this project refuses, each with the reason and a way round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final


def _moved(mode: str, repository: str) -> str:
    return (
        f"asks for {mode}, which transformers 5 itself no longer has: it lives in the repository "
        f"transformers-community/{repository}, whose code needs trust_remote_code"
    )


_GROUPS: Final = _moved("group beam search", "group-beam-search")
_CONSTRAINED: Final = _moved("constrained beam search", "constrained-beam-search")
_ASSISTED: Final = "belongs to assisted decoding, which needs a second model or changes the order of steps"
_ENCODER_IDS: Final = "acts on the encoder's input ids, and audio has none"
_GUIDED: Final = "belongs to guidance, which needs a second decoding without the condition at every step"
_CACHE: Final = "chooses how transformers holds its cache; the exported graphs have one of their own"

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Modes that transformers moved to the hub.
        "num_beam_groups": _GROUPS,
        "diversity_penalty": _GROUPS,
        "constraints": _CONSTRAINED,
        "force_words_ids": _CONSTRAINED,
        "penalty_alpha": _moved("contrastive search", "contrastive-search"),
        "dola_layers": _moved("DoLa decoding", "dola"),
        # Rules.
        "encoder_repetition_penalty": _ENCODER_IDS,
        "encoder_no_repeat_ngram_size": _ENCODER_IDS,
        "guidance_scale": _GUIDED,
        "negative_prompt_ids": _GUIDED,
        "negative_prompt_attention_mask": _GUIDED,
        "remove_invalid_values": "hides NaN of a broken model; export one whose scores are finite",
        "stop_strings": "looks at text while decoding; pass eos_token_id or stop instead",
        "max_time": "is measured by transformers' own loop; pass stop instead, which is asked before each step",
        "token_healing": "changes the prompt's text, and a prompt here is token ids",
        "watermarking_config": "changes the scores by a secret key",
        "low_memory": "is refused by transformers 5 as well",
        # Assisted decoding.
        "assistant_model": _ASSISTED,
        "assistant_tokenizer": _ASSISTED,
        "assistant_confidence_threshold": _ASSISTED,
        "assistant_early_exit": _ASSISTED,
        "assistant_ensemble_weight": _ASSISTED,
        "assistant_lookbehind": _ASSISTED,
        "is_assistant": _ASSISTED,
        "max_matching_ngram_size": _ASSISTED,
        "num_assistant_tokens": _ASSISTED,
        "num_assistant_tokens_schedule": _ASSISTED,
        "prompt_lookup_num_tokens": _ASSISTED,
        "speculation_type": _ASSISTED,
        "target_lookbehind": _ASSISTED,
        "use_mtp": _ASSISTED,
        # How transformers computes and returns.
        "cache_implementation": _CACHE,
        "cache_config": _CACHE,
        "max_cache_len": _CACHE,
        "use_cache": _CACHE,
        "prefill_chunk_size": _CACHE,
        "continuous_batching_config": "belongs to transformers' generate_batch()",
        "compile_config": "compiles PyTorch code, and none runs here",
        "disable_compile": "compiles PyTorch code, and none runs here",
        "output_scores": "is not needed: every hypothesis has its score and log_probs",
        "output_logits": "is not offered: whole rows of logits are not kept",
        "output_attentions": "is not offered: the exported graphs do not return attentions",
        "output_hidden_states": "is not offered: the exported graphs do not return hidden states",
        "return_dict_in_generate": "is not needed: a Result holds everything",
        # Objects of transformers.
        "generation_config": "is an object of transformers; pass its options by name",
        "logits_processor": "is an object of transformers; of functions only prefix_allowed_tokens_fn is known",
        "stopping_criteria": "is an object of transformers; pass stop instead, which is asked before each step",
        "streamer": "is an object of transformers; pass on_token instead",
        "custom_generate": "runs code from elsewhere",
        "trust_remote_code": "runs code from elsewhere",
        "decoder_input_ids": "is the prompt as a tensor; pass decoder_prompt_ids instead",
        "synced_gpus": "belongs to training frameworks",
    }
)
"""Each refused option with what follows its name in a message."""


def refused_options(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split names into a sentence for each that is refused, and the names that nobody knows."""
    names = list(names)
    refused = [
        f"{name} is not supported: it {REASONS[name]}; leave it out" for name in names if name in REASONS
    ]
    return refused, [name for name in names if name not in REASONS]
