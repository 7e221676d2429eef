"""A picture that flows through a net: what goes in, each layer's verdict, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from torch import Tensor

from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.base.words import percent
from apr_core.safety.checks import VIEWS
from apr_core.safety.config import PipelineConfig
from apr_core.safety.decision import Decision, LayerVerdict, decided
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import ADAPTIVE, UNKNOWING, Outcome
from apr_ui.changing_text import changing_container
from apr_ui.choose_picture import Choice
from apr_ui.dataset import class_name
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.pictures import enlarge, ringed, scale_to
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.safety.nets import TITLES
from apr_ui.safety.search import NetAttack, answer_before
from apr_ui.words import count_text

CLEAN, LIVE = "clean", "live"
STATES = {
    CLEAN: "The picture",
    UNKNOWING: "Attacked, not knowing the net",
    ADAPTIVE: "Attacked, knowing the net",
    LIVE: "Your attack",
}
PICTURE_SIDE, VIEW_SIDE = 256, 96
"""Screen pixels."""


def choose_state(outcome: Outcome | None, attack: NetAttack | None) -> PixelEdit | None:
    """Which form of the picture goes in: the pixel that it changes, None for the picture itself."""
    edits: dict[str, PixelEdit | None] = {CLEAN: None, **(outcome.edits if outcome else {})}
    if attack and attack.edit:
        edits[LIVE] = attack.edit
    if len(edits) == 1:
        return None
    keep_among("safety.state", list(edits))
    chosen = st.segmented_control(
        "What goes in",
        list(edits),
        format_func=STATES.__getitem__,
        required=True,
        wrap=True,
        help="The attacked pictures are those of the record; yours is of your latest search.",
        **persistent("safety.state", CLEAN),
    )
    return edits[chosen]


def show_flow(net: Pipeline, choice: Choice, edit: PixelEdit | None) -> Decision:
    """Draw it, from the picture to the answer."""
    edits = () if edit is None else (edit,)
    image = edit_image(choice.image, edits)
    decision, kept = on_prediction_thread(_decide, net, image)
    picture, answer = st.columns(2, gap="medium")
    with picture:
        shown = ringed(image, edits, scale_to(image, PICTURE_SIDE))
        words = f"{'One pixel changed' if edits else 'As it is'}: the model says "
        words += f"{class_name(decision.label)}, {percent(decision.confidence)}"
        st.image(shown, words, width=PICTURE_SIDE, alt=words)
    label = choice.label
    if label is None and edits:
        label = answer_before(net, choice.image)
    with answer:
        words, icon, tone = answer_words(decision, label, choice.label is not None)
        box = changing_container("safety.answer", words)
        getattr(box, tone)(words, icon=f":material/{icon}:")
        st.caption(cost_words(net.config))
    for verdict in decision.layers:
        _show_layer(net.config, verdict, image, kept)
    return decision


def _decide(net: Pipeline, image: Tensor) -> tuple[Decision, Mapping[str, float]]:
    """The decision, and by view the probability that it leaves the answer."""
    seen = net.see(image[None])
    views = net.config.checks.views if net.config.checks else ()
    kept = seen.diversity.kept[0].tolist() if seen.diversity else []
    return decided(net.config, seen, 0, net.data), dict(zip(views, kept, strict=True))


def answer_words(decision: Decision, label: int | None, known: bool) -> tuple[str, str, str]:
    """What comes out, and whether that is right: the words, an icon, and the kind of box.

    Args:
        label: what is right; None where there is nothing to hold it against.
        known: it is the true class, not what the model says of the picture before the attack.
    """
    name, right = class_name(decision.label), decision.label == label
    if decision.answer is None:
        why = next(one.reason for one in decision.layers if one.layer == decision.layer)
        words = f"**Ask a person.** {why}"
        if label is not None and known:
            words += f" The model's answer was {'right' if right else 'wrong'}."
        elif label is not None:
            words += f" The attack {'did not turn' if right else 'turned'} the model's answer."
        return words, "pan_tool", "warning"
    if label is None or right:
        return f"**The net answers: {name}.** No layer withholds it.", "check", "success"
    if known:
        words = f"**Wrong, and not withheld.** The net answers {name}; it is {class_name(label)}."
    else:
        words = f"**Turned, and not withheld.** The net answers {name}; before the attack, the "
        words += f"model says {class_name(label)}."
    return words, "bolt", "error"


def _show_layer(
    config: PipelineConfig, verdict: LayerVerdict, image: Tensor, kept: Mapping[str, float]
) -> None:
    with st.container(border=True):
        mark = ":red[:material/pan_tool:]" if verdict.withholds else ":green[:material/check:]"
        if verdict.threshold is None:
            mark = ":material/tune:"
        changing = changing_container(f"safety.{verdict.layer}", verdict.reason)
        changing.markdown(f"{mark} **{TITLES[verdict.layer]}**: {verdict.ending}. {verdict.reason}")
        if verdict.layer == "checks" and config.checks:
            _show_views(image, config.checks.views, kept)


def _show_views(image: Tensor, views: Sequence[str], kept: Mapping[str, float]) -> None:
    """The views that are compared, with what each leaves the answer."""
    with st.container(horizontal=True):
        for name in views:
            view = VIEWS.get(name)
            seen = enlarge(view.see(image[None], 0)[0], scale_to(image, VIEW_SIDE))
            words = f"{view.title}: {percent(kept[name])}"
            st.image(seen, words, width=VIEW_SIDE, alt=f"The view {words}")


def cost_words(config: PipelineConfig) -> str:
    """How many forward passes a decision takes."""
    passes = 1 + len(config.ensemble.models if config.ensemble else ())
    if checks := config.checks:
        passes += sum(checks.draws if VIEWS.get(one).random else 1 for one in checks.views)
    words = f"A decision takes {count_text(passes, 'forward pass', 'forward passes')}"
    if config.certificate:
        masks = config.certificate.spacing**2
        words += f", and {masks} to {masks + masks * (masks - 1) // 2} more for the certificate"
    return words + "; the model alone takes one."
