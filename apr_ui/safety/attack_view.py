"""The attack on a net as it goes, and how it ended."""

from __future__ import annotations

import streamlit as st

from apr_ui.changing_text import changing_markdown
from apr_ui.jobs import Job
from apr_ui.safety.flow import LIVE
from apr_ui.safety.search import MOST_QUERIES, UNSEEDED, NetAttack
from apr_ui.words import count_text, edit_text, plain

POLL_SECONDS = 0.5


def plan_words(recorded: bool) -> str:
    """What a first search will do.

    Args:
        recorded: whether the record has a pixel for the picture.
    """
    words = "The search changes one pixel, knows every layer, and wants a wrong answer."
    if recorded:
        words += " It first tries the pixel that was recorded for this picture."
    return words


def follow_attack(job: Job[NetAttack], proof: bool) -> None:
    """A line on it; a fragment redraws it while it goes on.

    Args:
        proof: whether the net answers only what is certified.
    """
    live = not job.ended.is_set()
    st.fragment(_progress, run_every=POLL_SECONDS if live else None)(job, live, proof)


def _progress(job: Job[NetAttack], was_live: bool, proof: bool) -> None:
    over = job.wait(0)
    if was_live and over:
        if job.made:
            st.session_state["safety.state"] = LIVE
        st.rerun()
    if job.error:
        st.error(plain(job.error), icon=":material/error:")
        return
    if not over:
        words = "One search goes on at a time. This one begins when it is its turn."
        if isinstance(found := job.seen, NetAttack):
            words = f"{found.queries:,} of at most {MOST_QUERIES:,} edits tried, seed {found.seed}"
        st.progress(job.done, words)
        return
    changing_markdown("safety.attack", ending_words(job.made, proof))


def ending_words(made: NetAttack | None, proof: bool = False) -> str:
    """How it ended, in some sentences; see `follow_attack`."""
    if made is None:
        return "**Stopped before its end.** Press the button again to begin anew."
    first = made.recorded and made.success and made.queries == 1
    if first and made.edit:
        ending = (
            f"**The net was turned** by {edit_text(made.edit)}, the pixel that was recorded for "
            "this picture: the search tries it first."
        )
    elif made.success and made.edit:
        ending = f"**The net was turned** by {edit_text(made.edit)}, after {_tried(made)}."
    else:
        ending = f"**The net held** against {_tried(made)}."
    return f"{ending} {_next_words(made, first, proof)}"


def _tried(made: NetAttack) -> str:
    """What was tried, and how much of it the net was shown."""
    tried = f"{count_text(made.queries, 'edit', 'edits')} of one pixel"
    tried += ", the recorded one first" if made.recorded else ""
    fooled = "; none of them fooled the model itself"
    if made.shown:
        was = "was" if made.shown == 1 else "were"
        fooled = f"; {made.shown:,} of them fooled the model itself and {was} shown to the net"
    return f"{tried}{fooled} (seed {made.seed})"


def _next_words(made: NetAttack, first: bool, proof: bool) -> str:
    """What another search may do."""
    if made.success and not first and made.queries <= UNSEEDED:
        return "No random number was drawn before that, so every seed leads to this pixel."
    if proof and not made.success:
        return (
            "Its certificate is a proof: where the net answers the picture, no change of one pixel "
            "makes it answer with another class."
        )
    words = f"Press the button again to search anew with seed {made.seed + 1}"
    words += ", without the recorded pixel" if made.recorded else ""
    return f"{words}." if made.success else f"Another search may find more. {words}."
