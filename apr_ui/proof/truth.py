"""The truth map on the page: every pixel of the picture, tried in the eight corner colours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.base.tickets import Ticket
from apr_core.serving.requests import BEHIND_LATTICE, MapRequest, MapView
from apr_ui.chart_view import show_chart
from apr_ui.charts import truth_map
from apr_ui.dataset import class_name
from apr_ui.downloads import offer_files
from apr_ui.errors import errors_on_page
from apr_ui.persistent_widget import persistent
from apr_ui.pictures import mapped, scale_to
from apr_ui.resources import service
from apr_ui.state import cancel_runs
from apr_ui.words import plain

BARE, MASKED = "without masking", "behind lattice masking"
POLL_SECONDS = 0.25
FIRST_SECONDS = 0.4
SIDE = 352


def offer_map(model: str, image: Tensor, label: int) -> None:
    """A button that makes the map of a picture.

    Args:
        model: its bare name.
        image: uint8 (C, H, W).
        label: its true class.
    """
    pixels, corners = image[0].numel(), 2 ** len(image)
    colours = "eight corners of the colour cube" if corners == 8 else "two ends of the grey scale"
    with st.expander("Truth map: what can each pixel do?", icon=":material/grid_on:"):
        st.markdown(
            f"Each of the {pixels:,} pixels is set to each of the {colours}: {pixels * corners:,} "
            "pictures. Every pixel is tested, so luck plays no part. Behind lattice masking, "
            "pixels that are proven harmless are left out; each other picture takes sixteen "
            "predictions."
        )
        behind = st.segmented_control(
            "Map of", [BARE, MASKED], required=True, **persistent("attack.map-of", BARE)
        )
        name = model + (BEHIND_LATTICE if behind == MASKED else "")
        view = ask_for_map(MapRequest(name, image, label), "attack", "Draw the map")
        if view is not None and view.outcome is not None:
            _show(view, view.outcome)


def ask_for_map(request: MapRequest, page: str, words: str) -> MapView | None:
    """A button to have a map made, its progress, and the map once it has ended.

    Args:
        page: what the keys begin with.
        words: on the button.
    """
    place = f"{page}.map-ticket"
    if st.button(words, key=f"{page}.map-draw"):
        with errors_on_page():
            st.session_state[place] = service().submit(request)
    ticket: Ticket | None = st.session_state.get(place)
    if ticket is None or ticket.run_id != request.run_id:
        return None
    return follow_map(ticket, page)


def follow_map(ticket: Ticket, page: str, shown: bool = True) -> MapView | None:
    """The progress of a map that was asked for, and the map once it has ended.

    Args:
        page: what the keys begin with.
        shown: whether the map is drawn while it is made; in a game it would give away too much.
    """
    view: MapView | None = service().view(ticket.run_id, ticket.token, wait=FIRST_SECONDS)
    if view is None:
        st.info("The map is no longer in memory; draw it again.")
    elif view.live:
        st.fragment(_poll, run_every=POLL_SECONDS)(ticket, page, shown)
    elif view.outcome is None:
        st.error(plain(view.error), icon=":material/error:")
    else:
        return view
    return None


def _poll(ticket: Ticket, page: str, shown: bool) -> None:
    view = service().view(ticket.run_id, ticket.token)
    if view is None or not view.live:
        st.rerun()
    done, left = 0.0, view.seconds_left
    if view.snapshots:
        done = view.snapshots[-1].done
        if shown:
            _picture(view, view.snapshots[-1])
    words = f"place {view.queue_place} in the queue" if view.queue_place else f"{done:.0%}"
    st.progress(done, words if left is None else f"{words}, {left:.0f} s left")
    if st.button("Stop", key=f"{page}.map-stop"):
        cancel_runs(ticket)


def _picture(view: MapView, found: TruthMap) -> None:
    picture = mapped(view.request.image, found, scale_to(view.request.image, SIDE))
    st.image(picture, width=picture.width, alt=truth_map_text(found))


def truth_map_text(found: TruthMap) -> str:
    """The map's counts in a sentence."""
    pixels = found.broken.numel()
    broken, proven = int(found.broken.sum()), int(found.certified.sum())
    untried = int((found.margins.isinf() & ~found.certified).sum())
    parts = [f"{broken:,} of {pixels:,} pixels fool the model in a corner colour"]
    if proven:
        parts.append(f"{proven:,} are proven harmless in every colour")
    if untried:
        parts.append(f"{untried:,} were not tried")
    if unknown := pixels - broken - proven - untried:
        parts.append(f"{unknown:,} do not fool it in a corner colour; other colours were not tried")
    return "; ".join(parts) + "."


def _show(view: MapView, found: TruthMap) -> None:
    st.markdown(f"**{truth_map_text(found)}**")
    picture, chart = st.columns(2, gap="medium")
    with picture:
        _picture(view, found)
        st.caption(
            "Pixels that fool the model are shown in the colour that did it. A dot marks a pixel "
            "that is proven harmless."
        )
    if found.margins.isfinite().any():
        with chart:
            alt = (
                f"The margin that each pixel's worst corner colour leaves. {truth_map_text(found)}"
            )
            show_chart(truth_map(found), "attack.map-chart", alt)
            if view.request.model.endswith(BEHIND_LATTICE):
                st.caption(
                    "Behind lattice masking, the values are margins of the mean of sixteen "
                    "predictions. The answer is a vote of the sixteen, so a pixel with a small "
                    "margin may be far from fooling it."
                )
    name = f"truth-map-{class_name(view.request.label)}-{view.request.model}"
    files = [("CSV", lambda: as_table(found).to_csv(index=False), "One row a pixel")]
    offer_files("attack.map", name, files)


def as_table(found: TruthMap) -> pd.DataFrame:
    """A row a pixel: its place, its worst colour, the logit margin left, and what is known."""
    height, width = found.broken.shape
    tried = found.margins.isfinite().flatten().numpy()
    known = np.where(found.certified.flatten(), "certified", "unknown")
    colours = [" ".join(map(str, rgb)) for rgb in found.colours.flatten(0, 1).tolist()]
    return pd.DataFrame(
        {
            "x": np.tile(np.arange(width), height),
            "y": np.repeat(np.arange(height), width),
            "colour": np.where(tried, colours, ""),
            "logits left": np.where(tried, found.margins.flatten().double(), np.nan),
            "known": np.where(found.broken.flatten(), "broken", known),
        }
    )
