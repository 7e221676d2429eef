"""The player on recordings, on a page of its own, with a clock that the tests move on."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from apr_core.serving.run_export import START_RUN, load_recording
from apr_ui.player.standalone import standalone_page
from tests.browser.conftest import DESKTOP, PATIENT, PHONE
from tests.conftest import wait_until

RECORDING = load_recording(START_RUN)
FRAMES: list[dict[str, Any]] = RECORDING["frames"]
LAST = FRAMES[-1]["generation"]
VERDICT = "Flipped: cat → dog"
SIDE = 224
LARGE: dict[str, Any] = RECORDING | {
    "run": "of a large picture",
    "width": SIDE,
    "height": SIDE,
    "image": b64encode(bytes(3 * SIDE**2)).decode(),
}
WINNER = RECORDING["outcome"]["edits"][0]
STEP_MS, LONGEST_MS = 100, 60_000
STOPPED_MS = 3_600_000
"""Later than the clock can be when it is stopped."""


def stopped(context: BrowserContext) -> Iterator[Page]:
    """A tab of a browser of its own: a clock is stopped for all the tabs of one."""
    context.set_default_timeout(PATIENT)
    tab, raised = context.new_page(), []
    tab.on("pageerror", lambda error: raised.append(str(error)))
    tab.clock.install(time=0)
    tab.clock.pause_at(STOPPED_MS)  # from here on, only `run_for` moves it
    yield tab
    context.close()
    assert raised == []


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    yield from stopped(chromium.new_context(viewport=DESKTOP))


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    yield from stopped(chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True))


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


def view(player: Locator) -> tuple[float, float, float]:
    """How much the picture is zoomed, and from which left and top on it is shown."""
    zoom, left, top = player.evaluate("p => [p.dataset.zoom, p.dataset.left, p.dataset.top]")
    return float(zoom), float(left), float(top)


def canvas_box(page: Page) -> dict[str, float]:
    box = page.get_by_test_id("player-canvas").bounding_box()
    assert box is not None
    return dict(box)


def place_on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where the middle of a picture's pixel is seen."""
    zoom, left, top = view(page.get_by_test_id("player"))
    box = canvas_box(page)
    cell = box["width"] * zoom / SIDE
    return box["x"] + (x + 0.5 - left) * cell, box["y"] + (y + 0.5 - top) * cell


def colour_on_screen(page: Page, x: float, y: float) -> list[int]:
    return page.get_by_test_id("player-canvas").evaluate(
        """(canvas, [x, y]) => {
          const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
          const at = [(x - box.left) * scale, (y - box.top) * scale].map(Math.floor);
          return [...canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3)];
        }""",
        [x, y],
    )


def test_the_wheel_zooms_and_what_is_under_the_pointer_stays(page: Page) -> None:
    player = show(page, LARGE)
    before = place_on_screen(page, WINNER["x"], WINNER["y"])
    pointer = [round(place) for place in before]
    page.mouse.move(*pointer)
    page.mouse.wheel(0, -900)
    expect(player).not_to_have_attribute("data-zoom", "1")
    zoom, left, top = view(player)
    assert zoom > 4
    assert left > 0 < top
    x, y = place_on_screen(page, WINNER["x"], WINNER["y"])
    stretched = [at + zoom * (old - at) for at, old in zip(pointer, before, strict=True)]
    assert [x, y] == pytest.approx(stretched)
    cell = zoom * canvas_box(page)["width"] / SIDE
    for right in (-0.3, 0, 0.3):
        assert colour_on_screen(page, x + right * cell, y) == list(WINNER["rgb"])
    page.mouse.wheel(0, 9000)
    expect(player).to_have_attribute("data-zoom", "1")
    assert view(player) == (1, 0, 0)


