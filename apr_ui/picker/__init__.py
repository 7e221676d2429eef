"""The picker: small pictures of which a person chooses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import streamlit as st

from apr_ui.component import Component


class PickerItem(TypedDict):
    """One picture: `png` is base64, `note` what stands in its tooltip."""

    title: str
    note: str
    png: str


_mount = Component("apr_picker", Path(__file__).parent)


def picker(
    label: str, items: Sequence[PickerItem], chosen: int, key: str, on_choose: Callable[[int], None]
) -> None:
    """Draw the pictures with the `chosen` one marked; `on_choose` learns of another."""

    def choose() -> None:
        number = st.session_state[key].chosen
        if number is not None and 0 <= number < len(items):
            on_choose(number)

    data = {"label": label, "items": list(items), "chosen": chosen}
    _mount(key, data, on_chosen_change=choose)
