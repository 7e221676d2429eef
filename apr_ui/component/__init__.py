"""A Streamlit component from the files of a folder, drawn in the browser with its newest data."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from apr_ui.component.assets import asset

_MOUNT = "export default function mount("
_FOLDER = Path(__file__).parent
_SHARED_CSS, _SHARED_JS = asset("css", _FOLDER), asset("js", _FOLDER)


class Component:
    """Registers the component whose HTML, CSS and JavaScript lie in one folder, or in several.

    Its JavaScript has `export default function mount({ parentElement, data, ... })`, which draws
    `data` and may return a clean-up function. It is called through `in-order.js`, and has what else
    lies beside this module: the theme's colours, and `finePercent`.

    Attributes:
        script: the JavaScript that the browser gets.
    """

    def __init__(self, name: str, *folders: Path) -> None:
        script = asset("js", *folders)
        assert script.count(_MOUNT) == 1, name
        self.script = script.replace(_MOUNT, "function mount(") + _SHARED_JS
        self._mount = st.components.v2.component(
            name,
            html=asset("html", *folders),
            css=_SHARED_CSS + asset("css", *folders),
            js=self.script,
        )

    def __call__(self, key: str, data: Mapping[str, Any], **told: Any) -> None:
        """Draw data under a key that stays the same as long as the component is on the page.

        Args:
            data: JSON values.
            told: more of Streamlit's arguments, such as `on_NAME_change`.
        """
        self._mount(key=key, data={**data, "order": _order(key, data)}, **told)


def _order(key: str, data: Mapping[str, Any]) -> tuple[str, int]:
    """The session, and a number that grows whenever this key's data change in it."""
    seat = f"component.{key}"
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    session, number, before = st.session_state.get(seat, (uuid.uuid4().hex, 0, ""))
    if digest != before:
        number += 1
    st.session_state[seat] = (session, number, digest)
    return session, number
