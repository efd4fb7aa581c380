"""Language codes of a checkpoint: a user's file, its own table, its model card, or its tokenizer's tags."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, GenerationConfig, MBart50Tokenizer, PreTrainedTokenizerFast

from exporter import ExportOptions, export_checkpoint
from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.companions.languages import KNOWN, find_languages, read_languages
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, ExportError
from exporter.pipeline import export_checkpoint as pipeline
from exporter.pipeline import precision_graphs
from exporter.pipeline.stored_defaults import StoredDefaults
from graphs import decoder_geometry
from s2t_runtime.options.generation import GenerationOptions

PLAIN = GenerationConfig()
EN_TO_15 = {
    "ar": 250001, "ca": 250005, "cy": 250007, "de": 250003, "et": 250006, "fa": 250029, "id": 250032, "ja": 250012,
    "lv": 250017, "mn": 250037, "sl": 250052, "sv": 250042, "ta": 250044, "tr": 250023, "zh": 250025,
}  # fmt: skip
SIZES = ("300m", "1b", "2b")
VOCABULARY = 250_054


@pytest.fixture(scope="module")
def mbart_50() -> MBart50Tokenizer:
    """Of the real size, so that the language tokens have the real ids; the pieces do not matter."""
    pieces = [(f"▁{place:x}", -place / 1e6) for place in range(249_997)]
    return MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *pieces])


def tokenizer_with(*special: str, words: tuple[str, ...] = (), **named: str) -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(("<s>", "</s>", *words))}
    backend = Tokenizer(models.WordLevel(vocabulary))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.add_special_tokens({"bos_token": "<s>", "extra_special_tokens": list(special), **named})
    return tokenizer


def files_of(directory: Path, model_id: str = "some/model", **config: Any) -> CheckpointFiles:
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return CheckpointFiles(model_id, directory, model_id, None, None)


def found(directory: Path, tokenizer: Any, config: Any = PLAIN, **options: Any) -> dict[str, int]:
    return find_languages(files_of(directory), tokenizer, config, vocab_size=VOCABULARY, **options)


def known(directory: Path, tokenizer: Any, name: str, **config: Any) -> dict[str, int]:
    files = files_of(directory, name, **config)
    return find_languages(files, tokenizer, PLAIN, vocab_size=VOCABULARY)


@pytest.mark.parametrize("size", SIZES)
def test_the_model_cards_own_map(tmp_path: Path, mbart_50: MBart50Tokenizer, size: str) -> None:
    # The checkpoints speak Latvian, Welsh and Catalan through the slots of my_MM, fi_FI and es_XX.
    assert known(tmp_path, mbart_50, f"facebook/wav2vec2-xls-r-{size}-en-to-15") == EN_TO_15
    assert mbart_50.convert_tokens_to_ids("lv_LV") == 250016
    assert known(tmp_path, mbart_50, f"facebook/wav2vec2-xls-r-{size}-21-to-en") == {"en": 250004}


def test_a_local_copy_is_known_by_the_name_it_was_loaded_from(
    tmp_path: Path, mbart_50: MBart50Tokenizer
) -> None:
    name = "facebook/wav2vec2-xls-r-1b-en-to-15"
    assert known(tmp_path, mbart_50, "my-copy", _name_or_path=name) == EN_TO_15
    # Without that name it is like any other: the tokenizer's tags, whatever the checkpoint made of them.
    assert known(tmp_path, mbart_50, "my-copy")["lv"] == 250016
    assert known(tmp_path, mbart_50, "my-copy", _name_or_path=["odd"])["lv"] == 250016


def test_a_copy_with_another_tokenizer_is_not_known(tmp_path: Path) -> None:
    name = "facebook/wav2vec2-xls-r-300m-en-to-15"
    assert known(tmp_path, tokenizer_with("lv_LV"), "my-copy", _name_or_path=name) == {"lv": 2}


def test_the_table_names_its_source() -> None:
    table = json.loads(
        resources.files("exporter.checkpoints.companions").joinpath(KNOWN).read_text(encoding="utf-8")
    )
    assert "model card" in table["source"].lower()
    assert set(table["checkpoints"].values()) == set(table["languages"])
    assert len(table["checkpoints"]) == 2 * len(SIZES)


@pytest.mark.parametrize(
    ("special", "wanted"),
    [
        (("de_DE", "cy_XX", "zh_Hans", "ace_Latn"), {"de": 2, "cy": 3, "zh": 4, "ace": 5}),
        (("zh_CN", "zh_TW", "de_DE"), {"zh_CN": 2, "zh_TW": 3, "de": 4}),  # an ambiguous code is spelt out
        (("__de__", "__ast__"), {"de": 2, "ast": 3}),
        (("__deu__", "__bos__", "__cmn_Hant__"), {"deu": 2, "bos": 3, "cmn_Hant": 4}),
        (("<2hi>", "<2bn>"), {"hi": 2, "bn": 3}),
        (("<lang:de>", "<lang:fr>"), {"de": 2, "fr": 3}),
        (("<|en|>", "<|yue|>", "<|transcribe|>", "<|end|>", "<|pad|>"), {"en": 2, "yue": 3}),
    ],
    ids=["mBART and NLLB", "ambiguous", "M2M100", "SeamlessM4T", "IndicBART", "Speech2Text", "Whisper"],
)
def test_tags_of_the_tokenizer(tmp_path: Path, special: tuple[str, ...], wanted: dict[str, int]) -> None:
    assert found(tmp_path, tokenizer_with(*special)) == wanted


def test_words_and_other_special_tokens_are_no_tags(tmp_path: Path) -> None:
    odd = ("<mask>", "a_B", "DE_de", "de_DEU", "de-DE", "de_DE ", "__null__", "<2>", "<|de", ">>de<<")
    assert found(tmp_path, tokenizer_with(*odd, words=("en_GB", "__fr__"))) == {}
    end = {"eos_token": "__end__"}
    assert found(tmp_path, tokenizer_with("__de__", "__end__", **end)) == {"de": 2}


def test_a_tag_beyond_the_decoders_vocabulary_is_no_language(tmp_path: Path) -> None:
    tokenizer = tokenizer_with("de_DE", "fr_XX")
    assert find_languages(files_of(tmp_path), tokenizer, PLAIN, vocab_size=3) == {"de": 2}


def test_the_checkpoints_own_table_goes_before_its_card(tmp_path: Path, mbart_50: MBart50Tokenizer) -> None:
    table = {"<|de|>": 7, "cy": 8}
    (tmp_path / "generation_config.json").write_text(json.dumps({"lang_to_id": table}), encoding="utf-8")
    config = GenerationConfig.from_pretrained(tmp_path)
    for model_id in ("some/model", "facebook/wav2vec2-xls-r-300m-en-to-15"):
        files = files_of(tmp_path, model_id)
        assert find_languages(files, mbart_50, config, vocab_size=VOCABULARY) == {"de": 7, "cy": 8}


def test_a_table_that_is_none(tmp_path: Path) -> None:
    assert found(tmp_path, tokenizer_with("fr_XX"), SimpleNamespace(lang_to_id=None)) == {"fr": 2}


@pytest.mark.parametrize("token", [VOCABULARY, -1, "7", True])
def test_a_table_with_a_token_that_is_none(tmp_path: Path, token: object) -> None:
    with pytest.raises(CheckpointError) as caught:
        found(tmp_path, tokenizer_with(), SimpleNamespace(lang_to_id={"de": 7, "cy": token}))
    assert str(caught.value) == (
        f"some/model: lang_to_id of generation_config.json cannot be used: 'cy' is {token!r}, wanted token ids from "
        "0 to 250053: correct it, or give the languages with --languages"
    )


def test_a_users_file_goes_before_all(tmp_path: Path, mbart_50: MBart50Tokenizer) -> None:
    path = tmp_path / "languages.json"
    path.write_text('{"lv": "lv_LV", "de": 250003}', encoding="utf-8")
    files = files_of(tmp_path, "facebook/wav2vec2-xls-r-300m-en-to-15")
    config = SimpleNamespace(lang_to_id={"de": 7})
    assert find_languages(files, mbart_50, config, vocab_size=VOCABULARY, given=path) == {
        "lv": 250016,
        "de": 250003,
    }
    path.write_text("{}", encoding="utf-8")
    assert find_languages(files, mbart_50, config, vocab_size=VOCABULARY, given=path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)): write an",
        ),
        (
            '["de"]',
            'holds ["de"], wanted an object such as {"de": "de_DE", "fr": 250008}: language code -> token',
        ),
        ("7", "holds 7, wanted an object"),
        (
            '{"de": 5}',
            "cannot be used: 'de' is token 5, wanted one of the decoder's: 0 to 4: correct it, such as {",
        ),
        ('{"de": -1}', "'de' is token -1, wanted one of the decoder's: 0 to 4"),
        ('{"de": "xx_XX"}', "'de' names the token 'xx_XX', which the tokenizer does not have"),
        ('{"de": "late"}', "'de' is token 5, wanted one of the decoder's: 0 to 4"),
        ('{"de": true}', "'de' is true, wanted a token id or the text of a token"),
        ('{"de": 3.0}', "'de' is 3.0, wanted a token id"),
        ('{"de": {"id": 3}}', "'de' is {\"id\": 3}, wanted a token id"),
        ('{"de": 3, "de": 4}', "'de' is there twice, wanted each code once"),
        ('{"de": "de_DE", "ger": 3}', "'de' and 'ger' are both token 3, wanted one code for a token"),
        ('{"d e": 3}', "'d e' is no language code, wanted a text without spaces"),
        ('{"": 3}', "'' is no language code"),
        (
            '{"a": 9, "b": "c"}',
            "'a' is token 9, wanted one of the decoder's: 0 to 4; 'b' names the token 'c'",
        ),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "languages.json"
    path.write_text(text, encoding="utf-8")
    tokenizer = tokenizer_with("de_DE", "fr_XX", "late", words=("one",))
    with pytest.raises(ExportError) as caught:
        read_languages(path, tokenizer, vocab_size=5)
    assert str(caught.value).startswith(f"{path} ")
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"none.json cannot be read \(No such file or directory\): --languages wants"
    ):
        read_languages(tmp_path / "none.json", tokenizer_with(), vocab_size=5)


def test_the_example(digits_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(digits_checkpoint)
    files = CheckpointFiles("checkpoint", digits_checkpoint, "checkpoint", None, None)
    config = GenerationConfig.from_pretrained(digits_checkpoint)
    languages = find_languages(files, tokenizer, config, vocab_size=len(tokenizer))
    assert sorted(languages) == ["ar", "ca", "cy", "de", "es", "fr", "id", "ja", "lv", "sl", "sv", "tr"]
    assert tokenizer.convert_ids_to_tokens(languages["cy"]) == "cy_XX"


def test_a_bad_file_is_found_before_the_graphs(
    tmp_path: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        precision_graphs, "write_graphs", lambda *_, **__: pytest.fail("graphs were exported")
    )
    path, bundle = tmp_path / "languages.json", tmp_path / "bundle"
    path.write_text('{"de": "de_AT"}', encoding="utf-8")
    with pytest.raises(ExportError, match="'de' names the token 'de_AT', which the tokenizer does not have"):
        export_checkpoint(str(digits_checkpoint), ExportOptions(output=bundle, languages=path))
    assert not bundle.exists()


def test_a_good_file_is_what_the_manifest_gets(
    tmp_path: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_graphs, "write_graphs", lambda *_, **__: None)
    path = tmp_path / "languages.json"
    path.write_text('{"cymraeg": "cy_XX"}', encoding="utf-8")
    files = CheckpointFiles("checkpoint", digits_checkpoint, "checkpoint", None, None)
    checkpoint, clock = load_checkpoint(files), pipeline.StageClock(lambda _: None)
    options = ExportOptions(output=tmp_path / "bundle", languages=path)
    (tmp_path / "out").mkdir()
    geometry, audio = decoder_geometry(checkpoint.model.decoder), pipeline._audio(checkpoint, options)
    defaults = StoredDefaults(GenerationOptions(decoder_start_token_id=2), "generation_config.json")
    languages = pipeline._languages(checkpoint, options, geometry)
    findings = pipeline._write_files(
        checkpoint, options, geometry, defaults, languages, audio, tmp_path / "out", clock
    )
    assert findings.languages == {"cymraeg": checkpoint.tokenizer.convert_tokens_to_ids("cy_XX")}
