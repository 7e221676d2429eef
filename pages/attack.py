"""The Attack page: choose a picture, watch the search, see the result."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.shift import ShiftConfig
from apr_core.base.types import Method, Status
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, RunView
from apr_ui.address import follow_address, keep_address, share_link
from apr_ui.choose_picture import Choice, choose_picture
from apr_ui.controls import (
    choose_attack,
    choose_data,
    choose_model,
    make_request,
    predicted,
    show_request,
)
from apr_ui.dataset import is_small
from apr_ui.errors import errors_on_page
from apr_ui.frame import ACTIONS, begin_page
from apr_ui.hidden_run import offer_hidden_run
from apr_ui.missing_run import missing_run
from apr_ui.model_names import main_first, model_title
from apr_ui.permalink import from_params, to_params
from apr_ui.proof.certificate import offer_certificate
from apr_ui.proof.truth import offer_map
from apr_ui.resources import cards, check_known, service, why_missing
from apr_ui.searches import larger_searches
from apr_ui.shift_run import (
    SHIFT,
    ShiftRequest,
    ask_shift,
    follow_shift,
    found_shift,
    shift_from_params,
    show_asked_shift,
)
from apr_ui.stage import headline, preview, show_details, show_end, subject, watch
from apr_ui.state import ATTACK, cancel_runs, open_run, start_run


def forget() -> None:
    """Show neither a search nor a shift."""
    ATTACK.forget()
    SHIFT.forget()


def open_link(params: dict[str, str]) -> None:
    """Join or start the run that the address asks for."""
    asked = found_shift(params.get("run", "")) or shift_from_params(params) or _asked_for(params)
    if asked is None:
        return
    check_known(asked.model.removesuffix(BEHIND_LATTICE))
    if isinstance(asked, ShiftRequest):
        show_asked_shift(asked)
        return
    show_request(asked)
    open_run(asked)


def _asked_for(params: dict[str, str]) -> AttackRequest | None:
    if "run" not in params:
        return from_params(params)
    view = service().view(params["run"])
    if view is None or not isinstance(view.request, AttackRequest):
        raise missing_run(params["run"])
    return view.request


def plan(request: AttackRequest | ShiftRequest) -> None:
    """Set the controls to a run, to be started in the page run that follows."""
    if isinstance(request, ShiftRequest):
        with errors_on_page():
            show_asked_shift(replace(request, base=predicted(request.base)))
        return
    st.session_state["attack.planned"] = request
    st.session_state["attack.model"] = request.model.removesuffix(BEHIND_LATTICE)
    st.session_state["attack.masked"] = request.model.endswith(BEHIND_LATTICE)
    for name, value in (asdict(request.config) | {"side": request.config.side}).items():
        if name != "target":
            st.session_state[f"attack.{name}"] = value


def offers(view: RunView) -> None:
    """What to try next, by how the run ended."""
    request, outcome = view.request, view.outcome
    if outcome is None or view.unwatched:
        label, icon = "Run it again, same seed", ":material/replay:"
        if st.button(label, key="attack.again", icon=icon):
            with errors_on_page():
                start_run(request, replay=True)
                st.rerun()
        return
    with st.container(horizontal=True):
        survived = outcome.status is Status.SURVIVED
        for config in larger_searches(request) if survived else ():
            more = replace(request, config=config)
            st.button(f"Try {config.words}", on_click=plan, args=(more,))
        offer_others([replace(request, model=each) for each in other_models(request.model)])


def other_models(model: str) -> list[str]:
    """The names of those that can be attacked likewise, behind lattice masking if this one is."""
    masked = BEHIND_LATTICE if model.endswith(BEHIND_LATTICE) else ""
    known = cards()[0]
    names = [name for name in chain(*main_first(known)) if not why_missing(known[name])]
    return [name + masked for name in names if name + masked != model]


def offer_others(requests: Sequence[AttackRequest] | Sequence[ShiftRequest]) -> None:
    """The same attack on other models, in a menu."""
    if not requests:
        return
    with st.popover("The same attack on another model", icon=":material/compare_arrows:"):
        for each in requests:
            title = model_title(each.model.removesuffix(BEHIND_LATTICE))
            st.button(title, on_click=plan, args=(each,))


def button_label(config: OnePixelConfig | ShiftConfig) -> str:
    """What the button says, which tells what will be looked for."""
    if isinstance(config, ShiftConfig):
        return "Change every pixel"
    if config.method is Method.PATCH:
        return "Hunt for the patch"
    return "Hunt for the pixel" if config.pixels == 1 else "Hunt for the pixels"


def show_hunt(choice: Choice | None, model: str, config: OnePixelConfig) -> None:
    """The search on the chosen picture: before it, during it, and what came of it."""
    run = ATTACK.current(choice.key if choice else "")
    st.caption(subject(run.request.model, run.request.config) if run else subject(model, config))
    view = watch(run, with_result=True) if run else None
    if run is None or view is None:
        offer_hidden_run()
        preview(choice, model)
    with buttons:
        if run and view and view.live and st.button("Cancel", key="attack.cancel"):
            cancel_runs(run.ticket)
    if hunt and choice is not None:
        with errors_on_page():
            start_run(make_request(choice, model, config), replay=True)
            st.rerun()
    if run is None or view is None:
        return
    request, params = run.request, to_params(run.request)
    own = request.index == OWN_PICTURE  # found again only while it is in memory
    keep_address("attack", {"run": request.run_id} if own else params)
    if view.error:
        headline(view)
    if not view.live:
        offers(view)
    seal = st.container()
    if is_small(request.data):
        offer_map(request.model.removesuffix(BEHIND_LATTICE), request.image, request.label)
    offer_certificate(request, view.outcome, seal)
    if not view.live:
        show_details(view)
        show_end(view)
    share_link("A link to this run", params)


def show_shift(choice: Choice | None, model: str, config: ShiftConfig) -> None:
    """The same where every pixel is changed."""
    request = SHIFT.current(choice.key if choice else "")
    about = (request.base.model, request.config) if request else (model, config)
    st.caption(subject(*about))
    offer_hidden_run()
    if hunt and choice is not None:
        with errors_on_page():
            ask_shift(choice, model, config)
            st.rerun()
    if request is None:
        preview(choice, model)
        return
    with errors_on_page():
        follow_shift(request)
    others = other_models(request.base.model)
    offer_others([replace(request, base=replace(request.base, model=each)) for each in others])


begin_page("attack")
follow_address("attack", open_link, forget)
if "attack.planned" in st.session_state:
    with errors_on_page():
        start_run(predicted(st.session_state.pop("attack.planned")), replay=True)
stage, panel = st.columns([3, 2], gap="large")
with panel:
    choose_data()
    choice = choose_picture()
    model = choose_model()
    config = choose_attack()
with stage:
    # Drawn before the result: a row that came later would push it down.
    buttons = st.container(horizontal=True, key=ACTIONS)
    with buttons:
        hunt = st.button(
            button_label(config),
            type="primary",
            key="attack.hunt",
            icon=":material/target:",
            disabled=choice is None,
        )
    if isinstance(config, ShiftConfig):
        show_shift(choice, model, config)
    else:
        show_hunt(choice, model, config)
