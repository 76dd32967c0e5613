"""The page in a browser: figures are drawn, nothing is wider than the window, sorting works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.figures import figures_of
from autotrain.reporting.report.page import page_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, 1400)
# The page is inside frames of different widths. Only the frame's own script runs in it.
FRAMES = """<!doctype html><title>frames</title><body>
{frames}
<script>
const found = [];
const seen = setInterval(() => {{
  const pages = [...document.querySelectorAll("iframe")].map((frame) => frame.contentDocument);
  const roots = pages.map((page) => page?.documentElement);
  // A frame that is loading has no element yet.
  if (!roots.every((root) => root?.dataset?.figures || root?.dataset?.error)) return;
  clearInterval(seen);
  pages.forEach((page, place) => {{
    const column = (name) => [...page.querySelectorAll(`#trials td.${{name}}`)];
    const values = () => column("score").map((cell) => cell.dataset.value);
    page.querySelector("#trials th.score button").click();
    const rising = values();
    page.querySelector("#trials th.score button").click();
    found.push({{
      error: roots[place].dataset.error || "",
      plots: [...page.querySelectorAll(".plot")].map((plot) => plot.querySelectorAll("svg").length),
      scroll: roots[place].scrollWidth,
      width: roots[place].clientWidth,
      rising,
      falling: values(),
    }});
  }});
  const result = document.createElement("pre");
  result.textContent = JSON.stringify(found);
  document.body.append(result);
}}, 50);
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium")
    return found


def opened(browser: str, html: str, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Return facts about a page at each width, and the messages of the browser's console."""
    (folder / "report.html").write_text(html, encoding="utf-8")
    frames = "".join(
        f'<iframe src="report.html" style="width: {width}px; height: 900px; border: 0"></iframe>'
        for width in WIDTHS
    )
    (folder / "frames.html").write_text(FRAMES.format(frames=frames), encoding="utf-8")
    done = subprocess.run(
        [
            *(
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--dump-dom",
                "--hide-scrollbars",
            ),
            *("--allow-file-access-from-files", "--enable-logging=stderr"),
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=60000",
            "--window-size=1800,1000",
            (folder / "frames.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    result = re.search(r"<pre>(\[.*\])</pre>", done.stdout)
    assert result is not None, done.stdout[-2000:] + done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(result[1]), console


@pytest.mark.parametrize("name", ["class_facts", "number_facts"])
def test_figures_are_drawn_at_each_width_without_an_error(
    browser: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    facts: ReportFacts = request.getfixturevalue(name)
    figures = figures_of(facts)
    pages, console = opened(browser, page_of(facts, figures), tmp_path)
    assert console == ""
    assert [page["width"] for page in pages] == list(WIDTHS)
    for page in pages:
        assert page["error"] == ""
        assert len(page["plots"]) == len(figures)
        assert min(page["plots"]) > 0
        assert page["scroll"] == page["width"]
        known = [float(value) for value in page["rising"] if value]
        assert known == sorted(known)
        assert [float(value) for value in page["falling"] if value] == known[::-1]
