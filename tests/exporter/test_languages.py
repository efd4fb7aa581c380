"""Language codes of a checkpoint: from its own table, its model card, or its tokenizer's tags."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from exporter.languages import find_languages

PLAIN = GenerationConfig()


def tokenizer_with(*special: str, words: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(("<s>", "</s>", *words))}
    backend = Tokenizer(models.WordLevel(vocabulary))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.add_special_tokens({"bos_token": "<s>", "extra_special_tokens": list(special)})
    return tokenizer


@pytest.mark.parametrize("size", ["300m", "1b", "2b"])
def test_the_model_cards_own_map(size: str) -> None:
    # The checkpoints speak Latvian, Welsh and Catalan through the slots of my_MM, fi_FI and es_XX.
    tokenizer = tokenizer_with("lv_LV", "fi_FI", "es_XX")
    found = find_languages(f"facebook/wav2vec2-xls-r-{size}-en-to-15", tokenizer, PLAIN)
    assert (found["lv"], found["cy"], found["ca"]) == (250017, 250007, 250005)
    assert (found["de"], found["ja"], found["zh"]) == (250003, 250012, 250025)
    assert len(found) == len(set(found.values())) == 15


def test_the_cards_map_cannot_be_changed_by_a_caller() -> None:
    model_id = "facebook/wav2vec2-xls-r-300m-en-to-15"
    find_languages(model_id, tokenizer_with(), PLAIN).clear()
    assert find_languages(model_id, tokenizer_with(), PLAIN)


def test_tags_of_the_tokenizer() -> None:
    tokenizer = tokenizer_with("de_DE", "cy_XX", "zh_Hans", "ace_Latn")
    assert find_languages("some/model", tokenizer, PLAIN) == {"de": 2, "cy": 3, "zh": 4, "ace": 5}


def test_an_ambiguous_code_is_spelt_out() -> None:
    tokenizer = tokenizer_with("zh_CN", "zh_TW", "de_DE")
    assert find_languages("some/model", tokenizer, PLAIN) == {"zh_CN": 2, "zh_TW": 3, "de": 4}


def test_words_and_other_special_tokens_are_no_tags() -> None:
    tokenizer = tokenizer_with("<mask>", "a_B", "DE_de", "de_DEU", "de-DE", "de_DE ", words=("en_GB",))
    assert find_languages("some/model", tokenizer, PLAIN) == {}


def test_the_checkpoints_own_table_goes_first(tmp_path: Path) -> None:
    table = {"<|de|>": 7, "cy": 8}
    (tmp_path / "generation_config.json").write_text(json.dumps({"lang_to_id": table}), encoding="utf-8")
    config = GenerationConfig.from_pretrained(tmp_path)
    for model_id in ("some/model", "facebook/wav2vec2-xls-r-300m-en-to-15"):
        assert find_languages(model_id, tokenizer_with("fr_XX"), config) == {"de": 7, "cy": 8}


def test_a_table_that_is_none() -> None:
    config = SimpleNamespace(lang_to_id=None)
    assert find_languages("some/model", tokenizer_with("fr_XX"), config) == {"fr": 2}


def test_the_example(digits_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(digits_checkpoint)
    found = find_languages("checkpoint", tokenizer, GenerationConfig.from_pretrained(digits_checkpoint))
    assert sorted(found) == ["ar", "ca", "cy", "de", "es", "fr", "id", "ja", "lv", "sl", "sv", "tr"]
    assert tokenizer.convert_ids_to_tokens(found["cy"]) == "cy_XX"
