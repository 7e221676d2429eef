"""Components of our own: which data are the newest, and that all are held to it."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import apr_ui
from apr_ui.component import Component

FOLDERS = sorted(path.parent.name for path in Path(apr_ui.__file__).parent.glob("*/*.js"))
UNORDERED = {
    "component",  # the order itself
    "keeper",  # its data are orders to write, of which none may be left out
}


def orders(app: AppTest) -> dict[str, list[object]]:
    """What each key's data say of their order."""
    shown = [json.loads(row.proto.json) for row in app.get("bidi_component")]
    return {data["name"]: data["order"] for data in shown}


def two_places() -> None:
    from pathlib import Path

    import streamlit as st

    import apr_ui.bars
    from apr_ui.component import Component

    mount = Component("apr_bars", Path(apr_ui.bars.__file__).parent)
    mount("one", {"name": "one", "value": st.session_state.get("value", 0)})
    mount("two", {"name": "two", "value": 0})


def test_other_data_have_a_greater_number_and_the_same_data_the_same() -> None:
    app = AppTest.from_function(two_places).run()
    first = orders(app)
    assert orders(app.run()) == first
    app.session_state["value"] = 1
    second = orders(app.run())
    assert second["two"] == first["two"]
    assert second["one"][0] == first["one"][0]
    assert second["one"][1] > first["one"][1]
    app.session_state["value"] = 0
    assert orders(app.run())["one"][1] > second["one"][1]  # the old data again are the newest


def test_another_session_counts_by_itself() -> None:
    first, second = (orders(AppTest.from_function(two_places).run()) for _ in range(2))
    assert first["one"][0] != second["one"][0]


@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in UNORDERED])
def test_every_component_is_called_in_order(name: str) -> None:
    assert isinstance(import_module(f"apr_ui.{name}")._mount, Component)
