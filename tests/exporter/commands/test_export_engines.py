"""export-s2t --engines: the build as the export's last stage."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.doubles.engine_builder import FakeTensorRt

from exporter.checkpoints.sources.kinds import Source
from exporter.commands import export as cli_export
from exporter.engines import build as engine_build
from exporter.engines import process as engine_process
from exporter.engines.options import AudioSpan, EngineOptions
from exporter.errors import EngineError
from exporter.options import ExportOptions
from exporter.pipeline.export_checkpoint import ExportResult
from s2t_runtime.bundles.bundle import open_bundle


def invoke(*args: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli_export.main, ["checkpoint", *map(str, args)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ExportOptions, EngineOptions | None]]:
    """The options of each run; nothing is exported."""
    asked: list[tuple[ExportOptions, EngineOptions | None]] = []

    def run(_: Source, options: ExportOptions, *, quiet: bool, engines: EngineOptions | None) -> None:
        asked.append((options, engines))

    monkeypatch.setattr(cli_export, "run", run)
    return asked


def test_no_engines_unless_asked_for(asked: list[tuple[ExportOptions, EngineOptions | None]]) -> None:
    assert invoke().exit_code == 0
    assert asked[0][1] is None


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ([], EngineOptions(flavour="tensorrt-rtx", precision="fp32")),
        (["--precision", "fp32,fp16"], EngineOptions(flavour="tensorrt-rtx")),
        (["--precision", "fp16"], EngineOptions(flavour="tensorrt-rtx")),
        (
            ["--max-audio-seconds", "45"],
            EngineOptions(flavour="tensorrt-rtx", precision="fp32", max_audio_s=45.0),
        ),
        (
            ["--max-audio-seconds", "45", "--profile", "short:1-5s"],
            EngineOptions(flavour="tensorrt-rtx", precision="fp32", spans=(AudioSpan("short", 1, 5),)),
        ),
        (
            ["--targets", "portable", "--max-batch", "1", "--max-length", "64", "--first-step-engine"],
            EngineOptions(
                flavour="tensorrt-rtx",
                precision="fp32",
                targets=(),
                max_batch=1,
                max_length=64,
                first_step=True,
            ),
        ),
    ],
)
def test_the_same_options_as_compile_s2t(
    asked: list[tuple[ExportOptions, EngineOptions | None]], args: list[str], options: EngineOptions
) -> None:
    assert invoke("--engines", "tensorrt-rtx", *args).exit_code == 0
    assert asked[0][1] == options


def test_options_of_a_build_without_engines() -> None:
    result = invoke("--targets", "sm86", "--max-beams", 3)
    assert result.exit_code == 2
    assert "Error: only with --engines FLAVOUR: --targets, --max-beams" in result.stderr


def test_an_option_that_is_out_of_range() -> None:
    result = invoke("--engines", "tensorrt-rtx", "--targets", "ampere")
    assert result.exit_code == 1
    assert result.stderr == (
        "export-s2t: error: target ampere is none: name compute capabilities like sm86,sm89, or portable alone\n"
    )


@pytest.fixture
def exported(digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    """An export that is made at once, and a TensorRT-RTX that builds at once."""
    monkeypatch.chdir(tmp_path)

    def export(_: Source, options: ExportOptions, *, on_stage: Callable[[str], None]) -> ExportResult:
        on_stage("export encoder")
        shutil.copytree(digits_bundle, options.output)
        manifest = open_bundle(options.output).manifest
        manifest = dataclasses.replace(manifest, languages={})
        return ExportResult(options.output, manifest, (), {})

    fake = FakeTensorRt(open_bundle(digits_bundle).manifest)
    monkeypatch.setattr("exporter.pipeline.export_checkpoint.export_checkpoint", export)
    monkeypatch.setattr(engine_build, "ask", fake)
    monkeypatch.setattr(engine_build, "choose_flavour", lambda asked: asked)
    monkeypatch.setattr(engine_process, "missing_modules", lambda _: [])
    return fake


def test_it_ends_with_the_table_of_plans(exported: FakeTensorRt) -> None:
    result = invoke("--engines", "tensorrt-rtx")
    assert result.exit_code == 0
    assert exported.built() == ["encoder", "decoder_with_past"]
    export, _, engines = result.stdout.partition("check profiles and targets")
    assert "next: run-s2t checkpoint AUDIO.wav\n" in export
    assert [name for name in ("encoder", "decoder_with_past") if f"│ {name}" not in engines] == []
    assert engines.endswith("next: run-s2t checkpoint AUDIO.wav --provider tensorrt --precision fp32\n")
    assert "this machine can" in engines


def test_a_failed_build_leaves_the_bundle(exported: FakeTensorRt) -> None:
    exported.error = EngineError("tensorrt-rtx cannot build encoder: why")
    result = invoke("--engines", "tensorrt-rtx", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == (
        "export-s2t: error: tensorrt-rtx cannot build encoder: why; the bundle checkpoint is whole, without engines: "
        "compile-s2t builds them any time\n"
    )
    open_bundle(Path("checkpoint"))


def test_a_missing_flavour_shows_before_the_export(
    exported: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "missing_modules", lambda _: ["tensorrt_rtx"])
    result = invoke("--engines", "tensorrt-rtx")
    assert result.exit_code == 1
    assert result.stderr == (
        'export-s2t: error: tensorrt_rtx not installed; run: pip install "export-s2t[tensorrt-rtx]"\n'
    )
    assert not Path("checkpoint").exists()
