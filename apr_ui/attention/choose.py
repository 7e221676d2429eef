"""What is explained: the pickers of the model and of the class."""

from __future__ import annotations

from typing import Any

import streamlit as st
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.base.words import percent
from apr_ui.attention.link import FIRST_METHODS
from apr_ui.attention.view import ATTENTION, WORDS, methods_of
from apr_ui.dataset import class_name, kind_title, shown_data
from apr_ui.model_names import main_first, model_line, model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.resources import cards, show_caution

MOST_PILLS = 10
"""Classes up to which each has a button of its own."""


def choose_explained_model(first_defence: str = "apr") -> str:
    """The model that is explained; at first one with attention, or of another defence.

    Raises:
        InputError: there is none for the page's data set.
    """
    main, more = main_first(cards()[0])
    names = [*main, *more]
    if not names:
        raise InputError(
            f"There is no model for {kind_title(shown_data())} here; restore checkpoints/, or make "
            "one with `python -m apr_core train`."
        )
    first = next((name for name in names if name.endswith(f"-{first_defence}")), names[0])
    keep_among("attention.model", [first, *names])  # the one chosen may be of other data
    name: str = st.selectbox(
        "Model", names, format_func=model_title, **persistent("attention.model", first)
    )
    st.caption(model_line(name))
    show_caution(name)
    return name


def choose_methods(model: str) -> list[str]:
    """The methods that explain the model: those that were chosen and fit it, else the usual ones.

    The model's own gate is chosen again with the next model that has one.
    """
    known, key, seat = methods_of(model), "attention.methods", "attention.gateless"
    kept = persistent(key, list(FIRST_METHODS))
    chosen: list[str] = st.session_state[key]
    before, instead = st.session_state.get(seat, ([], []))
    if ATTENTION not in known and ATTENTION in chosen:
        fit = [name for name in chosen if name in known]
        instead = fit or [name for name in FIRST_METHODS if name in known]
        st.session_state.update({seat: (chosen, instead), key: instead})
    elif ATTENTION in known and before:
        st.session_state[key] = before if chosen == instead else [ATTENTION, *chosen]
        st.session_state[seat] = ([], [])
    picked = st.multiselect("Methods", known, format_func=WORDS.__getitem__, **kept)
    if ATTENTION not in known:
        st.caption(f"{model_title(model)} has no attention gate; these methods need none.")
    return picked


def choose_class(answer: Tensor) -> int:
    """The class to explain: the model's prediction, unless a person picks another.

    Args:
        answer: the model's probabilities, (K,).
    """
    said = int(answer.argmax())
    order = answer.argsort(descending=True).tolist()
    data = shown_data().name
    if st.session_state.setdefault("attention.class-of", data) != data:
        st.session_state.update({"attention.class": None, "attention.class-of": data})
    chosen = st.session_state.get("attention.class")
    now = f"{class_name(said)} (prediction)" if chosen in (None, said) else class_name(chosen)
    named = {k: f"{class_name(k)} {percent(float(answer[k]))}" for k in order}
    words: dict[str, Any] = {"format_func": named.__getitem__, **persistent("attention.class")}
    if len(order) <= MOST_PILLS:
        picked = st.pills(f"Explain why: {now}", order, wrap=True, **words)
    else:
        picked = st.selectbox(
            f"Explain why: {now}", order, index=None, placeholder=class_name(said), **words
        )
    return said if picked is None else int(picked)
