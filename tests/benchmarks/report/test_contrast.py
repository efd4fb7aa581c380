"""The plots can be read in light and in dark: what is computed by a real browser, against what lies behind it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.records.browser import DARK, FOUND, LIGHT, browse
from support.records.latency_records import RECORDINGS, TASKS, latency_record

from benchmarks.report.page import page

TEXT, LINES = 4.5, 3.0
"""Least contrast of text and of what a reader must see besides: WCAG 2.2, success criteria 1.4.3 and 1.4.11."""
SCRIPT = """
document.querySelectorAll("details").forEach(one => { one.open = true; });
const behind = (one) => {
  const box = one.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  const within = [...one.closest("svg").querySelectorAll(".segment")].filter(shape => {
    const area = shape.getBoundingClientRect();
    return area.left <= x && x <= area.right && area.top <= y && y <= area.bottom;
  });
  if (one.matches("text") && within.length) return getComputedStyle(within.at(-1)).fill;
  for (let at = one.closest("svg"); at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "none";
};
const found = [];
for (const one of document.querySelectorAll("svg text")) {
  found.push(["text", one.getAttribute("class"), getComputedStyle(one).fill, behind(one)]);
}
for (const one of document.querySelectorAll("svg .line, svg .mark, svg .median")) {
  found.push(["line", one.getAttribute("class"), getComputedStyle(one).stroke, behind(one)]);
}
const list = document.createElement("pre");
list.id = "found";
list.textContent = JSON.stringify([...new Set(found.map(one => JSON.stringify(one)))].map(one => JSON.parse(one)));
document.body.append(list);
"""

pytestmark = pytest.mark.skipif(FOUND is None, reason="needs a browser: apt-get install chromium")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return latency_record(tasks=(*TASKS[:4], *RECORDINGS), repetitions=5)


def luminance(colour: tuple[float, ...]) -> float:
    """Relative, as WCAG has it; of red, green and blue in 0 .. 255."""
    parts = [value / 255 for value in colour]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Ratio of two colours without transparency, as a browser writes them."""
    found = []
    for colour in (one, other):
        assert re.fullmatch(r"rgb\(\d+, \d+, \d+\)", colour), colour
        found.append(luminance(tuple(map(float, re.findall(r"\d+", colour)))))
    return (max(found) + 0.05) / (min(found) + 0.05)


def painted(text: str, directory: Path, scheme: int) -> list[tuple[str, str, str, str]]:
    """Kind, class, colour and what is behind of all text and lines of the page's plots."""
    # The page's own policy refuses every script, this one too.
    allowed, policies = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert policies == 1
    file = directory / "latency.html"
    file.write_text(allowed.replace("</body>", f"<script>{SCRIPT}</script></body>"), encoding="utf-8")
    done = browse(
        file, directory / "profile", f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom"
    )
    listed = re.search(r'<pre id="found">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert listed
    return [tuple(one) for one in json.loads(html.unescape(listed[1]))]


def unreadable(found: list[tuple[str, str, str, str]]) -> list[tuple[str, float]]:
    least = {"text": TEXT, "line": LINES}
    ratios = [(f"{kind} {name}", contrast(colour, back), least[kind]) for kind, name, colour, back in found]
    return [(name, ratio) for name, ratio, wanted in ratios if ratio < wanted]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_of_the_plots_can_be_read(record: dict[str, Any], tmp_path: Path, scheme: int) -> None:
    found = painted(page(record), tmp_path, scheme)
    # Names, quality, ticks, titles of axes, and shares within bars of every colour that has room for them.
    classes = {name for kind, name, *_ in found if kind == "text"}
    assert {"name", "quality", "tick", "axis", "end"} <= classes
    assert any("on" in str(name).split()[-1] for name in classes)
    assert {name.split()[0] for kind, name, *_ in found if kind == "line"} == {"line", "mark", "median"}
    assert unreadable(found) == []


def test_text_that_cannot_be_read_would_be_seen(record: dict[str, Any], tmp_path: Path) -> None:
    pale = page(record).replace("--muted: #5c6570", "--muted: #c0c6cc")
    assert {name for name, _ in unreadable(painted(pale, tmp_path, LIGHT))} >= {"text tick", "line mark"}


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.01)
