"""What the wheel holds, and what it must not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from support.packaging.built_wheel import ROOT, build_wheel

PACKAGES = ("benchmarks", "exporter", "graphs", "s2t_runtime")
LARGEST_BYTES = 650_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }


def test_every_module_is_in_it_and_nothing_else(names: set[str]) -> None:
    source = {
        path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    source |= {f"{package}/py.typed" for package in PACKAGES if (ROOT / package / "py.typed").exists()}
    data = {"exporter/checkpoints/companions/known_languages.json", "benchmarks/report/latency.css"}
    assert names == source | data | {"optimum/commands/register/register_s2t.py"}


@pytest.mark.parametrize("package", ["exporter", "graphs", "s2t_runtime"])
def test_annotations_are_declared(names: set[str], package: str) -> None:
    assert f"{package}/py.typed" in names


def test_optimum_stays_a_namespace(names: set[str]) -> None:
    assert [name for name in names if name.startswith("optimum/")] == [
        "optimum/commands/register/register_s2t.py"
    ]


def test_licence_is_in_it(metadata: dict[str, str]) -> None:
    assert metadata["licenses/LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in metadata["METADATA"]


def test_base_dependencies_are_the_runtimes_alone(metadata: dict[str, str]) -> None:
    required = [line for line in metadata["METADATA"].splitlines() if line.startswith("Requires-Dist:")]
    base = {line.split()[1].split(">=")[0] for line in required if "extra ==" not in line}
    assert base == {"click", "numpy", "onnxruntime", "rich", "soundfile", "soxr", "tokenizers"}


def test_the_lowest_versions_are_the_bounds(metadata: dict[str, str]) -> None:
    """``make test-lowest`` tests what pyproject.toml promises."""
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    required = [line for line in metadata["METADATA"].splitlines() if line.startswith("Requires-Dist:")]
    bounds = dict(line.split()[1].split(">=") for line in required if "extra ==" not in line)

    def numbers(version: str) -> list[int]:
        found = [int(part) for part in version.split(".")]
        return [*found, 0, 0][:3]

    assert {name: numbers(version) for name, version in pinned.items()} == {
        name: numbers(version) for name, version in bounds.items()
    }


def test_commands_are_declared(metadata: dict[str, str]) -> None:
    for command in ("export-s2t", "check-s2t", "compile-s2t", "run-s2t", "doctor-s2t"):
        assert f"{command} = " in metadata["entry_points.txt"]


def test_is_small(wheel: Path) -> None:
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size} bytes")  # noqa: T201 - the figure itself is wanted; pytest -rP shows it
    assert size < LARGEST_BYTES
