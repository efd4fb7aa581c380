"""Weights too many or too few: what cannot change a result is accepted and named, all else is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny.damaged_checkpoint import (
    GAPS,
    TOO_MANY,
    WAY_OUT,
    WEIGHTS,
    Weights,
    change_weights,
    load,
    refusal,
)
from support.tiny.encoders import ENCODERS
from support.tiny.models import Pair, checkpoint_directory
from transformers import SpeechEncoderDecoderModel
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.checkpoints.weights.judge import (
    COMPUTED,
    CONSTANTS,
    COPIES,
    IGNORED,
    TEXT_ENCODER,
    TRAINING,
    ZEROS,
)

Once = Callable[[str, Callable[[Path], None]], Path]
Change = Callable[[Weights], object]


def saved(once: Once, tmp_path: Path, pair: Pair) -> Path:
    """A copy of a pair's checkpoint, to change."""
    return Path(shutil.copytree(checkpoint_directory(once, pair), tmp_path / pair.name))


def accepted(loaded: Checkpoint) -> dict[str, tuple[str, ...]]:
    return dict(loaded.origin.weights["checkpoint"].accepted)


def same_model(first: Any, second: Any) -> bool:
    ours, wanted = first.state_dict(), second.state_dict()
    return ours.keys() == wanted.keys() and all(torch.equal(ours[name], wanted[name]) for name in wanted)


def gpt2_buffers(weights: Weights) -> None:
    """What GPT-2 saved before transformers 4.30."""
    for layer in range(2):
        for attention in ("attn", "crossattention"):
            name = f"decoder.transformer.h.{layer}.{attention}"
            weights[f"{name}.masked_bias"] = torch.tensor(-1e4)
            weights[f"{name}.bias"] = torch.tril(torch.ones(48, 48, dtype=torch.uint8))[None, None].clone()


GPT2 = Pair("wav2vec2-group", "gpt2", return_attention_mask=False)
BERT = Pair("hubert-stable", "bert", hidden=24, do_normalize=False)
MBART = Pair("wav2vec2-stable-adapter", "mbart")
MARIAN = Pair("wav2vec2-group", "marian", return_attention_mask=False)
EMBEDDING = "decoder.model.decoder.embed_tokens.weight"
WORDS = "decoder.bert.embeddings.word_embeddings.weight"

EXTRA: dict[str, tuple[Pair, Change, str]] = {
    "GPT-2's constants": (GPT2, gpt2_buffers, CONSTANTS),
    "position ids": (
        MBART,
        lambda w: w.update({"decoder.model.decoder.position_ids": torch.arange(48)[None].clone()}),
        CONSTANTS,
    ),
    "token types": (
        BERT,
        lambda w: w.update({"decoder.bert.inner.token_type_ids": torch.zeros(1, 48, dtype=torch.long)}),
        CONSTANTS,
    ),
    "fairseq's leftovers": (
        MBART,
        lambda w: w.update(
            {
                "decoder.model.decoder.version": torch.tensor([3.0]),
                "decoder.model.decoder.embed_positions._float_tensor": torch.zeros(1),
                "decoder.num_updates": torch.tensor(7),
            }
        ),
        CONSTANTS,
    ),
    "a table of positions under another name": (
        MARIAN,
        lambda w: w.update(
            {
                "decoder.model.decoder.embed_positions.weights": w[
                    "decoder.model.decoder.embed_positions.weight"
                ].clone()
            }
        ),
        CONSTANTS,
    ),
    "a second embedding": (
        MBART,
        lambda w: w.update({"decoder.model.shared.weight": w[EMBEDDING].clone()}),
        COPIES,
    ),
    "a bias of zeros": (MBART, lambda w: w.update({"decoder.final_logits_bias": torch.zeros(1, 60)}), ZEROS),
    "the text model's encoder": (
        MBART,
        lambda w: w.update({"decoder.model.encoder.layers.0.fc1.weight": torch.randn(3, 3)}),
        TEXT_ENCODER,
    ),
    "a pooler and a next-sentence head": (
        BERT,
        lambda w: w.update(
            {
                "decoder.bert.pooler.dense.weight": torch.randn(16, 16),
                "decoder.cls.seq_relationship.weight": torch.randn(2, 16),
                "decoder.cls.seq_relationship.bias": torch.randn(2),
            }
        ),
        TRAINING,
    ),
    "what the encoder was pretrained with": (
        MBART,
        lambda w: w.update(
            {
                "encoder.lm_head.weight": torch.randn(32, 16),
                "encoder.quantizer.codevectors": torch.randn(1, 4, 4),
                "encoder.project_q.bias": torch.randn(4),
                "encoder.project_hid.weight": torch.randn(4, 4),
            }
        ),
        TRAINING,
    ),
}


