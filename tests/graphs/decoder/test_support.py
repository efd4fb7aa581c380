"""Which decoders are taken: told from configurations, proved by short eager decodings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.tiny.decoders import DECODERS, FAMILIES, VOCAB, tiny_decoder
from support.tiny.weights import seeded
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

from graphs.decoder.families import UNUSABLE
from graphs.decoder.support import decoder_reasons, decoding_faults
from graphs.support import reasons_against

USABLE = "fine-tune with a decoder that decodes in eager, for example mbart, bart, bert, roberta or gpt2"
ROLES = {"is_decoder": True, "add_cross_attention": True, "vocab_size": VOCAB, "pad_token_id": 1}
_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 48,
}
BROKEN: dict[str, dict[str, Any]] = {
    "big_bird": {**_BERT, "attention_type": "original_full"},
    "megatron-bert": _BERT,
    "gpt_bigcode": {
        "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "n_positions": 48, "multi_query": False,
    },
    "prophetnet": {
        "hidden_size": 16, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_encoder_attention_heads": 2,
        "num_decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 48,
    },
}  # fmt: skip


def config(family: str, **options: Any) -> Any:
    return AutoConfig.for_model(family, **{**ROLES, **options})


def told_of(config_class: Any) -> list[str]:
    """What is said of a family with every setting right; some classes' defaults are no model."""
    made = config_class.__new__(config_class)
    vars(made).update(is_decoder=True, add_cross_attention=True, default_language="en_XX", encoder_layers=99)
    return decoder_reasons(made)


def test_every_family_of_transformers_is_tested_or_refused() -> None:
    taken = {kind.model_type for kind in MODEL_FOR_CAUSAL_LM_MAPPING if not told_of(kind)}
    assert taken == {kind for kind, _ in FAMILIES.values()}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_that_work_are_taken(name: str) -> None:
    decoder = tiny_decoder(name)
    assert decoder_reasons(decoder.config) == []
    assert decoding_faults(decoder) == []


@pytest.mark.parametrize("family", BROKEN)
def test_unusable_families_fail_in_eager(family: str) -> None:
    """An entry of UNUSABLE goes when its family works."""
    decoder = seeded(AutoModelForCausalLM, family, family, {**ROLES, **BROKEN[family]})
    (fault,) = decoding_faults(decoder)
    opening = (
        f"decoder {family!r} ({type(decoder).__name__}) fails in eager PyTorch when it decodes encoder states with "
        "a cache ("
    )
    assert fault.startswith(opening)
    assert fault.endswith(f"): {USABLE}")
    assert decoder_reasons(decoder.config) == [
        f"decoder {family!r} cannot decode speech in eager PyTorch either: {UNUSABLE[family].attribute} "
        f"{UNUSABLE[family].reason}: {USABLE}"
    ]


def test_gpt_bigcode_has_no_cross_attention_of_several_queries() -> None:
    with pytest.raises(NotImplementedError, match="MQA"):
        AutoModelForCausalLM.from_config(
            config("gpt_bigcode", **{**BROKEN["gpt_bigcode"], "multi_query": True})
        )


@pytest.mark.parametrize("family", ["musicgen", "musicgen_melody"])
def test_decoders_of_audio_codes_are_no_text_decoders(family: str) -> None:
    assert told_of(CONFIG_MAPPING[family]) == [
        f"decoder {family!r} cannot decode speech in eager PyTorch either: num_codebooks it writes several audio "
        f"codes per step, not one token of text: {USABLE}"
    ]
    assert set(UNUSABLE) == {*BROKEN, "musicgen", "musicgen_melody"}


@pytest.mark.parametrize(
    ("family", "lacking"),
    [
        ("opt", "OPTForCausalLM.forward takes no encoder_hidden_states, no encoder_attention_mask"),
        ("llama", "LlamaForCausalLM.forward takes no encoder_hidden_states, no encoder_attention_mask"),
        ("whisper", "WhisperForCausalLM.forward takes no encoder_hidden_states, no encoder_attention_mask"),
    ],
)
def test_families_without_cross_attention(family: str, lacking: str) -> None:
    assert decoder_reasons(config(family)) == [
        f"decoder {family!r} has no cross-attention: {lacking}, so it cannot hear the encoder, in eager PyTorch "
        f"either: {USABLE}"
    ]


def test_what_is_no_causal_language_model() -> None:
    assert decoder_reasons(config("t5")) == [
        "decoder 't5' is no causal language model of transformers (T5Config is not in "
        f"MODEL_FOR_CAUSAL_LM_MAPPING): {USABLE}"
    ]


def test_language_adapters_without_a_language() -> None:
    languages = {"languages": ("en_XX", "de_DE")}
    assert decoder_reasons(config("xmod", **_BERT, **languages)) == [
        "decoder 'xmod' has decoder.default_language null, so it does not know which of its language adapters to "
        "use and eager PyTorch cannot run it: set it to one of en_XX, de_DE"
    ]
    assert decoder_reasons(config("xmod", **_BERT, **languages, default_language="en_XX")) == []
    decoder = seeded(AutoModelForCausalLM, "xmod", "xmod", {**ROLES, **_BERT, **languages})
    assert "Input language unknown" in decoding_faults(decoder)[0]


def test_a_decoder_s_own_width_of_states_is_the_encoder_s() -> None:
    def reasons(width: int) -> list[str]:
        halves = {"encoder": AutoConfig.for_model("wav2vec2", hidden_size=width)}
        halves["decoder"] = config("trocr", d_model=16, cross_attention_hidden_size=24)
        return reasons_against(SimpleNamespace(**halves))

    assert reasons(24) == []
    assert reasons(16) == [
        "decoder.cross_attention_hidden_size is 24 and encoder.hidden_size 16, which SpeechEncoderDecoderModel wants "
        "to be equal: leave cross_attention_hidden_size null and fine-tune again"
    ]


def test_a_cache_that_changes_results(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = tiny_decoder("bert")
    forward = type(decoder.bert.embeddings).forward

    def always_from_the_start(self: Any, past_key_values_length: int = 0, **arguments: Any) -> torch.Tensor:
        return forward(self, **arguments)

    monkeypatch.setattr(type(decoder.bert.embeddings), "forward", always_from_the_start)
    (fault,) = decoding_faults(decoder)
    opening = (
        "decoder 'bert' (BertLMHeadModel) gives other logits with a cache than without one in eager PyTorch "
        "(largest difference "
    )
    assert fault.startswith(opening)
    assert fault.endswith(
        f" of the largest logit, at most 1e-03 is rounding), so there is no one result to reproduce: {USABLE}"
    )


def test_logits_that_are_no_numbers() -> None:
    decoder = tiny_decoder("gpt2")
    with torch.no_grad():
        decoder.transformer.wpe.weight[0] = float("nan")
    assert "(largest difference nan of the largest logit" in decoding_faults(decoder)[0]


def test_cross_attention_that_is_not_cached() -> None:
    """A decoder that takes encoder states and leaves the cache alone."""

    def decode(input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.nn.functional.one_hot(input_ids, VOCAB).float())

    class Forgetful:
        config = tiny_decoder("gpt2").config
        dtype = torch.float32
        __call__ = staticmethod(decode)

    decoder: Any = Forgetful()
    assert decoding_faults(decoder) == [
        "decoder 'gpt2' (Forgetful) leaves cross-attention out of its cache (0 layers of it, 0 of self-attention), "
        f"so the encoder's keys and values cannot be kept: {USABLE}"
    ]
