"""The Safety net page: layers around a model that withhold an answer, and an attack on them."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import Outcome
from apr_ui.address import follow_address, keep_address, share_link
from apr_ui.choose_picture import Choice, choose_picture
from apr_ui.controls import choose_data
from apr_ui.dataset import shown_data
from apr_ui.errors import errors_on_page
from apr_ui.frame import ACTIONS, begin_page
from apr_ui.safety.attack_view import follow_attack, plan_words
from apr_ui.safety.flow import choose_state, show_flow
from apr_ui.safety.link import open_link, to_params
from apr_ui.safety.nets import (
    choose_net,
    measured_nets,
    net_of,
    none_measured,
    outcome_on,
    set_thresholds,
)
from apr_ui.safety.search import begin_attack, found_attack, recorded_edit
from apr_ui.safety.worth import show_side_by_side, show_worth


def show_net(net: Pipeline, choice: Choice, outcome: Outcome | None) -> None:
    """The picture on its way through the net, and the attack on both."""
    job = found_attack(net.config, choice)
    live = job is not None and not job.ended.is_set()
    with buttons:
        asked = st.button(
            "Attack the net",
            type="primary",
            key="safety.attack",
            icon=":material/target:",
            disabled=live,
        )
        if job is not None and live:
            st.button("Cancel", key="safety.cancel", on_click=job.cancel)
    if asked:
        with errors_on_page():
            begin_attack(net, choice, outcome)
            st.rerun()
    if job is not None:
        follow_attack(job, net.config.certificate is not None)
    else:
        st.markdown(plan_words(recorded_edit(outcome) is not None))
    show_flow(net, choice, choose_state(outcome, job.made if job else None))


begin_page("safety")
follow_address("safety", open_link)
stage, panel = st.columns([3, 2], gap="large")
nets = measured_nets(shown_data().name)
with panel:
    choose_data()
    choice = choose_picture()
    record = choose_net(nets) if nets else None
    measured = record.setting.pipeline if record else None
    config = set_thresholds(measured) if measured else None
with stage, errors_on_page():
    if record is None or measured is None or config is None:
        keep_address("safety", {})  # it may name a net of other data
        raise InputError(none_measured(shown_data()))
    net = net_of(config, measured)
    buttons = st.container(horizontal=True, key=ACTIONS)
    keep_address("safety", to_params(measured, config, choice))
    if choice is not None:
        show_net(net, choice, outcome_on(record, choice))
if record is not None and config is not None and measured is not None:
    show_worth(record, config)
    show_side_by_side(record.setting.model)
    share_link("A link to this net", to_params(measured, config, choice))
