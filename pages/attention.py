"""The Attention page: attention and attributions, before and after the attack."""

from functools import partial

import streamlit as st
import torch
from torch import Tensor

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import PixelEdit
from apr_core.base.words import percent
from apr_core.serving.requests import MapRequest, RunView, data_behind
from apr_ui.address import follow_address, share_link
from apr_ui.attention.agreement import offer_agreement, offer_overall
from apr_ui.attention.choose import choose_class, choose_explained_model, choose_methods
from apr_ui.attention.link import (
    FIRST_OPACITY,
    AttentionView,
    linked_edits,
    show_view,
    view_from_params,
    view_to_params,
)
from apr_ui.attention.map_files import as_table, map_sheet
from apr_ui.attention.view import WORDS, scenes_of, show_maps
from apr_ui.attention.windows import offer_windows
from apr_ui.changing_text import changing_markdown
from apr_ui.choose_picture import Choice, choose_picture
from apr_ui.controls import choose_data, make_request, show_request, usual_config
from apr_ui.dataset import class_name
from apr_ui.downloads import offer_files
from apr_ui.errors import errors_on_page
from apr_ui.frame import begin_page
from apr_ui.permalink import from_params, to_params
from apr_ui.persistent_widget import persistent
from apr_ui.resources import check_known, gallery, probabilities, service
from apr_ui.stage import headline
from apr_ui.state import ATTACK, CurrentRun, start_run


def open_link(params: dict[str, str]) -> None:
    """Set the controls to what the address asks for."""
    request = from_params(params)
    if request is None:
        return
    check_known(request.model)
    height, width = request.image.shape[1:]
    view = view_from_params(params, list(WORDS), (height, width), len(request.data.classes))
    show_request(request)
    show_view(request, view)


def run_on(choice: Choice, model: str) -> tuple[CurrentRun | None, RunView | None]:
    """The session's attack on this picture and model, as it stands."""
    run = ATTACK.current(choice.key)
    if run is None or run.request.model != model:
        return None, None
    same = torch.equal(run.request.image, choice.image)
    return (run, service().view(run.ticket.run_id)) if same else (None, None)


def edits_of(choice: Choice, model: str) -> tuple[PixelEdit, ...]:
    """The edits of an attack: this session's own, else the link's, else the gallery's."""
    _, view = run_on(choice, model)
    if view is not None and view.outcome is not None:
        return tuple(view.outcome.edits)
    if linked := linked_edits(choice, model):
        return linked
    known = (
        entry
        for entry in gallery(data_behind(model).name)
        if (entry.index, entry.model) == (choice.index, model)
    )
    return next((entry.outcome.edits for entry in known), ())


def attack_text(before: Tensor, after: Tensor) -> str:
    """What the shown attack did, from the probabilities (K,) without its edits and with them."""
    was, now = int(before.argmax()), int(after.argmax())
    if was != now:
        return f"**The attack flipped the answer**: {class_name(was)} → {class_name(now)}."
    return (
        f"**The attack failed**: with its best edit, the model still says {class_name(now)}, "
        f"{percent(float(after[now]))} sure."
    )


def attack(choice: Choice, model: str) -> None:
    """A button that starts the attack, and its progress."""
    run, view = run_on(choice, model)
    if run is not None and view is not None and view.live:
        st.fragment(partial(_wait, run), run_every=0.5)()
        return
    if view is not None:
        headline(view)
    if st.button("Attack this picture", key="attention.attack", icon=":material/target:"):
        start_run(make_request(choice, model, usual_config()))
        st.rerun()


def _wait(run: CurrentRun) -> None:
    view = service().view(run.ticket.run_id, run.ticket.token)
    if view is None or not view.live:
        st.rerun()
    done = len(view.snapshots) / (run.request.config.generations + 1)
    st.progress(done, f"Attacking: {done:.0%}")


def explain(choice: Choice, model: str, picked: list[str], opacity: float) -> None:
    """The class, the attack, the maps and what is offered with them."""
    answer = probabilities(model, [choice.image])[0]
    target = choose_class(answer)
    edits = edits_of(choice, model)
    if not edits:
        attack(choice, model)
    scenes = scenes_of(choice.image, edits)
    if edits:
        after = probabilities(model, [scenes[-1].image])[0]
        changing_markdown("attention.end", attack_text(answer, after))
    maps = show_maps(model, scenes, target, picked, opacity)
    if maps:
        truth = int(answer.argmax()) if choice.label is None else choice.label
        offer_agreement(model, scenes, target, maps, MapRequest(model, choice.image, truth))
        offer_overall("attention", model, truth)
        offer_windows(model, choice.image, edits)
        files = (
            ("CSV", lambda: as_table(scenes, maps).to_csv(index=False), "One row a pixel"),
            ("PNG", lambda: map_sheet(scenes, maps), "Every map, in grey"),
        )
        offer_files("attention", "maps", files)
        shown = AttentionView(target, tuple(picked), opacity, edits)
        params = to_params(make_request(choice, model, OnePixelConfig()))
        share_link("A link to this view", params | view_to_params(shown))


begin_page("attention")
follow_address("attention", open_link)
stage, panel = st.columns([3, 2], gap="large")
with panel:
    choose_data()
    choice, model, picked = choose_picture(), "", None
    with errors_on_page():
        model = choose_explained_model()
        picked = choose_methods(model)
    opacity = st.slider(
        "Opacity of the maps", 0.0, 1.0, **persistent("attention.opacity", FIRST_OPACITY)
    )
with stage, errors_on_page():
    if choice is not None and picked is not None:
        explain(choice, model, picked, opacity)
