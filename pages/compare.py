"""The Compare page: one picture, one seed, one budget, raced on every defence side by side."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import AttackRequest
from apr_ui.address import follow_address, keep_address
from apr_ui.controls import choose_config, choose_picture, show_request
from apr_ui.frame import begin_page
from apr_ui.pictures import enlarge
from apr_ui.race.end import offer_seals, show_end
from apr_ui.race.link import join_names, race_from_params, race_to_params, split_names
from apr_ui.race.view import (
    Race,
    any_race,
    cancel_race,
    choose_models,
    current_race,
    forget_race,
    requests_for,
    requests_of,
    start_race,
    watch_race,
)
from apr_ui.race.words import about, news
from apr_ui.resources import check_known
from apr_ui.words import plain

PREVIEW_SCALE = 6


def open_link(params: dict[str, str]) -> None:
    """Start the race that the address asks for."""
    requests = _asked_for(params)
    if requests:
        show_request(requests[0])
        st.session_state["compare.models"] = [request.model for request in requests]
        start_race(requests)


def _asked_for(params: dict[str, str]) -> tuple[AttackRequest, ...] | None:
    if "runs" in params:
        return requests_of(split_names(params["runs"]))
    requests = race_from_params(params)
    for request in requests or ():
        check_known(request.model)
    return requests


def address_of(race: Race) -> dict[str, str]:
    """What finds the race again: of a person's own picture, only while it is in memory."""
    own = race.requests[0].index == OWN_PICTURE
    runs = join_names([ticket.run_id for ticket in race.tickets])
    return {"runs": runs} if own else race_to_params(race.requests)


def begin(make: Callable[[], tuple[AttackRequest, ...]]) -> None:
    """Start a race and draw the page anew."""
    try:
        start_race(make(), replay=True)
    except InputError as error:
        st.error(plain(error), icon=":material/error:")
        return
    st.rerun()


def link_to(race: Race) -> str:
    """The address that starts this race again."""
    base = (st.context.url or "").partition("?")[0]
    return f"{base}?{urlencode(race_to_params(race.requests), safe=',')}"


def share(race: Race) -> None:
    """The link, to copy."""
    with st.expander("A link to this race", icon=":material/link:"):
        if race.requests[0].index == OWN_PICTURE:
            st.caption("The picture itself is in the link: share it only if you may.")
        st.code(link_to(race), language=None, wrap_lines=True)


begin_page("compare")
follow_address("compare", open_link, forget_race)
buttons = st.container(horizontal=True)
with st.expander("Picture, models and settings", expanded=not any_race(), icon=":material/tune:"):
    left, right = st.columns(2, gap="large")
    with left:
        choice = choose_picture()
    with right:
        if choice is not None:
            seen = enlarge(choice.image, PREVIEW_SCALE)
            st.image(seen, width=seen.width, caption=choice.caption, alt=choice.caption)
        models = choose_models()
        config = choose_config()
race = current_race(choice.key if choice else "")
ending = st.container()
runners = watch_race(race) if race else []
live = any(runner.view.live for runner in runners)
with buttons:
    go = st.button(
        "Race",
        type="primary",
        key="compare.go",
        icon=":material/flag:",
        disabled=choice is None or not models,
    )
    if race and live and st.button("Cancel", key="compare.cancel"):
        cancel_race(race)
if go and choice is not None:
    begin(partial(requests_for, choice, models, config))
if race is None and any_race():
    st.info(
        "This picture has not raced: press **Race**. The last race comes back with its picture."
    )
if race and runners:
    keep_address("compare", address_of(race))
    ending.caption(about(race.requests[0]))
    if not live:
        ending.info(news(runners), icon=":material/flag:")
        show_end(race, runners, link_to(race))
        offer_seals(race, runners)
    share(race)
