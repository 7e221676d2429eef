"""The Stickers page's parts: settings, learning as it goes, and the sticker to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from apr_core.attacks.sticker import RANGES, StickerConfig
from apr_core.base.words import percent
from apr_core.data.dataset import DataSet
from apr_core.data.images import to_pil, to_png
from apr_core.data.printing import MOST_CM, to_pdf
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate
from apr_core.serving.requests import PHOTOGRAPHS
from apr_ui.address import keep_address
from apr_ui.changing_text import changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.charts import AFTER, lay_out
from apr_ui.dataset import CHOSEN, class_name, is_small
from apr_ui.downloads import offer_files
from apr_ui.jobs import Job
from apr_ui.model_names import model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.stickers.learning import SIZES, Asked, Learning, has_ended, job_of, learning_of, leave
from apr_ui.stickers.link import to_params
from apr_ui.words import count_text

TARGETS = {PHOTOGRAPHS: "toaster", "gtsrb": "speed limit 120 km/h", DEFAULT: "frog"}
"""The target at first; of other data, the first class."""
SMALL = {"side": 16, "steps": 300, "batch": 64}
"""Settings for pictures whose pixels are few, of which many are looked at in a second."""
POLL_SECONDS = 1.0
SEEN, SEEN_SIDE = 4, 180
"""How many of the newest step's pictures are drawn, and how large, in screen pixels."""
STOPPED, ASKED, PLACE = "stickers.stopped", "stickers.asked", "stickers.view"
PRINTED_CM = 10.0


def usual_for(data: DataSet) -> StickerConfig:
    """The settings by default; the target is to be set."""
    return StickerConfig(0, **(SMALL if is_small(data) else {}))


def show_asked(asked: Asked, place: Mapping[str, float] | None) -> None:
    """Set the controls to what is asked for, and learn it; call before they are drawn.

    Args:
        place: how the sticker lies; None for the usual place.
    """
    model, data, config = asked
    st.session_state.update(
        {
            CHOSEN: data.name,
            "attention.model": model,
            "stickers.target": data.class_name(config.target),
            "stickers.sizes": (config.smallest, config.largest),
            f"stickers.steps-{is_small(data)}": config.steps,
        }
    )
    st.session_state[PLACE] = place
    if st.session_state.get(ASKED) != asked:
        begin(asked)


def keep_link(asked: Asked) -> None:
    """Write the sticker and how it lies into the address."""
    keep_address("stickers", to_params(asked, st.session_state.get(PLACE)))


def choose_sticker(model: str, data: DataSet) -> Asked:
    """The target and the settings."""
    first = TARGETS.get(data.name, data.classes[0])
    keep_among("stickers.target", [first, *data.classes])
    target = st.selectbox(
        "Target",
        data.classes,
        **persistent("stickers.target", first),
        help="The class that the model is to see wherever the sticker is.",
    )
    usual = usual_for(data)
    smallest, largest = st.slider(
        "Size on the picture",
        *SIZES,
        step=0.05,
        format="percent",
        **persistent("stickers.sizes", (usual.smallest, usual.largest)),
        help="The sticker's side as a share of the picture's. It is learned in all of these sizes; "
        "a larger one succeeds more often.",
    )
    low, high = RANGES["steps"]
    steps = st.number_input(
        "Steps",
        int(low),
        int(high),
        **persistent(f"stickers.steps-{is_small(data)}", usual.steps),
        help=f"Of learning; each looks at {usual.batch} pictures with the sticker, every time "
        "turned, placed and lit in another way.",
    )
    config = replace(
        usual,
        target=data.classes.index(target),
        smallest=smallest,
        largest=largest,
        steps=int(steps),
    )
    return model, data, config


def begin(asked: Asked) -> None:
    """Learn what was asked for, in place of what this viewer asked for before."""
    before: Asked | None = st.session_state.get(ASKED)
    if before is not None and before != asked:
        leave(before)
    st.session_state.update({ASKED: asked, STOPPED: False})


def _stop(asked: Asked) -> None:
    leave(asked)
    st.session_state[STOPPED] = True


def is_stopped(learning: Learning) -> bool:
    """Whether this viewer stopped it before its end."""
    return learning.success is None and bool(st.session_state.get(STOPPED))


def stop_or_go_on(asked: Asked, learning: Learning) -> None:
    """The button that stops the learning, or lets it go on; none after its end."""
    if is_stopped(learning):
        st.button(
            "Go on",
            key="stickers.go-on",
            icon=":material/play_arrow:",
            on_click=begin,
            args=(asked,),
        )
    elif learning.success is None:
        st.button("Cancel", key="stickers.cancel", on_click=_stop, args=(asked,))


