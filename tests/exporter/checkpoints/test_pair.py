"""A pair of pretrained halves: whose weights they are, what is untrained, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny.pairs import HIDDEN, encoder_config, save_decoder, save_encoder
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    BertModel,
    SpeechEncoderDecoderModel,
    Wav2Vec2FeatureExtractor,
)

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.pair import load_pair
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError

Once = Callable[[str, Callable[[Path], None]], Path]
SEED = 7
BERT_ROLES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "<pad>"}
PROJECTION = ("enc_to_dec_proj.bias", "enc_to_dec_proj.weight")


@pytest.fixture(scope="module")
def encoder(once: Once) -> Path:
    def make(path: Path) -> None:
        save_encoder(path)

    return once("half-wav2vec2", make)


@pytest.fixture(scope="module")
def bert(once: Once) -> Path:
    def make(path: Path) -> None:
        save_decoder(path, "bert", AutoModelForMaskedLM, **BERT_ROLES)

    return once("half-bert", make)


@pytest.fixture
def decoder(bert: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(bert, tmp_path / "bert"))


def load(encoder: Path, decoder: Path, seed: int = SEED) -> Checkpoint:
    return load_pair(
        locate_checkpoint(str(encoder)),
        locate_checkpoint(str(decoder)),
        seed,
        LoadOptions(ignored_generation_options=frozenset()),
    )


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in first if name in second and not torch.equal(first[name], second[name])]


def change_json(path: Path, **values: Any) -> None:
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**document, **values}), encoding="utf-8")


# The weights.


def test_the_model_is_that_of_from_encoder_decoder_pretrained(encoder: Path, bert: Path) -> None:
    """So that whoever fine-tunes it in eager begins with the very model that was measured."""
    torch.manual_seed(SEED)
    eager = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(str(encoder), str(bert))
    loaded = load(encoder, bert)
    ours, theirs = loaded.model.state_dict(), eager.state_dict()
    assert list(ours) == list(theirs)
    assert differing(ours, theirs) == []
    assert not loaded.model.training
    # Another seed changes the untrained weights and nothing else.
    other = load(encoder, bert, SEED + 1).model.state_dict()
    changed = [name for name in differing(ours, other) if name.endswith("weight")]
    assert changed
    assert all("crossattention" in name or name in PROJECTION for name in changed)


def test_the_callers_random_numbers_are_left_alone(encoder: Path, bert: Path) -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    load(encoder, bert)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("kind", "factory"),
    [
        ("bert", AutoModelForPreTraining),
        ("gpt2", AutoModelForCausalLM),
        ("mbart", AutoModelForSeq2SeqLM),
        ("marian", AutoModelForSeq2SeqLM),
    ],
)
def test_every_weight_of_both_halves_is_kept(encoder: Path, tmp_path: Path, kind: str, factory: Any) -> None:
    """A sequence-to-sequence model saves its embedding under the name that both of its halves share."""
    text = save_decoder(tmp_path / kind, kind, factory)
    loaded = load(encoder, tmp_path / kind)
    state = loaded.model.state_dict()
    speech = {f"encoder.{name}": value for name, value in load_file(encoder / "model.safetensors").items()}
    assert len(speech) > 40
    assert set(speech) - set(state) == set()
    assert differing(speech, state) == []
    kept = {f"decoder.{name}": value for name, value in text.state_dict().items()}
    assert len(set(kept) & set(state)) > 20
    assert differing(kept, state) == []
    assert torch.equal(
        loaded.model.decoder.get_output_embeddings().weight, text.get_output_embeddings().weight
    )


def test_what_is_untrained_is_named(encoder: Path, bert: Path) -> None:
    origin = load(encoder, bert).origin
    assert (origin.kind, origin.seed) == ("pair", SEED)
    assert origin.untrained[-2:] == PROJECTION
    layers = origin.untrained[:-2]
    assert "decoder.bert.encoder.layer.*.crossattention.self.query.weight" in layers
    assert all(name.startswith("decoder.bert.encoder.layer.*.crossattention.") for name in layers)
    assert len(layers) == 10
    (note,) = origin.notes()
    assert note.startswith("the cross-attention is untrained: decoder.bert.encoder.layer.*.crossattention.")
    assert note.endswith(f" are random numbers (seed {SEED}); fine-tune the model before you trust its text")


def test_the_cross_attention_of_a_translation_model_was_trained_with_another_encoder(
    encoder: Path, tmp_path: Path
) -> None:
    save_decoder(tmp_path / "mbart", "mbart", AutoModelForSeq2SeqLM)
    origin = load(encoder, tmp_path / "mbart").origin
    assert origin.untrained == PROJECTION
    assert origin.notes()[:1] == [
        "the cross-attention was trained with another encoder: enc_to_dec_proj.bias, enc_to_dec_proj.weight are "
        f"random numbers (seed {SEED}); fine-tune the model before you trust its text"
    ]


def test_where_each_part_comes_from(encoder: Path, bert: Path) -> None:
    loaded = load(encoder, bert)
    assert loaded.model.config.encoder.hidden_size == HIDDEN
    assert loaded.extractor.return_attention_mask
    assert loaded.tokenizer.cls_token == "[CLS]"  # noqa: S105
    assert loaded.files.source == f"{encoder} + {bert}"
    assert loaded.origin.model_id == "half-wav2vec2 + half-bert"
    assert loaded.origin.provenance()["source"] == {
        "kind": "pair",
        "encoder": {"id": "half-wav2vec2", "revision": None},
        "decoder": {"id": "half-bert", "revision": None},
    }


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("kind", ["bert", "mbart"])
def test_the_generation_options_are_those_of_from_encoder_decoder_pretrained(
    encoder: Path, decoder: Path, tmp_path: Path, file: str, kind: str
) -> None:
    """Which loses the decoder's own ones, wherever they stand, but those that its configuration declares."""
    if kind == "mbart":
        decoder = tmp_path / "mbart"
        save_decoder(decoder, "mbart", AutoModelForSeq2SeqLM)
    if file == "config.json":
        (decoder / "generation_config.json").unlink(missing_ok=True)
    change_json(decoder / file, num_beams=4, max_length=33, forced_bos_token_id=7)
    found = load(encoder, decoder).model.generation_config.to_dict()
    joined = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(str(encoder), str(decoder))
    eager = joined.generation_config.to_dict()
    changed = {name: value for name, value in found.items() if eager[name] != value}
    if kind == "mbart":
        assert (changed, found["forced_eos_token_id"]) == ({}, 2)
    else:
        assert changed == {"decoder_start_token_id": 3, "eos_token_id": 4}
    assert found["num_beams"] is None


