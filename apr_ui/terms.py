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
    "calibration": "**Calibration**: making a probability mean what it says. Of the answers that a "
    "calibrated model gives with 80%, about 80% are right. All probabilities are adjusted by one "
    "number, the temperature; no answer changes.",
    "false alarm": "**False alarm**: a right answer for a picture that nobody attacked, withheld "
    "all the same. A stricter threshold catches more attacks, and gives more false alarms.",
    "ROC": "**ROC** (receiver operating characteristic): a curve with a point for each threshold. "
    "It shows how many attacked pictures a check catches, and how many false alarms that costs. "
    "The nearer to the upper left corner, the better.",
    "coverage": "**Coverage**: the share of pictures that are answered. The others go to a person.",
    "risk": "**Risk**: the share of wrong answers among those that are given. If fewer pictures "
    "are answered, those with the most trusted answers, the risk should fall.",
}
"""What is said of each term, in Markdown."""


def explain(page: str, terms: Iterable[str], part: str = "") -> None:
    """A row of terms; each opens its explanation, by click, touch or key.

    Args:
        page: what the keys begin with.
        terms: keys of `TERMS`.
        part: of the page, where it is not the beginning.
    """
    with st.container(key=ROW + part, horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption("What is:", width="content")
        for term in terms:
            with st.popover(term, type="tertiary", key=f"{page}.term-{term}"):
                st.markdown(TERMS[term])
