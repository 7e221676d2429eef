"""The game by hand: a picture whose pixels a person edits, and bars that answer at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from apr_core.attacks.enumeration import CORNERS, is_large
from apr_core.attacks.result import PixelEdit, as_rgb
from apr_core.base.words import percent
from apr_core.by_hand.export import to_csv, to_json
from apr_core.by_hand.game import Game, begin, pixel_choices, reset, try_edit, undo
from apr_core.data.images import to_png
from apr_core.serving.frame import packed
from apr_ui.bars import bar_classes, bars
from apr_ui.canvas import CanvasData, CanvasTry, canvas
from apr_ui.changing_text import changing_markdown
from apr_ui.dataset import class_name
from apr_ui.downloads import offer_files
from apr_ui.hand.games import current_game, keep_game, place_of
from apr_ui.hand.hints import (
    HELP,
    MARKS,
    NO_HINTS,
    ask_hint,
    can_hint,
    show_hint,
    take_hint,
    waiting,
)
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.resources import scorer
from apr_ui.result_view import Bar, Result, Tone, result_view
from apr_ui.words import count_text, size_text

NAMES = ("black", "blue", "green", "cyan", "red", "magenta", "yellow", "white")
"""Of the eight corners of the colour cube, in the order of `CORNERS`."""
GREYS = (("black", 0), ("dark grey", 64), ("grey", 128), ("light grey", 192), ("white", 255))
"""Of a picture of one channel."""
FIRST_COLOUR, FIRST_GREY = "#ff8000", 96


def play(
    game_key: str,
    model: str,
    image: Tensor,
    label: int,
    page: str = "hand",
    hints: bool = True,
    pixels: Sequence[int] | None = None,
    more: Callable[[Game], None] | None = None,
    settings: DeltaGenerator | None = None,
) -> Game:
    """The whole game: picture, colours, bars, counts, undo, reset and hints.

    A try redraws only these; the first flip runs the whole page again.

    Args:
        game_key: identifies the game on the page, such as a picture's key.
        model: a name that the app can load.
        image: uint8 (C, H, W), of one channel or three.
        label: its true class.
        page: what the keys begin with.
        hints: whether they may be asked for; of a large picture none are given.
        pixels: how many may be changed; more than one number is a choice. By default what suits the
            picture's size.
        more: draws what follows the game, and is drawn again after each try.
        settings: where the number of pixels is chosen; by default above the board.

    Returns:
        The game as it stands.

    Raises:
        InputError: the model misreads the clean picture, or cannot be loaded.
    """
    with settings or st.container():
        count = _choose_pixels(page, pixels or pixel_choices(image))
    place = place_of(game_key, model, label, count)
    game = current_game(page, place)
    if game is None:
        game = keep_game(
            page, place, on_prediction_thread(begin, model, scorer(model), image, label, count)
        )
    st.session_state[f"{page}.place"] = place
    st.session_state[f"{page}.told"] = game.first_flip
    st.fragment(_board)(page, place, hints, more)
    return current_game(page, place) or game


def _choose_pixels(page: str, pixels: Sequence[int]) -> int:
    if len(pixels) == 1:
        return pixels[0]
    keep_among(f"{page}.pixels", pixels)
    chosen: int = st.segmented_control(
        "Pixels that you may change",
        pixels,
        required=True,
        **persistent(f"{page}.pixels", pixels[0]),
    )
    return chosen


def _board(page: str, place: str, hints: bool, more: Callable[[Game], None] | None) -> None:
    take_hint(page, place)
    game = current_game(page, place)
    if game is None:
        return
    hinted = hints and not is_large(*game.image.shape[1:])
    picture, answer = st.columns([1, 1], gap="medium")
    with picture:
        _verdict(page, game)
        _canvas(page, place, game, hinted)
    with answer:
        _bars(page, game)
        changing_markdown(f"{page}.counts", counts(game))
        _buttons(page, place, game, hinted)
        if hinted:
            show_hint(page, place, game)
        elif hints:
            st.caption(NO_HINTS)
        _downloads(page, game)
    if more:
        more(game)
    if game.first_flip != st.session_state[f"{page}.told"]:
        st.rerun()


def _canvas(page: str, place: str, game: Game, hints: bool) -> None:
    _, height, width = game.image.shape
    hint = game.hints[-1] if game.hints else None
    data: CanvasData = {
        "game": place,
        "width": width,
        "height": height,
        "image": packed(as_rgb(game.image.permute(1, 2, 0)), torch.uint8),
        "title": f"The picture: {class_name(game.label)}, {width} by {height} pixels",
        "edits": [{"x": edit.x, "y": edit.y, "rgb": edit.rgb} for edit in game.edits],
        "pixels": game.pixels,
        "tried": sorted({(tried.edits[-1].x, tried.edits[-1].y) for tried in game.tries}),
        "colours": [{"name": name, "rgb": rgb} for name, rgb in _colours(game)],
        "own": _own_colour(page, game),
        "acked": st.session_state.get(f"{page}.acked", 0),
        "hints": hints,
        "hint": None
        if hint is None
        else {"x": hint.x, "y": hint.y, "word": hint.heat, "mark": MARKS[hint.heat]},
    }
    canvas(
        data,
        f"{page}.canvas",
        partial(_take_tries, page),
        lambda asked, x, y: ask_hint(page, asked, x, y),
        lambda asked: _change(page, asked, undo),
    )


def _colours(game: Game) -> list[tuple[str, list[int]]]:
    """The colours to choose from, by name: of a grey picture, greys."""
    if len(game.image) == 1:
        return [(name, [value] * 3) for name, value in GREYS]
    return list(zip(NAMES, CORNERS.tolist(), strict=True))


def _own_colour(page: str, game: Game) -> list[int]:
    if len(game.image) == 1:
        return [st.session_state.get(f"{page}.grey", FIRST_GREY)] * 3
    own: str = st.session_state.get(f"{page}.colour", FIRST_COLOUR)
    return list(bytes.fromhex(own.removeprefix("#")))


def _take_tries(page: str, sent: Sequence[CanvasTry]) -> None:
    """Score the tries that are new, each as a query of its own."""
    for tried in sent:
        if tried["n"] <= st.session_state.get(f"{page}.acked", 0):
            continue
        st.session_state[f"{page}.acked"] = tried["n"]
        game = current_game(page, tried["game"])
        if game is None:
            continue
        red, green, blue = tried["rgb"]
        edit = PixelEdit(tried["x"], tried["y"], (red, green, blue))
        keep_game(
            page, tried["game"], on_prediction_thread(try_edit, game, edit, scorer(game.model))
        )


def _change(page: str, place: str, change: Callable[[Game], Game]) -> None:
    game = current_game(page, place)
    if game is not None:
        keep_game(page, place, change(game))


def _verdict(page: str, game: Game) -> None:
    """The model's answer to the picture as it is now, and how sure it is of two classes."""
    words, detail = verdict(game)
    answer, clean, leading = game.answer.probabilities, game.clean.probabilities, game.answer.label
    others = [k for k in range(len(answer)) if k != game.label]
    rival = leading if leading != game.label else max(others, key=answer.__getitem__)
    pair: list[Bar] = [
        {
            "name": class_name(k),
            "value": answer[k],
            "before": clean[k] if game.line else None,
            "rival": k != game.label,
        }
        for k in (game.label, rival)
    ]
    tone: Tone = "fooled" if game.flipped else "plain"
    result_view(f"{page}.verdict", Result(None, (), ("", ""), words, detail, pair, tone))


