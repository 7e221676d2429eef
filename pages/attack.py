"""The Attack page: choose a picture, watch the hunt, see how it ends."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError, Status
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, RunView
from apr_ui.address import follow_address, keep_address
from apr_ui.controls import choose_config, choose_model, choose_picture, make_request, show_request
from apr_ui.frame import begin_page
from apr_ui.fresh import fresh
from apr_ui.missing_run import missing_run
from apr_ui.permalink import from_params, to_params
from apr_ui.proof.certificate import offer_certificate
from apr_ui.proof.truth import offer_map
from apr_ui.resources import cards, service
from apr_ui.stage import headline, preview, show_end, subject, watch
from apr_ui.state import cancel_runs, current_run, forget_run, open_run, start_run
from apr_ui.words import plain


def open_link(params: dict[str, str]) -> None:
    """Start the run that the address asks for."""
    request = _asked_for(params)
    if request is not None:
        show_request(request)
        open_run(request)


def _asked_for(params: dict[str, str]) -> AttackRequest | None:
    if "run" not in params:
        return from_params(params)
    view = service().view(params["run"])
    if view is None or not isinstance(view.request, AttackRequest):
        raise missing_run(params["run"])
    return view.request


def address_of(request: AttackRequest) -> dict[str, str]:
    """What finds the run again: a person's own picture only while it is in memory."""
    return {"run": request.run_id} if request.index == OWN_PICTURE else to_params(request)


def begin(make: Callable[[], AttackRequest]) -> None:
    """Start a run and draw the page anew."""
    try:
        start_run(make(), replay=True)
    except InputError as error:
        st.error(plain(error))
        return
    st.rerun()


def plan(request: AttackRequest) -> None:
    """Have a run like the present one begin; the controls will show in what it differs."""
    st.session_state["attack.planned"] = request
    st.session_state["attack.model"] = request.model.removesuffix(BEHIND_LATTICE)
    st.session_state["attack.masked"] = request.model.endswith(BEHIND_LATTICE)
    st.session_state["attack.pixels"] = request.config.pixels


def begin_planned() -> None:
    """Start the run that was planned, once."""
    request: AttackRequest | None = st.session_state.pop("attack.planned", None)
    if request is not None:
        try:
            start_run(request, replay=True)
        except InputError as error:
            st.error(plain(error), icon=":material/error:")


def offers(view: RunView) -> None:
    """What to try next, by how the run ended."""
    request, outcome = view.request, view.outcome
    if outcome is None or view.unwatched:
        if st.button("Run it again, same seed", key="attack.again", icon=":material/replay:"):
            begin(partial(replace, request))
        return
    with st.container(horizontal=True):
        if outcome.status is Status.SURVIVED:
            for pixels in (3, 5):
                if pixels > request.config.pixels:
                    more = replace(request, config=replace(request.config, pixels=pixels))
                    st.button(f"Try {pixels} pixels", on_click=plan, args=(more,))
        masked = BEHIND_LATTICE if request.model.endswith(BEHIND_LATTICE) else ""
        with st.popover("The same on another model", icon=":material/compare_arrows:"):
            for name in cards()[0]:
                if name + masked != request.model:
                    other = replace(request, model=name + masked)
                    st.button(name, on_click=plan, args=(other,))


def share(request: AttackRequest) -> None:
    """The link that makes this run again."""
    with st.expander("A link to this run", icon=":material/link:"):
        if request.index == OWN_PICTURE:
            st.caption("The picture itself is in the link: share it only if you may.")
        query = urlencode(to_params(request))
        base = (st.context.url or "").partition("?")[0]
        st.code(f"{base}?{query}", language=None, wrap_lines=True)


begin_page("attack")
follow_address("attack", open_link, forget_run)
begin_planned()
stage, panel = st.columns([3, 2], gap="large")
with panel:
    choice = choose_picture()
    model = choose_model()
    config = choose_config()
with stage:
    buttons, news = st.container(horizontal=True), st.container()
    run = current_run(choice.key if choice else "")
    view = watch(run) if run else None
    if run is None or view is None:
        preview(choice, model)
    with buttons:
        hunt = st.button(
            "Hunt for the pixel",
            type="primary",
            key="attack.hunt",
            icon=":material/target:",
            disabled=choice is None,
        )
        if run and view and view.live and st.button("Cancel", key="attack.cancel"):
            cancel_runs(run.ticket)
    if hunt and choice is not None:
        begin(partial(make_request, choice, model, config))
    if run and view:
        keep_address("attack", address_of(run.request))
        words = subject(run.request)
        fresh("attack.subject", words, news).caption(words)
        if not view.live:
            with news:
                headline(view)
                offers(view)
            show_end(view)
        bare = run.request.model.removesuffix(BEHIND_LATTICE)
        ended = view.outcome is not None
        offer_certificate(run.request.model, run.request.image, run.request.label, ended, news)
        offer_map(bare, run.request.image, run.request.label)
        share(run.request)
