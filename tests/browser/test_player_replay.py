"""The player on recordings, on a page of its own, with a clock that the tests move on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from apr_core.serving.run_export import START_RUN, load_recording
from apr_ui.player.standalone import standalone_page
from tests.browser.conftest import DESKTOP, PATIENT

RECORDING = load_recording(START_RUN)
FRAMES: list[dict[str, Any]] = RECORDING["frames"]
LAST = FRAMES[-1]["generation"]
VERDICT = "Flipped: cat → dog"
STEP_MS, LONGEST_MS = 100, 60_000
STOPPED_MS = 3_600_000
"""Later than the clock can be when it is stopped."""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab of a browser of its own: a clock is stopped for all the tabs of one."""
    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENT)
    tab, raised = context.new_page(), []
    tab.on("pageerror", lambda error: raised.append(str(error)))
    tab.clock.install(time=0)
    tab.clock.pause_at(STOPPED_MS)  # from here on, only `run_for` moves it
    yield tab
    context.close()
    assert raised == []


def lasting(generations: int, **data: Any) -> dict[str, Any]:
    """The recording with so many generations after the first; the frame before its last again."""
    middle = [FRAMES[-2] | {"generation": n} for n in range(1, generations)]
    frames = [FRAMES[0], *middle, FRAMES[-1] | {"generation": generations}]
    return RECORDING | {"run": f"of {generations}", "frames": frames} | data


def following_three() -> dict[str, Any]:
    """The recording as runs are recorded today: three children of each generation."""
    frames = [
        frame | {"other_walks": [frame["walk"] | {"slot": n, "kept": False} for n in (7, 8)]}
        if frame["walk"]
        else frame
        for frame in FRAMES
    ]
    return RECORDING | {"frames": frames}


def show(page: Page, recording: dict[str, Any]) -> Locator:
    page.set_content(standalone_page(recording))
    player = page.get_by_test_id("player")
    expect(player).to_have_attribute("data-frames", str(len(recording["frames"])))
    return player


