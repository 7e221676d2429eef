"""Pages of the app without a browser, as the tests open and read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.testing.v1 import AppTest

from apr_core.serving.requests import AttackRequest, RunView
from apr_ui.page_table import page_entry
from apr_ui.proof.certificate import ICONS
from apr_ui.resources import scorer, service
from tests.conftest import PATIENCE, ROOT, wait_until

VANILLA, APR = "cifar10-resnet20-vanilla", "cifar10-resnet20-apr"


def open_page(
    page: str, params: Mapping[str, str] | None = None, state: Mapping[str, Any] | None = None
) -> AppTest:
    """A new session on a page, at an address, with values in its session state."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    app.switch_page(page_entry(page).script)
    for name, value in (state or {}).items():
        app.session_state[name] = value
    set_address(app, params or {})
    return run(app)


def run(act: Any) -> AppTest:
    """Run the page again, after a widget's change where `act` is one; it must raise nothing."""
    app: AppTest = act.run()
    assert not app.exception
    return app


def go(app: AppTest, *pages: str) -> AppTest:
    """Go from page to page by the menu."""
    for page in pages:
        app.switch_page(page_entry(page).script)
        run(app)
    return app


def set_address(app: AppTest, params: Mapping[str, str]) -> None:
    app.query_params.clear()
    for name, value in params.items():
        app.query_params[name] = value


def address_of(app: AppTest) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else value[0]
        for name, value in app.query_params.items()
    }


def said(app: AppTest) -> str:
    """All that the page says, a line an element."""
    shown = (*app.markdown, *app.caption, *messages(app))
    return "\n".join(str(one.value) for one in shown)


def messages(app: AppTest) -> list[Any]:
    """Its coloured boxes."""
    return [*app.success, *app.info, *app.warning, *app.error]


def seals(app: AppTest) -> list[str]:
    """What is said of certificates, in a card each."""
    icons = tuple(ICONS.values())
    return [str(one.value) for one in app.markdown if str(one.value).startswith(icons)]


def results(app: AppTest) -> list[dict[str, Any]]:
    """What the result views show."""
    return given(app, "verdict")


def given(app: AppTest, field: str) -> list[dict[str, Any]]:
    """What the components that have a field were given; the style sheet is given nothing."""
    shown = [json.loads(row.proto.json or "{}") for row in app.get("bidi_component")]
    return [data for data in shown if field in data]


def wait_for(run_id: str) -> RunView:
    """Wait for the end of a run of the app's service."""
    wait_until(lambda: not service().view(run_id).live)
    return service().view(run_id)


def ended(asked: AttackRequest) -> AttackRequest:
    """A request whose run has ended."""
    service().submit(asked)
    wait_for(asked.run_id)
    return asked


def forget_all() -> None:
    """Empty every cache of the app, as a new start would."""
    st.cache_data.clear()
    st.cache_resource.clear()
    scorer.cache_clear()
