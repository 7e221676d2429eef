"""The picker: small pictures of which a person chooses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import streamlit as st


class PickerItem(TypedDict):
    """One picture: `png` is base64, `note` what stands in its tooltip."""

    title: str
    note: str
    png: str


_FOLDER = Path(__file__).parent
_mount = st.components.v2.component(
    "apr_picker",
    html='<div class="picker" role="radiogroup"></div>',
    css=(_FOLDER / "picker.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "picker.js").read_text(encoding="utf-8"),
)


def picker(
    label: str, items: Sequence[PickerItem], chosen: int, key: str, on_choose: Callable[[int], None]
) -> None:
    """Draw the pictures with the `chosen` one marked; `on_choose` learns of another."""

    def choose() -> None:
        number = st.session_state[key].chosen
        if number is not None and 0 <= number < len(items):
            on_choose(number)

    data = {"label": label, "items": list(items), "chosen": chosen}
    _mount(key=key, data=data, on_chosen_change=choose)
