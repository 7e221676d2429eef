"""Searches to choose from on each data set: pixels, method and budget, in one control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import Method
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest
from apr_ui.dataset import CHOSEN, shown_data
from apr_ui.persistent_widget import persistent
from apr_ui.words import count_text

KEY = "attack.search"


class Offer(NamedTuple):
    """Fields of `OnePixelConfig` that are chosen together."""

    pixels: int = 1
    method: Method = Method.DE
    population: int = 400
    generations: int = 100


PAPERS = Offer()
RANDOM = Offer(16, Method.SPARSE_RS, 8, 39)
OFFERS: dict[str, tuple[Offer, ...]] = {
    PHOTOGRAPHS: (
        Offer(1, Method.DE, 64, 14),
        RANDOM,
        RANDOM._replace(pixels=50),
        RANDOM._replace(pixels=150),
    ),
}
"""By data set, where one pixel seldom suffices: each of about as many queries as two cores answer
in 20 s. The first is the default."""


def default_search() -> Offer:
    """What the shown data set is searched with unless someone asks for more."""
    return OFFERS.get(shown_data().name, (PAPERS,))[0]


def choose_search() -> None:
    """The choice between a data set's searches, where it has several; settings follow it."""
    offers = OFFERS.get(shown_data().name)
    if offers is None:
        return
    now = tuple(_state(name) for name in ("pixels", "method"))
    st.session_state[KEY] = next((each.pixels for each in offers if each[:2] == now), None)
    st.pills(
        "Pixels to change",
        [each.pixels for each in offers],
        format_func=lambda pixels: count_text(pixels, "pixel", "pixels"),
        key=KEY,
        wrap=True,
        on_change=_follow_search,
        help="One pixel is searched for by differential evolution. Many pixels are searched for by "
        "Sparse-RS (Croce et al., 2022): it exchanges some pixels of the best set so far for "
        "others at random, and keeps what lowers the model's lead.",
    )


def choose_method() -> Method:
    """The method picker; its usual budget follows it."""
    chosen: Method = st.selectbox(
        "Method",
        list(Method),
        format_func=lambda method: method.words[0].upper() + method.words[1:],
        on_change=_follow_method,
        **persistent("attack.method", default_search().method),
        help="Differential evolution is for a few pixels, Sparse-RS for many.",
    )
    return chosen


def follow_data() -> None:
    """Set the search to the new data set's, unless someone has asked for another."""
    known = {PAPERS, *(offer for offers in OFFERS.values() for offer in offers)}
    if Offer(*(_state(name, PAPERS) for name in Offer._fields)) in known:
        _set(OFFERS.get(st.session_state[CHOSEN], (PAPERS,))[0])


def larger_searches(request: AttackRequest) -> list[OnePixelConfig]:
    """The same search with more pixels, to offer where one has failed."""
    config, offers = request.config, OFFERS.get(request.data.name)
    if offers is None:
        return [replace(config, pixels=more) for more in (3, 5) if more > config.pixels]
    return [replace(config, **o._asdict()) for o in offers if o.pixels > config.pixels]


def _follow_search() -> None:
    chosen = st.session_state[KEY]
    for each in OFFERS.get(shown_data().name, ()):
        if each.pixels == chosen:
            _set(each)


def _follow_method() -> None:
    usual = RANDOM if st.session_state["attack.method"] is Method.SPARSE_RS else PAPERS
    offers = (*OFFERS.get(shown_data().name, ()), usual)
    _set(next(each for each in offers if each.method is usual.method))


def _state(name: str, default: Offer | None = None) -> Any:
    return st.session_state.get(f"attack.{name}", getattr(default or default_search(), name))


def _set(offer: Offer) -> None:
    for name, value in offer._asdict().items():
        st.session_state[f"attack.{name}"] = value
