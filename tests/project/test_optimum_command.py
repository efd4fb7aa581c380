"""``optimum-cli export s2t`` from an installed wheel, and how it maps arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest
from support.packaging.built_wheel import build_wheel, install, make_environment, share_packages

EXPORT_HELP = ["--precision", "--force", "--revision", "--max-audio-seconds", "--encoder", "--random-weights"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("optimum")
    python = make_environment(directory / "environment")
    share_packages(python)
    install(python, "--no-deps", "--ignore-installed", str(build_wheel(directory)))
    return python


def optimum_cli(python: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "optimum.commands.optimum_cli", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)


def test_is_listed(python: Path, tmp_path: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "--help")
    assert done.returncode == 0, done.stderr
    assert "s2t" in done.stdout
    assert "SpeechEncoderDecoderModel" in done.stdout


def test_takes_the_options_of_export_s2t(python: Path, tmp_path: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "s2t", "--help")
    assert done.returncode == 0, done.stderr
    assert "optimum-cli export s2t [OPTIONS] [CHECKPOINT] OUTPUT" in done.stdout
    for option in EXPORT_HELP:
        assert option in done.stdout
    assert "--output" not in done.stdout


def test_optimum_is_not_shadowed(python: Path, tmp_path: Path) -> None:
    code = (
        "import optimum.version, optimum.commands.base, exporter, pathlib\n"
        "print(pathlib.Path(exporter.__file__).is_relative_to(pathlib.Path(__import__('sys').prefix)))"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"  # the wheel's exporter, not the source tree's


def test_a_missing_output_is_a_usage_error(python: Path, tmp_path: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "s2t")
    assert done.returncode == 2
    assert "Missing argument 'OUTPUT'" in done.stderr


def test_a_missing_source_is_a_usage_error(python: Path, tmp_path: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "s2t", "output")
    assert done.returncode == 2
    assert "give one of: CHECKPOINT; a pair, --encoder MODEL --decoder MODEL;" in done.stderr


def test_a_missing_checkpoint_gives_export_s2ts_error(python: Path, tmp_path: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "s2t", "no/such/place", "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("export-s2t: error: no/such/place is neither a directory")
    assert "Traceback" not in done.stderr


@pytest.mark.broad
def test_writes_a_bundle(python: Path, tmp_path: Path, digits_checkpoint: Path) -> None:
    done = optimum_cli(python, tmp_path, "export", "s2t", str(digits_checkpoint), "bundle", "--no-check")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle" / "manifest.json").is_file()


@click.command()
@click.argument("checkpoint", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--force", is_flag=True)
@click.option("--precision", multiple=True)
def export(**values: object) -> dict[str, object]:
    return values


@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "out", "--force", "--precision", "fp32"],
        ["--force", "in", "--precision", "fp32", "out"],
        ["--precision=fp32", "--force", "--", "in", "out"],
    ],
)
def test_options_may_stand_anywhere(arguments: list[str]) -> None:
    from optimum.commands.register.register_s2t import with_positional_output

    values = with_positional_output(export).main(args=arguments, standalone_mode=False)
    assert values == {"checkpoint": "in", "output": Path("out"), "force": True, "precision": ("fp32",)}


@pytest.mark.parametrize("arguments", [["out", "--force"], ["--force", "out"], ["--force", "--", "out"]])
def test_a_checkpoint_may_be_left_out(arguments: list[str]) -> None:
    """A pair and a configuration alone have none."""
    from optimum.commands.register.register_s2t import with_positional_output

    values = with_positional_output(export).main(args=arguments, standalone_mode=False)
    assert values == {"checkpoint": None, "output": Path("out"), "force": True, "precision": ()}


def test_a_third_argument_is_a_usage_error() -> None:
    from optimum.commands.register.register_s2t import with_positional_output

    with pytest.raises(click.UsageError, match=r"Got unexpected extra arguments \(more\)"):
        with_positional_output(export).main(args=["in", "more", "out"], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["in", "--vocab-from", "a", "out"], ("a",)),
        (["in", "out", "--vocab-from", "a", "b"], ("a", "b")),
        (["out", "--random-weights", "in", "--vocab-from", "a", "b"], ("a", "b")),
    ],
)
def test_a_list_of_files_leaves_the_output(arguments: list[str], texts: tuple[str, ...]) -> None:
    from exporter.commands.export import main
    from optimum.commands.register.register_s2t import with_positional_output

    values = with_positional_output(main).make_context("export", arguments).params
    assert (values["output"], values["vocab_from"]) == (Path("out"), tuple(map(Path, texts)))


def test_export_s2t_itself_is_left_as_it_was() -> None:
    from optimum.commands.register.register_s2t import with_positional_output

    with_positional_output(export)
    values = export.main(args=["in", "-o", "out"], standalone_mode=False)
    assert values["output"] == Path("out")


def test_optimums_configs_still_do_not_fit() -> None:
    """What docs/decisions.md says of them; once this fails they may have become useful."""
    from optimum.utils import NormalizedConfigManager
    from transformers import MBartConfig

    with pytest.raises(KeyError, match="speech-encoder-decoder model type is not supported"):
        NormalizedConfigManager.get_normalized_config_class("speech-encoder-decoder")
    decoder = MBartConfig(d_model=32, decoder_attention_heads=2, encoder_attention_heads=4)
    normalized = NormalizedConfigManager.get_normalized_config_class("mbart")(decoder)
    assert normalized.num_attention_heads == 4  # the encoder's; the decoder has 2
