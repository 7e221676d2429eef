"""The Train page: choose a defence, watch it learn, cancel, resume, discard."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.training.trainer import TrainRequest
from apr_ui.errors import errors_on_page
from apr_ui.frame import begin_page
from apr_ui.training import (
    begin,
    cancel,
    choose_training,
    follow,
    headline,
    offer_discard,
    others,
)

begin_page("train")
name = st.query_params.get("run", "")
stage, panel = st.columns([3, 2], gap="large")
with panel:
    request: TrainRequest | None = None
    with errors_on_page():
        request = choose_training()
    start = st.button(
        "Start training",
        type="primary",
        key="train.start",
        icon=":material/play_arrow:",
        disabled=request is None,
    )
    others(name)
with stage:
    buttons = st.container(horizontal=True)
    question, news = st.container(), st.container()
    view = follow(name) if name else None
    try:
        if start and request is not None:
            begin(request)
        if view is not None:
            with news:
                headline(view)
            with buttons:
                if not view.live and view.card is None:
                    if st.button("Resume", key="train.resume", icon=":material/play_arrow:"):
                        begin(view.request)
                    offer_discard(view.request, question)
                if view.live and st.button("Cancel", key="train.cancel"):
                    with news:
                        cancel(name)
    except InputError as error:
        news.error(str(error), icon=":material/error:")
    if view is None:
        st.info(
            "No training yet. Press **Start training**: with the default settings, the first "
            "results come soon.",
            icon=":material/model_training:",
        )
