"""A run on the page: the picture before it, the player during it, the result after it."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome, square_of
from apr_core.attacks.shift import ShiftConfig
from apr_core.base.types import InputError, Method
from apr_core.base.words import percent
from apr_core.data.images import to_png
from apr_core.serving.requests import AttackRequest, RunView
from apr_core.serving.run_export import record, to_csv, to_json
from apr_ui.changing_text import changing_container
from apr_ui.chart_view import show_chart
from apr_ui.charts import confidence_bars, describe_bars
from apr_ui.choose_picture import Choice
from apr_ui.dataset import class_name, shown_data
from apr_ui.downloads import SHARED, offer_files
from apr_ui.errors import errors_on_page
from apr_ui.model_names import model_title
from apr_ui.pictures import animation, contact_sheet, cut_out, enlarge, magnified, ringed, scale_to
from apr_ui.player import player, player_data
from apr_ui.player.standalone import standalone_page
from apr_ui.poll_rate import note_poll
from apr_ui.resources import probabilities, service
from apr_ui.run_result import ending_of, show_before, show_result
from apr_ui.state import CurrentRun, take_replay
from apr_ui.words import plain, size_text

FIRST_FRAME_SECONDS = 0.9
"""How long the page waits for a first frame, rather than for the next poll."""
SHARE_SIDE = 512
MOST_BARS = 5
MOST_MAGNIFIED = 5
PREVIEW_WIDTH = 352
"""Screen pixels, which a phone of 390 has room for."""
TONES = {"fooled": "warning", "held": "info", "plain": "info"}
OVERLAP_SECONDS, LEAST_OVERLAP = 2.0, 3
"""A browser may skip a poll, so each sends again what those of the last seconds sent.

The picture goes with the first frame.
"""


def preview(choice: Choice | None, model: str, page: str = "attack") -> None:
    """The picture as the model sees it, and the model's prediction; beside it the original."""
    if choice is None:
        return
    with errors_on_page():
        before = show_before(choice.image, choice.label, model, page)
        if len(shown_data().classes) > MOST_BARS:
            st.caption(_likeliest(before))
    st.caption(choice.caption)
    if choice.original is not None:
        with st.expander(f"Your picture, before it was made {size_text(choice.image)}"):
            st.image(choice.original, width=PREVIEW_WIDTH, caption="Your picture")


def _likeliest(answer: Tensor) -> str:
    """The classes with the largest of a model's probabilities (K,), in words."""
    shares, classes = answer.topk(MOST_BARS)
    guesses = zip(classes.tolist(), shares.tolist(), strict=True)
    named = ", ".join(f"{class_name(one)} {percent(share)}" for one, share in guesses)
    return f"Its {MOST_BARS} likeliest classes: {named}."


def watch(run: CurrentRun, page: str = "attack", with_result: bool = False) -> RunView | None:
    """The player, redrawn while the run is live; returns the run as it stands.

    Args:
        page: what the keys begin with.
        with_result: whether the result view stands above it.
    """
    view = service().view(run.ticket.run_id, run.ticket.token, wait=FIRST_FRAME_SECONDS)
    if view is None:
        return None
    st.session_state[f"{page}.sent"] = []
    pause = note_poll()
    redraw = st.fragment(_poll, run_every=pause if view.live else None)
    redraw(run, view.live, page, pause, with_result)
    return view


def _poll(run: CurrentRun, was_live: bool, page: str, pause: float, with_result: bool) -> None:
    view = service().view(run.ticket.run_id, run.ticket.token)
    if view is None:
        return
    sent: list[int] = st.session_state.setdefault(f"{page}.sent", [])
    overlap = max(LEAST_OVERLAP, round(OVERLAP_SECONDS / pause))
    first = sent[-overlap] if was_live and len(sent) >= overlap else 0
    sent.append(len(view.snapshots))
    if with_result:  # a failed run's own error is its headline
        with suppress(InputError) if view.error else errors_on_page():
            show_result(view, page, picture=first == 0)
    data = player_data(view, first, picture=first == 0)
    player({**data, "autoplay": not view.live and take_replay(page)}, key=f"{page}.player")
    crowded = note_poll() >= 2 * pause  # since the page was drawn; a new timer needs a new page
    if was_live and (crowded or not view.live):
        st.rerun()


