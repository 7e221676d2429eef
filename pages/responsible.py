"""Responsible use: what the lab is for, and what its results do not show."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_ui.frame import begin_page
from apr_ui.lesson.responsible import SECTIONS

begin_page("responsible")
for title, text in SECTIONS:
    st.header(title, anchor=False)
    st.markdown(text)
