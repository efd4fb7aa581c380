"""Two checkouts that share an environment: whoever comes second hears of it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

import pytest
from support.checkout import another_checkout, editable_checkout
from support.places import ROOT


def direct_url(path: Path, *, editable: bool) -> str:
    return json.dumps({"url": path.as_uri(), "dir_info": {"editable": editable}})


class Distribution:
    def __init__(self, text: str | None) -> None:
        self._text = text

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._text


def test_these_tests_test_this_checkout() -> None:
    assert another_checkout(ROOT) is None


def test_an_environment_of_another_checkout_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "the first", tmp_path / "second"
    installed = Distribution(direct_url(first, editable=True))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: installed)
    assert another_checkout(first) is None
    assert another_checkout(second) == (
        f"this environment's commands run the checkout {first}, but the tests are of {second}: give this checkout an "
        "environment of its own (make VENV=path), or take that one over with pip install -e ."
    )


@pytest.mark.parametrize("text", [None, direct_url(Path("/wheels/one.whl"), editable=False)])
def test_a_wheel_is_nobodys(text: str | None) -> None:
    assert editable_checkout(text) is None


def make(environment: Path) -> subprocess.CompletedProcess[str]:
    """Ask whose an environment is; nothing is installed. What a ``make test`` around this one was told stays out."""
    command = ["make", "same-checkout", f"VENV={environment}"]
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)


def test_make_does_not_take_an_environment_over_in_silence(tmp_path: Path) -> None:
    stamp = tmp_path / ".installed"
    assert make(tmp_path).returncode == 0  # there is none yet
    stamp.write_text(f"{tmp_path / 'moved away'}\n", encoding="utf-8")
    assert make(tmp_path).returncode == 0  # nobody's any more
    stamp.write_text(f"{ROOT}\n", encoding="utf-8")
    assert make(tmp_path).returncode == 0
    (tmp_path / "first").mkdir()
    stamp.write_text(f"{tmp_path / 'first'}\n", encoding="utf-8")
    done = make(tmp_path)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        f"{tmp_path} belongs to the checkout {tmp_path / 'first'}, whose code its commands run, and this is {ROOT}: "
        f"give this checkout an environment of its own (make VENV=path), or remove {stamp} to take that one over"
    )


def test_every_goal_that_installs_asks_first() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\n$(STAMP): pyproject.toml constraints.txt | same-checkout\n" in text
