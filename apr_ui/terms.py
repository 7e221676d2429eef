"""Terms that a page uses, each explained at the press of a button."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

ROW = "app-terms"
"""Key of the row; `assets/app.css` makes it small."""
TERMS = {
    "differential evolution": "**Differential evolution**: mix three guesses, keep the better. A "
    "guess is a pixel and a colour. The search takes the difference of two guesses, adds it to a "
    "third, and so has a new guess. It keeps the new guess if this confuses the model more than "
    "the old one did.",
    "generation": "**Generation**: one round of the search. Every guess gets one new rival, and "
    "the better of the two stays.",
    "query": "**Query**: one picture shown, one answer read. The number of queries says how much "
    "work an attack was.",
    "APR": "**APR** is Adaptive Pixel Resilience, the defence that this lab studies. A model with "
    "APR has an attention gate, which weighs each pixel. It also learns from attacked pictures, "
    "and is trained so that changing one pixel changes its answer little.",
    "masking": "**Masking** (lattice masking): the model sees sixteen copies of the picture. Each "
    "hides another sixteenth of the pixels and fills it in from the surroundings. Where the copies "
    "disagree, copies with two such parts hidden decide. Whichever pixel is changed, one of the "
    "sixteen copies hides it.",
    "certificate": "**Certificate**: a proof for any single pixel, for the masked model only. "
    "Whichever pixel is changed, to whatever colour, the masked model's answer stays the same. "
    "The model without masking can still be fooled.",
}
"""What is said of each term, in Markdown."""


def explain(page: str, terms: Iterable[str]) -> None:
    """A row of terms; each opens its explanation, by click, touch or key.

    Args:
        page: what the keys begin with.
        terms: keys of `TERMS`.
    """
    with st.container(key=ROW, horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption("What is:", width="content")
        for term in terms:
            with st.popover(term, type="tertiary", key=f"{page}.term-{term}"):
                st.markdown(TERMS[term])
