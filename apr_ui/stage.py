"""A run on the page: the picture before it, the player during it, the result after it."""

from __future__ import annotations

import streamlit as st

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status
from apr_core.data.dataset import with_article
from apr_core.data.images import to_png
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, RunView
from apr_core.serving.run_export import record, to_csv, to_json
from apr_ui.changing_text import changing_container, changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.charts import confidence_bars, describe_bars
from apr_ui.controls import Choice
from apr_ui.dataset import class_name, shown_data
from apr_ui.downloads import offer_files
from apr_ui.errors import errors_on_page
from apr_ui.pictures import alt_text, animation, enlarge, magnified, ringed
from apr_ui.player import player, player_data
from apr_ui.player.standalone import standalone_page
from apr_ui.poll_rate import note_poll
from apr_ui.resources import probabilities, service
from apr_ui.state import CurrentRun, take_replay
from apr_ui.words import count_text, plain

FIRST_FRAME_SECONDS = 0.4
"""How long the page waits for a first frame, rather than for the next poll."""
PREVIEW_SCALE = 11
"""Screen pixels for one of the picture's: 352 in all, which a phone of 390 has room for."""
OVERLAP_SECONDS, LEAST_OVERLAP = 2.0, 3
"""A browser may skip a poll, so each sends again what those of the last seconds sent."""


def preview(choice: Choice | None, model: str) -> None:
    """The picture as the model sees it, beside the original, and the model's prediction."""
    if choice is None:
        return
    with errors_on_page():
        answer = probabilities(model, [choice.image])[0]
        leading = int(answer.argmax())
        words = f"The model says **{class_name(leading)}**, {float(answer[leading]):.0%} sure."
        changing_markdown("stage.preview", words)
    seen = enlarge(choice.image, PREVIEW_SCALE)
    if choice.original is None:
        st.image(seen, width=seen.width, caption=choice.caption, alt=choice.caption)
        return
    with st.container(horizontal=True):
        st.image(seen, width=seen.width, caption="As the model sees it: 32 × 32 pixels")
        st.image(choice.original, width=200, caption="Your picture")


def watch(run: CurrentRun, page: str = "attack") -> RunView | None:
    """The player, redrawn while the run is live; returns the run as it stands.

    Args:
        page: what the keys begin with.
    """
    view = service().view(run.ticket.run_id, run.ticket.token, wait=FIRST_FRAME_SECONDS)
    if view is None:
        return None
    st.session_state[f"{page}.sent"] = []
    pause = note_poll()
    redraw = st.fragment(_poll, run_every=pause if view.live else None)
    redraw(run, view.live, page, pause)
    return view


def _poll(run: CurrentRun, was_live: bool, page: str, pause: float) -> None:
    view = service().view(run.ticket.run_id, run.ticket.token)
    if view is None:
        return
    sent: list[int] = st.session_state.setdefault(f"{page}.sent", [])
    overlap = max(LEAST_OVERLAP, round(OVERLAP_SECONDS / pause))
    first = sent[-overlap] if was_live and len(sent) >= overlap else 0
    sent.append(len(view.snapshots))
    data = player_data(view, first)
    player({**data, "autoplay": not view.live and take_replay(page)}, key=f"{page}.player")
    crowded = note_poll() >= 2 * pause  # since the page was drawn; a new timer needs a new page
    if was_live and (crowded or not view.live):
        st.rerun()


def subject(request: AttackRequest) -> str:
    """Which model is attacked, and how; the controls may show what is to come next."""
    bare = request.model.removesuffix(BEHIND_LATTICE)
    behind = ", behind lattice masking" if request.model != bare else ""
    return f"On `{bare}`{behind}, {count_text(request.config.pixels, 'pixel', 'pixels')}:"


def headline(view: RunView) -> None:
    """How the run ended, in a sentence."""
    if view.outcome is None:
        st.error(plain(view.error), icon=":material/error:")
        return
    tone, words, icon = _ending(view, view.outcome)
    tell = getattr(changing_container("stage.headline", words), tone)
    tell(words, icon=f":material/{icon}:")


def _ending(view: RunView, outcome: Outcome) -> tuple[str, str, str]:
    """The tone, the words and the icon of how a run ended."""
    true, after = class_name(outcome.label), class_name(outcome.label_after)
    spent = f"{outcome.queries:,} queries in {view.seconds:.1f} s"
    if outcome.status is Status.FLIPPED:
        count = len(outcome.edits)
        words = (
            f"**Flipped: {true} → {after}.** After {spent}, "
            f"{'one pixel' if count == 1 else f'{count} pixels'} made the model "
            f"{outcome.confidence_after:.0%} sure of {after}."
        )
        return "success", words, "bolt"
    if outcome.status is Status.MISCLASSIFIED:
        before = with_article(class_name(outcome.label_before))
        words = (
            f"The model already takes this {true} for {before}, so there is nothing to flip. "
            "Choose another picture or another model."
        )
        return "warning", words, "help"
    if outcome.status is Status.SURVIVED:
        return "info", f"**Survived {spent}.** {_closest(outcome)}", "shield"
    if outcome.status is Status.SKIPPED:
        words = f"Not attacked: {true} is both its class and the target. Choose another target."
        return "warning", words, "help"
    if view.unwatched:
        words = (
            f"Ended after {spent}, because nobody watched it for a while (a lost connection, "
            "perhaps). Start it again for the whole search."
        )
        return "info", words, "visibility_off"
    return "info", f"Cancelled after {spent}.", "stop_circle"


def _closest(outcome: Outcome) -> str:
    """The effect of the best edit that did not flip the picture."""
    true = class_name(outcome.label)
    if outcome.target is None:
        return f"With the closest edit, the model is still {outcome.true_after:.0%} sure of {true}."
    return (
        f"It did not become {class_name(outcome.target)}; with the closest edit, the model is "
        f"{outcome.confidence_after:.0%} sure of {class_name(outcome.label_after)}."
    )


def show_end(view: RunView) -> None:
    """The result in pictures and bars, and files to download."""
    outcome = view.outcome
    if outcome is None:
        return
    image = view.request.image
    if outcome.edits:
        _before_and_after(outcome, view)
    files = (
        ("PNG", lambda: to_png(outcome.apply(image)), "The edited image, 32 × 32"),
        ("GIF", lambda: animation(view), "The search as an animation"),
        ("CSV", lambda: to_csv(view), "One row a generation"),
        ("JSON", lambda: to_json(record(view)), "The whole run"),
        ("HTML", lambda: standalone_page(record(view)), "A page that replays it"),
    )
    offer_files("attack", f"{view.request.model}-{view.request.run_id}", files)


def _before_and_after(outcome: Outcome, view: RunView) -> None:
    image = view.request.image
    edited = outcome.apply(image)
    before, after = probabilities(view.request.model, [image, edited])
    changed, bars = st.columns([1, 1], gap="medium")
    with changed, st.container(horizontal=True):
        for number, edit in enumerate(outcome.edits[:5]):
            red, green, blue = edit.rgb
            st.image(
                magnified(edited, edit, side=168),
                width=150,
                caption=f"({edit.x}, {edit.y}) → rgb({red}, {green}, {blue})",
                alt=f"Pixel {number + 1} magnified, after the edit",
            )
        st.image(
            ringed(edited, outcome.edits, 6),
            width=150,
            caption=f"Predicted: {class_name(outcome.label_after)}",
            alt=alt_text(outcome, shown_data().classes),
        )
    with bars:
        alt = describe_bars(shown_data().classes, before, after)
        show_chart(confidence_bars(shown_data().classes, before, after), "attack.bars", alt)
