"""APR Lab: `streamlit run app.py`."""

import gc

import streamlit as st

from apr_ui.page_table import PAGES

st.set_page_config(
    page_title="APR Lab",
    page_icon="assets/icon.png",
    layout="wide",
    menu_items={"About": "APR Lab: one-pixel attacks on image classifiers, and a defence."},
)
gc.freeze()  # what was imported stays; collections need not look at it again

pages = [
    st.Page(
        entry.script,
        title=entry.title,
        icon=entry.icon,
        url_path="" if number == 0 else entry.key,
        default=number == 0,
    )
    for number, entry in enumerate(PAGES)
]
st.navigation(pages, position="top").run()
