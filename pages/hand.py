"""The By hand page: a person tries pixels, and then the search does."""

from functools import partial

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import InputError
from apr_core.by_hand.game import Game
from apr_core.serving.requests import BEHIND_LATTICE
from apr_ui.address import follow_address, keep_address
from apr_ui.controls import Choice, choose_model, choose_picture, make_request
from apr_ui.frame import begin_page
from apr_ui.hand.link import address_of, forget_game, open_link, share
from apr_ui.hand.rematch import offer_search, show_search
from apr_ui.hand.view import play
from apr_ui.stage import preview
from apr_ui.words import plain


def follow(index: int, game: Game) -> None:
    """What goes with every try; before the first, a bare address names all that there is."""
    if game.queries or st.query_params:
        keep_address("hand", address_of(game, index))
    offer_search(game, index)


def board(choice: Choice, model: str) -> None:
    """The game, then the search, then the link."""
    bare = model.removesuffix(BEHIND_LATTICE)
    masked = "" if bare == model else ", behind lattice masking"
    st.caption(f"{choice.caption} The model is {bare}{masked}.")
    try:
        asked = make_request(choice, model, OnePixelConfig())
        follows = partial(follow, choice.index)
        game = play(choice.key, model, choice.image, asked.label, more=follows)
    except InputError as error:
        st.warning(plain(error), icon=":material/help:")
        preview(choice, model)
        return
    show_search(game)
    share(game, choice.index)


begin_page("hand")
follow_address("hand", open_link, forget_game)
with st.expander("Picture and model", icon=":material/image:"):
    pictures, models = st.columns([3, 2], gap="large")
    with pictures:
        choice = choose_picture()
    with models:
        model = choose_model()
if choice is None:
    st.info("Open **Picture and model** above, and choose a picture.")
else:
    board(choice, model)