def test_keys_zoom_and_with_shift_move_and_the_arrows_step_as_before(page: Page) -> None:
    player = show(page, LARGE)
    player.focus()
    page.keyboard.press("Shift+ArrowDown")
    assert view(player) == (1, 0, 0)
    page.keyboard.press("+")
    page.keyboard.press("+")
    zoom, left, top = view(player)
    assert zoom == 1.5**2
    assert left == top == pytest.approx(SIDE * (1 - 1 / zoom) / 2)  # the middle stays
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    step = SIDE / zoom / 8
    assert view(player) == pytest.approx((zoom, left + step, top - step))
    expect(player).to_have_attribute("data-generation", str(LAST))
    page.keyboard.press("ArrowLeft")
    expect(player).to_have_attribute("data-generation", str(LAST - 1))
    page.keyboard.press("-")
    assert view(player)[0] == 1.5
    page.keyboard.press("0")
    assert view(player) == (1, 0, 0)
    expect(player).to_be_focused()


def test_a_mouse_alone_zooms_by_buttons_and_drags_and_nothing_shifts(page: Page) -> None:
    player = show(page, LARGE)
    zoom_in, zoom_out = (page.get_by_test_id(f"player-zoom-{way}") for way in ("in", "out"))
    expect(zoom_out).to_have_attribute("aria-disabled", "true")
    height = player.evaluate("p => p.offsetHeight")
    while zoom_in.get_attribute("aria-disabled") == "false":
        zoom_in.click()
    expect(zoom_in).to_be_focused()
    zoom, left, top = view(player)
    box = canvas_box(page)
    assert zoom * box["width"] / SIDE == pytest.approx(28)
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] - 50)  # beyond the picture
    page.mouse.up()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    assert view(player) == pytest.approx((zoom, left + 60 / 28, top + 250 / 28))
    assert player.evaluate("p => p.offsetHeight") == height
    page.get_by_test_id("player-slow").click()
    assert view(player) == (1, 0, 0)  # its arrows go across the picture


@pytest.mark.parametrize("mode", [{}, {"loop": True}, {"compact": True}], ids=str)
def test_over_a_small_picture_and_one_of_several_the_wheel_scrolls_the_page(
    page: Page, mode: dict[str, bool]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 300})
    player = show(page, (LARGE if mode else RECORDING) | mode)
    expect(page.get_by_test_id("player-zoom-in")).to_be_hidden()
    page.get_by_test_id("player-canvas").hover()
    page.evaluate("scrollTo(0, 80)")
    page.mouse.wheel(0, -50)
    wait_until(lambda: page.evaluate("scrollY") == 30)
    assert view(player) == (1, 0, 0)
    page.get_by_test_id("player-canvas").dispatch_event("keydown", {"key": "+"})
    assert view(player)[0] == (1 if mode else 1.5)


def test_two_fingers_zoom_and_one_moves_the_picture_or_all_of_it_the_page(phone: Page) -> None:
    phone.set_viewport_size({"width": PHONE["width"], "height": 500})
    player = show(phone, LARGE)
    touch = phone.context.new_cdp_session(phone)

    def send(kind: str, *places: tuple[float, float]) -> None:
        box = canvas_box(phone)
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(places)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def swipe_up() -> None:
        send("touchStart", (0.5, 0.7))
        for y in (0.6, 0.5, 0.4):
            send("touchMove", (0.5, y))
        send("touchEnd")

    send("touchStart", (0.45, 0.5), (0.55, 0.5))
    for apart in (0.1, 0.2, 0.3):
        send("touchMove", (0.45 - apart, 0.5), (0.55 + apart, 0.5))
    send("touchEnd")
    wait_until(lambda: view(player)[0] > 3)
    assert phone.evaluate("visualViewport.scale") == 1  # the page was not zoomed
    top = view(player)[2]
    swipe_up()
    wait_until(lambda: view(player)[2] > top)
    assert phone.evaluate("scrollY") == 0
    player.press("0")
    swipe_up()
    wait_until(lambda: phone.evaluate("scrollY") > 0)
    assert view(player) == (1, 0, 0)
