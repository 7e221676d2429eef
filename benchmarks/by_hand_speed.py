"""Latency in a browser from a click on a pixel to the first movement of the bars, on a running app.

    make run &
    python -m benchmarks.by_hand_speed [http://127.0.0.1:8501]

The clicks alternate between the gallery's winning pixel and another, so that each moves the bars.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from importlib.metadata import version

import torch
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from apr_core.base.provenance import environment
from apr_core.serving.gallery import load_gallery

CLICKS, WARM_UP = 10, 2
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WATCH = """(section) => {
  const widths = () => [...section.querySelectorAll(".fill")]
    .map((fill) => fill.getBoundingClientRect().width.toFixed(1)).join();
  window.moved = [];
  document.addEventListener("pointerdown", () => {
    const [start, before] = [performance.now(), widths()];
    const look = () => {
      const now = performance.now() - start;
      if (widths() !== before) window.moved.push(now);
      else if (now < 10_000) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, true);
}"""
"""JavaScript: at every click, the milliseconds to the first frame with a bar of another width."""


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium."""
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)


def measure(page: Page, address: str) -> list[float]:
    """Milliseconds from each click to the first frame with a bar moved."""
    entry = next(entry for entry in load_gallery() if entry.kind == "flips")
    edit = entry.outcome.edits[0]
    page.goto(f"{address}/hand?model={entry.model}&index={entry.index}")
    canvas, bars = page.get_by_test_id("canvas-picture"), page.get_by_test_id("bars")
    canvas.wait_for()
    page.wait_for_timeout(3000)
    bars.evaluate(WATCH)
    box = canvas.bounding_box()
    assert box is not None
    for number in range(CLICKS + WARM_UP):
        x, y = (edit.x, edit.y) if number % 2 == 0 else (1, 1)
        cell = box["width"] / 32
        canvas.click(position={"x": (x + 0.5) * cell, "y": (y + 0.5) * cell})
        page.wait_for_function(f"window.moved.length > {number}")
        page.wait_for_timeout(1000)
    times: list[float] = page.evaluate("window.moved")
    return times[WARM_UP:]


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8501"
    with sync_playwright() as playwright:
        browser = launch(playwright)
        times = measure(browser.new_page(), address)
        chromium = browser.version
        browser.close()
    here = environment(torch.device("cpu"))
    print(
        f"click to bars moving: median {statistics.median(times):.0f} ms "
        f"({min(times):.0f} to {max(times):.0f}), n = {len(times)}; load {os.getloadavg()[0]:.1f}, "
        f"streamlit {version('streamlit')}, Chromium {chromium}; {json.dumps(here)}"
    )


if __name__ == "__main__":
    main()