def subject(model: str, config: OnePixelConfig | ShiftConfig) -> str:
    """Which model is attacked, and with how much."""
    title = model_title(model)
    name = f"the {title[0].lower()}{title[1:]}" if title.startswith("Undefended") else title
    name += "," if ", " in name else ""  # as in "APR+, masked, with one pixel"
    by = ""
    if isinstance(config, OnePixelConfig) and config.method is not Method.DE:
        by = f" by {config.method.words}"
    return f"Attacking {name} with {config.words}{by}"


def headline(view: RunView) -> None:
    """How the run ended, in a sentence."""
    if view.outcome is None:
        st.error(plain(view.error), icon=":material/error:")
        return
    end = ending_of(view)
    tell = getattr(changing_container("stage.headline", end.sentence), TONES[end.tone])
    tell(end.sentence, icon=f":material/{end.icon}:")


def show_end(view: RunView) -> None:
    """Files of a run to download."""
    outcome = view.outcome
    if outcome is None:
        return
    image = view.request.image
    files = (
        (SHARED, lambda: share_picture(view), "Before and after, side by side, with their labels"),
        ("PNG", lambda: to_png(outcome.apply(image)), f"The edited image, {size_text(image)}"),
        ("GIF", lambda: animation(view, ending_of(view).verdict), "The search as an animation"),
        ("CSV", lambda: to_csv(view), "One row a generation"),
        ("JSON", lambda: to_json(record(view)), "The whole run"),
        ("HTML", lambda: standalone_page(record(view)), "A page that replays it"),
    )
    offer_files("attack", export_name(view.request, outcome), files)


def export_name(request: AttackRequest, outcome: Outcome) -> str:
    """What a run's files are called, as in "cat-to-dog-1px-cifar10-resnet20-vanilla"."""
    how = f"to-{class_name(outcome.label_after)}" if outcome.success else "not-fooled"
    return f"{class_name(outcome.label)}-{how}-{request.config.code}-{request.model}"


def share_picture(view: RunView) -> bytes:
    """A PNG of the picture before and after the attack, with the labels, large."""
    outcome, image = view.outcome, view.request.image
    assert outcome is not None
    scale, end = scale_to(image, SHARE_SIDE), ending_of(view)
    edited = ringed(outcome.apply(image), outcome.edits, scale)
    labels = (
        f"{class_name(outcome.label_before)}, {outcome.confidence_before:.0%}",
        f"{class_name(outcome.label_after)}, {outcome.confidence_after:.0%}",
    )
    tiles = ((enlarge(image, scale), labels[0]), (edited, labels[1]))
    model = model_title(view.request.model)
    return contact_sheet(
        tiles, 2, f"{end.verdict}. {end.detail} Model: {model}. Made with APR Lab."
    )


def show_details(view: RunView) -> None:
    """The changed pixels magnified, and what the model says of every class."""
    outcome, image = view.outcome, view.request.image
    if outcome is None or not outcome.edits:
        return
    edited, classes = outcome.apply(image), shown_data().classes
    which = f"the {MOST_BARS} likeliest classes" if len(classes) > 10 else "all classes"
    count, shown = len(outcome.edits), outcome.edits[:MOST_MAGNIFIED]
    pixels = f"{len(shown)} of {count} changed" if count > len(shown) else "The changed"
    what = "The patch" if square_of(outcome.edits) else f"{pixels} pixels"
    with st.expander(f"{what}, and {which}", icon=":material/zoom_in:"):
        if square := square_of(outcome.edits):
            st.image(cut_out(edited, square), width=150, alt="The patch magnified")
            shown = ()
        with st.container(horizontal=True):
            for number, edit in enumerate(shown):
                red, green, blue = edit.rgb
                st.image(
                    magnified(edited, edit, side=168),
                    width=150,
                    caption=f"({edit.x}, {edit.y}) → rgb({red}, {green}, {blue})",
                    alt=f"Pixel {number + 1} magnified, after the edit",
                )
        before, after = probabilities(view.request.model, [image, edited])
        alt = describe_bars(classes, before, after)
        show_chart(confidence_bars(classes, before, after, MOST_BARS), "attack.bars", alt)
