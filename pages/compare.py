"""The Compare page: one picture, one seed, one budget, raced on every defence side by side."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import AttackRequest
from apr_ui.address import follow_address, keep_address, page_link, share_link
from apr_ui.choose_picture import choose_picture
from apr_ui.controls import choose_config, choose_data, show_request
from apr_ui.errors import errors_on_page
from apr_ui.frame import ACTIONS, begin_page
from apr_ui.pictures import enlarge, scale_to
from apr_ui.race.end import offer_seals, show_end
from apr_ui.race.link import race_from_params, race_to_params, split_names
from apr_ui.race.view import (
    RACE,
    Race,
    choose_models,
    requests_for,
    requests_of,
    start_race,
    watch_race,
)
from apr_ui.race.words import about, news
from apr_ui.resources import check_known
from apr_ui.state import cancel_runs

PREVIEW_SIDE = 200
"""Screen pixels, at least, of the picture that is chosen."""


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
    """What finds the race again; one on an uploaded picture only while it is in memory."""
    if race.requests[0].index == OWN_PICTURE:
        return {"runs": ",".join(ticket.run_id for ticket in race.tickets)}
    return race_to_params(race.requests)


begin_page("compare")
follow_address("compare", open_link, RACE.forget)
buttons, any_race = st.container(horizontal=True, key=ACTIONS), RACE.get() is not None
with st.expander("Picture, models and settings", expanded=not any_race, icon=":material/tune:"):
    left, right = st.columns(2, gap="large")
    with left:
        choose_data()
        choice = choose_picture()
    with right:
        if choice is not None:
            seen = enlarge(choice.image, scale_to(choice.image, PREVIEW_SIDE))
            st.image(seen, width=seen.width, caption=choice.caption, alt=choice.caption)
        models = choose_models()
        config = choose_config()
with buttons:
    go = st.button(
        "Race",
        type="primary",
        key="compare.go",
        icon=":material/flag:",
        disabled=choice is None or not models,
    )
if go and choice is not None:
    with errors_on_page():
        start_race(requests_for(choice, models, config), replay=True)
        st.rerun()
race = RACE.current(choice.key if choice else "")
runners = watch_race(race, with_results=True) if race else []
live = any(runner.view.live for runner in runners)
if race and live and buttons.button("Cancel", key="compare.cancel"):
    cancel_runs(*race.tickets)
if race is None and any_race:
    st.info("There is no race on this picture yet: press **Race**.")
if race and runners:
    params = race_to_params(race.requests)
    keep_address("compare", address_of(race))
    st.caption(about(race.requests[0]))
    if not live:
        st.info(news(runners), icon=":material/flag:")
        show_end(race, runners, page_link(params))
        offer_seals(race, runners)
    share_link("A link to this race", params)
