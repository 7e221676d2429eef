"""The Train page's parts: the form, a training run in progress, and its result."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apr_core.base.hardware import default_device
from apr_core.base.tickets import Ticket, new_token
from apr_core.defences import DEFENCES
from apr_core.defences.recipe import PRESETS
from apr_core.models import SMALL
from apr_core.training.fit import Progress
from apr_core.training.jobs import TrainPhase, TrainView
from apr_core.training.trainer import TrainRequest
from apr_ui.changing_text import changing_container, changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.charts import learning_curves, loss_curve
from apr_ui.confirm import confirmed
from apr_ui.model_names import network_title
from apr_ui.persistent_widget import persistent
from apr_ui.resources import training
from apr_ui.state import NOT_STOPPED
from apr_ui.visitor import current_visitor
from apr_ui.words import DEFENCE_WORDS, defence_title, duration_text, plain

POLL_SECONDS = 1.0
NARROWEST = 150
"""Pixels of a figure: two stand side by side on a phone."""
_ASKED = "train.asked"
TRAINABLE = tuple(name for name in DEFENCES if name != "it")
SIZES = (2_000, 10_000, 50_000)
"""Numbers of training images to choose from; the last is all of CIFAR-10."""
SMALL_RUN, LARGE_RUN = (4, SIZES[0]), (20, SIZES[-1])
"""Epochs and images to begin with, on a processor and on a GPU."""
SMALL_BATCH = 64
"""Batch size for a part of the data: more steps for as many images."""


def choose_training() -> TrainRequest:
    """The form.

    Raises:
        InputError: the name cannot be used.
    """
    gpu = default_device().type == "cuda"
    epochs, size = LARGE_RUN if gpu else SMALL_RUN
    architecture = st.selectbox(
        "Architecture", SMALL, format_func=network_title, **persistent("train.architecture")
    )
    defence = st.selectbox(
        "Defence", TRAINABLE, format_func=defence_title, **persistent("train.defence", "apr")
    )
    st.caption(DEFENCE_WORDS[defence][1])
    subset = st.segmented_control(
        "Training images",
        SIZES,
        format_func=lambda n: f"{n:,}",
        required=True,
        **persistent("train.size", size),
    )
    left, right = st.columns(2)
    count = left.number_input("Epochs", 1, 1000, step=1, **persistent("train.epochs", epochs))
    seed = right.number_input("Seed", 0, 2**31 - 1, step=1, **persistent("train.seed", 0))
    name = st.text_input(
        "Name (optional)",
        max_chars=60,
        placeholder="cifar10-resnet20-mine",
        help="Small letters, digits and hyphens. Without a name, the settings make one.",
        **persistent("train.name"),
    )
    if not gpu:
        st.caption(
            "There is no GPU here. Training on 2,000 images is short and learns little; on all "
            "50,000 it takes many times as long. The time left is estimated from the first steps."
        )
    config = replace(PRESETS.get("fast"), epochs=int(count), seed=int(seed))
    if subset != SIZES[-1]:
        config = replace(config, subset=subset, batch_size=SMALL_BATCH)
    return TrainRequest(architecture, defence, config, name.strip())


def follow(name: str) -> TrainView | None:
    """A training run, redrawn while it is live; returns it as it stands.

    Whoever watches a live run has a claim on it: it is cancelled when nobody claims it any more.
    """
    view = training().view(name, token_of(name))
    if view is None:
        return None
    if view.live and not token_of(name):
        st.session_state["train.ticket"] = training().submit(view.request, current_visitor())
    redraw = st.fragment(_poll, run_every=POLL_SECONDS if view.live else None)
    redraw(name, view.live)
    return view


def _poll(name: str, was_live: bool) -> None:
    view = training().view(name, token_of(name))
    if view is None:
        return
    _where(view)
    _figures(view.progress)
    if was_live and not view.live:
        st.rerun()


def _where(view: TrainView) -> None:
    """One line on its progress."""
    request = view.request
    network = network_title(request.architecture)
    words = f"**{defence_title(request.defence)}** on {network}, `{request.name}`"
    changing_markdown("train.subject", words)
    if view.phase is TrainPhase.QUEUED:
        st.info(
            f"Waiting: number {view.queue_place} in the queue. One model is trained at a time.",
            icon=":material/hourglass:",
        )
    if not view.live:
        return
    if not view.progress:
        st.progress(0.0, "Starting: the first numbers come after some seconds.")
        return
    last = view.progress[-1]
    share = ((last.epoch - 1) * last.steps + last.step) / (last.epochs * last.steps)
    if share == 1.0:
        st.progress(1.0, "Trained. Now it is tested on all 10,000 test images.")
    else:
        left = f"about {duration_text(last.seconds_left)} left"
        st.progress(share, f"Epoch {last.epoch} of {last.epochs}, {left}")


def _figures(progress: tuple[Progress, ...]) -> None:
    if not progress:
        return
    last = progress[-1]
    looked = [report.found for report in progress if report.found]
    with st.grid(2, min_column_width=NARROWEST):
        st.metric("Loss", f"{last.loss:.3f}")
        st.metric("Training accuracy", f"{last.accuracy:.0%}")
        if looked:
            found = looked[-1]
            st.metric(
                "Test accuracy",
                f"{found['test_accuracy']:.0%}",
                help="Of the 1,000 test images that come with the project.",
            )
            st.metric(
                "Flipped by the attack",
                f"{found['flipped']:.0f} of {found['probed']:.0f}",
                help="After each epoch, the same 16 images are attacked with 300 queries each, "
                "without those that the model gets wrong. Too few for a rate, enough for a trend.",
            )
    left, right = st.columns(2)
    with left:
        show_chart(loss_curve(progress), "train.loss")
    with right:
        show_chart(learning_curves(progress), "train.curves")


def headline(view: TrainView) -> None:
    """How a training run ended, in a sentence, and the next step."""
    name = view.request.name
    if view.card is not None:
        card = view.card
        st.success(
            f"**{name}** gets {card.clean_accuracy:.1%} of {card.tested:,} test images right, "
            f"after {duration_text(card.wall_time)} of training. It is in every list of models, "
            "marked as yours.",
            icon=":material/check_circle:",
        )
        if st.button("Attack it", type="primary", icon=":material/target:"):
            st.session_state["attack.model"] = name
            st.switch_page("pages/attack.py")
    elif view.phase is TrainPhase.INTERRUPTED:
        st.info(
            "Interrupted. The weights of the last whole epoch are kept; **Resume** continues from "
            "there, **Discard** deletes them.",
            icon=":material/pause_circle:",
        )
    elif view.phase is TrainPhase.FAILED:
        st.error(plain(view.error), icon=":material/error:")


def begin(request: TrainRequest) -> None:
    """Start, resume or join a training run, and draw the page anew.

    Raises:
        InputError: it cannot be started.
    """
    ticket = training().submit(request, current_visitor())
    training().release(request.name, token_of(request.name))  # it goes on: claimed anew
    st.session_state["train.ticket"] = ticket
    st.query_params["run"] = ticket.run_id
    st.rerun()


def cancel(name: str) -> None:
    """Interrupt a training run, or say that another visitor keeps it going."""
    ticket: Ticket | None = st.session_state.get("train.ticket")
    if ticket is not None and not training().cancel(name, ticket.token):
        st.warning(NOT_STOPPED, icon=":material/group:")


def offer_discard(request: TrainRequest, place: DeltaGenerator) -> None:
    """A button that deletes an unfinished training, and asks first.

    Args:
        place: of the question.

    Raises:
        InputError: it cannot be deleted, or is someone else's.
    """
    name = request.name
    if st.session_state.get(_ASKED) != name:
        icon = ":material/delete:"
        st.button("Discard", "train.discard", icon=icon, on_click=_wonder, args=(name,))
        return
    told = (
        f"The weights and the curves of `{name}` are deleted. This cannot be undone; **Resume** "
        "would continue from them."
    )
    with place:
        sure = confirmed("train", "Discard this training?", told, "Discard it", lambda: _wonder(""))
    if sure:
        _wonder("")
        training().discard(name, token_of(name) or new_token(current_visitor()))
        st.session_state.pop("train.ticket", None)
        st.query_params.clear()
        st.rerun()


def _wonder(name: str) -> None:
    st.session_state[_ASKED] = name


def token_of(name: str) -> str:
    """The session's claim on a training run, "" if it has none."""
    ticket: Ticket | None = st.session_state.get("train.ticket")
    return ticket.token if ticket and ticket.run_id == name else ""


def others(current: str) -> None:
    """The trainings that this page does not show now."""
    views = [view for view in training().views() if view.request.name != current]
    if not views:
        return
    with st.expander(f"Other trainings ({len(views)})", icon=":material/list:"):
        for view in views:
            name = view.request.name
            words = f"{defence_title(view.request.defence)}, `{name}`: {view.phase}"
            row = changing_container(f"train.other-{name}", words)
            with row.container(horizontal=True, vertical_alignment="center"):
                st.markdown(words)
                if st.button("Show", key=f"train.show-{name}"):
                    st.query_params["run"] = name
                    st.rerun()
