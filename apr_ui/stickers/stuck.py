"""The sticker on a picture: it lies on the board, and the bars show what the model says."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import streamlit as st
from torch import Tensor

from apr_core.attacks.sticker import Views, stick
from apr_core.base.words import percent
from apr_core.data.images import to_png
from apr_core.models.inputs import as_input
from apr_ui.bars import bar_classes, bars
from apr_ui.changing_text import changing_markdown
from apr_ui.choose_picture import CAMERA, Choice
from apr_ui.dataset import class_name
from apr_ui.persistent_widget import persistent
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.resources import probabilities
from apr_ui.stickers.board import board
from apr_ui.stickers.learning import Asked, Learning
from apr_ui.stickers.link import PLACES
from apr_ui.stickers.view import PLACE, for_screen, keep_link, rounded

ANSWERED = "stickers.answered"
FIRST_PLACE = {"across": 0.7, "down": 0.7, "size": 0.4, "turn": 0.0}


def stick_it(choice: Choice, asked: Asked, learning: Learning) -> None:
    """The picture with the sticker on it, and what the model says; redrawn by itself."""
    st.fragment(_stuck)(choice, asked, learning)


def _stuck(choice: Choice, asked: Asked, learning: Learning) -> None:
    keep_link(asked)
    photographed = st.session_state.get("attack.source") == CAMERA
    on = st.toggle(
        "Lay the sticker on the picture",
        **persistent(f"stickers.on-{photographed}", not photographed),
        help="Switch it off for a photograph of the printed sticker.",
    )
    view = st.session_state.get(PLACE) or FIRST_PLACE
    image, sticker = choice.image, learning.learner.sticker.detach().cpu()
    pictures = [image]
    if on:
        pictures.append(rounded(stick(as_input(image[None]), sticker, Views.one(**view))[0]))
    answers = list(on_prediction_thread(probabilities, asked[0], pictures))
    picture, answer = st.columns(2, gap="medium")
    with picture:
        if on:
            _board(image, sticker, view)
        else:
            st.image(for_screen(as_input(image[None])[0]), "The picture as the model sees it")
    with answer:
        _answer(answers[-1], learning.learner.config.target, answers[0] if on else None)


def _board(image: Tensor, sticker: Tensor, view: Mapping[str, float]) -> None:
    height, width = image.shape[1:]
    smallest, largest = PLACES["size"]
    lies = (
        f"{view['across']:.0%} across, {view['down']:.0%} down, {view['size']:.0%} of the width, "
        f"turned by {view['turn']:.0f}°"
    )
    board(
        {
            "picture": base64.b64encode(to_png(image)).decode(),
            "sticker": base64.b64encode(to_png(rounded(sticker))).decode(),
            "width": width,
            "height": height,
            "title": f"The picture, with the sticker {lies}",
            "view": view,
            "smallest": smallest,
            "largest": largest,
            "answered": st.session_state.get(ANSWERED, 0),
        },
        "stickers.board",
        _take,
    )


def _take(number: int, view: Mapping[str, float]) -> None:
    if number > st.session_state.get(ANSWERED, 0):
        st.session_state.update({ANSWERED: number, PLACE: dict(view)})


def _answer(now: Tensor, target: int, clean: Tensor | None) -> None:
    """What the model says, in words and bars; probabilities (K,).

    Args:
        clean: without the sticker; None where none is laid.
    """
    said, values = int(now.argmax()), now.tolist()
    was, before = said, None
    words = f"The model says: **{class_name(said)}**, {percent(values[said])} sure."
    if clean is not None:
        was, before = int(clean.argmax()), clean.tolist()
        words += f"  \nWithout the sticker: {class_name(was)}, {percent(before[was])} sure."
    changing_markdown("stickers.answer", words)
    shown = bar_classes(before or values, values, target)
    bars(
        {
            "classes": [class_name(k) for k in shown],
            "values": [values[k] for k in shown],
            "clean": before and [before[k] for k in shown],
            "label": shown.index(target),
            "leading": shown.index(said),
            "striped": said == target != was,
            "left_out": len(values) - len(shown),
            "words": ["the target", "the sticker"],
            "number": st.session_state.get(ANSWERED, 0),
            "said": f"The model says {class_name(said)}, {percent(values[said])}. "
            f"{class_name(target)}: {percent(values[target])}.",
        },
        "stickers.bars",
    )
