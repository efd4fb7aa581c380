"""export-s2t's command line: a checkpoint, a pair or a configuration alone, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from exporter.checkpoints.sources.kinds import CheckpointSource, PairSource, RandomWeightsSource, Source
from exporter.commands import export as cli_export
from exporter.commands.source_flags import source_options, take_source

HALVES = ["--encoder", "a/speech", "--decoder", "b/text"]


@click.command()
@source_options
@click.option("--other", default=1)
def command(**arguments: Any) -> tuple[Source, dict[str, Any]]:
    return take_source(arguments), arguments


@pytest.mark.parametrize(
    ("args", "source", "name"),
    [
        (["a/b"], CheckpointSource("a/b"), "b"),
        (["a/b", "--revision", "v2"], CheckpointSource("a/b", "v2"), "b"),
        (HALVES, PairSource("a/speech", "b/text"), "speech-text"),
        (
            [*HALVES, "--encoder-revision", "v1", "--decoder-revision", "v2", "--seed", "9"],
            PairSource("a/speech", "b/text", "v1", "v2", 9),
            "speech-text",
        ),
        (["--random-weights", "geometry"], RandomWeightsSource("geometry"), "geometry-random-weights"),
        (
            ["--random-weights", "a/b", "--revision", "v2", "--seed", "9"],
            RandomWeightsSource("a/b", "v2", 9),
            "b-random-weights",
        ),
    ],
)
def test_each_source(args: list[str], source: Source, name: str) -> None:
    assert command.main(args=args, standalone_mode=False) == (source, {"other": 1})
    assert source.bundle_name == name


def test_a_directory_gives_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CheckpointSource(".").bundle_name == tmp_path.name


def invoke(*args: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli_export.main, list(args))


ONE_OF = (
    "give one of: CHECKPOINT; a pair, --encoder MODEL --decoder MODEL; a configuration alone, --random-weights "
    "CONFIG_DIR"
)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], ONE_OF),
        (["a/b", *HALVES], ONE_OF),
        (["a/b", "--random-weights", "geometry"], ONE_OF),
        ([*HALVES, "--random-weights", "geometry"], ONE_OF),
        (HALVES[:2], "--encoder and --decoder go together: give both halves of the pair"),
        (HALVES[2:], "--encoder and --decoder go together: give both halves of the pair"),
        (
            [*HALVES, "--revision", "v2"],
            "--revision goes with one model: for a pair say --encoder-revision or --decoder-revision",
        ),
        (
            ["a/b", "--encoder-revision", "v1"],
            "--encoder-revision and --decoder-revision go with --encoder and --decoder",
        ),
        (
            ["--random-weights", "geometry", "--decoder-revision", "v1"],
            "--encoder-revision and --decoder-revision go with --encoder and --decoder",
        ),
        (["a/b", "--seed", "0"], "--seed goes with --random-weights or a pair: CHECKPOINT has its weights"),
        ([*HALVES, "--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
    ],
)
def test_wrong_usage_exits_with_2(args: list[str], message: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: {message}"


@pytest.mark.parametrize("option", ["--random-weights", "--encoder"])
def test_what_is_not_there_is_a_users_error(tmp_path: Path, option: str) -> None:
    rest = ["--decoder", str(tmp_path)] if option == "--encoder" else []
    result = invoke(option, str(tmp_path / "nowhere"), *rest, "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"export-s2t: error: {tmp_path / 'nowhere'} is neither a directory nor a model id: give "
    )
