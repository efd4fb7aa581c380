"""cpp/ by its text: one table of sentences that says what Python says, one door to ONNX Runtime, true documents."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from support.places import ROOT

from s2t_runtime.options.refusals import REASONS

CPP = ROOT / "cpp"
SOURCES = sorted([*CPP.glob("src/**/*.[ch]*"), *CPP.glob("include/s2t/*.h"), *CPP.glob("programs/*.[ch]*")])


def _table() -> dict[str, object]:
    table: dict[str, object] = json.loads((CPP / "sentences.json").read_text(encoding="utf-8"))
    return table


def test_every_sentence_is_said_and_no_other() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    sentences = _table()["sentences"]
    assert isinstance(sentences, dict)
    assert [name for name in sentences if f'"{name}"' not in text] == []
    said = set(re.findall(r'say\("([a-z_.]+)"', text))
    assert said - set(sentences) == set()


def test_refused_options_have_the_reasons_of_python() -> None:
    assert _table()["refused_options"] == dict(REASONS)


def test_onnxruntime_is_included_by_one_header() -> None:
    assert [path.name for path in SOURCES if "onnxruntime" in _includes(path)] == ["onnx_values.h"]


def test_files_are_small() -> None:
    written = [path for folder in ("src", "include", "programs", "tests", "fuzz", "examples")
               for path in (CPP / folder).rglob("*.[ch]*")]  # fmt: skip
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in written}
    assert [name for name, text in lines.items() if len(text) > 300] == []
    assert [name for name, text in lines.items() if max(map(len, text)) > 120] == []


def test_public_headers_include_public_headers_only() -> None:
    for path in CPP.glob("include/s2t/*.h"):
        ours = re.findall(r'#include "(.*)"', path.read_text(encoding="utf-8"))
        assert all(name.startswith("s2t/") for name in ours), path.name
        assert "nlohmann" not in _includes(path)


def _includes(path: Path) -> str:
    return "\n".join(re.findall(r"#include.*", path.read_text(encoding="utf-8")))


def test_the_interface_fits_on_a_screen() -> None:
    model = (CPP / "include" / "s2t" / "model.h").read_text(encoding="utf-8")
    declared = model[model.index("class Model {") : model.index("private:")].splitlines()
    assert len(declared) <= 45


def test_cpp_md_quotes_the_example() -> None:
    example = (CPP / "examples" / "minimal.cpp").read_text(encoding="utf-8")
    assert len(example.splitlines()) < 40
    document = (ROOT / "docs" / "cpp.md").read_text(encoding="utf-8")
    assert f"```cpp\n{example}```" in document
    consumer = (CPP / "tests" / "consumer" / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f"```cmake\n{consumer}```" in document


def test_shell_scripts_are_well_formed() -> None:
    for path in CPP.rglob("*.sh"):
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