def verdict(game: Game) -> tuple[str, str]:
    """The answer in a few words, and a sentence."""
    true, said = class_name(game.label), class_name(game.answer.label)
    sure = f"{percent(game.answer.confidence)} sure."
    if game.flipped:
        return f"Flipped: {true} → {said}", f"{sure} Your first flip was query {game.first_flip}."
    if game.line:
        return f"The model still says: {said}", sure
    return f"The model says: {said}", f"{sure} Click a pixel to change that."


def _queries(count: int) -> str:
    return count_text(count, "query", "queries")


def counts(game: Game) -> str:
    """The score in one or two lines."""
    parts = [f"**{_queries(game.queries)}**"]
    if game.queries:
        parts.append(f"closest: {percent(game.closest)} {class_name(game.label)}")
    if game.hints:
        parts.append(count_text(len(game.hints), "hint", "hints"))
    if game.fewest:
        parts.append(f"best: {_queries(game.fewest)}")
    if game.earlier:
        parts.append(f"{game.earlier:,} more before you started over")
    lines = [" · ".join(parts)]
    if game.pixels > 1:
        full = len(game.edits) == game.pixels
        turn = "the next query replaces the newest" if full else "the next query adds one"
        lines.append(f"{len(game.edits)} of {game.pixels} pixels placed: {turn}.")
    return "  \n".join(lines)


def _bars(page: str, game: Game) -> None:
    said = class_name(game.answer.label)
    true = game.answer.probabilities[game.label]
    shown = bar_classes(game.clean.probabilities, game.answer.probabilities, game.label)
    bars(
        {
            "classes": [class_name(k) for k in shown],
            "values": [game.answer.probabilities[k] for k in shown],
            "clean": [game.clean.probabilities[k] for k in shown],
            "label": shown.index(game.label),
            "leading": shown.index(game.answer.label),
            "striped": game.answer.label != game.label,
            "left_out": len(game.answer.probabilities) - len(shown),
            "words": ["the true class", "an edit"],
            "number": game.queries,
            "said": f"{_queries(game.queries)}. The model says {said}, "
            f"{percent(game.answer.confidence)}. {class_name(game.label)}: {percent(true)}.",
        },
        f"{page}.bars",
    )


def _choose_own_colour(page: str, game: Game) -> None:
    if len(game.image) == 1:
        st.slider("Your grey", 0, 255, width=180, **persistent(f"{page}.grey", FIRST_GREY))
    else:
        st.color_picker("Your colour", **persistent(f"{page}.colour", FIRST_COLOUR))


def _buttons(page: str, place: str, game: Game, hints: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _choose_own_colour(page, game)
        st.button(
            "Undo",
            key=f"{page}.undo",
            icon=":material/undo:",
            disabled=not game.line,
            on_click=partial(_change, page, place, undo),
            help="Removes the newest edit. The query still counts.",
        )
        st.button(
            "Start over",
            key=f"{page}.reset",
            icon=":material/restart_alt:",
            disabled=not game.queries,
            on_click=partial(_change, page, place, reset),
            help="Back to the clean picture and a count of 0. Earlier queries are still shown.",
        )
        if hints and game.queries:
            last = game.tries[-1].edits[-1]
            st.button(
                "Hint",
                key=f"{page}.hint",
                icon=":material/device_thermostat:",
                disabled=not can_hint(game) or waiting(page, place),
                on_click=partial(ask_hint, page, place, last.x, last.y),
                help=HELP,
            )


def _downloads(page: str, game: Game) -> None:
    if not game.queries:
        return
    files = (
        ("PNG", lambda: to_png(game.edited), f"The picture as it is now, {size_text(game.image)}"),
        ("CSV", lambda: to_csv(game), "One row a query"),
        ("JSON", lambda: to_json(game), "The whole game"),
    )
    offer_files(f"{page}.game", f"{game.model}-by-hand", files)
