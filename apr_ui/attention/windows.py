"""Why the search is fast: the windows of a network's layers, drawn for a pixel of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, as_rgb
from apr_core.models.incremental import Layer, UntraceableError, layers_of, multiplied
from apr_core.serving.frame import packed
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.changing_text import changing_markdown
from apr_ui.model_names import model_title
from apr_ui.resources import scorer
from apr_ui.windows import Stage, windows

KIND_WORDS = {
    "front": "the defence's own part",
    "conv2d": "convolution",
    "max_pool2d": "max pooling",
    "avg_pool2d": "average pooling",
    "linear": "fully connected",
}
INTRODUCTION = (
    "A network looks at a picture layer by layer. Each layer makes **maps**: grids of places, each "
    "place computed from a few neighbouring places of the layer before. So one changed pixel "
    "changes only a small square of the first map, called the **window**, and a larger one of the "
    "next, until the window is the whole map.\n\nAn attack sends thousands of queries about one "
    "picture. The maps of the unchanged picture are computed once, and for each query only the "
    "windows. The model's answer stays the same, except for rounding."
)
LEGEND = (
    "Red: the window, which is all that is computed. Tinted, with a dashed frame: the whole map is "
    "computed, and the frame is the window. Layers that do not enlarge the window have no picture."
)
_END = 1 << 30
"""More steps than any network has."""


@st.fragment
def offer_windows(model: str, image: Tensor, edits: Sequence[PixelEdit]) -> None:
    """The windows of a model's layers, traced when the expander is opened.

    Args:
        image: uint8 (C, H, W).
        edits: of an attack; the first one's pixel is shown first.
    """
    with st.expander(
        "Why the search is fast: only a window changes",
        key="attention.windows",
        on_change="rerun",
        icon=":material/speed:",
    ) as box:
        if not box.open:
            return
        layers = traced(model, tuple(image.shape))
        if layers is None:
            st.info(
                f"The layers of {model_title(model)} cannot be followed one by one. The search "
                "computes whole maps for it."
            )
            return
        cut = cut_of(model)
        st.markdown(INTRODUCTION)
        _draw(image, edits, stages_of(layers, image.shape[1:], cut))
        st.caption(LEGEND)
        changing_markdown("attention.windows", saving(layers, cut))
        st.dataframe(table_of(layers, cut), hide_index=True, key="attention.layers")
        st.caption(
            "“Multiplications” are those of convolutions and fully connected layers, in millions, "
            "for the whole maps of one picture. Activations, additions and the like leave the "
            "window as it is and are not listed. The share that is saved is not a speed, because "
            "cutting windows out of the maps takes time too; measured speeds are on the Results "
            "page."
        )


def traced(model: str, shape: tuple[int, ...]) -> tuple[Layer, ...] | None:
    """The model's layers; None if it cannot be traced."""
    return _traced(model, zoo_fingerprint(), shape)


@st.cache_resource(show_spinner="Tracing the network…", max_entries=24)
def _traced(
    model: str, fingerprint: tuple[tuple[str, int], ...], shape: tuple[int, ...]
) -> tuple[Layer, ...] | None:
    try:
        return layers_of(scorer(model).model, shape)
    except UntraceableError:
        return None


def cut_of(model: str) -> int:
    """How many steps the search does on windows on this machine, as measured; 0 for none."""
    engine = scorer(model).engine
    split = engine.costs.split(1) if engine else None
    return split.cut if split else 0


def stages_of(layers: Sequence[Layer], image: Sequence[int], cut: int) -> list[Stage]:
    """A map for each layer in which the window grows or the map shrinks.

    Args:
        image: its height and width.
        cut: see `cut_of`.
    """
    found: list[Stage] = []
    last: Layer | None = None
    for number, layer in enumerate(layers, 1):
        # a skip connection's convolution has a smaller window than the map that it is added to
        grows = last is None or layer.size != last.size or layer.share > last.share
        if layer.kind == "linear" or not grows:
            continue
        last = layer
        found.append(_stage(f"Layer {number}", layer, image, 0 < cut <= layer.step))
    return found


def _stage(title: str, layer: Layer, image: Sequence[int], whole: bool) -> Stage:
    starts = [[0] * side for side in image]
    if layer.axes is not None:
        starts = [axis.start.tolist() for axis in layer.axes]
    window = f"{_by(layer.window)} of {_by(layer.size)}"
    return {
        "title": title,
        "lines": (_kind(layer), window, f"{_percent(layer.share)} changed"),
        "size": layer.size,
        "window": layer.window,
        "rows": starts[0],
        "columns": starts[1],
        "whole": whole or layer.share == 1,
    }


def _draw(image: Tensor, edits: Sequence[PixelEdit], stages: Sequence[Stage]) -> None:
    _, height, width = image.shape
    pixel = (edits[0].x, edits[0].y) if edits else (width // 2, height // 2)
    windows(
        {
            "width": width,
            "height": height,
            "image": packed(as_rgb(image.permute(1, 2, 0)), torch.uint8),
            "label": "The picture, with the pixel that is changed",
            "hint": "Point at another pixel, or use the arrow keys.",
            "pixel": pixel,
            "stages": stages,
        },
        "attention.stages",
    )


def saving(layers: Sequence[Layer], cut: int) -> str:
    """Where the search goes over to whole maps, and the share of multiplications it saves."""
    saved = _percent(1 - multiplied(layers, cut or _END))
    if not cut:
        return (
            f"Windows would save **{saved}** of the multiplications of this network. On this "
            "machine its search computes whole maps all the same: windows were not faster when "
            "they were measured, are switched off, or have not been measured yet."
        )
    whole = next((number for number, layer in enumerate(layers, 1) if layer.step >= cut), None)
    place = f"up to layer {whole - 1}, then whole maps" if whole else "in every layer"
    return (
        f"On this machine the search of this network computes windows {place}: this was the "
        f"fastest when it was measured. It saves **{saved}** of the multiplications."
    )


def table_of(layers: Sequence[Layer], cut: int) -> pd.DataFrame:
    """One row a layer."""
    rows = [
        {
            "layer": number,
            "operation": _kind(layer),
            "map": _by(layer.size),
            "window": _by(layer.window),
            "share": _percent(layer.share),
            "computed": "window" if layer.share < 1 and layer.step < (cut or _END) else "whole map",
            "multiplications": round(layer.multiplications / 1e6, 2),
        }
        for number, layer in enumerate(layers, 1)
    ]
    return pd.DataFrame(rows)


def _kind(layer: Layer) -> str:
    kernel = f" {_by(layer.kernel)}" if layer.kernel else ""
    return KIND_WORDS[layer.kind] + kernel


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}\u00a0×\u00a0{size[1]}"


def _percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
