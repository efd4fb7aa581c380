"""Loading a checkpoint: everything that can be wrong with one, and what the message says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    MBartConfig,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
)

from exporter.checkpoint import Checkpoint, load_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError
from exporter.hub import locate_checkpoint

WEIGHTS = "model.safetensors"
KEY = "encoder.encoder.layers.0.attention.k_proj"
POSITIONS = "encoder.encoder.pos_conv_embed.conv"
EMBEDDING = "decoder.model.decoder.embed_tokens.weight"
HEAD = "decoder.lm_head.weight"
SPECIAL_TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
GAPS = "the weights do not fit the configuration, and transformers would fill the gaps with random numbers"

Weights = dict[str, torch.Tensor]


def tiny_config() -> SpeechEncoderDecoderConfig:
    encoder = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        vocab_size=40,
    )
    decoder = MBartConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        vocab_size=40,
        max_position_embeddings=32,
        is_decoder=True,
        add_cross_attention=True,
        is_encoder_decoder=False,
        tie_word_embeddings=True,
    )
    return SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, tie_word_embeddings=False, decoder_start_token_id=2, pad_token_id=1, eos_token_id=2
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    numbered = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(numbered, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoints") / "tiny"
    torch.manual_seed(0)
    SpeechEncoderDecoderModel(config=tiny_config()).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))


def load(directory: Path) -> Checkpoint:
    return load_checkpoint(locate_checkpoint(str(directory)))


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def change_weights(directory: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(directory / WEIGHTS)
    change(weights)
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})


def replace_weights(directory: Path, name: str, data: bytes) -> None:
    (directory / WEIGHTS).unlink()
    (directory / name).write_bytes(data)


def refusal(directory: Path) -> str:
    """The message, less the directory that it begins with; a damaged file gives one line."""
    with pytest.raises(CheckpointError) as caught:
        load(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(directory))
    return message.removeprefix(str(directory)).removeprefix(": ")


def reasons(directory: Path) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModelError) as caught:
        load(directory)
    listed = "".join(f"\n  - {reason}" for reason in caught.value.reasons)
    assert str(caught.value) == f"{directory} cannot be exported:{listed}"
    return caught.value.reasons


def test_the_undamaged_one_loads(tiny: Path) -> None:
    loaded = load(tiny)
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.features.sampling_rate == 16000
    assert loaded.features.do_normalize
    assert loaded.features.masks_padding
    assert len(loaded.tokenizer) == 31


def test_the_example_loads(digits_checkpoint: Path) -> None:
    loaded = load(digits_checkpoint)
    assert loaded.model.config.encoder.add_adapter
    assert loaded.model.config.decoder.model_type == "mbart"


# Where it is.


def test_a_missing_directory(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(CheckpointError) as caught:
        load(missing)
    assert str(caught.value) == (
        f"{missing} is neither a directory nor a model id: give a directory written by save_pretrained(), or an id "
        "such as facebook/wav2vec2-xls-r-300m-en-to-15"
    )


def test_a_file(tiny: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is neither a directory nor a model id"):
        load(tiny / "config.json")


# The configuration.


def test_no_configuration(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    assert refusal(checkpoint) == " has no config.json: give a directory written by save_pretrained()"


def test_a_configuration_that_is_no_json(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text("{", encoding="utf-8")
    assert refusal(checkpoint).startswith("/config.json cannot be read as JSON: Expecting property name")


def test_a_configuration_that_is_no_text(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(b"\xff\xfe\x00")
    assert refusal(checkpoint).startswith("/config.json cannot be read as JSON: 'utf-8' codec can't decode")


@pytest.mark.parametrize(("text", "shown"), [("[]", "None"), ('{"model_type": "whisper"}', "'whisper'")])
def test_another_model(checkpoint: Path, text: str, shown: str) -> None:
    (checkpoint / "config.json").write_text(text, encoding="utf-8")
    assert reasons(checkpoint) == (
        f"config.json has model_type {shown}; export-s2t takes 'speech-encoder-decoder' "
        "(SpeechEncoderDecoderModel)",
    )


@pytest.mark.parametrize("value", [None, "wav2vec2"])
def test_a_configuration_without_its_halves(checkpoint: Path, value: object) -> None:
    change_json(checkpoint / "config.json", lambda c: c.update(encoder=value, decoder=value))
    assert refusal(checkpoint) == "/config.json describes no encoder and no decoder: save the model again"


def test_a_model_type_that_transformers_does_not_know(checkpoint: Path) -> None:
    change_json(checkpoint / "config.json", lambda c: c["encoder"].update(model_type="whatever"))
    message = refusal(checkpoint)
    assert message.startswith(
        "/config.json cannot be read by transformers: Unrecognized model type for subconfig: whatever."
    )
    # transformers goes on to list every type that it knows.
    assert len(message) < 500


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hidden_size": "abc"}, "'hidden_size' expected int, got str"),
        ({"conv_dim": [8]}, "len(config.conv_dim)"),
    ],
)
def test_values_that_transformers_refuses(checkpoint: Path, change: dict[str, Any], expected: str) -> None:
    change_json(checkpoint / "config.json", lambda c: c["encoder"].update(change))
    message = refusal(checkpoint)
    assert message.startswith("/config.json cannot be read by transformers: ")
    assert expected in message


NO_CROSS_ATTENTION = (
    "the decoder has no cross-attention (decoder.add_cross_attention is not true), so it cannot hear the encoder: "
    "fine-tune the model with decoder.add_cross_attention=true"
)
NO_DECODER = (
    "the decoder attends to later tokens (decoder.is_decoder is not true), so it has no cache: fine-tune the model "
    "with decoder.is_decoder=true"
)
TOO_SHORT_A_CACHE = (
    "decoder.encoder_layers is 1, below decoder.decoder_layers 2: transformers sizes the cache by encoder_layers "
    "and generate() fails; set decoder.encoder_layers to 2 in config.json (a decoder has no encoder layers, so "
    "nothing else changes)"
)
WIDTHS = (
    "the encoder's states are 24 wide but the model takes 16 (encoder.hidden_size 16, encoder.output_hidden_size 24, "
    "decoder 16): eager PyTorch cannot run this model either"
)


@pytest.mark.parametrize(
    ("half", "change", "expected"),
    [
        ("decoder", {"add_cross_attention": False}, NO_CROSS_ATTENTION),
        ("decoder", {"is_decoder": False}, NO_DECODER),
        ("decoder", {"encoder_layers": 1}, TOO_SHORT_A_CACHE),
        ("encoder", {"add_adapter": True, "output_hidden_size": 24}, WIDTHS),
        (
            "encoder",
            {"model_type": "wav2vec2-bert"},
            "encoder 'wav2vec2-bert' is not supported yet; supported: hubert, wav2vec2, wavlm",
        ),
        (
            "decoder",
            {"model_type": "roberta", "hidden_size": 16},
            "decoder 'roberta' is not supported yet; supported: bart, bert, gpt2, mbart",
        ),
    ],
)
def test_each_model_that_cannot_be_split(
    checkpoint: Path, half: str, change: dict[str, Any], expected: str
) -> None:
    change_json(checkpoint / "config.json", lambda c: c[half].update(change))
    assert reasons(checkpoint) == (expected,)


def test_every_reason_is_given_at_once(checkpoint: Path) -> None:
    change_json(
        checkpoint / "config.json",
        lambda c: (
            c["encoder"].update(model_type="wav2vec2-bert"),
            c.update(decoder={"model_type": "roberta", "hidden_size": 16}),
        ),
    )
    # Before any weight is read: a wrong model must not cost a long download or load.
    (checkpoint / WEIGHTS).unlink()
    assert [reason.split("(")[0].strip() for reason in reasons(checkpoint)] == [
        "encoder 'wav2vec2-bert' is not supported yet; supported: hubert, wav2vec2, wavlm",
        "decoder 'roberta' is not supported yet; supported: bart, bert, gpt2, mbart",
        "the decoder has no cross-attention",
        "the decoder attends to later tokens",
    ]


# The companions.


def test_every_missing_file_is_named_at_once(checkpoint: Path) -> None:
    for name in (WEIGHTS, "tokenizer.json", "preprocessor_config.json"):
        (checkpoint / name).unlink()
    assert refusal(checkpoint) == (
        " is incomplete: no weights (model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
        "pytorch_model.bin.index.json); no tokenizer (tokenizer.json, sentencepiece.bpe.model, spiece.model, "
        "vocab.json or vocab.txt): save it there with tokenizer.save_pretrained(); no feature extractor "
        "(preprocessor_config.json): save it there with feature_extractor.save_pretrained()"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (WEIGHTS, "no weights"),
        ("tokenizer.json", "no tokenizer"),
        ("preprocessor_config.json", "no feature extractor"),
    ],
)
def test_each_missing_file(checkpoint: Path, name: str, problem: str) -> None:
    (checkpoint / name).unlink()
    message = refusal(checkpoint)
    assert message.startswith(f" is incomplete: {problem} (")
    assert name in message


@pytest.mark.parametrize(
    ("text", "expected"), [("{", "Expecting property name"), ("{}", "KeyError: 'added_tokens'")]
)
def test_a_malformed_tokenizer(checkpoint: Path, text: str, expected: str) -> None:
    (checkpoint / "tokenizer.json").write_text(text, encoding="utf-8")
    message = refusal(checkpoint)
    assert message.startswith("the tokenizer cannot be read: ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not a valid JSON file"),
        ("[]", "AttributeError: 'list' object"),
        ("{}", "Unrecognized feature extractor"),
    ],
)
def test_a_malformed_feature_extractor(checkpoint: Path, text: str, expected: str) -> None:
    (checkpoint / "preprocessor_config.json").write_text(text, encoding="utf-8")
    message = refusal(checkpoint)
    assert message.startswith("the feature extractor cannot be read: ")
    assert expected in message
    assert len(message) < 500


@pytest.mark.parametrize("rate", ["16 kHz", None, 0, True])
def test_a_rate_that_is_none(checkpoint: Path, rate: object) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(sampling_rate=rate))
    assert refusal(checkpoint) == (
        f"preprocessor_config.json has sampling_rate {rate!r}; wanted samples per second"
    )


@pytest.mark.parametrize("kind", ["SeamlessM4TFeatureExtractor", "Speech2TextFeatureExtractor"])
def test_a_feature_extractor_that_is_not_supported(checkpoint: Path, kind: str) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(feature_extractor_type=kind))
    assert reasons(checkpoint) == (
        f"feature extractor {kind} is not supported yet; supported: Wav2Vec2FeatureExtractor (raw samples)",
    )


def test_padding_on_the_left(checkpoint: Path) -> None:
    change_json(checkpoint / "preprocessor_config.json", lambda c: c.update(padding_side="left"))
    assert reasons(checkpoint) == (
        "the feature extractor pads on the left; only padding on the right is supported",
    )


def test_a_feature_extractor_in_a_processors_file(checkpoint: Path) -> None:
    path = checkpoint / "preprocessor_config.json"
    processor = {"processor_class": "Wav2Vec2Processor", "feature_extractor": json.loads(path.read_text())}
    (checkpoint / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    path.unlink()
    assert load(checkpoint).features.sampling_rate == 16000


@pytest.mark.parametrize(
    ("text", "expected"), [("{", " cannot be read as JSON: Expecting"), ("[]", " holds no JSON object")]
)
def test_malformed_generation_options_are_not_passed_over(checkpoint: Path, text: str, expected: str) -> None:
    # transformers would decode with its own defaults and say nothing.
    (checkpoint / "generation_config.json").write_text(text, encoding="utf-8")
    assert refusal(checkpoint).startswith(f"/generation_config.json{expected}")


def test_generation_options_are_refused_with_the_configurations_reasons_before_the_weights(
    checkpoint: Path,
) -> None:
    change_json(
        checkpoint / "generation_config.json", lambda options: options.update(do_sample=True, max_time=3.0)
    )
    change_json(
        checkpoint / "config.json", lambda config: config["decoder"].update(add_cross_attention=False)
    )
    (checkpoint / WEIGHTS).write_bytes(b"never read")

    with pytest.raises(UnsupportedModelError) as caught:
        load_checkpoint(locate_checkpoint(str(checkpoint)), ignored_generation_options=["max_time"])

    assert len(caught.value.reasons) == 2
    assert caught.value.reasons[0].startswith("the decoder has no cross-attention")
    assert caught.value.reasons[1].startswith(
        "generation option do_sample=True is not supported; remove it from"
    )


def test_generation_options_may_be_absent(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").unlink()
    assert load(checkpoint).model.generation_config.decoder_start_token_id == 2


# Nothing in a checkpoint is executed.


def plant_code(directory: Path) -> Path:
    """A module that leaves a trace when it is imported."""
    trace = directory.parent / "trace"
    (directory / "planted.py").write_text(
        f"open({str(trace)!r}, 'w')\nclass Planted: ...\n", encoding="utf-8"
    )
    return trace


def test_code_beside_a_feature_extractor_is_not_run(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = plant_code(checkpoint)
    # transformers would ask whether to run it: a yes must not be waited for.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change_json(
        checkpoint / "preprocessor_config.json",
        lambda c: c.update(
            feature_extractor_type="Planted", auto_map={"AutoFeatureExtractor": "planted.Planted"}
        ),
    )
    assert refusal(checkpoint).startswith("the feature extractor cannot be read: ")
    assert not trace.exists()


def test_code_beside_a_tokenizer_is_not_run(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = plant_code(checkpoint)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change_json(
        checkpoint / "tokenizer_config.json",
        lambda c: c.update(
            tokenizer_class="Planted", auto_map={"AutoTokenizer": ["planted.Planted", "planted.Planted"]}
        ),
    )
    # tokenizer.json says all that is needed, so the class does not matter.
    load_or_refuse(checkpoint)
    assert not trace.exists()


def load_or_refuse(directory: Path) -> None:
    try:
        load(directory)
    except CheckpointError as error:
        assert "tokenizer" in str(error)  # noqa: PT017 - either is right here, but nothing else is


class Malicious:
    """Unpickling it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_run(checkpoint: Path, tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    (checkpoint / WEIGHTS).unlink()
    file = checkpoint / "pytorch_model.bin"
    torch.save({HEAD: Malicious(trace)}, file, _use_new_zipfile_serialization=zipped)
    assert refusal(checkpoint) == (
        "the weights cannot be loaded: pytorch_model.bin is no PyTorch file, or it holds more than tensors and "
        "would execute code: have it saved as model.safetensors"
    )
    assert not trace.exists()
    # It does bite where code is allowed to run.
    torch.load(file, weights_only=False)
    assert trace.exists()


# The weights.


def test_garbage_for_weights(checkpoint: Path) -> None:
    replace_weights(checkpoint, "pytorch_model.bin", b"garbage")
    assert refusal(checkpoint).startswith(
        "the weights cannot be loaded: pytorch_model.bin is no PyTorch file"
    )


@pytest.mark.parametrize("size", [0, 7, 5000])
def test_truncated_weights(checkpoint: Path, size: int) -> None:
    replace_weights(checkpoint, WEIGHTS, (checkpoint / WEIGHTS).read_bytes()[:size])
    message = refusal(checkpoint)
    assert message.startswith("the weights cannot be loaded: Error while deserializing header")


def test_weights_that_end_too_early(checkpoint: Path) -> None:
    replace_weights(checkpoint, WEIGHTS, (checkpoint / WEIGHTS).read_bytes()[:-4])
    assert refusal(checkpoint).startswith("the weights cannot be loaded: ")


def test_a_missing_shard(checkpoint: Path) -> None:
    index = {"metadata": {}, "weight_map": {EMBEDDING: "model-00001-of-00002.safetensors"}}
    replace_weights(checkpoint, f"{WEIGHTS}.index.json", json.dumps(index).encode())
    message = refusal(checkpoint)
    assert message.startswith("the weights cannot be loaded: ")
    assert "model-00001-of-00002.safetensors" in message


def test_missing_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: (w.pop(f"{KEY}.weight"), w.pop(f"{KEY}.bias")))
    assert refusal(checkpoint) == f"{GAPS}: 2 missing: {KEY}.bias, {KEY}.weight"


