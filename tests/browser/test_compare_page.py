"""The Compare page as a person meets it."""

from __future__ import annotations

import csv
import io
import re
from contextlib import closing

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from apr_core.serving.gallery import load_gallery
from apr_ui.state import NOT_STOPPED
from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    Server,
    download,
    expect_side_by_side,
    expect_to_fit_a_phone,
    follow_menu,
)
from tests.browser.translator import stale, translate

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
HOLDS = next(entry for entry in load_gallery() if entry.kind == "survives")
FLIP_NUMBER = load_gallery().index(FLIP)
MODELS = "cifar10-resnet20-vanilla,cifar10-resnet20-apr"
FINISHED = "Attack results by model"
MOST_SHIFT = 20
"""Pixels that nothing may move by during a race."""


def link(**settings: object) -> str:
    asked = {"models": MODELS, "index": FLIP.index} | settings
    return "/compare?" + "&".join(f"{name}={value}" for name, value in asked.items())


QUICK = link(generations=FLIP.outcome.generations)


def race(page: Page) -> None:
    page.get_by_role("button", name="Race", exact=True).click()


def statuses(page: Page) -> list[str]:
    return [player.get_attribute("data-status") for player in page.get_by_test_id("player").all()]


def expect_statuses(page: Page, wanted: list[str]) -> None:
    players = page.get_by_test_id("player")
    expect(players).to_have_count(len(wanted))
    for number, status in enumerate(wanted):
        expect(players.nth(number)).to_have_attribute("data-status", status)


