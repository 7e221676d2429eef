"""The Safety net page as a person meets it: pictures, a threshold, and an attack on the net."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from apr_core.data.registry import find_dataset
from apr_core.safety.record import UNKNOWING, load_guards
from tests.browser.conftest import DESKTOP, PHONE, Server, expect_to_fit_a_phone
from tests.conftest import PATIENCE

LAYERS = ("temperature", "checks", "confidence")
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


def a_case() -> tuple[str, int]:
    """A net, and a picture that it answers, and withholds once one pixel turns the model."""
    here = set(find_dataset().shipped_sample().indices.tolist())
    for record in load_guards()[0]:
        pipeline = record.setting.pipeline
        if record.setting.data != "cifar10" or pipeline.layers != LAYERS:
            continue
        for one in record.outcomes:
            caught = one.fooled(UNKNOWING) and not one.broken(UNKNOWING)
            if one.answered and caught and one.index in here:
                return pipeline.sha256[:8], one.index
    raise LookupError("no record has such a picture")


@SIZES
def test_pictures_walk_through_the_net(server: Server, page: Page, size: dict) -> None:
    net, index = a_case()
    page.set_viewport_size(size)
    page.goto(f"{server.url}/safety?net={net}&index={index}")
    expect(page.get_by_text("The net answers:")).to_be_visible()
    expect(page.get_by_role("region", name="Side by side")).to_be_visible()
    if size == PHONE:
        expect_to_fit_a_phone(page)
    page.get_by_text("Attacked, not knowing the net", exact=True).click()
    expect(page.get_by_text("Ask a person.")).to_be_visible()
    expect(page.get_by_text("The model's answer was wrong.")).to_be_visible()
    page.get_by_text("The picture", exact=True).click()
    expect(page.get_by_text("The net answers:")).to_be_visible()
    thumb = page.get_by_role("slider", name="Withhold at a confidence below")
    thumb.focus()
    thumb.press("End")
    expect(page.get_by_text("Ask a person.")).to_be_visible()
    expect(page).to_have_url(re.compile("confidence=1.000"))


def test_the_net_is_attacked(server: Server, page: Page) -> None:
    net, index = a_case()
    page.goto(f"{server.url}/safety?net={net}&index={index}&confidence=0.000&checks=1.000")
    page.get_by_role("button", name="Attack the net").click()
    ended = page.get_by_text("The net was turned by")
    expect(ended).to_be_visible(timeout=PATIENCE * 1000)
    expect(page.get_by_text("Wrong, and not withheld.")).to_be_visible()