def test_unexpected_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({"lm.weight": torch.zeros(2), "ctc.bias": torch.zeros(2)}))
    assert refusal(checkpoint) == f"{GAPS}: 2 unexpected: ctc.bias, lm.weight"


def test_misshaped_weights(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({f"{KEY}.weight": torch.zeros(2, 3)}))
    assert refusal(checkpoint) == f"{GAPS}: 1 mis-shaped: {KEY}.weight (file [2, 3], model [16, 16])"


def test_every_wrong_weight_is_named_at_once(checkpoint: Path) -> None:
    change_weights(
        checkpoint,
        lambda w: (
            w.pop(f"{KEY}.bias"),
            w.update({"ctc.weight": torch.zeros(2), f"{KEY}.weight": torch.zeros(3, 3)}),
        ),
    )
    assert refusal(checkpoint) == (
        f"{GAPS}: 1 missing: {KEY}.bias; 1 unexpected: ctc.weight; 1 mis-shaped: {KEY}.weight (file [3, 3], "
        "model [16, 16])"
    )


def test_a_missing_embedding_is_not_excused_by_the_tie(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.pop(EMBEDDING))
    assert refusal(checkpoint) == f"{GAPS}: 2 missing: {HEAD}, {EMBEDDING}"


def test_a_tied_head_may_be_absent(tiny: Path) -> None:
    assert HEAD not in load_file(tiny / WEIGHTS)
    decoder = load(tiny).model.decoder
    assert decoder.lm_head.weight is decoder.model.decoder.embed_tokens.weight


