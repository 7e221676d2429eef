"""Searches to choose from on each data set: pixels, method and budget, in one control."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import isqrt
from typing import Any, NamedTuple

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import Method
from apr_core.data.registry import DEFAULT
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest
from apr_ui.dataset import CHOSEN, shown_data
from apr_ui.persistent_widget import persistent
from apr_ui.words import count_text

KEY = "attack.search"
EVERY = "every pixel, a little"
METHODS = {
    Method.DE: "Differential evolution",
    Method.SPARSE_RS: "Sparse-RS",
    Method.PATCH: "Sparse-RS, patch",
}


class Offer(NamedTuple):
    """Fields of `OnePixelConfig` that are chosen together."""

    pixels: int = 1
    method: Method = Method.DE
    population: int = 400
    generations: int = 100

    @property
    def side(self) -> int:
        """Of a patch."""
        return isqrt(self.pixels)

    @property
    def words(self) -> str:
        """What may change, on a button."""
        if self.method is Method.PATCH:
            return f"a patch, {self.side} × {self.side}"
        return count_text(self.pixels, "pixel", "pixels")


PAPERS = Offer()
RANDOM = Offer(16, Method.SPARSE_RS, 8, 39)
SMALL = (PAPERS, Offer(3), Offer(5), Offer(5**2, Method.PATCH, 16, 62))
"""For CIFAR-10's pictures: the first as published, so that a run is one of those that the rates
are of."""
QUICK = tuple(each._replace(generations=49) if each.method is Method.DE else each for each in SMALL)
"""For other small pictures: two cores end these in 20 s on defended models too."""
OFFERS: dict[str, tuple[Offer, ...]] = {
    DEFAULT: SMALL,
    PHOTOGRAPHS: (
        Offer(1, Method.DE, 32, 29),
        RANDOM,
        RANDOM._replace(pixels=50),
        RANDOM._replace(pixels=150),
        RANDOM._replace(pixels=32**2, method=Method.PATCH),
    ),
}
"""By data set, the first being the default. On photographs one pixel seldom suffices; each is of
about as many queries as two cores answer in 20 s."""


def default_search() -> Offer:
    """What the shown data set is searched with unless someone asks for more."""
    return _offers()[0]


def offers_on(data: str) -> tuple[Offer, ...]:
    """The searches to choose from on a data set."""
    return OFFERS.get(data, QUICK)


def _offers() -> tuple[Offer, ...]:
    return offers_on(shown_data().name)


def choose_search(every: bool = False) -> bool:
    """The choice between a data set's searches; settings follow it.

    Args:
        every: whether every pixel may be changed too.

    Returns:
        Whether that was chosen.
    """
    now = tuple(_state(name) for name in ("pixels", "method"))
    offers = [each.words for each in _offers()]
    st.session_state[KEY] = next((each.words for each in _offers() if each[:2] == now), None)
    if every:
        offers.append(EVERY)
        if st.session_state.get("attack.every"):
            st.session_state[KEY] = EVERY
    st.pills(
        "What may change",
        offers,
        key=KEY,
        wrap=True,
        on_change=_follow_search,
        help="A few pixels are searched for by differential evolution. Many pixels, or a patch, "
        "are searched for by Sparse-RS (Croce et al., 2022): it changes a part of the best edit so "
        "far at random, and keeps what lowers the model's lead."
        + (" Every pixel is changed along the model's gradient (FGSM, PGD)." if every else ""),
    )
    return bool(st.session_state[KEY] == EVERY)


def choose_method() -> Method:
    """The method picker; its usual budget follows it."""
    chosen: Method = st.selectbox(
        "Method",
        list(Method),
        format_func=METHODS.__getitem__,
        on_change=_follow_method,
        **persistent("attack.method", default_search().method),
        help="Differential evolution is for a few pixels, Sparse-RS for many, or for a patch.",
    )
    return chosen


def follow_data() -> None:
    """Set the search to the new data set's, unless someone has asked for another."""
    offers = offers_on(st.session_state[CHOSEN])
    now = Offer(*(_state(name, PAPERS) for name in Offer._fields))
    if now in {*QUICK, *chain(*OFFERS.values())} - {*offers}:
        _set(next((each for each in offers if each[:2] == now[:2]), offers[0]))


def larger_searches(request: AttackRequest) -> list[OnePixelConfig]:
    """The same search with more pixels, to offer where one has failed."""
    config = request.config
    larger = [each for each in offers_on(request.data.name) if each.pixels > config.pixels]
    return [
        replace(config, pixels=each.pixels)
        if config.method is each.method is Method.DE
        else replace(config, **each._asdict())
        for each in larger
    ]


def _follow_search() -> None:
    chosen = st.session_state[KEY]
    st.session_state["attack.every"] = chosen == EVERY
    for each in _offers():
        if each.words == chosen:
            _set(each)


def _follow_method() -> None:
    method = st.session_state["attack.method"]
    _set(next(each for each in (*_offers(), RANDOM) if each.method is method))


def _state(name: str, default: Offer | None = None) -> Any:
    return st.session_state.get(f"attack.{name}", getattr(default or default_search(), name))


def _set(offer: Offer) -> None:
    for name, value in (offer._asdict() | {"side": offer.side}).items():
        st.session_state[f"attack.{name}"] = value
