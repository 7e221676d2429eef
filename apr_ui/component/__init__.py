"""A component of our own: files of a folder, drawn in the browser with the newest data given."""

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
_IN_ORDER = asset("js", _FOLDER)


class Component:
    """Registers the component whose HTML, CSS and JavaScript lie in a folder.

    Its JavaScript has `export default function mount({ parentElement, data, ... })`, which draws
    `data` and may return what ends it. It is called through `in-order.js`, which see.

    Attributes:
        script: what the browser is sent.
    """

    def __init__(self, name: str, folder: Path) -> None:
        script = asset("js", folder)
        assert script.count(_MOUNT) == 1, name
        self.script = script.replace(_MOUNT, "function mount(") + _IN_ORDER
        self._mount = st.components.v2.component(
            name,
            html=asset("html", folder),
            css=asset("css", folder),
            js=self.script,
        )

    def __call__(self, key: str, data: Mapping[str, Any], **told: Any) -> None:
        """Draw data under a key that stays the same for as long as the component stands.

        Args:
            data: what JSON can hold.
            told: more of Streamlit's, such as `on_NAME_change`.
        """
        self._mount(key=key, data={**data, "order": _order(key, data)}, **told)


def _order(key: str, data: Mapping[str, Any]) -> tuple[str, int]:
    """Of which session the data are, and the how manieth other data of this key in it."""
    seat = f"component.{key}"
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    session, number, before = st.session_state.get(seat, (uuid.uuid4().hex, 0, ""))
    if digest != before:
        number += 1
    st.session_state[seat] = (session, number, digest)
    return session, number
