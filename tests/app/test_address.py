"""What a page makes of its address when the browser goes back: case 16."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from streamlit.testing.v1 import AppTest

from apr_core import OnePixelConfig
from apr_core.attacks.result import PixelEdit
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.serving.requests import AttackRequest
from apr_ui.permalink import to_params
from tests.app.pages import address_of, open_page, run, set_address
from tests.app.test_hand_view import FLIP, game_of, link, try_by_hand

QUICK = {"index": "9", "population": "8", "generations": "1", "stop": "budget"}
NAMED = {
    "attack": ({"model": FLIP.model, **QUICK}, "attack.current-run"),
    "compare": ({"models": FLIP.model, **QUICK}, "compare.race"),
}
FIRST, SECOND = PixelEdit(5, 5, (128, 128, 128)), PixelEdit(6, 6, (0, 0, 0))


def back_to(app: AppTest, params: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the browser's Back or Forward does."""
    set_address(app, params)
    with monkeypatch.context() as patch:
        patch.setattr("apr_ui.address.by_history", lambda: True)
        run(app)


@pytest.mark.parametrize("page", NAMED)
def test_a_bare_address_that_back_led_to_stays_bare(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, key = NAMED[page]
    app = open_page(page, params)
    assert key in app.session_state
    chosen = app.session_state["attack.seed"], app.session_state["attack.number"]
    back_to(app, {}, monkeypatch)
    assert address_of(app) == {}
    assert key not in app.session_state
    assert (app.session_state["attack.seed"], app.session_state["attack.number"]) == chosen
    run(app)
    assert address_of(app) == {}
    back_to(app, params, monkeypatch)
    assert address_of(app) == params
    assert key in app.session_state


def test_the_menu_brings_the_run_back() -> None:
    params, key = NAMED["attack"]
    app = open_page("attack", params)
    set_address(app, {})
    run(app)
    assert key in app.session_state
    assert address_of(app) == params


def test_an_address_that_was_just_replaced_is_not_followed_again() -> None:
    """The browser may ask for a run before the newer address has reached it."""
    app = open_page("hand", link())
    replaced = address_of(app)
    try_by_hand(app, FIRST)
    named = address_of(app)
    assert named != replaced
    set_address(app, replaced)
    run(app)
    assert [tried.edits for tried in game_of(app).tries] == [(FIRST,)]
    assert address_of(app) == named


def test_by_hand_has_no_address_before_the_first_try() -> None:
    app = open_page("hand")
    assert address_of(app) == {}
    try_by_hand(app, FIRST)
    assert "game" in address_of(app)


def test_back_by_hand_loses_no_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("hand", link())
    plain = address_of(app)
    one = try_by_hand(app, FIRST)
    first = address_of(app)
    back_to(app, plain, monkeypatch)
    assert (address_of(app), game_of(app).queries) == (plain, 0)
    two = try_by_hand(app, SECOND, FIRST)
    second = address_of(app)
    assert first != second
    for address, game in ((first, one), (second, two), (plain, None), (first, one)):
        back_to(app, address, monkeypatch)
        assert address_of(app) == address
        assert game_of(app).tries == (game.tries if game else ())


def test_back_from_a_search_is_the_game_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("hand", link())
    try_by_hand(app, FIRST)
    played = address_of(app)
    run(app.button(key="hand.search-same").click())
    searched = address_of(app)
    assert set(searched) - set(played) == {"run"}
    back_to(app, played, monkeypatch)
    assert address_of(app) == played
    back_to(app, searched, monkeypatch)
    assert address_of(app) == searched


def test_back_by_hand_keeps_a_picture_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label = find_dataset().test_image(FLIP.index)
    own = to_params(AttackRequest(FLIP.model, image, label, OWN_PICTURE, OnePixelConfig()))
    app = open_page("hand", own)
    try_by_hand(app, FIRST)
    back_to(app, {}, monkeypatch)
    assert app.session_state["attack.source"] == "Your picture"
    assert (address_of(app), game_of(app).queries) == ({}, 0)
