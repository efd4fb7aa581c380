"""README's claims: its Python snippet runs, and its demo output is what the commands print."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_snippet_runs(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet
    (tmp_path / "bundle").symlink_to(digits_bundle)
    shutil.copy(ROOT / "examples/digits/recordings/several_digits_427.wav", tmp_path / "speech.wav")
    monkeypatch.chdir(tmp_path)

    exec(compile(snippet[1], "README.md", "exec"), {})  # noqa: S102 - that is the test

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("vierhundertsiebenundzwanzig ")


def test_demo_output_is_what_the_bundle_says(digits_bundle: Path) -> None:
    import s2t_runtime

    shown = README.split("<!-- demo: begin -->")[1].split("<!-- demo: end -->")[0]
    recordings = sorted((ROOT / "examples/digits/recordings").glob("*.wav"))
    assert recordings
    with s2t_runtime.load(digits_bundle) as model:
        for language in ("de", "cy"):
            for recording in recordings:
                result = model.generate(recording, language=language)
                line = f"{recording.relative_to(ROOT).as_posix()}: {result.text}  ({language}, score "
                assert line in shown


def test_commands_that_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in re.findall(r"^    make ([a-z-]+)$", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
