"""Target languages of a checkpoint: code -> id of the token that generation is forced to begin with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

_TAG = re.compile(r"^([a-z]{2,3})_([A-Z]{2}|[A-Z][a-z]{3})$")

# The model cards' own maps. The checkpoints reuse mBART-50's slots for languages that mBART-50 does
# not know (cy speaks through fi_FI, ca through es_XX, lv through my_MM), so the tokenizer's codes
# would name the wrong languages.
_EN_TO_15 = {
    "ar": 250001,
    "ca": 250005,
    "cy": 250007,
    "de": 250003,
    "et": 250006,
    "fa": 250029,
    "id": 250032,
    "ja": 250012,
    "lv": 250017,
    "mn": 250037,
    "sl": 250052,
    "sv": 250042,
    "ta": 250044,
    "tr": 250023,
    "zh": 250025,
}
_CARD_LANGUAGES = {
    "facebook/wav2vec2-xls-r-300m-en-to-15": _EN_TO_15,
    "facebook/wav2vec2-xls-r-1b-en-to-15": _EN_TO_15,
    "facebook/wav2vec2-xls-r-2b-en-to-15": _EN_TO_15,
}


def find_languages(
    model_id: str, tokenizer: PreTrainedTokenizerBase, generation_config: Any
) -> dict[str, int]:
    """The languages that ``forced_bos_token_id`` can choose.

    In order of trust: ``lang_to_id`` of generation_config.json, the map of a known model card, the
    tokenizer's tags such as ``de_DE`` (as the short code where that is unambiguous).
    """
    declared = getattr(generation_config, "lang_to_id", None)
    if isinstance(declared, Mapping):
        return {str(code).strip("<|>"): int(token) for code, token in declared.items()}
    if model_id in _CARD_LANGUAGES:
        return dict(_CARD_LANGUAGES[model_id])
    return _from_tags(tokenizer)


def _from_tags(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    # Only special tokens: an ordinary word may look like a tag.
    tags = [(match, token) for token in tokenizer.all_special_tokens if (match := _TAG.match(token))]
    codes = [match[1] for match, _ in tags]
    return {
        match[1] if codes.count(match[1]) == 1 else token: tokenizer.get_vocab()[token]
        for match, token in tags
    }
