"""Companions that a user names in the place of the checkpoint's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.tiny.damaged_checkpoint import SPECIAL_TOKENS, tiny_tokenizer
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def load(path: Path, **options: object) -> Checkpoint:
    return load_checkpoint(locate_checkpoint(str(path)), LoadOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def elsewhere(checkpoint: Path, tmp_path: Path) -> Path:
    """The companions of ``checkpoint``, which no longer has them: a trainer's checkpoint."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    for name in (*TOKENIZER_FILES, "preprocessor_config.json"):
        if (checkpoint / name).is_file():
            shutil.move(checkpoint / name, directory / name)
    return directory


def test_both_from_elsewhere(tiny: Path, checkpoint: Path, elsewhere: Path) -> None:
    with pytest.raises(CheckpointError, match="or name where it is with --tokenizer; no feature extractor"):
        load(checkpoint)
    loaded = load(checkpoint, tokenizer=str(elsewhere), feature_extractor=str(elsewhere))
    assert loaded.tokenizer.get_vocab() == load(tiny).tokenizer.get_vocab()
    assert loaded.extractor.to_dict() == load(tiny).extractor.to_dict()
    source = loaded.origin.provenance()["source"]
    assert source == {
        "kind": "checkpoint",
        "checkpoint": {"id": "tiny", "revision": None},
        "tokenizer": {"id": "elsewhere", "revision": None},
        "feature_extractor": {"id": "elsewhere", "revision": None},
    }
    assert loaded.origin.model_id == "tiny"


def test_a_named_one_goes_before_the_checkpoints_own(checkpoint: Path, tmp_path: Path) -> None:
    other = tiny_tokenizer()
    other.add_tokens(["hello"])
    other.save_pretrained(tmp_path / "other")
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path / "other")
    loaded = load(checkpoint, tokenizer=str(tmp_path / "other"), feature_extractor=str(tmp_path / "other"))
    assert len(loaded.tokenizer) == len(tiny_tokenizer()) + 1
    assert loaded.features.sampling_rate == 8000
    assert loaded.tokenizer.pad_token == SPECIAL_TOKENS["pad_token"]


def test_a_named_one_that_is_not_there(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is neither a directory nor a model id"):
        load(checkpoint, tokenizer=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty: the tokenizer cannot be read"):
        load(checkpoint, tokenizer=str(tmp_path / "empty"))


@pytest.mark.parametrize("wanted", [True, False])
def test_normalisation_is_switched(checkpoint: Path, wanted: bool) -> None:
    Wav2Vec2FeatureExtractor(do_normalize=not wanted, return_attention_mask=True).save_pretrained(checkpoint)
    assert load(checkpoint).features.do_normalize is not wanted
    loaded = load(checkpoint, normalize=wanted)
    assert loaded.features.do_normalize is wanted
    assert loaded.extractor.do_normalize is wanted  # which eager's side of a comparison uses


def test_log_mel_features_have_nothing_to_switch(checkpoint: Path) -> None:
    SeamlessM4TFeatureExtractor().save_pretrained(checkpoint)
    with pytest.raises(UnsupportedModelError) as caught:
        load(checkpoint, normalize=False)
    assert caught.value.reasons == (
        "--normalize and --no-normalize go with encoders that take raw samples; this one takes log-mel features, which "
        "are normalised in a way of their own: leave the option out",
    )
