"""The Classes page: a model's rates, attention and confusions, class by class."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.evaluation.record import Record
from apr_ui.attention.agreement import offer_overall
from apr_ui.attention.choose import choose_explained_model
from apr_ui.classes.attention import show_claims, show_mean
from apr_ui.classes.view import (
    ALL,
    FLIPPED,
    ORDERS,
    RIGHT,
    SURVIVED,
    WRONG,
    View,
    choose_label,
    record_of,
    rows_of,
    show_examples,
    show_flips,
    show_rates,
    view_of,
)
from apr_ui.controls import choose_data
from apr_ui.frame import begin_page
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.words import plain


@st.fragment
def browse(model: str, view: View, record: Record | None) -> None:
    """One class; choosing another redraws only this part."""
    label = choose_label(view)
    looks, examples = st.columns([2, 3], gap="large")
    with looks:
        show_rates(label, view, model, record)
        show_mean(label, view)
    with examples:
        kinds = [ALL, RIGHT, WRONG, *([FLIPPED, SURVIVED] if record else [])]
        left, right = st.columns([3, 2])
        with left:
            keep_among("classes.kind", kinds)  # of a model with a record
            kind = st.segmented_control(
                "Examples", kinds, required=True, wrap=True, **persistent("classes.kind", ALL)
            )
        with right:
            orders = ORDERS if view.attention is not None else ORDERS[:-1]
            keep_among("classes.order", orders)
            order = st.selectbox("Sorted by", orders, **persistent("classes.order"))
        show_examples(label, view, model, rows_of(label, view, record, kind, order))
    offer_overall("classes", model, label)


def show(model: str, view: View) -> None:
    """A class, then attention and flips over all classes."""
    record = record_of(model)
    browse(model, view, record)
    st.header("Attention: is it on the object?", anchor=False)
    show_claims(view)
    st.header("Flipped predictions: from which class to which", anchor=False)
    if record is None:
        st.info(
            "This model has not been evaluated; "
            f"`python -m apr_core evaluate --model {model}` does that."
        )
    else:
        show_flips(record, model)


begin_page("classes")
choose_data()
try:
    model = choose_explained_model()
    show(model, view_of(model))
except InputError as error:
    st.info(plain(error), icon=":material/info:")
