"""The Classes page's parts: a model's rates by class, examples, and which classes are confused."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.data.dataset import Sample
from apr_core.data.images import to_png
from apr_core.evaluation.attribution.cached_predictions import kept_glance, take_glance
from apr_core.evaluation.classes import flip_matrix, rates_by_class
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.model_summary import LADDER, find_record
from apr_core.evaluation.record import Record
from apr_core.explain.attention import gate_of
from apr_core.models.inputs import as_input
from apr_core.serving.requests import AttackRequest
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.attention.choose import MOST_PILLS
from apr_ui.changing_text import changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.choose_picture import place_of, show_credit
from apr_ui.classes.charts import flips
from apr_ui.classes.pictures import pictures_of
from apr_ui.dataset import class_name, one_of, shown_data
from apr_ui.downloads import offer_files
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import cards, evaluations, scorer
from apr_ui.words import count_text

ALL, RIGHT, WRONG, FLIPPED, SURVIVED = "all", "right", "wrong", "flipped", "survived"
ORDERS = ("test index", "the model's confidence", "entropy of its attention")
MOST = 24
"""Examples that are shown at once."""


@dataclass(frozen=True, eq=False)
class View:
    """A model's predictions for N pictures.

    Attributes:
        sample: the pictures.
        answers: probabilities, (N, K).
        attention: (N, H, W), None for a model without.
        ratios: attention's density in the object's region over that elsewhere, (N,); nan where no
            object is found.
    """

    sample: Sample
    answers: Tensor
    attention: Tensor | None
    ratios: Tensor | None


def view_of(model: str) -> View:
    """The predictions for the pictures of the page's data set, made once for a model's weights.

    Raises:
        InputError: there are no such pictures here, or the model cannot be loaded.
    """
    sample = pictures_of(shown_data())
    return _view(model, zoo_fingerprint(), len(sample.labels), sample)


@st.cache_resource(show_spinner="Classifying the pictures…", max_entries=12)
def _view(
    model: str, fingerprint: tuple[tuple[str, int], ...], count: int, _sample: Sample
) -> View:
    glance = kept_glance(cards()[0][model]) or take_glance(scorer(model), _sample.images)
    attention = None
    if glance.ratios is not None:
        attention = gate_of(scorer(model).model, as_input(_sample.images))
    return View(_sample, glance.answers, attention, glance.ratios)


def record_of(model: str) -> Record | None:
    """The record of the model's weights that its attack rates are read from."""
    return find_record(evaluations()[0], cards()[0][model])


def choose_label(view: View) -> int:
    """A class that there are pictures of."""
    labels = sorted(set(view.sample.labels.tolist()))
    many = len(labels) > MOST_PILLS
    names = {label: class_name(label) for label in labels}
    if many:
        labels.sort(key=names.__getitem__)
    key = "classes.one-of-many" if many else "classes.class"
    keep_among(key, labels)
    kept = persistent(key, labels[0])
    if many:
        return int(st.selectbox("Class", labels, format_func=names.__getitem__, **kept))
    chosen = st.pills("Class", labels, format_func=names.__getitem__, required=True, **kept)
    return labels[0] if chosen is None else int(chosen)


def rows_of(label: int, view: View, record: Record | None, kind: str, order: str) -> list[int]:
    """The sample's rows of a class that are of a kind, in an order."""
    sample = view.sample
    rows = (sample.labels == label).nonzero()[:, 0]
    right = view.answers[rows].argmax(1) == label
    if kind in (RIGHT, WRONG):
        rows = rows[right if kind == RIGHT else ~right]
    elif kind in (FLIPPED, SURVIVED):
        fell = record.broken(1) if record else {}
        wanted = kind == FLIPPED
        rows = rows[[fell.get(index) is wanted for index in sample.indices[rows].tolist()]]
    if order == ORDERS[1]:
        rows = rows[view.answers[rows, label].argsort(descending=True, stable=True)]
    elif order == ORDERS[2] and view.attention is not None:
        rows = rows[spread_of(view.attention[rows]).argsort(descending=True, stable=True)]
    return rows.tolist()


def spread_of(attention: Tensor) -> Tensor:
    """Entropy (N,) of attention (N, H, W), without the outermost pixels, whose neighbourhood is cut
    off."""
    inner = attention[:, 1:-1, 1:-1].flatten(1)
    share = inner / inner.sum(1, keepdim=True)
    entropy: Tensor = torch.special.entr(share).sum(1)
    return entropy


