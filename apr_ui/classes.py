"""The Classes page's parts: what a model does with each class of the sample, and where it looks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.scoring import as_input
from apr_core.data.cifar10 import CLASSES
from apr_core.data.images import to_png
from apr_core.data.sample import load_sample
from apr_core.evaluation.cells import find_record
from apr_core.evaluation.classes import flip_matrix, rates_by_class
from apr_core.evaluation.metrics import Mean, Rate, mean_of, rate_of
from apr_core.evaluation.record import Record
from apr_core.explain.attention import gate_of, has_attention
from apr_core.explain.regions import mass_inside, object_region
from apr_core.zoo import zoo_fingerprint
from apr_ui.map_charts import flips, overlay, ratios
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import cards, evaluations, scorer

ALL, RIGHT, WRONG, FLIPPED, SURVIVED = "all", "right", "wrong", "flipped", "survived"
ORDERS = ("test index", "how sure the model is", "how spread its attention is")
NOTABLE = 0.05
"""How far from 1 a ratio must be to be called a preference."""
MOST = 24
"""Examples that are shown together."""
CLAIMS = {
    "airplanes": ("the wings and the fuselage", ("airplane",)),
    "animals": ("facial features", ("bird", "cat", "deer", "dog", "frog", "horse")),
    "vehicles": ("the wheels and the overall shape", ("automobile", "truck")),
}
"""Where section V.F of the paper says that attention lies; ships are not named."""


@dataclass(frozen=True, eq=False)
class View:
    """A model's view of the shipped sample of N images.

    Attributes:
        answers: probabilities, (N, K).
        attention: (N, H, W), None for a model without.
        ratios: how much attention prefers the object's region to the rest, (N,); nan where no
            object stands out.
    """

    answers: Tensor
    attention: Tensor | None
    ratios: Tensor | None


def view_of(model: str) -> View:
    """The view, made once for a model's weights."""
    return _view(model, zoo_fingerprint())


@st.cache_resource(show_spinner="Looking at 1,000 images…", max_entries=12)
def _view(model: str, fingerprint: tuple[tuple[str, int], ...]) -> View:
    looking, sample = scorer(model), load_sample()
    answers = looking.look(sample.images.to(looking.device)).softmax(1).cpu()
    if not has_attention(looking.model):
        return View(answers, None, None)
    attention = gate_of(looking.model, as_input(sample.images))
    found = [
        float("nan") if region is None else mass_inside(heat, region).ratio
        for heat, region in zip(attention, _regions(), strict=True)
    ]
    return View(answers, attention, torch.tensor(found))


@st.cache_resource(show_spinner=False)
def _regions() -> list[Tensor | None]:
    return [object_region(image) for image in load_sample().images]


def record_of(model: str) -> Record | None:
    """The record of the model's weights that its attack rates are read from."""
    return find_record(evaluations()[0], cards()[0][model])


def rows_of(name: str, view: View, record: Record | None, kind: str, order: str) -> list[int]:
    """The sample's rows of a class that are of a kind, in an order."""
    sample = load_sample()
    label = CLASSES.index(name)
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
        spread = view.attention[rows].flatten(1).std(1)
        rows = rows[spread.argsort(descending=True, stable=True)]
    return rows.tolist()


def show_rates(name: str, view: View, record: Record | None) -> None:
    """How often the model is right about a class, and how often it falls."""
    label = CLASSES.index(name)
    mine = load_sample().labels == label
    clean = rate_of(int((view.answers[mine].argmax(1) == label).sum()), int(mine.sum()))
    st.markdown(f"**Right**: {_in_words(clean)} of this class in the shipped sample.")
    if record is None:
        st.markdown("**Broken by one pixel**: not measured; `python -m apr_core evaluate` does it.")
        return
    rate = rates_by_class(record, 1)[label]
    st.markdown(
        f"**Broken by one pixel**: {_in_words(rate)} that it got right "
        f"({record.setting.attack}, {record.setting.images} images of all classes)."
    )


def _in_words(rate: Rate) -> str:
    if not rate.total:
        return "none"
    return f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}] of {rate.total}"


def show_mean(name: str, view: View) -> None:
    """The class's mean picture, with the mean attention over it."""
    sample = load_sample()
    mine = sample.labels == CLASSES.index(name)
    mean = sample.images[mine].float().mean(0).round().to(torch.uint8)
    none = torch.zeros(mean.shape[1:])
    heat = none if view.attention is None else view.attention[mine].mean(0)
    low, high = float(heat.min()), float(heat.max())
    with st.container(horizontal=True):
        for title, values, opacity in (
            ("The mean of its 100 pictures", none, 0.0),
            (f"Their mean attention, from {low:.2f} to {high:.2f}", (heat - low), 0.75),
        ):
            if opacity and view.attention is None:
                continue
            with st.container(width=260):
                st.plotly_chart(
                    overlay(mean, values, high - low, False, opacity),
                    key=f"classes.mean.{title[:8]}",
                    width="content",
                    config={"displayModeBar": False},
                    alt=f"{title}: {name}",
                )
                st.caption(title)
    if view.attention is not None:
        st.caption("At the picture's edge the gate sees black beyond, and is of its own kind.")


