"""The Stickers page: learn a sticker, stick it on pictures, print it, hold it to the camera."""

from functools import partial

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_ui.address import follow_address, keep_address
from apr_ui.attention.choose import choose_explained_model
from apr_ui.choose_picture import choose_picture
from apr_ui.controls import choose_data
from apr_ui.dataset import shown_data
from apr_ui.errors import errors_on_page
from apr_ui.frame import ACTIONS, begin_page
from apr_ui.stickers.learning import Asked
from apr_ui.stickers.link import from_params, place_from_params
from apr_ui.stickers.stuck import stick_it
from apr_ui.stickers.view import (
    ASKED,
    begin,
    choose_sticker,
    follow,
    keep_link,
    offer_print,
    show_asked,
    stop_or_go_on,
    usual_for,
)


def open_link(params: dict[str, str]) -> None:
    """Set the controls to what the address asks for, and learn it."""
    show_asked(from_params(params, usual_for), place_from_params(params))


begin_page("stickers")
follow_address("stickers", open_link, partial(st.session_state.pop, ASKED, None))
stage, panel = st.columns([3, 2], gap="large")
asked: Asked | None = None
with panel:
    choose_data()
    with errors_on_page():
        asked = choose_sticker(choose_explained_model("vanilla"), shown_data())
    buttons = st.container(horizontal=True, key=ACTIONS)
    pressed = buttons.button(
        "Learn the sticker",
        type="primary",
        key="stickers.learn",
        icon=":material/school:",
        disabled=asked is None,
    )
if pressed and asked is not None:
    begin(asked)
shown: Asked | None = st.session_state.get(ASKED)
if shown is not None and asked is not None and shown[1] != asked[1]:
    shown = None  # it is of another kind of picture
    keep_address("stickers", {})
learning = None
with stage, errors_on_page():
    if shown is None:
        st.info(
            "No sticker yet. Choose what the model is to see, and press **Learn the sticker**.",
            icon=":material/note_stack:",
        )
    else:
        learning = follow(shown, asked)
        with buttons:
            stop_or_go_on(shown, learning)
        keep_link(shown)
if shown is not None and learning is not None and learning.seen is not None:
    st.header("Stick it", anchor=False)
    chosen, stuck = st.columns([2, 3], gap="large")
    with chosen:
        choice = choose_picture(attacked=False)
    with stuck:
        with errors_on_page():
            if choice is not None:
                stick_it(choice, shown, learning)
        offer_print(learning, shown[0])