def show_rates(label: int, view: View, model: str, record: Record | None) -> None:
    """The model's accuracy on a class, and the success rate of the attack."""
    mine = view.sample.labels == label
    clean = rate_of(int((view.answers[mine].argmax(1) == label).sum()), int(mine.sum()))
    words = f"**Clean accuracy**: {_rate_text(clean)} pictures of this class here."
    if view.sample.picked:
        words = (
            f"**Right**: {clean.count} of {count_text(clean.total, 'picture', 'pictures')} of this "
            "class here, picked by hand, so this is no accuracy."
        )
    changing_markdown("classes.right", words)
    if record is None:
        words = f"not measured; `python -m apr_core evaluate --model {model}` measures it."
    else:
        rate, setting = rates_by_class(record, 1)[label], record.setting
        how = "by several attacks" if setting.attack == LADDER else setting.attack
        words = (
            f"{_rate_text(rate)} that the model got right"
            if rate.total
            else "no picture of this class that the model got right was attacked"
        ) + f" ({how}, {setting.images} images of all classes)."
    changing_markdown("classes.broken", f"**Fooled by one pixel**: {words}")


def _rate_text(rate: Rate) -> str:
    return f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}] of {rate.total}"


def show_examples(label: int, view: View, model: str, rows: Sequence[int]) -> None:
    """Pictures of the class; one can be opened on the Attention page."""
    if not rows:
        st.info("No picture of this class matches.")
        return
    chosen = st.session_state.get("classes.example", rows[0])
    place = rows.index(chosen) if chosen in rows[:MOST] else 0
    picker(
        f"Examples of {class_name(label)}",
        [_item(row, view) for row in rows[:MOST]],
        place,
        "classes.examples",
        lambda number: st.session_state.update({"classes.example": rows[number]}),
    )
    if len(rows) > MOST:
        st.caption(f"The first {MOST} of {len(rows)}.")
    row, sample = rows[place], view.sample
    show_credit(shown_data(), int(sample.indices[row]))
    if st.button("Open it on the Attention page", icon=":material/visibility:"):
        index, config = int(sample.indices[row]), OnePixelConfig()
        asked = AttackRequest(model, sample.images[row], label, index, config)
        places = place_of(asked, with_gallery=False)
        st.session_state.update({f"attack.{key}": value for key, value in places.items()})
        st.switch_page("pages/attention.py")


def _item(row: int, view: View) -> PickerItem:
    sample = view.sample
    said = int(view.answers[row].argmax())
    label, sure = int(sample.labels[row]), float(view.answers[row].max())
    mark = "" if said == label else "✗ "
    name = shown_data().picture_name(int(sample.indices[row]))
    return {
        "title": f"{mark}{class_name(said)} {sure:.0%}",
        "note": f"{name.capitalize()}, {one_of(label)}, predicted as {class_name(said)}.",
        "png": _png(shown_data().name, row, sample),
    }


@st.cache_data(show_spinner=False, max_entries=2000)
def _png(data: str, row: int, _sample: Sample) -> str:
    return base64.b64encode(to_png(_sample.images[row])).decode()


def show_flips(record: Record, model: str) -> None:
    """Which class was flipped to which: a matrix, or of many classes a table.

    Raises:
        InputError: a picture that the record names is not here.
    """
    found = _flips(record, model, zoo_fingerprint())
    rows = [
        {"from": class_name(i), "to": class_name(j), "images": int(found[i, j])}
        for i, j in found.nonzero().tolist()
    ]
    frame = pd.DataFrame(rows, columns=["from", "to", "images"])
    if len(found) > MOST_PILLS:
        st.dataframe(frame, hide_index=True, key="classes.flips")
    else:
        alt = f"Of {int(found.sum())} images that one pixel flipped, which class became which."
        show_chart(flips(found, shown_data().classes), "classes.flips", alt)
    files = [("CSV", lambda: frame.to_csv(index=False), "One row a pair of classes")]
    offer_files("classes", f"flips-{model}", files)


@st.cache_data(
    show_spinner=False, max_entries=20, hash_funcs={Record: lambda one: one.setting.name + one.date}
)
def _flips(record: Record, model: str, fingerprint: tuple[tuple[str, int], ...]) -> Tensor:
    return flip_matrix(record, scorer(model), 1)
