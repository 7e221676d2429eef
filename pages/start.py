"""The Start page: one picture before and after one pixel, the search, and a live attack."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_ui.controls import show_request
from apr_ui.frame import begin_page
from apr_ui.page_table import PAGES, page_entry
from apr_ui.player import player
from apr_ui.start_run import StartRun, start_run

DOORS = ("attack", "compare", "classroom")
"""The three pages that most people want; links to the others follow in one line."""


def before_and_after(run: StartRun) -> None:
    """Both pictures side by side, on a phone too, each below what the model says of it."""
    labels, pictures = (run.label_before, run.label_after), (run.before, run.after)
    with st.container(horizontal=True, wrap=False):
        for label, picture, alt in zip(labels, pictures, run.alts, strict=True):
            with st.container():
                st.markdown(label)
                st.image(picture, width="stretch", alt=alt)


def offer_attack(run: StartRun) -> None:
    """A button that opens the Attack page with this attack under way."""
    label, icon = "Run this attack live", ":material/target:"
    if st.button(label, key="start.attack", icon=icon, type="primary"):
        show_request(run.request)
        st.session_state["attack.planned"] = run.request
        st.switch_page(page_entry("attack").script)


begin_page("start")
run = start_run()
pictures, search = st.columns([3, 2], gap="large")
with pictures:
    before_and_after(run)
    offer_attack(run)
    st.markdown(run.story)
    st.caption("The two pictures are smoothed for people. The model sees 32 × 32 pixels.")
with search:
    st.markdown("**The search for that pixel**, slowed down")
    player({**run.recording, "loop": True}, key="start.player")
for entry, place in zip(map(page_entry, DOORS), st.columns(len(DOORS)), strict=True):
    with place.container(border=True, height="stretch"):
        st.page_link(entry.script, label=f"**{entry.invitation}**", icon=entry.icon)
        st.caption(entry.summary)
with st.container(horizontal=True):
    for entry in PAGES[1:]:
        if entry.key not in DOORS:
            st.page_link(entry.script, label=entry.invitation, icon=entry.icon)
with st.expander("How can one pixel do that?", icon=":material/help:"):
    st.markdown(
        "A network adds up thousands of small pieces of evidence. Most edits of a pixel "
        "change the sum a little; at some places and in some colours, they move it across the "
        "boundary between two classes.\n"
        "\n"
        "**Differential evolution** finds such an edit without knowing the network's weights. "
        "It starts with a few hundred random edits. For each it makes a child by adding the "
        "difference of two others to a third, and keeps the child if it confuses the network "
        "more (Su, Vargas and Sakurai, 2019)."
    )
