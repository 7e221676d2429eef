"""The By hand page: a person tries pixels, and then the search does."""

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import InputError
from apr_core.by_hand.game import Game, check_pixels
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest
from apr_ui.address import follow_address, keep_address, share_link
from apr_ui.choose_picture import Choice, choose_picture
from apr_ui.controls import choose_data, choose_model, make_request, show_request
from apr_ui.dataset import class_name
from apr_ui.errors import errors_on_page
from apr_ui.frame import begin_page
from apr_ui.hand.games import adopt_game, game_name, leave_game
from apr_ui.hand.search import offer_search, run_on, show_search, start_search
from apr_ui.hand.view import play
from apr_ui.model_names import model_title
from apr_ui.permalink import PREDICTION, from_params, to_params
from apr_ui.resources import check_known, service
from apr_ui.stage import preview
from apr_ui.words import plain


def open_link(params: dict[str, str]) -> None:
    """Set the controls to what the address asks for, and find its game again.

    Raises:
        InputError: there is no such game, or it cannot be played.
    """
    _leave_shown()
    request = _asked_for(params)
    if request is None:
        return
    show_request(request)
    st.session_state["hand.pixels"] = request.config.pixels
    view = service().view(params["run"]) if "run" in params else None
    if view is not None and isinstance(view.request, AttackRequest):
        start_search(view.request, "hand")
    else:
        st.session_state.pop("hand.search", None)


def forget_game() -> None:
    """Show no tries and no search; both are found again by their address."""
    _leave_shown()
    st.session_state.pop("hand.search", None)


def _leave_shown() -> None:
    leave_game("hand", st.session_state.get("hand.place", ""))


def _asked_for(params: dict[str, str]) -> AttackRequest | None:
    request = from_params(params)
    if request is not None:
        _check(request)
    if "game" not in params:
        return request
    game = adopt_game("hand", params["game"])
    if game is None:
        st.info(
            "The game that this address names is no longer in memory"
            + ("." if request else ", and uploaded pictures are kept nowhere else."),
            icon=":material/link_off:",
        )
        return request
    index = OWN_PICTURE if request is None else request.index
    return plain_request(game, index, PREDICTION not in params)


def _check(request: AttackRequest) -> None:
    """Raise InputError where a link names what cannot be played."""
    check_known(request.model.removesuffix(BEHIND_LATTICE))
    try:
        check_pixels(request.config.pixels, request.image)
    except InputError as error:
        raise InputError(f"The link's {error}") from None


def plain_request(game: Game, index: int, named: bool) -> AttackRequest:
    """What a link to a new game of the same kind names; `named` is as the request's."""
    config = OnePixelConfig(pixels=game.pixels)
    return AttackRequest(game.model, game.image, game.label, index, config, named)


def address_of(game: Game, index: int, named: bool) -> dict[str, str]:
    """The address that finds the game and the search again."""
    own = index == OWN_PICTURE
    params = {} if own else to_params(plain_request(game, index, named))
    if own and not named:
        params[PREDICTION] = class_name(game.label)
    if game.queries or own:
        params["game"] = game_name("hand", st.session_state["hand.place"])
    if run := run_on(game, "hand"):
        params["run"] = run.ticket.run_id
    return params


def follow(index: int, named: bool, game: Game) -> None:
    """Drawn with every try; before the first, a bare address is enough."""
    if game.queries or st.query_params:
        keep_address("hand", address_of(game, index, named))
    offer_search(game, index)


def board(choice: Choice, model: str, settings: DeltaGenerator) -> None:
    """The game, then the search, then the link."""
    named = "" if choice.named == model else f" Your model: {model_title(model)}."
    st.caption(choice.caption + named)
    try:
        asked = make_request(choice, model, OnePixelConfig())
        more = partial(follow, asked.index, asked.named)
        game = play(choice.key, model, asked.image, asked.label, more=more, settings=settings)
    except InputError as error:
        st.warning(plain(error), icon=":material/help:")
        preview(choice, model)
        return
    show_search(game)
    params = to_params(plain_request(game, asked.index, asked.named))
    share_link("A link to this picture and model", params)


begin_page("hand")
follow_address("hand", open_link, forget_game)
choose_data()
empty = bool(st.session_state.get("hand.empty"))
with st.expander("Picture, model and pixels", expanded=empty, icon=":material/image:"):
    pictures, models = st.columns([3, 2], gap="large")
    with pictures:
        choice = choose_picture()
    with models:
        model = ""
        with errors_on_page():
            model = choose_model()
        settings = st.container()
if empty != (choice is None or not model):  # open while something is to be chosen
    st.session_state["hand.empty"] = not empty
    st.rerun()
if choice is None:
    st.info("Choose a picture above.")
elif model:
    board(choice, model, settings)
