"""The By hand page's address: it names picture, model and pixels, and brings the tries back."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import InputError
from apr_core.by_hand.game import PIXELS, Game
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest
from apr_ui.controls import show_request
from apr_ui.hand.games import adopt_game, game_name, leave_game
from apr_ui.hand.rematch import run_on, start_search
from apr_ui.permalink import from_params, to_params
from apr_ui.resources import check_known, service


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
    _search_again(params)


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
            "The tries that this address names are no longer in memory"
            + ("." if request else ", and pictures that people bring are kept nowhere else."),
            icon=":material/link_off:",
        )
        return request
    config = OnePixelConfig(pixels=game.pixels)
    index = OWN_PICTURE if request is None else request.index
    return AttackRequest(game.model, game.image, game.label, index, config)


def _check(request: AttackRequest) -> None:
    """Raise InputError where a link names what cannot be played."""
    check_known(request.model.removesuffix(BEHIND_LATTICE))
    if request.config.pixels not in PIXELS:
        allowed = ", ".join(map(str, PIXELS))
        raise InputError(
            f"The link's pixels is {request.config.pixels}, but by hand it is one of {allowed}."
        )


def _search_again(params: dict[str, str]) -> None:
    """Join the search that the address names, if it is still in memory; else show none."""
    view = service().view(params["run"]) if "run" in params else None
    if view is not None and isinstance(view.request, AttackRequest):
        start_search(view.request, "hand")
    else:
        st.session_state.pop("hand.search", None)


def address_of(game: Game, index: int) -> dict[str, str]:
    """What finds the game and the search again."""
    params = {} if index == OWN_PICTURE else to_params(_plain(game, index))
    if game.queries or not params:
        params["game"] = game_name("hand", st.session_state["hand.place"])
    run = run_on(game, "hand")
    if run:
        params["run"] = run.ticket.run_id
    return params


def _plain(game: Game, index: int) -> AttackRequest:
    """What a link to a new game of the same kind names."""
    config = OnePixelConfig(pixels=game.pixels)
    return AttackRequest(game.model, game.image, game.label, index, config)


def share(game: Game, index: int) -> None:
    """A link for somebody else, who begins with no tries."""
    with st.expander("A link to this picture and model", icon=":material/link:"):
        if index == OWN_PICTURE:
            st.caption("The picture itself is in the link: share it only if you may.")
        base = (st.context.url or "").partition("?")[0]
        st.code(
            f"{base}?{urlencode(to_params(_plain(game, index)))}", language=None, wrap_lines=True
        )
