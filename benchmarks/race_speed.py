"""Duration of a race of five models in a browser, on every picture of the gallery.

    python -m benchmarks.race_speed --out results/race.json

Starts the app, chooses each picture on the Compare page, presses **Race**, and waits for the first
frame and for the end. Browser and app share the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from playwright.sync_api import Page, sync_playwright

from apr_core.base.files import write_whole
from apr_core.base.provenance import environment
from apr_core.serving.gallery import load_gallery
from benchmarks.by_hand_speed import launch
from benchmarks.load.server import App

MODELS = tuple(f"cifar10-resnet20-{defence}" for defence in ("vanilla", "at", "it", "dd", "apr"))
FRAME_AIM, END_AIM = 1.0, 30.0
"""Seconds."""
LONGEST = 300_000
"""Milliseconds to wait for an end."""
FRAMED = """() => [...document.querySelectorAll("*")].some((host) => {
  const player = (host.shadowRoot ?? host).querySelector?.("[data-testid=player]");
  return player?.dataset.generation;
})"""


@dataclass(frozen=True)
class Race:
    """A race; `statuses` say how each model's run ended, times are in seconds from the click."""

    index: int
    title: str
    statuses: tuple[str | None, ...]
    first_frame: float
    end: float


def race(page: Page, address: str, picture: int) -> Race:
    """Race the five on the gallery's picture of that number."""
    page.goto(f"{address}/compare")
    page.get_by_test_id(f"picker-{picture}").click()
    chosen = page.get_by_test_id("stMultiSelect").locator("[data-baseweb=tag], [data-tag]")
    page.wait_for_timeout(1500)
    while chosen.count() > len(MODELS):  # the five come first
        page.get_by_role("combobox", name="Models").press("Backspace")
        page.wait_for_timeout(1000)
    began = time.monotonic()
    page.get_by_role("button", name="Race", exact=True).click()
    page.wait_for_function(FRAMED, polling=20, timeout=LONGEST)
    framed = time.monotonic() - began
    page.get_by_text("Attack results by model").wait_for(timeout=LONGEST)
    ended = time.monotonic() - began
    entry = load_gallery()[picture]
    players = page.get_by_test_id("player").all()
    statuses = tuple(player.get_attribute("data-status") for player in players)
    return Race(entry.index, entry.title, statuses, round(framed, 2), round(ended, 1))


def main(arguments: list[str] | None = None) -> int:
    """Race on every picture, and print or write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the record here")
    parser.add_argument("--pictures", type=int, default=1000, help="at most so many")
    args = parser.parse_args(arguments)
    races: list[Race] = []
    first_of = {entry.index: number for number, entry in reversed([*enumerate(load_gallery())])}
    with sync_playwright() as playwright, App() as app, launch(playwright) as browser:
        for picture in sorted(first_of.values())[: args.pictures]:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            races.append(race(page, app.url, picture))
            page.close()
            print(json.dumps(asdict(races[-1])), flush=True)
    if args.out:
        record = {
            "command": "python -m benchmarks.race_speed --out results/race.json",
            "models": MODELS,
            "races": [asdict(one) for one in races],
            **waits(races, FRAME_AIM, END_AIM),
        }
        write_whole(args.out, json.dumps(record, indent=1) + "\n")
    return 0


class Timed(Protocol):
    """What was watched in a browser; times are in seconds from the click."""

    @property
    def first_frame(self) -> float: ...

    @property
    def end(self) -> float: ...


def waits(watched: Sequence[Timed], frame_aim: float, end_aim: float) -> dict[str, object]:
    """What a record says of all that were watched: aims, medians, how many met each; and where."""
    return {
        "aims": {"first_frame": frame_aim, "end": end_aim},
        "first_frame_median": statistics.median(one.first_frame for one in watched),
        "end_median": statistics.median(one.end for one in watched),
        "within_first_frame": sum(one.first_frame <= frame_aim for one in watched),
        "within_end": sum(one.end <= end_aim for one in watched),
        **environment(torch.device("cpu")),
    }


if __name__ == "__main__":
    sys.exit(main())