def follow(asked: Asked, chosen: Asked | None) -> Learning:
    """What was asked for, while it is learned and after; a fragment redraws it until it has ended.

    Args:
        chosen: what the controls say now.

    Raises:
        InputError: it cannot be learned.
    """
    learning, job = learning_of(asked), None
    changing_markdown("stickers.asked", asked_words(asked, chosen))
    if learning.success is None and not is_stopped(learning):
        job = job_of(asked)
    st.fragment(_news, run_every=POLL_SECONDS if job else None)(learning, job)
    return learning


def asked_words(asked: Asked, chosen: Asked | None) -> str:
    """What the sticker is for, and how to get one for what is chosen now; see `follow`."""
    model, data, config = asked
    target = data.class_name(config.target)
    words = f"This sticker is for **{model_title(model)}**, target **{target}**."
    if chosen in (None, asked):
        return words
    other = model_title(chosen[0]) if chosen[0] != model else "the settings that you have chosen"
    return f"{words} Press **Learn the sticker** to make one for {other}."


def _news(learning: Learning, job: Job[Learning] | None) -> None:
    """How far it came. It asks for no other job than that which the page began: that one may have
    been cancelled."""
    learner, name = learning.learner, class_name(learning.learner.config.target)
    if job is not None:
        if is_stopped(learning) or has_ended(job):
            st.session_state[STOPPED] = learning.success is None
            st.rerun()
        st.progress(job.done, progress_words(learning, job.waiting))
    elif learning.success is None:
        st.markdown(f"**Stopped** after {learner.step} of {learner.config.steps} steps.")
    else:
        changing_markdown("stickers.verdict", verdict(learning, name))
    if learning.seen is None:
        return
    shown, curve = st.columns([1, 2], gap="medium")
    with shown:
        st.image(for_screen(learner.sticker), "The sticker", width=SEEN_SIDE)
    with curve:
        _curve(learner.loss)
    st.caption("As it was seen in the last step:")
    with st.container(horizontal=True):
        for image in learning.seen[:SEEN]:
            st.image(for_screen(image), width=SEEN_SIDE // 2)


def progress_words(learning: Learning, waiting: bool) -> str:
    """What is being done, and how long the learning will take.

    Args:
        waiting: whether another sticker's turn it is.
    """
    learner, left = learning.learner, learning.seconds_left
    if waiting:
        return "Waiting: another sticker is being learned."
    if not learner.live:
        pictures = count_text(learning.others, "held-out picture", "held-out pictures")
        return f"Counting on {pictures}…"
    words = f"Step {learner.step} of {learner.config.steps}"
    if left is None:
        return words
    return f"{words} · about {count_text(max(1, round(left)), 'second', 'seconds')} left"


def verdict(learning: Learning, name: str) -> str:
    """How often it succeeds, in a sentence or two."""
    assert learning.success is not None
    assert learning.without is not None
    return (
        f"**With the sticker, {_share(learning.success)} pictures become {name}**; without it, "
        f"{learning.without.count}. It was learned on none of them. Each was turned, placed and "
        "lit at random."
    )


def _share(rate: Rate) -> str:
    if rate.rate is None:
        return "0 of 0"
    share, low, high = map(percent, (rate.rate, rate.low, rate.high))
    return f"{rate.count} of {rate.total} ({share}; {low} to {high})"


def for_screen(image: Tensor) -> Image.Image:
    """A picture (C, H, W) in [0, 1] for the screen, its pixels as squares."""
    shown = to_pil(rounded(image))
    scale = max(1, SEEN_SIDE // max(shown.size))
    return shown.resize((shown.width * scale, shown.height * scale), Image.Resampling.NEAREST)


def rounded(image: Tensor) -> Tensor:
    """A picture in [0, 1] as uint8, on the CPU."""
    return (255 * image).round().to(torch.uint8).cpu()


def _curve(loss: list[float]) -> None:
    line = go.Scatter(y=loss, x=list(range(1, len(loss) + 1)), mode="lines", line_color=AFTER)
    axes = {"xaxis_title": "step", "yaxis_title": "loss", "yaxis_rangemode": "tozero"}
    show_chart(lay_out(go.Figure(line), 200, **axes), "stickers.loss", f"Loss, now {loss[-1]:.2f}")


def offer_print(learning: Learning, model: str) -> None:
    """The sticker as a picture, and as a page to print."""
    name = class_name(learning.learner.config.target)
    width = st.number_input(
        "Width on paper, in cm", 1.0, float(MOST_CM), **persistent("stickers.width", PRINTED_CM)
    )
    picture = rounded(learning.learner.sticker)
    title = f"Sticker: {name}, for {model_title(model)}"
    files = (
        ("PNG", lambda: to_png(picture), "The sticker in its own pixels"),
        ("PDF", lambda: to_pdf(to_pil(picture), width, title), "A page to print, in true size"),
    )
    offer_files("stickers", f"sticker-{name.replace(' ', '-')}", files)
