"""The Start page: one picture, one pixel, one flipped label, and links to the pages."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_ui.frame import begin_page
from apr_ui.page_table import PAGES, page_entry
from apr_ui.player import player
from apr_ui.resources import start_run_recording

DOORS = ("attack", "compare", "classroom")
"""The three pages that most people want; links to the others follow in one line."""

begin_page("start")
picture, words = st.columns([3, 2], gap="large")
recording = start_run_recording()
with picture:
    player(recording["player"], key="start.player")
with words:
    st.subheader(recording["title"], anchor=False)
    st.markdown(recording["story"])
    for entry in map(page_entry, DOORS):
        with st.container(border=True):
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