def test_a_gallery_image_is_raced_watched_and_found_again(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/compare")
    page.get_by_test_id(f"picker-{FLIP_NUMBER}").click()
    chosen = page.get_by_test_id("stMultiSelect").locator("[data-baseweb=tag], [data-tag]")
    models = page.get_by_role("combobox", name="Models")
    expect(chosen).not_to_have_count(0)
    for left in range(chosen.count() - 1, 1, -1):
        models.press("Backspace")
        expect(chosen).to_have_count(left)
    page.get_by_text("Settings of the search").click()
    budget = page.get_by_label("Generations", exact=True)
    budget.fill(str(FLIP.outcome.generations))
    budget.press("Enter")
    expect(page.get_by_text(f"At most {FLIP.outcome.queries:,} queries")).to_be_visible()
    race(page)
    players = page.get_by_test_id("player")
    expect(players).to_have_count(2)
    for player in players.all():
        expect(player).not_to_have_attribute("data-generation", "")
    expect(page.get_by_text(FINISHED)).to_be_visible()
    expect(players.first).to_have_attribute("data-playing", "false")
    ended = statuses(page)
    assert ended[0] == "flipped"
    assert set(ended) <= {"flipped", "survived", "misclassified"}
    told = page.get_by_text(f"after {FLIP.outcome.queries:,} queries").first
    expect(told).to_be_visible()
    expect(players.first).to_have_attribute("aria-label", "Undefended ResNet-20, the search")
    page.reload()
    expect(page.get_by_text(FINISHED)).to_be_visible()
    expect(told).to_be_visible()
    expect_statuses(page, ended)
    follow_menu(page, "Results")
    expect(page.get_by_role("heading", name="Measured results")).to_be_visible()
    follow_menu(page, "Compare")
    expect(page.get_by_text(FINISHED)).to_be_visible()
    expect(players.first).to_have_attribute("data-generation", str(FLIP.outcome.generations))


def test_a_race_that_was_run_before_is_played_again_and_downloaded(
    server: Server, page: Page
) -> None:
    page.goto(server.url + QUICK)
    expect(page.get_by_text(FINISHED)).to_be_visible()
    last = str(FLIP.outcome.generations)
    player = page.get_by_test_id("player").first
    expect(player).to_have_attribute("data-generation", last)
    race(page)
    expect(player).to_have_attribute("data-playing", "true")
    expect(player).to_have_attribute("data-playing", "false")
    expect(player).to_have_attribute("data-generation", last)

    assert Image.open(io.BytesIO(download(page, "PNG"))).width > 500
    first = next(csv.DictReader(io.StringIO(download(page, "CSV").decode())))
    assert (first["Model"], int(first["Queries"])) == ("Undefended ResNet-20", FLIP.outcome.queries)
    page.set_content(download(page, "HTML").decode())
    expect(page.get_by_role("table")).to_have_count(2)
    expect(page.get_by_role("cell", name="Undefended ResNet-20", exact=True).first).to_be_visible()
    address = page.get_by_role("link", name="This link").get_attribute("href")
    assert address == server.url + QUICK


def test_a_race_can_be_cancelled(server: Server, page: Page) -> None:
    translate(page)
    page.goto(server.url + link(index=HOLDS.index, generations=1000, stop="budget"))
    expect(page.get_by_test_id("player").first).not_to_have_attribute("data-frames", "0")
    page.get_by_role("button", name="Cancel", exact=True).click()
    ended = re.compile(r"Cancelled: (Undefended ResNet-20, APR|APR, Undefended ResNet-20)\.")
    expect(page.get_by_text(ended)).to_be_visible()
    expect_statuses(page, ["cancelled", "cancelled"])
    expect(page.get_by_text("cancelled after")).to_have_count(2)
    assert stale(page) == []
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    player = page.get_by_test_id("player").first
    reached = player.get_attribute("data-generation")
    race(page)
    expect(player).to_have_attribute("data-playing", "true")
    expect(player).not_to_have_attribute("data-generation", reached)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect_statuses(page, ["cancelled", "cancelled"])


def boxes(page: Page) -> list[dict[str, float]]:
    """Where the pictures, verdict and bars of each card lie on the screen."""
    parts = ":is(canvas, .verdict, ul)"
    found = [part.bounding_box() for part in page.get_by_test_id("result").locator(parts).all()]
    assert all(found)
    return found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_each_card_shows_a_result_and_nothing_jumps(
    server: Server, page: Page, size: ViewportSize
) -> None:
    page.set_viewport_size(size)
    long = link(index=HOLDS.index, generations=1000, stop="budget", seed=size["width"])
    page.goto(server.url + long)
    cards = page.get_by_test_id("result")
    expect(cards).to_have_count(2)
    for card in cards.all():
        expect(card).to_have_attribute("data-tone", "live")
        expect(card).to_contain_text("Generation")
    during = boxes(page)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text(FINISHED)).to_be_visible()
    for card in cards.all():
        expect(card).to_contain_text("Cancelled")
    ends = [boxes(page)]
    page.goto(server.url + QUICK)
    expect(cards.first).to_have_attribute("data-tone", "fooled")
    expect(page.locator(".stMarkdownBadge", has_text="fooled")).to_have_count(1)
    expect(cards.first.locator(".mark")).to_have_text("")
    ends.append(boxes(page))
    for end in ends:
        for one, other in zip(during, end, strict=True):
            assert abs(one["y"] - other["y"]) <= MOST_SHIFT
            assert abs(one["x"] - other["x"]) <= MOST_SHIFT
    last = during[len(during) // 2 - 1]
    assert last["y"] + last["height"] <= size["height"]  # the first card is seen at once
    left, right = (card.bounding_box() for card in cards.all())
    assert (left["y"] == right["y"]) == (size == DESKTOP)
    expect_to_fit_a_phone(page, ":is(canvas, p, li)")


def test_another_visitor_keeps_a_race_going_and_a_second_tab_does_not(
    server: Server, page: Page, chromium: Browser
) -> None:
    address = server.url + link(index=HOLDS.index, generations=1000, stop="budget", seed=3)
    second, other = page.context.new_page(), chromium.new_page()
    with closing(second), closing(other):
        for tab in (page, second, other):
            tab.goto(address)
            expect_statuses(tab, ["running", "running"])
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_text(NOT_STOPPED)).to_be_visible()
        expect_statuses(page, ["running", "running"])
        other.get_by_role("button", name="Cancel", exact=True).click()
        for tab in (page, second, other):
            expect_statuses(tab, ["cancelled", "cancelled"])


def test_an_unknown_model_is_answered_plainly(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/compare?models=resnet50&index=3")
    expect(page.get_by_text("There is no model 'resnet50'")).to_be_visible()
    expect(page.get_by_role("button", name="Race", exact=True)).to_be_enabled()


def test_nothing_is_wider_than_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(server.url + QUICK)
    expect(page.get_by_text(FINISHED)).to_be_visible()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page.get_by_test_id("player-canvas")).to_have_count(2)
    expect_side_by_side(page.get_by_test_id("player-canvas"))
    expect_to_fit_a_phone(page, ":is(canvas, p, h1, h2)")
