"""Time from the click to the first frame and to the verdict, on photographs in a browser.

    python -m benchmarks.hunt_speed --out results/hunt.json

Starts the app and waits until the network's engine is chosen, then attacks each photograph of the
gallery with each number of pixels that the Attack page offers. Browser and app share the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from apr_core.base.files import write_whole
from apr_core.serving.gallery import gallery_file, load_gallery
from apr_core.serving.requests import PHOTOGRAPHS
from benchmarks.by_hand_speed import launch
from benchmarks.load.server import App
from benchmarks.race_speed import FRAMED, LONGEST, waits

PIXELS = (1, 16, 50, 150)
FRAME_AIM, END_AIM = 2.0, 20.0
"""Seconds."""
WARM_SECONDS = 60.0
"""What the choice of an engine may take on a server that has just started."""


@dataclass(frozen=True)
class Hunt:
    """A run of the default search; `status` says how it ended, times are in seconds."""

    index: int
    pixels: int
    status: str
    first_frame: float
    end: float


def hunt(page: Page, address: str, picture: int, pixels: int) -> Hunt:
    """Attack the gallery's photograph of that number."""
    page.goto(f"{address}/attack")
    page.get_by_role("radio", name="Photographs", exact=True).click()
    page.get_by_test_id(f"picker-{picture}").click()
    words = "1 pixel" if pixels == 1 else f"{pixels} pixels"
    page.get_by_role("radio", name=words, exact=True).click()
    page.wait_for_timeout(3000)
    began = time.monotonic()
    page.get_by_role("button", name="Hunt for the pixel").click()
    page.wait_for_function(FRAMED, polling=20, timeout=LONGEST)
    framed = time.monotonic() - began
    page.locator(".result[data-tone=held], .result[data-tone=fooled]").wait_for(timeout=LONGEST)
    ended = time.monotonic() - began
    status = page.get_by_test_id("player").get_attribute("data-status") or ""
    entry = load_gallery(gallery_file(PHOTOGRAPHS))[picture]
    return Hunt(entry.index, pixels, status, round(framed, 2), round(ended, 1))


def main(arguments: list[str] | None = None) -> int:
    """Attack every photograph with every number of pixels, and print or write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the record here")
    args = parser.parse_args(arguments)
    hunts: list[Hunt] = []
    with sync_playwright() as playwright, App() as app, launch(playwright) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        hunt(page, app.url, 0, 1)  # which loads the network and begins the choice of its engine
        page.wait_for_timeout(WARM_SECONDS * 1000)
        page.close()
        for picture in range(len(load_gallery(gallery_file(PHOTOGRAPHS)))):
            for pixels in PIXELS:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                hunts.append(hunt(page, app.url, picture, pixels))
                page.close()
                print(json.dumps(asdict(hunts[-1])), flush=True)
    if args.out:
        record = {
            "command": "python -m benchmarks.hunt_speed --out results/hunt.json",
            "hunts": [asdict(one) for one in hunts],
            **waits(hunts, FRAME_AIM, END_AIM),
        }
        write_whole(args.out, json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
