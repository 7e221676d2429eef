"""The Attack page as a person meets it."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from apr_core import load_model
from apr_core.data.images import from_png
from apr_core.data.registry import find_dataset
from apr_core.models.inputs import as_input
from apr_core.serving.gallery import load_gallery
from apr_ui.page_table import PAGES
from tests.browser.conftest import PHONE, Server, download, expect_to_fit_a_phone
from tests.conftest import long_but_for, wait_until

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
FLIP_NUMBER = load_gallery().index(FLIP)
BEFORE_SCALING = "Your picture, before it was made 32 × 32"
HOLDS = next(entry for entry in load_gallery() if entry.kind in ("holds", "survives"))


def hunt(page: Page) -> None:
    page.get_by_role("button", name="Hunt for the pixel").click()


def wait_for_status(page: Page, status: str) -> None:
    expect(page.get_by_test_id("player")).to_have_attribute("data-status", status)


GENERATION_AND_CANVAS = """player => [
    player.dataset.generation,
    player.querySelector("[data-testid=player-canvas]").toDataURL(),
]"""


def watch(page: Page, last: int) -> dict[int, str]:
    """The canvas as it was last at each generation that was on the screen.

    A generation begins with the candidates where the one before left them: the last one is looked
    at until they have moved.
    """
    player = page.get_by_test_id("player")
    player.wait_for()
    seen: dict[int, str] = {}

    def looked() -> bool:
        generation, canvas = player.evaluate(GENERATION_AND_CANVAS)
        if generation:
            seen[int(generation)] = canvas
        return last in seen and len(set(seen.values())) == len(seen)

    wait_until(looked)
    return seen


def link_to(entry) -> str:
    return f"/attack?model={entry.model}&index={entry.index}"


def test_a_gallery_image_is_attacked_watched_and_found_again(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/attack")
    page.get_by_test_id(f"picker-{FLIP_NUMBER}").click()
    hunt(page)
    seen = watch(page, FLIP.outcome.generations)
    assert len(seen) >= 2
    assert len(set(seen.values())) == len(seen)
    expect(page.get_by_text("Flipped:").first).to_be_visible()
    player = page.get_by_test_id("player")
    where = f"{FLIP.outcome.edits[0].x},{FLIP.outcome.edits[0].y}"
    best = player.get_attribute("data-best-xy").replace(" ", "").strip("()[]")
    assert best == where
    frames = player.get_attribute("data-frames")
    page.reload()
    wait_for_status(page, "flipped")
    expect(player).to_have_attribute("data-frames", frames)
    expect(page.get_by_text(f"{FLIP.outcome.queries:,} queries").first).to_be_visible()


NOTE_PLAYING = """
    const attach = Element.prototype.attachShadow
    Element.prototype.attachShadow = function (how) {
        const root = attach.call(this, how)
        const look = () => {
            if (root.querySelector('[data-testid="player"][data-playing="true"]')) {
                window.played = true
            }
        }
        new MutationObserver(look).observe(root, {
            subtree: true, childList: true, attributes: true, attributeFilter: ["data-playing"],
        })
        return root
    }"""
"""Remembers in the page whether a player was ever seen to play; each is in a shadow root."""


def test_a_run_that_was_made_before_is_played_from_its_beginning(
    server: Server, page: Page
) -> None:
    page.goto(server.url + link_to(FLIP))
    wait_for_status(page, "flipped")
    page.add_init_script(NOTE_PLAYING)
    page.goto(f"{server.url}/attack")
    page.get_by_test_id(f"picker-{FLIP_NUMBER}").click()
    hunt(page)
    wait_for_status(page, "flipped")
    page.wait_for_function("window.played === true")  # it lasts a few frames only
    player = page.get_by_test_id("player")
    expect(player).to_have_attribute("data-generation", str(FLIP.outcome.generations))


def test_an_ended_run_is_stepped_through_by_keyboard_and_downloaded(
    server: Server, page: Page
) -> None:
    page.goto(server.url + link_to(FLIP))
    wait_for_status(page, "flipped")
    player, last = page.get_by_test_id("player"), FLIP.outcome.generations
    expect(player).to_have_attribute("data-generation", str(last))
    page.get_by_test_id("player-back").focus()
    page.keyboard.press("Enter")
    expect(player).to_have_attribute("data-generation", str(last - 1))
    page.get_by_test_id("player-slow").focus()
    page.keyboard.press("Enter")
    expect(player).to_have_attribute("data-step", "1")
    page.keyboard.press("ArrowRight")
    expect(player).to_have_attribute("data-step", "2")

    image = from_png(download(page, "PNG"))
    label = find_dataset().test_image(FLIP.index)[1]
    answer = load_model(FLIP.model)(as_input(image[None])).argmax().item()
    assert answer == FLIP.outcome.label_after != label
    assert Image.open(io.BytesIO(download(page, "GIF"))).n_frames >= last
    assert len(download(page, "CSV").decode().splitlines()) == last + 2
    assert download(page, "JSON").startswith(b'{"format":')

    page.set_content(download(page, "HTML").decode())
    expect(player).to_have_attribute("data-generation", str(last))
    page.get_by_test_id("player-back").click()
    expect(player).to_have_attribute("data-generation", str(last - 1))


FRAMED_FIRST = "attack"
"""The others are among the first requests in the test after, and each alone in the long tests."""


@pytest.mark.parametrize(
    "entry", long_but_for(lambda entry: entry.key == FRAMED_FIRST, PAGES, "key")
)
def test_a_deep_link_is_framed_at_the_very_first_request(
    fresh_server: Server, page: Page, entry
) -> None:
    address = "/" if entry is PAGES[0] else f"/{entry.key}"
    address = link_to(FLIP) if entry.key == "attack" else address
    page.goto(fresh_server.url + address)
    expect(page.get_by_role("heading", name=entry.heading)).to_be_visible()
    expect(page.get_by_role("link", name=PAGES[0].title, exact=True)).to_be_visible()
    expect(page.get_by_test_id("stTopNavSection").first).to_be_visible()
    if entry.key == "attack":
        wait_for_status(page, "flipped")


def test_visitors_at_the_same_moment_are_all_framed(
    fresh_server: Server, chromium: Browser
) -> None:
    context = chromium.new_context()
    tabs = [context.new_page() for _ in PAGES]
    for tab, entry in zip(tabs, PAGES, strict=True):
        address = fresh_server.url + ("/" if entry is PAGES[0] else f"/{entry.key}")
        tab.evaluate("address => { location.href = address }", address)  # does not wait
    for tab, entry in zip(tabs, PAGES, strict=True):
        expect(tab.get_by_role("heading", name=entry.heading)).to_be_visible()
        expect(tab.get_by_test_id("stTopNavSection").first).to_be_visible()
        expect(tab.get_by_role("alert")).to_have_count(0)
    context.close()


def test_a_run_can_be_cancelled(server: Server, page: Page) -> None:
    page.goto(server.url + link_to(HOLDS) + "&generations=1000&seed=77&stop=budget")
    expect(page.get_by_test_id("player")).not_to_have_attribute("data-frames", "0")
    page.get_by_role("button", name="Cancel").click()
    wait_for_status(page, "cancelled")
    expect(page.get_by_test_id("verdict")).to_contain_text("Cancelled")


def test_a_bad_link_is_answered_plainly(server: Server, page: Page) -> None:
    """What each kind of bad link is answered with, tests/app holds."""
    page.goto(f"{server.url}/attack?model=resnet50&index=3")
    expect(page.get_by_text("There is no model 'resnet50'").first).to_be_visible()
    expect(page.get_by_role("button", name="Hunt for the pixel")).to_be_enabled()


def test_a_picture_goes_with_its_file(server: Server, page: Page) -> None:
    """Handed cases of kind 9: another name for a JPEG, a file that is no picture, and the X.

    None of its messages may stand for an earlier one: the browser may have dropped that one.
    """
    references: list[str] = []

    def note_reference(frame: str | bytes) -> None:
        assert isinstance(frame, bytes)
        references.append(ForwardMsg.FromString(frame).ref_hash)

    page.on("websocket", lambda socket: socket.on("framereceived", note_reference))
    page.goto(f"{server.url}/attack")
    page.get_by_text("Your picture", exact=True).click()
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    chooser = page.locator("input[type=file]")
    button = page.get_by_role("button", name="Hunt for the pixel")
    good = {"name": "good.jfif", "mimeType": "image/jpeg", "buffer": file.getvalue()}
    bad = {"name": "bad.png", "mimeType": "image/png", "buffer": b"this is no picture"}
    chooser.set_input_files(files=[good])
    expect(page.get_by_text(BEFORE_SCALING)).to_be_visible()
    chooser.set_input_files(files=[bad])
    expect(page.get_by_test_id("stAlertContentError")).to_be_visible()
    expect(page.get_by_text(BEFORE_SCALING)).to_have_count(0)
    expect(button).to_be_disabled()
    chooser.set_input_files(files=[good])
    expect(page.get_by_text(BEFORE_SCALING)).to_be_visible()
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
    page.get_by_role("button", name="Remove good.jfif").click()
    expect(page.get_by_text(BEFORE_SCALING)).to_have_count(0)
    expect(button).to_be_disabled()
    chooser.set_input_files(files=[good])
    expect(page.get_by_text(BEFORE_SCALING)).to_be_visible()
    hunt(page)
    expect(page.get_by_test_id("player")).to_be_visible()
    assert set(references) == {""}


@pytest.mark.parametrize("address", ["/", "/attack", link_to(FLIP)], ids=["start", "new", "run"])
def test_nothing_is_wider_than_a_phone(server: Server, page: Page, address: str) -> None:
    page.set_viewport_size(PHONE)
    page.goto(server.url + address)
    shown = page.get_by_test_id("result") if address == "/attack" else None
    expect(shown or page.get_by_test_id("player-canvas")).to_be_visible()
    expect_to_fit_a_phone(page)
