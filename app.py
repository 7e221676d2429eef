"""APR Lab: `apr-lab app` serves it, or `streamlit run app.py`."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.paths import shipped
from apr_ui.errors import errors_on_page
from apr_ui.frame import FRAMED, add_sheet, menu_place
from apr_ui.page_table import PAGES
from apr_ui.race.view import default_models
from apr_ui.warming import warm_up

st.set_page_config(
    page_title="APR Lab",
    page_icon=str(shipped("assets/icon.png")),
    layout="wide",
    menu_items={"About": "APR Lab: one-pixel attacks on image classifiers, and a defence."},
)

add_sheet()
st.session_state[FRAMED] = True
sections: dict[str, list[StreamlitPage]] = {}
for number, entry in enumerate(PAGES):
    page = st.Page(
        entry.script,
        title=entry.title,
        icon=entry.icon,
        url_path="" if number == 0 else entry.key,
        default=number == 0,
    )
    sections.setdefault(entry.section, []).append(page)
with errors_on_page():
    st.navigation(sections, position=menu_place()).run()
warm_up(*default_models())
