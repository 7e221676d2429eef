"""What a page makes of its address when the browser goes back: case 16."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from streamlit.testing.v1 import AppTest

from apr_core import OnePixelConfig
from apr_core.attacks.result import PixelEdit
from apr_core.data.images import OWN_PICTURE
from apr_core.data.sample import load_test_image
from apr_core.serving.requests import AttackRequest
from apr_ui.permalink import to_params
from tests.app.test_hand_view import FLIP, address_of, game_of, link, open_page, try_by_hand
from tests.conftest import PATIENCE, ROOT

QUICK = {"index": "9", "population": "8", "generations": "1", "stop": "budget"}
NAMED = {
    "attack": ({"model": FLIP.model, **QUICK}, "attack.current-run"),
    "compare": ({"models": FLIP.model, **QUICK}, "compare.race"),
}
FIRST, SECOND = PixelEdit(5, 5, (128, 128, 128)), PixelEdit(6, 6, (0, 0, 0))


def go(app: AppTest, params: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the browser's Back or Forward does."""
    app.query_params.clear()
    for name, value in params.items():
        app.query_params[name] = value
    with monkeypatch.context() as patch:
        patch.setattr("apr_ui.address.by_history", lambda: True)
        app.run()
    assert not app.exception


@pytest.mark.parametrize("page", NAMED)
def test_a_bare_address_that_back_led_to_stays_bare(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, key = NAMED[page]
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE).run()
    app.switch_page(f"pages/{page}.py")
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    assert key in app.session_state
    chosen = app.session_state["attack.seed"], app.session_state["attack.number"]
    go(app, {}, monkeypatch)
    assert address_of(app) == {}
    assert key not in app.session_state
    assert (app.session_state["attack.seed"], app.session_state["attack.number"]) == chosen
    app.run()
    assert address_of(app) == {}
    go(app, params, monkeypatch)
    assert address_of(app) == params
    assert key in app.session_state


def test_the_menu_brings_the_run_back() -> None:
    params, key = NAMED["attack"]
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE).run()
    app.switch_page("pages/attack.py")
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    app.query_params.clear()
    app.run()
    assert key in app.session_state
    assert address_of(app) == params


def test_an_address_that_was_just_replaced_is_not_followed_again() -> None:
    """The browser may ask for a run before the newer address has reached it."""
    app = open_page(**link())
    replaced = address_of(app)
    try_by_hand(app, FIRST)
    named = address_of(app)
    assert named != replaced
    app.query_params.clear()
    for name, value in replaced.items():
        app.query_params[name] = value
    app.run()
    assert [tried.edits for tried in game_of(app).tries] == [(FIRST,)]
    assert address_of(app) == named


def test_by_hand_has_no_address_before_the_first_try() -> None:
    app = open_page()
    assert address_of(app) == {}
    try_by_hand(app, FIRST)
    assert "game" in address_of(app)


def test_back_by_hand_loses_no_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(**link())
    plain = address_of(app)
    one = try_by_hand(app, FIRST)
    first = address_of(app)
    go(app, plain, monkeypatch)
    assert (address_of(app), game_of(app).queries) == (plain, 0)
    two = try_by_hand(app, SECOND, FIRST)
    second = address_of(app)
    assert first != second
    for address, game in ((first, one), (second, two), (plain, None), (first, one)):
        go(app, address, monkeypatch)
        assert address_of(app) == address
        assert game_of(app).tries == (game.tries if game else ())


def test_back_from_a_search_is_the_game_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(**link())
    try_by_hand(app, FIRST)
    played = address_of(app)
    app.button(key="hand.search-same").click().run()
    searched = address_of(app)
    assert set(searched) - set(played) == {"run"}
    go(app, played, monkeypatch)
    assert address_of(app) == played
    go(app, searched, monkeypatch)
    assert address_of(app) == searched


def test_back_by_hand_keeps_a_picture_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label = load_test_image(FLIP.index)
    own = to_params(AttackRequest(FLIP.model, image, label, OWN_PICTURE, OnePixelConfig()))
    app = open_page(**own)
    try_by_hand(app, FIRST)
    go(app, {}, monkeypatch)
    assert app.session_state["attack.source"] == "Your picture"
    assert (address_of(app), game_of(app).queries) == ({}, 0)
