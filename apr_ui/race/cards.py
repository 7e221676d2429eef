"""The cards of a race: each model's name, how its run ended, and its result as it stands."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from apr_core.base.types import Status
from apr_ui.changing_text import changing_markdown
from apr_ui.errors import errors_on_page
from apr_ui.race.words import ENDED, FAILED, Runner
from apr_ui.result_view import result_view
from apr_ui.run_result import KEY, result_of
from apr_ui.words import plain

NARROWEST = 400
"""Pixels of a card: two stand side by side on a desktop, and one on a phone."""
MARKS = {
    ENDED[Status.FLIPPED]: ":red-badge[:material/bolt: fooled]",
    ENDED[Status.SURVIVED]: ":blue-badge[:material/shield: resisted]",
}
"""How a run ended, in a colour and a word."""


def show_cards(runners: Sequence[Runner]) -> None:
    """Draw a card a model."""
    grid = st.grid(2, min_column_width=NARROWEST, border=True)
    for number, runner in enumerate(runners):
        with grid.cell():
            changing_markdown(f"compare.card-{number}", named(runner))
            if runner.ended == FAILED:
                st.error(plain(runner.view.error), icon=":material/error:")
                continue
            with errors_on_page():
                page = f"compare.{number}"
                result_view(f"{page}.{KEY}", result_of(runner.view, page), marked=False)


def named(runner: Runner) -> str:
    """A model's name, and the mark of how its run ended."""
    return f"**{runner.name}** {MARKS.get(runner.ended, '')}"
