"""export-s2t: flags, progress, the closing table, and how each kind of failure ends the command."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from support.doubles.small_bundles import export
from support.places import ROOT

from exporter.checkpoints.sources.kinds import FETCH_STAGES, CheckpointSource, Source
from exporter.commands import export as cli_export
from exporter.commands.console import StageLines, quiet_libraries
from exporter.errors import CheckpointError, OutputError, UnsupportedModelError
from exporter.options import ExportOptions
from exporter.parity.decodings import GenerateRow
from exporter.parity.graphs import GraphRow
from exporter.parity.report import ParityReport
from exporter.pipeline.export_checkpoint import ExportResult
from s2t_runtime.bundles.bundle import open_bundle

HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "huggingface_hub", "rich", "numpy")


def report(*, ties: int = 0) -> ParityReport:
    rows = [GenerateRow("probe", {}, 1, 4, number >= ties, number < ties, 2e-6, "") for number in range(24)]
    return ParityReport("fp32", "cpu", {}, [GraphRow("logits", 0, 0, 0, 1, 1, passed=True)], rows)


@dataclass
class FakeExport:
    """Notes what it was asked, announces two stages, and gives a bundle or an error."""

    bundle: Path
    error: BaseException | None = None
    parity: tuple[ParityReport, ...] = (report(),)
    languages: dict[str, int] = field(default_factory=lambda: {"de": 4, "cy": 9})
    licence: str | None = "apache-2.0"
    notes: tuple[str, ...] = ()
    calls: list[tuple[Source, ExportOptions]] = field(default_factory=list)

    def __call__(
        self, source: Source, options: ExportOptions, *, on_stage: Callable[[str], None]
    ) -> ExportResult:
        self.calls.append((source, options))
        on_stage("load checkpoint")
        if self.error is not None:
            raise self.error
        on_stage("export encoder")
        manifest = open_bundle(self.bundle).manifest
        model = dataclasses.replace(
            manifest.model, id="owner/model", parameters=2_592_156, licence=self.licence
        )
        manifest = dataclasses.replace(manifest, model=model, languages=self.languages)
        return ExportResult(options.output, manifest, self.parity, {}, self.notes)

    @property
    def options(self) -> ExportOptions:
        (call,) = self.calls
        return call[1]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeExport:
    export(tmp_path / "made")
    fake = FakeExport(tmp_path / "made")
    monkeypatch.setattr("exporter.pipeline.export_checkpoint.export_checkpoint", fake)
    monkeypatch.setattr("exporter.versions.untested_versions", list)
    return fake


def invoke(*args: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli_export.main, list(args))


# What reaches export_checkpoint.


def test_the_defaults_are_those_of_python(fake: FakeExport) -> None:
    assert invoke("some/checkpoint").exit_code == 0
    assert fake.calls == [(CheckpointSource("some/checkpoint"), ExportOptions(output=Path("checkpoint")))]


def test_a_directory_gives_the_output_its_name(
    fake: FakeExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    invoke(".")
    assert fake.options.output == Path(tmp_path.name)


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["-o", "out/here"], "output", Path("out/here")),
        (["--output", "out"], "output", Path("out")),
        (["--precision", "fp32"], "precisions", ("fp32",)),
        (["--max-new-tokens", "60"], "max_new_tokens", 60),
        (["--num-beams", "5"], "num_beams", 5),
        (["--max-audio-seconds", "12.5"], "max_audio_s", 12.5),
        (["--languages", "codes.json"], "languages", Path("codes.json")),
        (["--audio", "a.wav", "--audio", "b.wav"], "audio", (Path("a.wav"), Path("b.wav"))),
        (["--vocab-from", "a.txt", "--vocab-from", "b.txt"], "vocab_from", (Path("a.txt"), Path("b.txt"))),
        (["--vocab-from", "a.txt", "b.txt"], "vocab_from", (Path("a.txt"), Path("b.txt"))),
        (["--audio", "a.wav", "b.wav", "--quiet"], "audio", (Path("a.wav"), Path("b.wav"))),
        (["--vocab-tokens", "ids.json"], "vocab_tokens", Path("ids.json")),
        (["--no-check"], "check", False),
        (["--check"], "check", True),
        (["--force"], "force", True),
        (["--tokenizer", "there"], "tokenizer", "there"),
        (["--feature-extractor", "a/b"], "feature_extractor", "a/b"),
        (["--normalize"], "normalize", True),
        (["--no-normalize"], "normalize", False),
        (["--ignore-weights", "aux.*, ctc.bias"], "ignored_weights", ("aux.*", "ctc.bias")),
        (["--ignore-generation-option", "a"], "ignored_generation_options", frozenset("a")),
        (["--ignore-generation-option", "a, b,,"], "ignored_generation_options", frozenset("ab")),
        (
            ["--ignore-generation-option", "a,b", "--ignore-generation-option", "c"],
            "ignored_generation_options",
            frozenset("abc"),
        ),
    ],
)
def test_each_flag(fake: FakeExport, args: list[str], name: str, value: Any) -> None:
    assert invoke("some/model", *args).exit_code == 0
    expected = dataclasses.replace(ExportOptions(output=Path("model")), **{name: value})
    assert fake.options == expected


def test_two_lists_of_files(fake: FakeExport) -> None:
    assert invoke("model", "--audio", "a", "b", "--vocab-from", "c", "d", "e").exit_code == 0
    assert fake.options.audio == (Path("a"), Path("b"))
    assert fake.options.vocab_from == (Path("c"), Path("d"), Path("e"))


@pytest.mark.parametrize(
    "source", [["--random-weights", "config"], ["--encoder", "first", "--decoder", "second"]]
)
def test_a_list_of_files_behind_another_source(fake: FakeExport, source: list[str]) -> None:
    assert invoke(*source, "--vocab-from", "a", "b", "-o", "out").exit_code == 0
    assert fake.options.vocab_from == (Path("a"), Path("b"))


def test_a_list_of_files_before_the_checkpoint_ends_with_its_first(fake: FakeExport) -> None:
    assert invoke("--vocab-from", "a", "some/model").exit_code == 0
    assert fake.calls[0][0] == CheckpointSource("some/model")
    assert fake.options.vocab_from == (Path("a"),)


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ([], "give one of: CHECKPOINT; a pair, --encoder MODEL --decoder MODEL; a configuration alone, "),
        (["model", "--nonsense"], "No such option"),
        (["model", "--num-beams", "0"], "0 is not in the range x>=1"),
        (["model", "--max-new-tokens", "-1"], "-1 is not in the range x>=1"),
        (["model", "--max-audio-seconds", "long"], "'long' is not a valid float"),
        (["model", "another"], "unexpected extra argument"),
        (["--vocab-from", "a.txt", "b.txt", "model"], "unexpected extra argument (model)"),
        (["model", "--vocab-from", "a.txt", "--", "b.txt"], "unexpected extra argument (b.txt)"),
    ],
)
def test_wrong_usage_exits_with_2(fake: FakeExport, args: list[str], shown: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert shown in result.stderr
    assert fake.calls == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--precision", "fp32,fp12", "--precision", "int1"],
            "precision fp12, int1 is not available; this version writes fp32, fp16, int8",
        ),
        (["--precision", ","], "precision (none) is not available; this version writes fp32, fp16, int8"),
        (["--precision", "fp32,fp32"], "precisions fp32, fp32 name one twice: name each once"),
        (["--max-audio-seconds", "0"], "max_audio_s is 0.0; it must be a positive number of seconds"),
        (["--max-audio-seconds", "nan"], "max_audio_s is nan; it must be a positive number of seconds"),
    ],
)
def test_options_that_cannot_be_met_exit_with_1(fake: FakeExport, args: list[str], message: str) -> None:
    result = invoke("model", *args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"export-s2t: error: {message}\n"
    assert fake.calls == []


# What is printed.


def test_the_stages_are_plain_lines_where_there_is_no_terminal(fake: FakeExport) -> None:
    lines = invoke("model").stdout.splitlines()
    assert [line.rsplit("  ", 1)[0] for line in lines[:2]] == ["load checkpoint", "export encoder"]
    assert all(line.endswith(" s") for line in lines[:2])


def test_the_closing_table(fake: FakeExport) -> None:
    lines = invoke("model", "-o", "out").stdout.splitlines()
    rows = {cells[1].strip(): cells[2].strip() for line in lines if len(cells := line.split("│")) == 4}
    assert rows == {
        "fp32/decoder_first_step.onnx": "22 B",
        "fp32/decoder_with_past.onnx": "21 B",
        "fp32/encoder.onnx": "11 B",
        "in all": "54 B",
    }
    assert lines[-4:] == [
        "parity fp32: 24 of 24 decodings with identical tokens, 0 ties, largest score difference 2.0e-06",
        "model: owner/model, 2,592,156 parameters",
        "licence: apache-2.0",
        "next: run-s2t out AUDIO.wav --language cy",
    ]


def test_a_restricted_vocabulary_is_counted(fake: FakeExport) -> None:
    path = fake.bundle / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["format_version"] = 3
    document["decoder"].update(
        vocab_size=250054, output_vocabulary={"path": "output_vocabulary.bin", "count": 30000}
    )
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "vocabulary: the decoder writes 30,000 of 250,054 tokens" in invoke("model").stdout.splitlines()


def test_ties_are_counted(fake: FakeExport) -> None:
    fake.parity = (report(ties=1),)
    assert "parity fp32: 23 of 24 decodings with identical tokens, 1 ties" in invoke("model").stdout


def test_what_is_not_known_is_said(fake: FakeExport) -> None:
    fake.parity, fake.languages, fake.licence = (), {}, None
    lines = invoke("model", "--no-check").stdout.splitlines()
    assert "parity: not checked (--no-check); check-s2t does it any time" in lines
    assert "licence: not stated by the checkpoint" in lines
    assert lines[-1] == "next: run-s2t model AUDIO.wav"


def test_the_next_command_can_be_typed_as_it_is(fake: FakeExport) -> None:
    lines = invoke("model", "-o", "my [b]bundles[/b]/:smile: one").stdout.splitlines()
    assert lines[-1] == "next: run-s2t 'my [b]bundles[/b]/:smile: one' AUDIO.wav --language cy"
    assert any(line.strip() == "my [b]bundles[/b]/:smile: one" for line in lines)


def test_quiet(fake: FakeExport) -> None:
    result = invoke("model", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("args", [[], ["--quiet"]])
def test_what_must_not_be_overlooked_is_said_even_when_quiet(fake: FakeExport, args: list[str]) -> None:
    fake.notes = ("the cross-attention is untrained",)
    result = invoke("model", *args)
    assert (result.exit_code, result.stderr) == (
        0,
        "export-s2t: note: the cross-attention is untrained\n",
    )


@pytest.mark.parametrize("args", [[], ["--quiet"]])
def test_untested_versions_are_warned_of(
    fake: FakeExport, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setattr("exporter.versions.untested_versions", lambda: ["torch 9 is installed"])
    result = invoke("model", *args)
    assert (result.exit_code, result.stderr) == (0, "export-s2t: warning: torch 9 is installed\n")


# Bars.


@pytest.mark.parametrize(
    ("terminal", "quiet", "shown"), [(1, 0, True), (1, 1, False), (0, 0, False), (0, 1, False)]
)
def test_the_hubs_bars_show_on_a_terminal_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, terminal: int, quiet: int, shown: bool
) -> None:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars

    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: bool(terminal)))
    enable_progress_bars()
    quiet_libraries(quiet=bool(quiet))
    try:
        assert are_progress_bars_disabled() != shown
    finally:
        enable_progress_bars()


def test_the_libraries_own_warnings_are_left_out_and_others_are_not() -> None:
    code = "import warnings\nwarnings.warn('of ' + __name__)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_libraries(quiet=True)
        for module in (
            "transformers.generation.utils",
            "peft.utils",
            "torch.onnx",
            "transformers_of_mine",
            "mine",
        ):
            exec(code, {"__name__": module})  # noqa: S102 - what is run stands above
    assert [str(one.message) for one in caught] == ["of transformers_of_mine", "of mine"]


def test_the_spinner_stands_back_while_the_hub_draws_its_bars() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    stages = StageLines(console, quiet=False)
    shown = []
    for name in (*FETCH_STAGES, "load checkpoint"):
        stages(name)
        shown.append(bool(console._live_stack))
    stages.finish()
    assert shown == [False, False, True]


# Failures.


@pytest.mark.parametrize(
    "error", [CheckpointError("no such checkpoint"), OutputError("model exists already")]
)
def test_a_users_error_is_one_line(fake: FakeExport, error: Exception) -> None:
    fake.error = error
    result = invoke("model")
    assert result.exit_code == 1
    assert result.stderr == f"export-s2t: error: {error}\n"


def test_every_reason_against_a_model_is_listed(fake: FakeExport) -> None:
    fake.error = UnsupportedModelError("model", ["one", "two"])
    assert invoke("model").stderr == "export-s2t: error: model cannot be exported:\n  - one\n  - two\n"


def test_a_bug_keeps_its_traceback(fake: FakeExport) -> None:
    fake.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        invoke("model")


def test_an_interrupt(fake: FakeExport) -> None:
    fake.error = KeyboardInterrupt()
    result = invoke("model")
    assert (result.exit_code, result.stderr) == (130, "export-s2t: interrupted; nothing was written\n")


def test_a_missing_checkpoint_end_to_end(tmp_path: Path) -> None:
    result = invoke(str(tmp_path / "nowhere"), "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"export-s2t: error: {tmp_path / 'nowhere'} is neither a directory nor")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_seen_before_the_checkpoint_is_read(tmp_path: Path) -> None:
    result = invoke(str(tmp_path / "nowhere"), "-o", str(tmp_path))
    assert result.stderr == (
        f"export-s2t: error: {tmp_path.name} exists already: choose another --output, or replace it with --force\n"
    )


def test_a_missing_extra_gives_the_one_line_to_install(
    fake: FakeExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in {"torch", "onnx"} else find_spec(name)
    )
    result = invoke("model")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ('export-s2t: torch, onnx not installed; run: pip install "export-s2t[export]"\n')
    assert fake.calls == []


@pytest.mark.parametrize("module", ["export", "check"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        "import sys\n"
        f"from exporter.commands.{module} import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert done.stderr == "[]\n"
