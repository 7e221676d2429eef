"""The Attention page: where the model looks, before and after the attack."""

from functools import partial
from urllib.parse import urlencode

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import PixelEdit
from apr_core.runs import MapRequest, RunView
from apr_core.types import InputError
from apr_ui.attention import (
    AGREEMENT_WORDS,
    WORDS,
    agreement,
    as_table,
    choose_class,
    choose_explained_model,
    contact_sheet,
    methods_of,
    scenes_of,
    show_maps,
)
from apr_ui.controls import Choice, choose_picture, make_request, show_request
from apr_ui.frame import begin_page
from apr_ui.permalink import from_params, to_params
from apr_ui.resources import gallery, probabilities, service
from apr_ui.state import CurrentRun, current_run, start_run
from apr_ui.truth import ask_for_map

FIRST_METHODS = ("attention", "integrated-gradients", "gradcam")


def open_link() -> None:
    """Set the controls to what the address asks for, once."""
    params = st.query_params.to_dict()
    if not params or params == st.session_state.get("attention.address"):
        return
    st.session_state["attention.address"] = params
    try:
        request = from_params(params)
        if request is None:
            return
        show_request(request)
        st.session_state["attention.model"] = request.model
        st.session_state["attention.methods"] = [
            name for name in params.get("methods", "").split(",") if name in WORDS
        ] or list(FIRST_METHODS)
        if params.get("class", "").isdecimal():
            st.session_state["attention.class"] = int(params["class"][:3]) % 10
    except InputError as error:
        st.error(str(error), icon=":material/link_off:")


def run_on(choice: Choice, model: str) -> tuple[CurrentRun | None, RunView | None]:
    """The session's attack on this picture and model, as it stands."""
    run = current_run(choice.key)
    if run is None or run.request.model != model:
        return None, None
    return run, service().view(run.ticket.run_id)


def edits_of(choice: Choice, model: str) -> tuple[PixelEdit, ...]:
    """What an attack changed: this session's own, else the gallery's."""
    _, view = run_on(choice, model)
    if view is not None and view.outcome is not None:
        return tuple(view.outcome.edits)
    known = (entry for entry in gallery() if (entry.index, entry.model) == (choice.index, model))
    return next((entry.outcome.edits for entry in known), ())


def attack(choice: Choice, model: str) -> None:
    """Offer the attack, and wait for it where it runs."""
    run, view = run_on(choice, model)
    if run is not None and view is not None and view.live:
        st.fragment(partial(_wait, run), run_every=0.5)()
    elif st.button("Attack this picture", key="attention.attack", icon=":material/target:"):
        start_run(make_request(choice, model, OnePixelConfig()))
        st.rerun()


def _wait(run: CurrentRun) -> None:
    view = service().view(run.ticket.run_id, run.ticket.token)
    if view is None or not view.live:
        st.rerun()
    done = len(view.snapshots) / (run.request.config.generations + 1)
    st.progress(done, f"Attacking: {done:.0%}")


begin_page("attention")
open_link()
stage, panel = st.columns([3, 2], gap="large")
with panel:
    choice = choose_picture()
    model = choose_explained_model()
    known = methods_of(model)
    st.session_state.setdefault("attention.methods", list(FIRST_METHODS))
    picked = st.multiselect(
        "Ask it by", list(WORDS), format_func=lambda name: WORDS[name], key="attention.methods",
        persist_state="session",
    )  # fmt: skip
    opacity = st.slider("Opacity of the maps", 0.0, 1.0, 0.6, key="attention.opacity")
with stage:
    if choice is not None:
        label = choice.label
        answer = probabilities(model, [choice.image])[0]
        target = choose_class(answer)
        edits = edits_of(choice, model)
        if not edits:
            attack(choice, model)
        scenes = scenes_of(choice.image, edits)
        if "attention" in picked and "attention" not in known:
            st.info(f"{model} has no attention of its own; the other ways of asking do without.")
        maps = show_maps(model, scenes, target, [name for name in picked if name in known], opacity)
        if maps:
            with st.expander("How far do they agree?", icon=":material/compare_arrows:"):
                said = int(answer.argmax())
                asked = MapRequest(model, choice.image, said if label is None else label)
                view = ask_for_map(asked, "attention", "Hold them against the truth map")
                truth = view.outcome if view else None
                table = agreement(model, scenes, target, maps, truth)
                st.dataframe(table, hide_index=True, key="attention.agreement")
                st.caption(AGREEMENT_WORDS)
            with st.container(horizontal=True):
                st.download_button(
                    "CSV", as_table(scenes, maps).to_csv(index=False), "maps.csv", "text/csv",
                    key="attention.csv", on_click="ignore", icon=":material/download:",
                )  # fmt: skip
                st.download_button(
                    "PNG", contact_sheet(scenes, maps), "maps.png", "image/png",
                    key="attention.png", on_click="ignore", icon=":material/download:",
                )  # fmt: skip
            with st.expander("A link to this view", icon=":material/link:"):
                request = make_request(choice, model, OnePixelConfig())
                params = to_params(request) | {"class": str(target), "methods": ",".join(maps)}
                base = (st.context.url or "").partition("?")[0]
                st.code(f"{base}?{urlencode(params)}", language=None, wrap_lines=True)
