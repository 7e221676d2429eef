"""A photograph, a traffic sign and an ultrasound picture are attacked; the camera takes one."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect

from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import gallery_file, load_gallery
from apr_core.serving.requests import PHOTOGRAPHS
from tests.browser.conftest import CHROMIUM, DESKTOP, PATIENT, PHONE, QUIET, Server

SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])

STOP = 14
"""The class of stop signs."""
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def server(offline_server: Server) -> Server:
    return offline_server


def file_of(picture: Image.Image) -> FilePayload:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": content.getvalue()}


def photograph() -> Image.Image:
    """One of those that come with the project, larger than the model takes it."""
    image = find_dataset(PHOTOGRAPHS).shipped_sample().images[0]
    return Image.fromarray(image.permute(1, 2, 0).numpy()).resize((500, 500))


def sign() -> Image.Image:
    """A stop sign, drawn."""
    made = Image.new("RGB", (120, 120), (90, 130, 180))
    draw = ImageDraw.Draw(made)
    draw.regular_polygon((60, 60, 52), 8, rotation=22, fill=(190, 20, 30), outline="white")
    draw.text((30, 48), "STOP", "white", font_size=24)
    return made


def ultrasound() -> Image.Image:
    image = find_dataset("breastmnist").shipped_sample().images[1]
    return Image.fromarray(image[0].numpy()).resize((200, 200))


PICTURES = {"Photographs": photograph, "Traffic signs": sign, "Ultrasound": ultrasound}


def set_number(page: Page, label: str, value: int) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(str(value))
    box.press("Enter")
    expect(box).to_have_value(str(value))


def choose(page: Page, server: Server, kind: str) -> None:
    page.goto(f"{server.url}/attack")
    page.get_by_role("radio", name=kind, exact=True).click()
    expect(page.get_by_role("radio", name=kind, exact=True)).to_be_checked()


@SIZES
@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_ones_own_is_attacked(
    kind: str, size: dict[str, int], server: Server, page: Page
) -> None:
    page.set_viewport_size(size)
    choose(page, server, kind)
    page.get_by_role("radio", name="Your picture", exact=True).click()
    page.locator("input[type=file]").set_input_files(file_of(PICTURES[kind]()))
    expect(page.get_by_test_id("verdict")).to_contain_text("The model says:")
    if kind == "Photographs":
        expect(page.get_by_text("Its 5 likeliest classes")).to_contain_text("zebra")
    page.get_by_text("Settings of the search", exact=True).click()
    for label, value in (("Population", 8), ("Generations", 2)):
        set_number(page, label, value)
    page.get_by_role("button", name="Hunt for the pixel").click()
    over = page.locator(".result[data-tone=held], .result[data-tone=fooled]")
    expect(over).to_be_visible()
    expect(over.locator("figcaption").nth(1)).to_contain_text("1 pixel changed")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    large = kind == "Photographs"
    expect(page.get_by_text("Truth map: what can each pixel do?")).to_have_count(0 if large else 1)


@SIZES
def test_a_stop_sign_of_the_gallery_is_turned(
    size: dict[str, int], server: Server, page: Page
) -> None:
    entries = load_gallery(gallery_file("gtsrb"))
    number, entry = next(
        (number, entry)
        for number, entry in enumerate(entries)
        if entry.outcome.success and entry.outcome.label == STOP
    )
    page.set_viewport_size(size)
    choose(page, server, "Traffic signs")
    tile = page.get_by_test_id(f"picker-{number}")
    expect(tile).to_contain_text("stop →")
    tile.click()
    expect(page.get_by_text("Drawn for this project")).to_be_visible()
    page.get_by_role("button", name="Hunt for the pixel").click()
    fooled = page.locator(".result[data-tone=fooled]")
    expect(fooled).to_be_visible()
    turned_into = find_dataset("gtsrb").class_name(entry.outcome.label_after)
    expect(fooled.locator("figcaption").nth(1)).to_contain_text(turned_into)
    expect(page.get_by_test_id("player")).to_have_attribute("data-status", "flipped")
    page.reload()
    expect(fooled).to_be_visible()
    expect(tile).to_have_attribute("aria-checked", "true")


def test_a_lens_shows_the_pixel_of_a_photograph(server: Server, page: Page) -> None:
    index = int(find_dataset(PHOTOGRAPHS).shipped_sample().indices[0])
    settings = "population=8&generations=1&stop=budget"
    page.goto(f"{server.url}/attack?model=imagenet-efficientnet-lite0&index={index}&{settings}")
    after = page.locator('.result[data-tone=held] canvas[data-part="after"]')
    expect(after).to_be_visible()
    before = page.locator('.result canvas[data-part="before"]')
    drawn = "canvas => canvas.toDataURL()"
    assert after.evaluate(drawn) != before.evaluate(drawn)
    count = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let white = 0;
      for (let i = 0; i < data.length; i += 4) white += data[i] > 250 && data[i + 1] > 250;
      return white;
    }"""
    assert before.evaluate(count) > 100  # the lens's frame, also where nothing is changed