def watch(page: Page, player: Locator, longest: int = LONGEST_MS) -> list[tuple[int, str]]:
    """Generation and playing or not, after each step of the clock, until it no longer plays."""
    seen = []
    for _ in range(longest // STEP_MS):
        seen.append(player.evaluate("p => [Number(p.dataset.generation), p.dataset.playing]"))
        if seen[-1][1] == "false":
            break
        page.clock.run_for(STEP_MS)
    return seen


@pytest.mark.parametrize(("generations", "least", "most"), [(5, 9, 11), (100, 20, 30)])
def test_a_short_run_is_slowed_down_and_a_long_one_lasts_little_longer(
    page: Page, generations: int, least: float, most: float
) -> None:
    player = show(page, lasting(generations))
    page.get_by_test_id("player-play").click()
    seen = watch(page, player)
    assert seen[-1] == [generations, "false"]
    assert least <= len(seen) * STEP_MS / 1000 <= most
    assert [seen[0][0], seen[-1][0]] == [0, generations]


def test_side_by_side_a_short_run_keeps_the_pace_of_a_long_one(page: Page) -> None:
    player = show(page, lasting(4, compact=True, autoplay=True))
    seen = watch(page, player)
    assert seen[-1] == [4, "false"]
    assert len(seen) * STEP_MS <= 4 * 300


def test_a_loop_rests_on_its_last_frame_and_begins_again_until_it_is_paused(page: Page) -> None:
    player = show(page, RECORDING | {"loop": True})
    seen = [generation for generation, _ in watch(page, player, 30_000)]
    assert len(seen) == 30_000 / STEP_MS, "it stopped by itself"
    assert (LAST, 0) in pairwise(seen)
    first_end = seen.index(LAST)
    rested = seen[first_end:].index(0)
    assert rested > max(map(seen[:first_end].count, range(LAST)))
    page.get_by_test_id("player-play").click()
    expect(player).to_have_attribute("data-playing", "false")
    shown = player.get_attribute("data-generation")
    page.clock.run_for(30_000)
    expect(player).to_have_attribute("data-generation", shown)


def test_nothing_loops_where_reduced_motion_is_preferred(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    player = show(page, RECORDING | {"loop": True})
    page.clock.run_for(30_000)
    expect(player).to_have_attribute("data-playing", "false")
    expect(player).to_have_attribute("data-generation", str(LAST))
    page.get_by_test_id("player-play").click()
    expect(player).to_have_attribute("data-playing", "true")


def test_the_verdict_stands_on_the_last_frame_only(page: Page) -> None:
    player = show(page, RECORDING)
    text = page.get_by_test_id("player-text")
    expect(text).to_contain_text(VERDICT)
    for generation in reversed(range(LAST)):
        page.get_by_test_id("player-back").click()
        expect(player).to_have_attribute("data-generation", str(generation))
        expect(text).to_contain_text(f"Generation {generation}: still cat")
        expect(text).not_to_contain_text("Flipped")
    page.get_by_test_id("player-play").click()
    expect(text).not_to_contain_text("Flipped")
    watch(page, player)
    expect(text).to_contain_text(VERDICT)


def place(player: Locator) -> list[int]:
    """Generation, candidate and step of slow motion."""
    return player.evaluate(
        "p => [p.dataset.generation, p.dataset.candidate, p.dataset.step].map(Number)"
    )


def test_slow_motion_waits_for_next_and_walks_through_the_candidates(page: Page) -> None:
    player = show(page, following_three())
    page.get_by_test_id("player-slow").click()
    walked = []
    for _ in range(24):
        walked.append(place(player))
        page.clock.run_for(60_000)
        assert place(player) == walked[-1], "it moved on by itself"
        page.get_by_test_id("player-next").click()
    assert walked == [[g, c, s] for g in (1, 2) for c in (1, 2, 3) for s in (1, 2, 3, 4)]
    page.get_by_test_id("player-back").click()
    assert place(player) == [2, 3, 4]


def test_slow_motion_begins_as_soon_as_a_run_has_something_to_tell(page: Page) -> None:
    begun = RECORDING | {"live": True, "frames": FRAMES[:1]}
    main = "{ parentElement: document.querySelector('main'), data }"
    again = f"window.drawAgain = (data) => {{ mount({main}); }};"
    page.set_content(standalone_page(begun).replace("\nmount(", f"\n{again}\nmount("))
    player, slow = page.get_by_test_id("player"), page.get_by_test_id("player-slow")
    slow.click()
    assert place(player) == [0, 1, 1]
    page.evaluate("window.drawAgain", begun | {"frames": FRAMES[:3]})
    assert place(player) == [1, 1, 1]
    page.evaluate("window.drawAgain", begun | {"frames": FRAMES[:4]})
    assert place(player) == [1, 1, 1], "it moved on by itself"


def test_slow_motion_is_left_by_its_own_button_alone(page: Page) -> None:
    player = show(page, following_three())
    slow = page.get_by_test_id("player-slow")
    slow.click()
    for other in ("player-play", "player-forward", "player-speed"):
        expect(page.get_by_test_id(other)).to_be_hidden()
    player.focus()
    page.keyboard.press("Space")
    assert place(player) == [1, 1, 2]
    slow.click()
    expect(player).to_have_attribute("data-step", "")
    expect(player).to_have_attribute("data-generation", "1")
    expect(page.get_by_test_id("player-next")).to_be_hidden()
    expect(page.get_by_test_id("player-play")).to_be_visible()


def test_the_last_step_of_a_run_has_no_next(page: Page) -> None:
    player = show(page, RECORDING)
    page.get_by_test_id("player-slow").click()
    page.get_by_test_id("player-slider").fill(str(LAST))
    onward = page.get_by_test_id("player-next")
    for step in (2, 3, 4):
        expect(onward).to_have_attribute("aria-disabled", "false")
        onward.click()
        assert place(player) == [LAST, 1, step]
    expect(onward).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("ArrowRight")
    assert place(player) == [LAST, 1, 4]
