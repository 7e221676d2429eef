"""The step on attention: two maps of the attacked picture, without figures."""

from __future__ import annotations

import streamlit as st

from apr_core.serving.gallery import GalleryEntry
from apr_ui.attention.view import ATTENTION, limits_of, map_of, scenes_of
from apr_ui.dataset import shown_data
from apr_ui.errors import errors_on_page
from apr_ui.heat import heat, heat_picture
from apr_ui.model_names import model_title
from apr_ui.presenter import LARGER

NAMES = {ATTENTION: "Attention gate", "gradcam": "GradCAM"}
OPACITY = 0.7


def explained() -> str:
    """The model that is explained."""
    return f"{shown_data().name}-resnet20-apr"


def show_attention(entry: GalleryEntry) -> None:
    """The attacked picture of a gallery's run, and what each method marks in it."""
    image, label = shown_data().test_image(entry.index)
    scene = scenes_of(image, entry.outcome.edits)[-1]
    with errors_on_page(), st.container(key=LARGER):
        model = explained()
        maps = [map_of(model, scene, label, method) for method in NAMES]
        picture, *places = st.columns(3)
        with picture:
            seen = heat_picture(
                scene.image, None, "The attacked picture", "The attacked picture", scene.edits
            )
            heat([seen], (0.0, 1.0), False, 0.0, "classroom.attacked")
        for place, one in zip(places, maps, strict=True):
            with place:
                name = NAMES[one.method]
                seen = heat_picture(scene.image, one.values, name, f"{name}: a map", scene.edits)
                heat([seen], limits_of([one], False), False, OPACITY, f"classroom.{one.method}")
    fooled = model_title(entry.model)
    st.caption(f"Both maps: {model_title(model)}. The ringed pixel fooled: {fooled}.")