def test_special_tokens_of_the_decoders_options_are_kept(encoder: Path, decoder: Path) -> None:
    change_json(decoder / "generation_config.json", decoder_start_token_id=7, eos_token_id=[4, 8])
    generation = load(encoder, decoder).model.generation_config
    assert (generation.decoder_start_token_id, generation.pad_token_id) == (7, 1)
    assert generation.eos_token_id == [4, 8]


# What is refused.


def test_a_decoder_without_its_head(encoder: Path, decoder: Path) -> None:
    BertModel.from_pretrained(decoder).save_pretrained(decoder)
    with pytest.raises(CheckpointError) as caught:
        load(encoder, decoder)
    message = str(caught.value)
    assert message.startswith(
        f"{decoder}: the weights do not fit the configuration, and transformers would fill "
    )
    assert "missing: cls.predictions.bias, " in message
    assert "crossattention" not in message
    assert message.endswith("; a decoder needs its language-model head, as AutoModelForCausalLM saves it")


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_weight_that_is_missing(encoder: Path, decoder: Path, tmp_path: Path, half: str) -> None:
    speech = Path(shutil.copytree(encoder, tmp_path / "speech"))
    directory, name = {
        "encoder": (speech, "encoder.layers.0.attention.k_proj.bias"),
        "decoder": (decoder, "bert.encoder.layer.1.attention.self.key.bias"),
    }[half]
    weights = load_file(directory / "model.safetensors")
    del weights[name]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"1 missing: {name}"):
        load(speech, decoder)


def test_a_half_that_is_incomplete(encoder: Path, decoder: Path, tmp_path: Path) -> None:
    speech = Path(shutil.copytree(encoder, tmp_path / "speech"))
    (speech / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"speech is incomplete: no feature extractor \(preproc"):
        load(speech, decoder)
    (decoder / "tokenizer.json").unlink()
    (decoder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"bert is incomplete: no weights .*; no tokenizer"):
        load(encoder, decoder)


