"""A figure on the page."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st


def show_chart(figure: go.Figure, key: str, alt: str = "") -> None:
    """Draw a figure without Plotly's tool bar; `alt` describes it for screen readers."""
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt or None)