@pytest.mark.parametrize("kind", EXTRA)
def test_an_extra_tensor_that_cannot_change_a_result(once: Once, tmp_path: Path, kind: str) -> None:
    pair, change, why = EXTRA[kind]
    path = saved(once, tmp_path, pair)
    before = set(load_file(path / WEIGHTS))
    change_weights(path, change)
    added = set(load_file(path / WEIGHTS)) - before
    loaded = load(path)
    assert same_model(loaded.model, load(checkpoint_directory(once, pair)).model)
    # GPT-2's causal masks are known to transformers itself.
    named = tuple(sorted(name for name in added if not name.endswith(("attn.bias", "attention.bias"))))
    assert accepted(loaded) == {why: named}
    (note,) = loaded.origin.notes()
    assert note.startswith(
        f"weights that cannot change a result do not fit the model, and are passed over: {why}: "
    )
    assert loaded.origin.provenance()["weights"]["checkpoint"]["accepted"].keys() == {why}


REFUSED: dict[str, tuple[Pair, Change, str]] = {
    "a subclass's positions, among constants": (
        GPT2,
        lambda w: (
            gpt2_buffers(w),
            w.update({"encoder_outputs_pos_emb.weight": torch.randn(20, 16)}),
        ),
        "encoder_outputs_pos_emb.weight",
    ),
    "another table of positions": (
        MARIAN,
        lambda w: w.update({"decoder.model.decoder.embed_positions.weights": torch.ones(48, 16)}),
        "decoder.model.decoder.embed_positions.weights",
    ),
    "another embedding": (
        MBART,
        lambda w: w.update({"decoder.model.shared.weight": w[EMBEDDING] + 1}),
        "decoder.model.shared.weight",
    ),
    "a bias that is not zero": (
        MBART,
        lambda w: w.update({"decoder.final_logits_bias": torch.full((1, 60), 1e-3)}),
        "decoder.final_logits_bias",
    ),
    "position ids in another order": (
        MBART,
        lambda w: w.update({"decoder.model.decoder.position_ids": torch.arange(48).flip(0)}),
        "decoder.model.decoder.position_ids",
    ),
    "token types that count": (
        BERT,
        lambda w: w.update({"decoder.bert.inner.token_type_ids": torch.ones(1, 48, dtype=torch.long)}),
        "decoder.bert.inner.token_type_ids",
    ),
    "a layer too many": (
        MBART,
        lambda w: w.update({"decoder.model.decoder.layers.2.fc1.weight": torch.randn(3, 3)}),
        "decoder.model.decoder.layers.2.fc1.weight",
    ),
    "a constant of some size": (
        GPT2,
        lambda w: w.update({"decoder.transformer.h.0.attn.masked_bias": torch.randn(16)}),
        "decoder.transformer.h.0.attn.masked_bias",
    ),
    "a projection inside the encoder": (
        MBART,
        lambda w: w.update({"encoder.encoder.layers.0.final_proj.weight": torch.randn(3, 3)}),
        "encoder.encoder.layers.0.final_proj.weight",
    ),
    "an encoder beside a decoder of BERT's family": (
        BERT,
        lambda w: w.update({"decoder.encoder.layer.5.output.dense.weight": torch.randn(3, 3)}),
        "decoder.encoder.layer.5.output.dense.weight",
    ),
    "a pooler of nobody": (
        MBART,
        lambda w: w.update({"pooler.dense.weight": torch.randn(3, 3)}),
        "pooler.dense.weight",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_extra_tensor_that_could(once: Once, tmp_path: Path, kind: str) -> None:
    pair, change, name = REFUSED[kind]
    path = saved(once, tmp_path, pair)
    change_weights(path, change)
    assert refusal(path) == f"{TOO_MANY}: 1 unexpected: {name}{WAY_OUT}"


def test_many_names_are_told_by_their_kind(checkpoint: Path) -> None:
    change_weights(
        checkpoint,
        lambda w: w.update({f"extra.layers.{n}.{k}": torch.ones(1) for n in range(400) for k in "ab"}),
    )
    assert refusal(checkpoint) == f"{TOO_MANY}: 800 unexpected: extra.layers.*.a, extra.layers.*.b{WAY_OUT}"


def ignoring(path: Path, *patterns: str) -> Checkpoint:
    return load_checkpoint(locate_checkpoint(str(path)), LoadOptions(ignored_weights=patterns))


def test_weights_are_accepted_by_name(tiny: Path, checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({"aux.0.weight": torch.ones(2), "ctc.bias": torch.ones(2)}))
    loaded = ignoring(checkpoint, "aux.*", "ctc.bias")
    assert same_model(loaded.model, load(tiny).model)
    assert accepted(loaded) == {IGNORED: ("aux.0.weight", "ctc.bias")}
    assert "left out with --ignore-weights: 2 x aux.*.weight, ctc.bias" in loaded.origin.notes()[0]


def test_a_pattern_accepts_what_it_names_alone(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.update({"aux.weight": torch.ones(2), "ctc.bias": torch.ones(2)}))
    with pytest.raises(ValueError, match=r"1 unexpected: ctc\.bias;"):
        ignoring(checkpoint, "aux.*")


def test_a_missing_weight_cannot_be_ignored(checkpoint: Path) -> None:
    change_weights(checkpoint, lambda w: w.pop("encoder.encoder.layer_norm.weight"))
    with pytest.raises(ValueError, match=r"1 missing: encoder\.encoder\.layer_norm\.weight$"):
        ignoring(checkpoint, "*")


# What a file leaves out.

MASKED = [name for name in ENCODERS if "narrow" not in name]


def with_nan(model: Any, names: list[str]) -> Any:
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).fill_(float("nan"))
    return model


@pytest.mark.parametrize(
    "encoder", [MASKED[0], *[pytest.param(name, marks=pytest.mark.broad) for name in MASKED[1:]]]
)
def test_the_vector_of_masked_frames_is_not_decoded_with(once: Once, tmp_path: Path, encoder: str) -> None:
    pair = Pair(encoder, "bert")
    path = saved(once, tmp_path, pair)
    names = [name for name in load_file(path / WEIGHTS) if name.endswith("masked_spec_embed")]
    if not names:
        pytest.skip("the family has no such vector")
    change_weights(path, lambda w: [w.pop(name) for name in names])
    loaded = load(path)
    assert accepted(loaded) == {TRAINING: tuple(names)}
    whole = load(checkpoint_directory(once, pair))
    features = whole.extractor(
        [0.01 * (n % 97) for n in range(4000)], sampling_rate=16000, return_tensors="pt"
    )
    tokens = [
        model.generate(**features, max_new_tokens=6, num_beams=2).tolist()
        for model in (whole.model, with_nan(loaded.model, names))
    ]
    assert tokens[0] == tokens[1]  # whatever the vector is, nobody reads it


def test_computed_tables_may_be_missing(once: Once, tmp_path: Path) -> None:
    pair = Pair("conformer-rotary", "marian")
    path = saved(once, tmp_path, pair)
    computed = ("num_batches_tracked", "inv_freq", "decoder.embed_positions.weight")
    names = sorted(name for name in load_file(path / WEIGHTS) if name.endswith(computed))
    assert len(names) >= 2
    change_weights(path, lambda w: [w.pop(name) for name in names])
    loaded = load(path)
    whole = load(checkpoint_directory(once, pair)).model
    # The tiny model's table of positions is random, so that it must not be taken from there.
    own = MarianSinusoidalPositionalEmbedding(48, 16).create_weight()
    whole.decoder.model.decoder.embed_positions.weight.data.copy_(own)
    assert same_model(loaded.model, whole)
    assert accepted(loaded) == {COMPUTED: tuple(names)}


@pytest.mark.parametrize("decoder", ["pegasus", "roformer"])
def test_sinusoidal_positions_are_computed(once: Once, tmp_path: Path, decoder: str) -> None:
    path = saved(once, tmp_path, Pair("wav2vec2-group", decoder, return_attention_mask=False))
    names = [name for name in load_file(path / WEIGHTS) if name.endswith("embed_positions.weight")]
    change_weights(path, lambda w: [w.pop(name) for name in names])
    eager = SpeechEncoderDecoderModel.from_pretrained(path)
    loaded = load(path)
    assert same_model(loaded.model, eager)
    tables = [name for name, _ in eager.named_parameters() if name.endswith("embed_positions.weight")]
    for name in tables:
        table = eager.get_parameter(name).detach()
        assert table[:, 0].allclose(torch.sin(torch.arange(len(table)).float()), atol=1e-5)
    assert set(accepted(loaded)) <= {COMPUTED}


def _conformer() -> str:
    return next(name for name, (kind, _) in ENCODERS.items() if kind == "wav2vec2-conformer")


@pytest.mark.parametrize("last", ["running_mean", "running_var"])
def test_what_a_batch_norm_has_learned_may_not(once: Once, tmp_path: Path, last: str) -> None:
    path = saved(once, tmp_path, Pair(_conformer(), "marian"))
    name = next(name for name in load_file(path / WEIGHTS) if name.endswith(last))
    change_weights(path, lambda w: w.pop(name))
    assert refusal(path) == f"{GAPS}: 1 missing: {name}"
