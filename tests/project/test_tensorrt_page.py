"""docs/tensorrt.md: its commands parse, those that need no GPU run, and they print what is shown."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from support.places import ROOT

from exporter import polygraphy_inputs
from exporter.commands import compile as cli_compile
from exporter.commands import export as cli_export
from s2t_runtime.commands import doctor as cli_doctor
from s2t_runtime.commands import run as cli_run

PAGE = (ROOT / "docs" / "tensorrt.md").read_text(encoding="utf-8")
NEEDS_GPU, INSTALLS = "# needs a GPU", "# installs"
COMMANDS: dict[str, click.Command] = {
    "export-s2t": cli_export.main,
    "compile-s2t": cli_compile.main,
    "run-s2t": cli_run.main,
    "doctor-s2t": cli_doctor.main,
    "exporter.polygraphy_inputs": polygraphy_inputs.main,
}
needs_tensorrt_rtx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorrt_rtx", "polygraphy")),
    reason="TensorRT-RTX and Polygraphy are not installed",
)


@dataclass(frozen=True)
class Shown:
    """A command of the page and the lines below it."""

    line: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)


def _commands() -> Iterator[Shown]:
    text = PAGE.replace("\\\n", "")
    for block in re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE):
        lines = [line[4:] for line in block.splitlines()]
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in itertools.pairwise([*starts, len(lines)]):
            yield Shown(lines[start][2:], tuple(lines[start + 1 : end]))


SHOWN = tuple(_commands())
HERE = tuple(shown for shown in SHOWN if NEEDS_GPU not in shown.line and INSTALLS not in shown.line)
EXPORTS = tuple(shown for shown in HERE if shown.words[0] == "export-s2t")


def test_the_page_is_read() -> None:
    assert len(SHOWN) > 15
    assert {shown.words[0] for shown in SHOWN if NEEDS_GPU in shown.line} == {
        "run-s2t", "POLYGRAPHY_USE_TENSORRT_RTX=1"
    }  # fmt: skip
    assert len(EXPORTS) == 1


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.line[:60])
def test_our_commands_parse(shown: Shown) -> None:
    words = shown.words
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    if words[0] in COMMANDS:
        COMMANDS[words[0]].make_context(words[0], words[1:])
    for value in (
        word.partition("=")[2] for word in words if word.startswith(f"{polygraphy_inputs.VARIABLE}=")
    ):
        polygraphy_inputs.main.make_context("S2T_INPUTS", shlex.split(value))


def test_the_options_of_compile_s2t_are_all_in_the_table() -> None:
    table = PAGE.split("## compile-s2t")[1].split("**Targets.**")[0]
    named = set(re.findall(r"^\| `(--[a-z-]+)", table, flags=re.MULTILINE))
    declared = {flag for option in cli_compile.main.params for flag in option.opts if flag.startswith("--")}
    assert named == declared


def test_every_provider_is_in_the_table() -> None:
    from s2t_runtime.sessions.open import PROVIDERS

    named = re.findall(r"^\| `([a-z-]+)` \|", PAGE.split("| provider |")[1], flags=re.MULTILINE)
    assert set(named[: len(PROVIDERS)]) == set(PROVIDERS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands run: with our commands, a recording and the example, but no bundle yet."""
    path = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "examples/digits/recordings/several_digits_427.wav", path / "speech.wav")
    (path / "examples").symlink_to(ROOT / "examples")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    programs = {name: target.replace(":main", "") for name, target in scripts.items()}
    (path / "bin").mkdir()
    for name, module in programs.items():
        call = f"from {module} import main; main(prog_name='{name}')"
        write_program(path / "bin" / name, f'-c "{call}"')
    write_program(path / "bin" / "python", "")
    write_program(path / "bin" / "polygraphy", '-c "import sys, polygraphy.tools as t; sys.exit(t.main())"')
    return path


def write_program(path: Path, arguments: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def run(shown: Shown, directory: Path) -> None:
    """Run a command of the page; every line that is shown stands in what it prints, but for the figures."""
    done = subprocess.run(
        ["bash", "-c", shown.line],
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert [line for line in shown.output if plain(line) not in plain(printed)] == [], printed


def plain(text: str) -> str:
    """Without what differs from machine to machine: numbers, units of sizes, width of columns."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "#", text)).strip()


def test_figures_and_columns_are_all_that_may_differ() -> None:
    assert plain("│ encoder │  10.1 MB │") == plain("│ encoder  │ 9.0 MB │")
    assert plain("built in 2 s") != plain("reused in 2 s")


@pytest.mark.broad
@needs_tensorrt_rtx
def test_the_commands_print_what_is_shown(directory: Path, digits_fp16_bundle: Path) -> None:
    shutil.copytree(digits_fp16_bundle, directory / "bundle")
    for shown in HERE:
        if shown not in EXPORTS:
            run(shown, directory)


@pytest.mark.broad
@needs_tensorrt_rtx
def test_from_a_checkpoint_to_engines(directory: Path) -> None:
    for shown in EXPORTS:
        run(shown, directory)