def test_a_text_model_in_the_encoders_place(bert: Path) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        load(bert, bert)
    assert str(caught.value).startswith(f"{bert} + {bert} cannot be exported:\n  - encoder 'bert' ")


def test_an_option_that_the_pair_has_lost_is_no_reason_against_it(encoder: Path, decoder: Path) -> None:
    change_json(decoder / "generation_config.json", token_healing=True)
    assert load(encoder, decoder).model.generation_config.token_healing is None


def test_a_half_of_an_unknown_type(encoder: Path, decoder: Path) -> None:
    change_json(decoder / "config.json", model_type="whatever")
    with pytest.raises(UnsupportedModelError) as caught:
        load(encoder, decoder)
    assert caught.value.reasons == (
        "decoder has model_type 'whatever', which this transformers does not know: name one that it knows, or "
        "install the transformers version that brings it",
    )


def test_a_half_with_code_of_its_own(encoder: Path, decoder: Path) -> None:
    change_json(decoder / "config.json", auto_map={"AutoModel": "modeling_planted.Planted"})
    with pytest.raises(UnsupportedModelError, match=r"config\.json names code of the checkpoint's own"):
        load(encoder, decoder)


def as_encoder(directory: Path, factory: Any, **changes: Any) -> Path:
    """A wav2vec2 with a head of its own, as most of them were published."""
    torch.manual_seed(3)
    factory.from_config(encoder_config(vocab_size=30, **changes)).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return directory


def change_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("factory", "left_out"),
    [
        (AutoModelForCTC, {"lm_head.bias", "lm_head.weight"}),
        (AutoModelForPreTraining, {"project_hid.bias", "project_q.bias", "quantizer.codevectors"}),
        (AutoModelForAudioClassification, {"classifier.bias", "projector.bias"}),
    ],
)
def test_an_encoder_with_a_head(tmp_path: Path, bert: Path, factory: Any, left_out: set[str]) -> None:
    path = as_encoder(tmp_path / "speech", factory)
    loaded = load(path, bert)
    state = loaded.model.state_dict()
    stored = load_file(path / "model.safetensors")
    speech = {
        f"encoder.{name.removeprefix('wav2vec2.')}": value
        for name, value in stored.items()
        if name.startswith("wav2vec2.")
    }
    assert len(speech) > 40
    assert differing(speech, state) == []
    accepted = loaded.origin.weights["encoder"].accepted
    assert left_out <= {name for names in accepted.values() for name in names}
    assert any(
        note.startswith("encoder: weights that cannot change a result") for note in loaded.origin.notes()
    )


def test_an_encoder_whose_file_lacks_the_vector_of_masked_frames(tmp_path: Path, bert: Path) -> None:
    """As facebook/wav2vec2-base-960h's does."""
    path = as_encoder(tmp_path / "speech", AutoModelForCTC)
    change_weights(path, lambda weights: weights.pop("wav2vec2.masked_spec_embed"))
    loaded = load(path, bert)
    assert loaded.origin.weights["encoder"].accepted["parts for training only"] == (
        "lm_head.bias",
        "lm_head.weight",
        "masked_spec_embed",
    )


def test_an_encoder_with_a_layer_too_many(tmp_path: Path, bert: Path) -> None:
    """It would be cut in silence: the configuration is another model's."""
    path = as_encoder(tmp_path / "speech", AutoModelForCTC)
    document = json.loads((path / "config.json").read_text(encoding="utf-8"))
    document["num_hidden_layers"] = 1
    (path / "config.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"the weights do not fit the configuration: 16 unexpected: "):
        load(path, bert)


def test_what_a_headless_encoder_has_beside_its_parts_is_no_head(
    encoder: Path, bert: Path, tmp_path: Path
) -> None:
    """A subclass saves its own positions under such a name, and computes with them."""
    path = Path(shutil.copytree(encoder, tmp_path / "subclass"))
    change_weights(path, lambda weights: weights.update({"pos_emb.weight": torch.ones(3, 3)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: pos_emb\.weight;"):
        load(path, bert)


def test_what_a_decoder_has_beside_its_parts_may_be_decoded_with(encoder: Path, decoder: Path) -> None:
    change_weights(decoder, lambda weights: weights.update({"pos_emb.weight": torch.ones(3, 3)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: pos_emb\.weight;"):
        load(encoder, decoder)
