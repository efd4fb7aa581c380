"""A tokenizer and a feature extractor for a configuration that came without: they hold no knowledge."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
)

_SPACE = "▁"
_ROLES = ("bos_token", "pad_token", "eos_token", "unk_token")
_SPELLED = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def neutral_tokenizer(vocab_size: int, special: dict[str, int | None]) -> PreTrainedTokenizerBase:
    """A vocabulary whose words are the ids themselves: tokens [7, 12] read "7 12".

    Args:
        vocab_size: number of ids, 0 .. vocab_size - 1.
        special: id of ``bos_token``, ``pad_token``, ``eos_token`` and ``unk_token``; roles may share an id,
            and None or an id outside the vocabulary leaves a role open.
    """
    words = [f"{_SPACE}{index}" for index in range(vocab_size)]
    named: dict[str, str] = {}
    by_id: dict[int, str] = {}
    for role in _ROLES:
        index = special.get(role)
        if index is not None and 0 <= index < vocab_size:
            named[role] = by_id.setdefault(index, _SPELLED[role])
            words[index] = named[role]
    built = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, []))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    built.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=built,
        clean_up_tokenization_spaces=False,
        **named,
    )


def neutral_extractor(encoder: Any) -> Any:
    """The feature extractor that the encoder's family has, at 16 kHz.

    Args:
        encoder: its configuration. One that takes spectral features names their width; any other takes raw
            samples, with a mask where its convolutions are normalised layer by layer (the group norm of the
            base models was trained without one).
    """
    width = getattr(encoder, "feature_projection_input_dim", None)
    if width is not None:
        stride = SeamlessM4TFeatureExtractor().stride
        bins = int(width) // stride
        return SeamlessM4TFeatureExtractor(feature_size=bins, num_mel_bins=bins, stride=stride)
    masked = getattr(encoder, "feat_extract_norm", "layer") == "layer"
    return Wav2Vec2FeatureExtractor(return_attention_mask=masked)
