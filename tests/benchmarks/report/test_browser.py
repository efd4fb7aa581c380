"""The page in a real browser: no errors on its console, all plots drawn, dark where the reader wants it dark."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.records.browser import BROWSERS, DARK, FOUND, LIGHT, browse
from support.records.latency_records import RECORDINGS, TASKS, latency_record

from benchmarks.report.page import page

PAGE_BACKGROUND = {LIGHT: (0xFB, 0xFB, 0xFA), DARK: (0x14, 0x17, 0x1B)}

pytestmark = pytest.mark.skipif(
    FOUND is None, reason=f"needs a browser, one of {', '.join(BROWSERS)}: apt-get install chromium"
)


def console(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return latency_record(tasks=(*TASKS, *RECORDINGS), repetitions=5)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profile")


def test_the_page_is_drawn_without_a_word_on_the_console(
    record: dict[str, Any], tmp_path: Path, profile: Path
) -> None:
    file = tmp_path / "latency.html"
    file.write_text(page(record), encoding="utf-8")
    done = browse(file, profile, "--dump-dom")
    assert console(done) == []
    dom = done.stdout.decode()
    pictures = re.findall(r"<svg.*?</svg>", dom, re.DOTALL)
    assert len(pictures) == file.read_text(encoding="utf-8").count("<svg ") > 20
    assert all("NaN" not in one and "Infinity" not in one for one in pictures)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_page_follows_the_readers_scheme(
    record: dict[str, Any], tmp_path: Path, profile: Path, scheme: int
) -> None:
    file, picture = tmp_path / "latency.html", tmp_path / "page.png"
    file.write_text(page(record), encoding="utf-8")
    options = (f"--blink-settings=preferredColorScheme={scheme}", "--window-size=640,480")
    done = browse(file, profile, *options, "--hide-scrollbars", f"--screenshot={picture}")
    assert console(done) == []
    assert first_pixel(picture) == PAGE_BACKGROUND[scheme]


def test_an_error_would_be_seen(record: dict[str, Any], tmp_path: Path, profile: Path) -> None:
    file = tmp_path / "latency.html"
    planted = '<img src="http://127.0.0.1:9/x.png"><script>throw new Error("planted")</script></body>'
    file.write_text(page(record).replace("</body>", planted), encoding="utf-8")
    said = console(browse(file, profile, "--dump-dom"))
    # The page's own policy refuses both.
    assert any("Executing inline script violates" in line or "inline script" in line for line in said)
    assert any("http://127.0.0.1:9/x.png" in line for line in said)


def first_pixel(path: Path) -> tuple[int, ...]:
    """Of a PNG without interlace: it has nothing to its left or above, so every filter leaves it as it is."""
    import struct
    import zlib

    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind == b"IDAT":
            packed += data[place + 8 : place + 8 + size]
        place += 12 + size
    return tuple(zlib.decompress(packed)[1:4])
