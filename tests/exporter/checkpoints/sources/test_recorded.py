"""What a manifest records of a bundle's source, and that it leads back to it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.places import ROOT

from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.checkpoints.sources.kinds import CheckpointSource, PairSource, RandomWeightsSource, Source
from exporter.checkpoints.sources.recorded import load_options_of, source_of
from exporter.checkpoints.weights.record import by_layer
from exporter.errors import CheckpointError
from exporter.options import ExportOptions
from exporter.pipeline.manifest_builder import _provenance

COMMIT, ANOTHER = "1" * 40, "2" * 40


def files(model_id: str, revision: str | None, directory: Path = Path("nowhere")) -> CheckpointFiles:
    return CheckpointFiles(model_id, directory, model_id, revision, None)


def manifest(origin: Origin | None, model_id: str = "", revision: str | None = None) -> Any:
    provenance = {} if origin is None else origin.provenance()
    return SimpleNamespace(provenance=provenance, model=SimpleNamespace(id=model_id, revision=revision))


CHECKPOINT = Origin("checkpoint", {"checkpoint": files("a/b", COMMIT)})
PAIR = Origin(
    "pair", {"encoder": files("a/b", COMMIT), "decoder": files("c", ANOTHER)}, untrained=("x",), seed=4
)
RANDOM = Origin("random_weights", {"configuration": files("a/b", COMMIT)}, untrained=("*",), seed=5)
LOCAL_PAIR = Origin("pair", {"encoder": files("a/b", COMMIT), "decoder": files("here", None)}, seed=4)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (CHECKPOINT, CheckpointSource("a/b", COMMIT)),
        (PAIR, PairSource("a/b", "c", COMMIT, ANOTHER, 4)),
        (RANDOM, RandomWeightsSource("a/b", COMMIT, 5)),
    ],
)
def test_hub_ids_are_found_again(origin: Origin, expected: Source) -> None:
    assert source_of(manifest(origin)) == expected


@pytest.mark.parametrize(
    ("origin", "against", "expected"),
    [
        (CHECKPOINT, ("d",), CheckpointSource("d")),
        (PAIR, ("d", "e"), PairSource("d", "e", None, None, 4)),
        (LOCAL_PAIR, ("d", "e"), PairSource("d", "e", None, None, 4)),
        (RANDOM, ("d",), RandomWeightsSource("d", None, 5)),
    ],
)
def test_what_is_given_goes_first(origin: Origin, against: tuple[str, ...], expected: Source) -> None:
    assert source_of(manifest(origin), against) == expected


def test_a_bundle_of_format_1_names_its_checkpoint_in_one_place() -> None:
    assert source_of(manifest(None, "a/b", COMMIT)) == CheckpointSource("a/b", COMMIT)


@pytest.mark.parametrize(
    ("found", "name", "option"),
    [
        (manifest(None, "digits", None), "digits", "--against CHECKPOINT"),
        (manifest(LOCAL_PAIR), "here", "--against ENCODER --against DECODER"),
    ],
)
def test_a_directory_is_not_found_again(found: Any, name: str, option: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        source_of(found)
    assert str(caught.value) == (
        f"the bundle was exported from a local directory ({name}), which the manifest cannot find again: give it "
        f"with {option}"
    )


def test_both_halves_of_a_pair_have_to_be_given() -> None:
    with pytest.raises(CheckpointError) as caught:
        source_of(manifest(PAIR), ("d",))
    assert str(caught.value) == (
        "--against names d, but the bundle was made from one encoder and one decoder: give --against ENCODER "
        "--against DECODER"
    )


def test_a_kind_of_a_later_release() -> None:
    found = manifest(None)
    found.provenance["source"] = {"kind": "merged"}
    with pytest.raises(
        CheckpointError, match="made from 'merged', wanted one of checkpoint, pair, random_weights"
    ):
        source_of(found)


def test_how_it_was_loaded_is_found_again() -> None:
    companions = {"tokenizer": files("a/words", COMMIT), "feature_extractor": files("a/sound", ANOTHER)}
    found = manifest(Origin("checkpoint", {"checkpoint": files("a/b", COMMIT)}, companions=companions))
    told = ExportOptions(
        Path("out"),
        ignored_generation_options=frozenset({"max_time"}),
        ignored_weights=("aux.*",),
        normalize=False,
    )
    found.provenance["options"] = recorded(told)
    assert load_options_of(found) == LoadOptions(
        frozenset({"max_time"}), ("aux.*",), "a/words", COMMIT, "a/sound", ANOTHER, normalize=False
    )
    given = load_options_of(found, tokenizer="here", feature_extractor="there")
    assert (given.tokenizer, given.tokenizer_revision) == ("here", None)
    assert (given.feature_extractor, given.feature_extractor_revision) == ("there", None)


def recorded(options: ExportOptions) -> Any:
    checkpoint = SimpleNamespace(origin=CHECKPOINT)
    return json.loads(json.dumps(_provenance(checkpoint, options, "passed")["options"]))  # type: ignore[arg-type]


def test_where_companions_were_is_not_told_by_the_options(tmp_path: Path) -> None:
    told = ExportOptions(tmp_path, tokenizer=str(tmp_path), feature_extractor=str(tmp_path))
    assert str(tmp_path) not in json.dumps(recorded(told))


def test_a_bundle_that_was_told_nothing() -> None:
    assert load_options_of(manifest(None, "a/b", COMMIT)) == LoadOptions(frozenset())


@pytest.mark.parametrize(
    ("role", "named", "option"),
    [
        ("tokenizer", "tokenizer", "--tokenizer"),
        ("feature_extractor", "feature extractor", "--feature-extractor"),
    ],
)
def test_a_companions_directory_is_not_found_again(role: str, named: str, option: str) -> None:
    found = manifest(
        Origin("checkpoint", {"checkpoint": files("a/b", COMMIT)}, companions={role: files("x", None)})
    )
    with pytest.raises(CheckpointError) as caught:
        load_options_of(found)
    assert str(caught.value) == (
        f"the bundle's {named} came from a local directory (x), which the manifest cannot find again: "
        f"give it with {option}"
    )


def card(directory: Path, licence: str) -> Path:
    directory.mkdir()
    (directory / "README.md").write_text(f"---\nlicense: {licence}\n---\n", encoding="utf-8")
    return directory


def test_the_licence_of_a_pair_names_both(tmp_path: Path) -> None:
    first, second = card(tmp_path / "a", "mit"), card(tmp_path / "b", "apache-2.0")
    both = {"encoder": files("a", None, first), "decoder": files("b", None, second)}
    assert Origin("pair", both).licence == "encoder: mit, decoder: apache-2.0"
    assert (
        Origin("pair", {**both, "decoder": files("c", None)}).licence == "encoder: mit, decoder: not stated"
    )
    assert Origin("pair", {"encoder": files("c", None), "decoder": files("c", None)}).licence is None
    assert Origin("checkpoint", {"checkpoint": files("a", None, first)}).licence == "mit"


def test_only_a_checkpoint_has_a_revision_and_a_card() -> None:
    assert CHECKPOINT.single == files("a/b", COMMIT)
    assert PAIR.single is RANDOM.single is None
    assert CHECKPOINT.notes() == []


def test_layers_are_told_once() -> None:
    assert by_layer(["h.0.attn.weight", "h.11.attn.weight", "proj.bias", "conv.0"]) == (
        "conv.0",
        "h.*.attn.weight",
        "proj.bias",
    )


def documented(field: str) -> set[str]:
    """The fields that docs/bundle.md lists for an object of the manifest."""
    page = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    table = page.split(f"**`{field}`**", 1)[1].split("\n\n", 2)[1]
    return {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize("origin", [CHECKPOINT, PAIR, RANDOM])
def test_every_field_of_the_provenance_is_documented(origin: Origin) -> None:
    checkpoint: Any = SimpleNamespace(origin=origin)
    recorded = _provenance(checkpoint, ExportOptions(output=Path("bundle")), "passed", {"max_length": 64})
    assert recorded["changed_defaults"] == {"max_length": 64}
    # The one that an addition writes, and the one of weights that were not read as they are.
    assert set(recorded) | {"added", "weights"} == documented("provenance")
    assert not {"added", "weights"} & set(recorded)


def test_of_recordings_the_provenance_keeps_the_names() -> None:
    checkpoint: Any = SimpleNamespace(origin=CHECKPOINT)
    options = ExportOptions(output=Path("bundle"), audio=(Path("some/where/a.wav"), Path("b.wav")))
    recorded = _provenance(checkpoint, options, "passed", {})
    assert "changed_defaults" not in recorded
    assert recorded["options"]["audio"] == ["a.wav", "b.wav"]
    assert "where" not in json.dumps(recorded)