# Pixels of strong colours in the lens, which lies in the corner that is white on its frame.
COLOURED_IN_LENS = """canvas => {
  const context = canvas.getContext("2d"), side = Math.round(0.4 * canvas.width);
  const white = (x, y) => Math.min(...context.getImageData(x, y, 1, 1).data) > 240;
  const ends = [8, canvas.width - side - 8];
  for (const left of ends) for (const top of ends) {
    const along = [0.2, 0.4, 0.6, 0.8].map((part) => Math.round(part * side));
    if (!along.every((at) => white(left + at, top) && white(left, top + at))) continue;
    const { data } = context.getImageData(left + 4, top + 4, side - 8, side - 8);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      const rgb = [data[i], data[i + 1], data[i + 2]];
      count += Math.max(...rgb) > 250 && Math.min(...rgb) < 5;
    }
    return count;
  }
  return null;
}"""


def test_a_hundred_and_fifty_pixels_of_a_photograph_are_hunted_for_and_seen(
    server: Server, page: Page
) -> None:
    page.set_viewport_size(DESKTOP)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    choose(page, server, "Photographs")
    page.get_by_test_id("picker-2").click()
    expect(page.get_by_test_id("verdict")).to_contain_text("zebra")
    page.get_by_text("150 pixels", exact=True).click()
    expect(page.get_by_text("with 150 pixels by Sparse-RS")).to_be_visible()
    page.get_by_text("Settings of the search", exact=True).click()
    set_number(page, "Generations", 3)
    page.get_by_role("button", name="Hunt for the pixel").click()
    over = page.locator(".result[data-tone=held], .result[data-tone=fooled]")
    expect(over).to_be_visible()
    expect(over.locator("figcaption").nth(1)).to_contain_text("150 pixels changed")
    seen = [over.locator(f'canvas[data-part="{part}"]') for part in ("before", "after")]
    assert seen[0].evaluate(COLOURED_IN_LENS) == 0  # the zebra is grey
    assert seen[1].evaluate(COLOURED_IN_LENS) > 50
    player = page.get_by_test_id("player")
    expect(player).to_contain_text("150 pixels")
    expect(player).to_have_attribute("data-best-xy", re.compile(r"^(\d+,\d+ ){149}\d+,\d+$"))
    expect(page.get_by_test_id("player-slow")).to_be_hidden()
    expect(player).to_have_attribute("data-generation", "3")
    page.get_by_test_id("player-back").click()
    expect(player).to_have_attribute("data-generation", "2")
    assert broken == []


def test_a_picture_is_taken_with_the_camera(chromium: Browser, server: Server) -> None:
    launch = chromium.browser_type.launch
    with launch(executable_path=CHROMIUM, args=[*QUIET, *FAKE_CAMERA]) as browser:
        page = browser.new_page(viewport=DESKTOP, permissions=["camera"])
        page.set_default_timeout(PATIENT)
        choose(page, server, "Photographs")
        page.get_by_role("radio", name="Camera", exact=True).click()
        page.wait_for_function("document.querySelector('video')?.readyState >= 2")
        page.get_by_role("button", name="Take Photo").click()
        expect(page.get_by_test_id("verdict")).to_contain_text("The model says:")
        expect(page.get_by_text("Its 5 likeliest classes")).to_be_visible()
        page.get_by_role("button", name="Clear photo").click()
        expect(page.get_by_text("Its 5 likeliest classes")).to_have_count(0)
        page.wait_for_function("document.querySelector('video')?.readyState >= 2")
        page.get_by_role("button", name="Take Photo").click()
        expect(page.get_by_text("Its 5 likeliest classes")).to_be_visible()
        page.get_by_role("radio", name="Gallery", exact=True).click()
        expect(page.get_by_text("Hand-picked examples")).to_be_visible()
        app = page.get_by_test_id("stApp")
        expect(app).to_have_attribute("data-test-script-state", "notRunning")
        page.get_by_role("radio", name="Camera", exact=True).click()
        page.get_by_role("button", name="Remove the picture").click()
        expect(page.get_by_text("Its 5 likeliest classes")).to_have_count(0)


def test_without_a_camera_that_is_said_and_the_picture_stays(server: Server, page: Page) -> None:
    choose(page, server, "Photographs")
    page.get_by_role("radio", name="Your picture", exact=True).click()
    page.locator("input[type=file]").set_input_files(file_of(photograph()))
    expect(page.get_by_test_id("verdict")).to_contain_text("The model says:")
    page.get_by_role("radio", name="Camera", exact=True).click()
    expect(page.get_by_text("allow the camera in the browser's address bar")).to_be_visible()
    expect(page.get_by_test_id("verdict")).to_contain_text("The model says:")


LINES = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
}"""


@SIZES
def test_a_long_name_of_a_class_is_on_one_line_and_leaves_room_for_its_bar(
    server: Server, page: Page, size: ViewportSize
) -> None:
    page.set_viewport_size(size)
    choose(page, server, "Photographs")
    page.get_by_role("radio", name="Pictures", exact=True).click()
    chosen = page.get_by_role("combobox", name="Class", exact=True)
    chosen.fill("steam locomotive")
    chosen.press("Enter")
    bar = page.locator(".result li", has_text="steam locomotive")
    expect(bar).to_be_visible()
    assert bar.locator(".name").evaluate(LINES) == 1
    track = bar.locator(".track").bounding_box()
    assert track is not None
    assert track["width"] > 80