def test_a_tied_head_may_be_there_as_well(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({HEAD: w[EMBEDDING].clone()}))
    assert torch.equal(
        load(checkpoint).model.decoder.lm_head.weight, load_file(checkpoint / WEIGHTS)[EMBEDDING]
    )


def rename_weight_norm(weights: Weights) -> None:
    """As torch's first weight_norm named its two parts."""
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        weights[f"{POSITIONS}.{old}"] = weights.pop(f"{POSITIONS}.parametrizations.weight.{new}")


def test_old_names_of_weight_norm_are_known(tiny: Path, checkpoint: Path) -> None:
    change_weights(checkpoint, rename_weight_norm)
    assert f"{POSITIONS}.weight_g" in load_file(checkpoint / WEIGHTS)
    ours, wanted = load(checkpoint).model.state_dict(), load(tiny).model.state_dict()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_an_old_name_that_is_missing_is_named(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: (rename_weight_norm(w), w.pop(f"{POSITIONS}.weight_v")))
    assert refusal(checkpoint) == f"{GAPS}: 1 missing: {POSITIONS}.parametrizations.weight.original1"


def test_weights_pickled_by_torch_load(checkpoint: Path) -> None:
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")
    assert torch.equal(load(checkpoint).model.state_dict()[EMBEDDING], weights[EMBEDDING])
