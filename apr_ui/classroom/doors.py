"""Ways into a lesson: join a class, open one, or take the lesson alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from apr_core.base.types import InputError
from apr_core.classroom.names import LONGEST_TITLE
from apr_core.classroom.plan import HIDEABLE, STEPS, Plan
from apr_ui.classroom.seating import remember
from apr_ui.dataset import CHOICES, LESSON_DATA, class_name, data_words, one_of, shown_data
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import first_plan, lesson_data
from apr_ui.lesson.steps import LESSON, minutes_of
from apr_ui.model_names import main_first, model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.pictures import enlarge
from apr_ui.resources import cards, classrooms, gallery, probabilities

CLASS, ALONE, STEP = "class", "alone", "step"
"""Query parameters of the page; of a lesson taken alone, the kind of picture."""
HIDDEN_WORDS = {
    "hints": "hot-or-cold hints",
    "board": "the challenge board",
    "answers": "the quiz's answers",
}
_OTHER = "another test image"
WHY_NOT = "the lesson shows recorded runs on several defences, and there are none of these."


def doors() -> None:
    """Join a class, open one, or take the lesson alone."""
    join, lead, alone = st.columns(3, gap="large")
    with join, st.container(border=True):
        st.header("Join a class", anchor=False)
        with st.form("classroom.join", border=False):
            code = st.text_input("Class code", key="classroom.code", max_chars=12)
            if st.form_submit_button("Go to the class", type="primary"):
                with errors_on_page("meeting_room"):
                    _go_to_class(classrooms().room(code).code)
    with alone, st.container(border=True):
        st.header("Take it alone", anchor=False)
        st.markdown(f"Ten steps, about {minutes_of(STEPS):.0f} minutes, at your own pace.")
        kind = _choose_kind("classroom.alone-data")
        if st.button("Begin the lesson", key="classroom.alone"):
            st.query_params.from_dict({ALONE: kind})
            st.rerun()
    with lead, st.container(border=True):
        st.header("Teach a class", anchor=False)
        st.markdown(
            "Open a class, show its code on the projector, and lead the ten steps; the students' "
            "phones follow. No accounts: a nickname is enough."
        )
        _plan_form()


def _plan_form() -> None:
    """The settings of a class, and the button that opens it."""
    with st.expander("Settings of the lesson", icon=":material/tune:"):
        first = first_plan(_choose_kind(LESSON_DATA))
        pictures: dict[str, int] = {}
        for entry in gallery(shown_data().name):
            what = shown_data().picture_name(entry.index)
            pictures.setdefault(f"{entry.title}, {what}", entry.index)
        others = [] if shown_data().shipped_sample().drawn else [_OTHER]
        keep_among("classroom.picture", [*pictures, *others])
        chosen = st.selectbox("Picture", [*pictures, *others], key="classroom.picture")
        index = pictures.get(chosen, first.index)
        if chosen == _OTHER:
            index = int(st.number_input("Test image", 0, 9999, index, key="classroom.index"))
        _preview(index)
        main, more = main_first(cards()[0])
        names = sorted([*main, *more], key=lambda name: name != first.model)
        keep_among("classroom.model", names)
        model = st.selectbox("Network", names, format_func=model_title, key="classroom.model")
        seed = int(st.number_input("Seed", 0, 2**31 - 1, first.seed, key="classroom.seed"))
        steps = st.multiselect(
            "Steps, in this order",
            STEPS,
            STEPS,
            format_func=lambda step: LESSON[step].title,
            key="classroom.steps",
            wrap=True,
        )
        hidden = st.pills(
            "Hide from students",
            HIDEABLE,
            selection_mode="multi",
            format_func=lambda what: HIDDEN_WORDS[what],
            key="classroom.hidden",
        )
    title = st.text_input("Name of the class", key="classroom.title", max_chars=LONGEST_TITLE)
    if st.button("Open the class", type="primary", key="classroom.open"):
        _open(partial(Plan, index, model, seed, tuple(steps), tuple(hidden)), title)


def _choose_kind(key: str) -> str:
    """The kind of picture, where the lesson's steps have recorded runs."""
    kinds = lesson_data()
    keep_among(key, kinds)
    chosen: str = st.pills(
        "Kind of picture",
        kinds,
        format_func=CHOICES.__getitem__,
        required=True,
        **persistent(key, kinds[0]),
    )
    if left_out := [data_words(data) for data in CHOICES if data not in kinds]:
        st.caption(f"Not on {' or '.join(left_out)}: {WHY_NOT}")
    return chosen


def _go_to_class(code: str) -> None:
    st.query_params.from_dict({CLASS: code})
    st.rerun()


def _preview(index: int) -> None:
    with errors_on_page("image"):
        image, label = shown_data().test_image(index)
        seen, what = enlarge(image, 4), one_of(label)
        st.image(seen, width=seen.width, caption=class_name(label), alt=what)


def _check_right(plan: Plan) -> None:
    """Raise InputError if there is no such picture, or the model misclassifies it."""
    image, label = shown_data().test_image(plan.index)
    said = int(probabilities(plan.model, [image])[0].argmax())
    if said != label:
        raise InputError(
            f"{model_title(plan.model)} already mistakes {shown_data().picture_name(plan.index)}, "
            f"{one_of(label)}, for {one_of(said)}; choose "
            "another picture or another network."
        )


def _open(make: Callable[[], Plan], title: str) -> None:
    with errors_on_page():
        plan = make()
        _check_right(plan)
        opened = classrooms().open(plan, title)
        remember(opened.code, "teacher", opened.token)
        _go_to_class(opened.code)