def show_examples(name: str, view: View, rows: Sequence[int]) -> None:
    """Pictures of the class, of which one may be chosen to be looked into."""
    if not rows:
        st.info("There is no such picture of this class.")
        return
    chosen = st.session_state.get("classes.example", rows[0])
    place = rows.index(chosen) if chosen in rows[:MOST] else 0
    picker(
        f"Examples of {name}",
        [_item(row, view) for row in rows[:MOST]],
        place,
        "classes.examples",
        lambda number: st.session_state.update({"classes.example": rows[number]}),
    )
    if len(rows) > MOST:
        st.caption(f"The first {MOST} of {len(rows)}.")
    row, sample = rows[place], load_sample()
    number = int((sample.labels[: row + 1] == sample.labels[row]).sum())
    places = {"source": "CIFAR-10", "class": name, "number": number}
    if st.button("Look into it on the Attention page", icon=":material/visibility:"):
        st.session_state.update({f"attack.{key}": value for key, value in places.items()})
        st.switch_page("pages/attention.py")


def _item(row: int, view: View) -> PickerItem:
    sample = load_sample()
    said = int(view.answers[row].argmax())
    label, sure = int(sample.labels[row]), float(view.answers[row].max())
    mark = "" if said == label else "✗ "
    return {
        "title": f"{mark}{CLASSES[said]} {sure:.0%}",
        "note": f"Test image {int(sample.indices[row])}, a {CLASSES[label]}, read as "
        f"{CLASSES[said]}.",
        "png": base64.b64encode(to_png(sample.images[row])).decode(),
    }


def show_claims(view: View) -> None:
    """The paper's claims about attention beside the number that would have to bear them out."""
    if view.ratios is None:
        st.info("This model has no attention of its own; choose one that has, such as APR's.")
        return
    labels = load_sample().labels
    means = {name: ratio_of(view.ratios[labels == number]) for number, name in enumerate(CLASSES)}
    st.plotly_chart(
        ratios(means),
        key="classes.ratios",
        config={"displayModeBar": False},
        alt="How much attention prefers the object: "
        + "; ".join(f"{name} {mean.mean:.2f}" for name, mean in means.items() if mean),
    )
    st.caption(
        "Attention on the object over the object's share of the picture: 1 is no preference. The "
        "object is guessed from the picture: pixels whose colour is far from the border's, the "
        "largest patch of them (`apr_core/explain/regions.py`). Bars: Student's 95 % interval over "
        "the images in which something stands out. Less than "
        f"{NOTABLE:.0%} either way is called no preference."
    )
    for group, (where, names) in CLAIMS.items():
        mine = torch.isin(labels, torch.tensor([CLASSES.index(name) for name in names]))
        mean = ratio_of(view.ratios[mine])
        if mean is not None:
            st.markdown(f"- {_verdict(mean)} {_claim(group, where, mean)}")


def ratio_of(found: Tensor) -> Mean | None:
    """The mean over the images in which something stands out."""
    known = found[found.isfinite()].tolist()
    return mean_of(known) if len(known) > 1 else None


def _verdict(mean: Mean) -> str:
    assert mean.low is not None
    assert mean.high is not None
    if mean.low > 1 + NOTABLE:
        return ":material/check_circle: **On the object.**"
    if mean.high < 1 - NOTABLE:
        return ":material/cancel: **Beside the object.**"
    if mean.low > 1 - NOTABLE and mean.high < 1 + NOTABLE:
        return ":material/cancel: **No preference to speak of.**"
    return ":material/help: **Not settled.**"


def _claim(group: str, where: str, mean: Mean) -> str:
    return (
        f"The paper finds the attention to {group} on {where}, and so on the object: here it is "
        f"{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}] times as dense there as chance has it, "
        f"over {mean.runs} pictures. Which part of the object, nobody has outlined."
    )


def show_flips(record: Record, model: str) -> None:
    """Which class fell to which."""
    found = _flips(record, model, zoo_fingerprint())
    st.plotly_chart(
        flips(found, CLASSES),
        key="classes.flips",
        config={"displayModeBar": False},
        alt=f"Of {int(found.sum())} images that one pixel flipped, which class became which.",
    )
    rows = [
        {"from": CLASSES[i], "to": CLASSES[j], "images": int(found[i, j])}
        for i, j in found.nonzero().tolist()
    ]
    frame = pd.DataFrame(rows, columns=["from", "to", "images"])
    st.download_button(
        "CSV", frame.to_csv(index=False), f"flips-{model}.csv", "text/csv", key="classes.csv",
        on_click="ignore", icon=":material/download:",
    )  # fmt: skip


@st.cache_data(
    show_spinner=False, max_entries=20, hash_funcs={Record: lambda one: one.setting.name + one.date}
)
def _flips(record: Record, model: str, fingerprint: tuple[tuple[str, int], ...]) -> Tensor:
    return flip_matrix(record, scorer(model), 1)
