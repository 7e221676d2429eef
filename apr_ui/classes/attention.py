"""The Classes page's parts: mean attention by class, and the paper's claims about it."""

from __future__ import annotations

import streamlit as st
import torch
from torch import Tensor

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Mean, mean_of
from apr_ui.changing_text import changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.classes.charts import ratios
from apr_ui.classes.view import View
from apr_ui.dataset import class_name, shown_data
from apr_ui.heat import heat, heat_picture
from apr_ui.resources import cards

NOTABLE = 0.05
"""A ratio counts as a preference if it differs from 1 by more."""
CLAIMS = {
    "airplanes": ("the wings and the fuselage", ("airplane",)),
    "animals": ("facial features", ("bird", "cat", "deer", "dog", "frog", "horse")),
    "vehicles": ("the wheels and the overall shape", ("automobile", "truck")),
}
"""Where attention lies according to section V.F of the paper, which does not name ships."""


def show_mean(label: int, view: View) -> None:
    """The class's mean picture, with the mean attention over it."""
    sample, name = view.sample, class_name(label)
    mine = sample.labels == label
    mean = sample.images[mine].float().mean(0).round().to(torch.uint8)
    count = int(mine.sum())
    words = "Its only picture" if count == 1 else f"The mean of its {count:,} pictures"
    drawn, limits = [heat_picture(mean, None, words, f"{words}: {name}")], (0.0, 1.0)
    if view.attention is not None:
        gate = view.attention[mine].mean(0)
        inner = gate[1:-1, 1:-1]
        limits = float(inner.min()), float(inner.max())
        words = "Its attention" if count == 1 else "Their mean attention"
        drawn.append(
            heat_picture(
                mean, gate, words, f"{words}: {name}, from {limits[0]:.2f} to {limits[1]:.2f}"
            )
        )
    heat(drawn, limits, signed=False, opacity=0.75, key="classes.mean")
    if view.attention is not None:
        st.caption(
            "At the picture's edge the gate's values differ, because it sees black outside the "
            "picture; the colour scale is that of the inner pixels."
        )


def show_claims(view: View) -> None:
    """How much attention prefers the object; on CIFAR-10 with the paper's claims, each with the
    number that tests it."""
    if view.ratios is None:
        others = any(card.defence.startswith("apr") for card in cards()[0].values())
        advice = "; choose one that has, such as APR's" if others else ""
        st.info(f"This model has no attention gate{advice}.")
        return
    labels = view.sample.labels
    means = {
        name: ratio_of(view.ratios[labels == number])
        for number, name in enumerate(shown_data().classes)
    }
    alt = "Ratio of attention on the object to its area: " + "; ".join(
        f"{name} {mean.mean:.2f}" for name, mean in means.items() if mean
    )
    show_chart(ratios(means, NOTABLE), "classes.ratios", alt)
    st.caption(
        "The ratio is attention on the object over the object's share of the picture: 1 is no "
        "preference. The object is estimated from the picture: the largest patch of pixels whose "
        "colour is far from the border's. Bars: Student's 95 % interval over the images in which "
        f"an object is found. A difference of less than {NOTABLE:.0%}, the grey band, counts as "
        "no preference."
    )
    for group, (where, names) in CLAIMS.items() if shown_data().name == DEFAULT else ():
        mine = torch.isin(
            labels, torch.tensor([shown_data().classes.index(name) for name in names])
        )
        mean = ratio_of(view.ratios[mine])
        if mean is not None:
            words = f"- {_verdict(mean)} {_claim(group, where, mean)}"
            changing_markdown(f"classes.claim-{group}", words)


def ratio_of(found: Tensor) -> Mean | None:
    """The mean over the images in which an object is found."""
    known = found[found.isfinite()].tolist()
    return mean_of(known) if len(known) > 1 else None


def _verdict(mean: Mean) -> str:
    assert mean.low is not None
    assert mean.high is not None
    if mean.low > 1 + NOTABLE:
        return ":material/check_circle: **On the object.**"
    if mean.high < 1 - NOTABLE:
        return ":material/cancel: **Off the object.**"
    if mean.low > 1 - NOTABLE and mean.high < 1 + NOTABLE:
        return ":material/cancel: **No notable preference.**"
    return ":material/help: **Not settled.**"


def _claim(group: str, where: str, mean: Mean) -> str:
    return (
        f"The paper finds that attention to {group} is on {where}, so on the object. Here it is "
        f"{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}] times as dense on the object as by "
        f"chance, over {mean.runs} pictures. Parts of the object are not labelled, so only the "
        "whole object is tested."
    )
