"""The attack on a net as it goes, and how it ended."""

from __future__ import annotations

import streamlit as st

from apr_core.safety.attack import Budget
from apr_ui.changing_text import changing_markdown
from apr_ui.jobs import Job
from apr_ui.safety.flow import LIVE
from apr_ui.safety.nets import NetAttack, most_queries
from apr_ui.words import count_text, edit_text, plain

POLL_SECONDS = 0.5


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
    so_far = job.made or job.seen
    found = so_far if isinstance(so_far, NetAttack) else NetAttack()
    if not over:
        most = most_queries(Budget())
        st.progress(job.done, f"{found.queries:,} of at most {most:,} edits tried")
        return
    changing_markdown("safety.attack", ending_words(job.made, proof))


def ending_words(made: NetAttack | None, proof: bool = False) -> str:
    """How it ended, in a sentence or two; see `follow_attack`."""
    if made is None:
        return "**Cancelled.** Press the button again to begin anew."
    tried = (
        f"{count_text(made.queries, 'edit', 'edits')} of one pixel, of which "
        f"{made.shown:,} fooled the model itself and were shown to the net"
    )
    if made.success and made.edit:
        return f"**The net was turned** by {edit_text(made.edit)}, after {tried}."
    more = "Another search may find more."
    if proof:
        more = (
            "Its certificate is a proof: where the net answers the picture, no change of one pixel "
            "makes it answer with another class."
        )
    return f"**The net held** against {tried}. {more}"
