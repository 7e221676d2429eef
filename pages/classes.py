"""The Classes page: a model's rates, attention and confusions, class by class."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
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
    record_of,
    rows_of,
    show_examples,
    show_flips,
    show_rates,
    view_of,
)
from apr_ui.dataset import shown_data
from apr_ui.frame import begin_page
from apr_ui.persistent_widget import persistent


@st.fragment
def browse(model: str, view: View, record: Record | None) -> None:
    """One class; choosing another redraws only this part."""
    picked = st.pills(
        "Class",
        shown_data().classes,
        required=True,
        **persistent("classes.class", shown_data().classes[0]),
    )
    name = picked or shown_data().classes[0]
    looks, examples = st.columns([2, 3], gap="large")
    with looks:
        show_rates(name, view, record)
        show_mean(name, view)
    with examples:
        kinds = [ALL, RIGHT, WRONG, *([FLIPPED, SURVIVED] if record else [])]
        left, right = st.columns([3, 2])
        with left:
            if st.session_state.get("classes.kind") not in kinds:  # of a model with a record
                st.session_state.pop("classes.kind", None)
            kind = st.segmented_control(
                "Examples", kinds, required=True, **persistent("classes.kind", ALL)
            )
        with right:
            orders = ORDERS if view.attention is not None else ORDERS[:-1]
            order = st.selectbox("Sorted by", orders, **persistent("classes.order"))
        show_examples(name, view, rows_of(name, view, record, kind, order))
    offer_overall("classes", model, shown_data().classes.index(name))


begin_page("classes")
model = choose_explained_model()
view, record = view_of(model), record_of(model)
browse(model, view, record)
st.header("Attention: is it on the object?", anchor=False)
show_claims(view)
st.header("Flipped predictions: from which class to which", anchor=False)
if record is None:
    st.info("This model has not been evaluated; `python -m apr_core evaluate` does that.")
else:
    show_flips(record, model)
