"""The Attention page's parts: where the model looks, before and after the attack, and how far the
ways of asking agree."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.attacks.scoring import as_input
from apr_core.attacks.truth_map import TruthMap
from apr_core.data.cifar10 import CLASSES
from apr_core.explain.agreement import (
    deletion_curve,
    insertion_curve,
    rank_correlation,
    standing,
    top_overlap,
    vulnerability_correlation,
)
from apr_core.explain.attention import attention_of, has_attention
from apr_core.explain.attributions import attribute
from apr_core.explain.methods import METHODS, Figure
from apr_core.types import InputError
from apr_core.zoo import zoo_fingerprint
from apr_ui.map_charts import overlay
from apr_ui.pictures import enlarge, ringed
from apr_ui.resources import cards, scorer

ATTENTION = "attention"
WORDS = {
    ATTENTION: "Attention (the model's own gate)",
    "integrated-gradients": "Integrated Gradients",
    "saliency": "Saliency",
    "input-x-gradient": "Input × Gradient",
    "gradcam": "GradCAM",
    "occlusion": "Occlusion",
    "deeplift": "DeepLift",
    "gradient-shap": "GradientSHAP",
}
GATE = (
    "How much of each pixel the model lets in before anything else is looked at: 1 lets it pass, 0 "
    "shuts it out. It is the same for every class. At the picture's edge the gate sees black "
    "beyond, and is of its own kind there. (Section IV.B of the paper.)"
)
AGREEMENT_WORDS = (
    "Rank correlations are Spearman's, from -1 to 1, on what weight each pixel has. A pixel picked "
    "at random would outweigh half of the others. Deletion blackens the weightiest pixels first, "
    "insertion brings them first into a blurred picture (Petsiuk, Das and Saenko, 2018): read both "
    "beside the noise, since scattered black pixels upset a network wherever they are."
)
TOP = 0.1
SHEET_SCALE = 5
PICTURE_SCALE = 8


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture to explain: uint8 (3, H, W), and the edits that made it of another."""

    title: str
    image: Tensor
    edits: tuple[PixelEdit, ...] = ()


@dataclass(frozen=True, eq=False)
class Map:
    """One method's map of one scene.

    Attributes:
        values: (H, W) float32.
        trust: what the method says of how far it can be trusted; for attention, its range.
    """

    method: str
    values: Tensor
    trust: str


def methods_of(model: str) -> list[str]:
    """What the model can be asked with."""
    own = [ATTENTION] if has_attention(scorer(model).model) else []
    return [*own, *METHODS.names]


def scenes_of(image: Tensor, edits: tuple[PixelEdit, ...]) -> list[Scene]:
    """The picture, and the attacked one if there is one."""
    if not edits:
        return [Scene("The picture", image)]
    after = Scene("After it", edit_image(image, edits), edits)
    return [Scene("Before the attack", image), after]


def map_of(model: str, scene: Scene, target: int, method: str) -> Map:
    """A method's map of a scene, from memory where it was made before.

    Raises:
        InputError: the method does not fit the model.
    """
    target = 0 if method == ATTENTION else target  # the gate knows no class
    picture = (scene.image.numpy().tobytes(), tuple(scene.image.shape))
    values, trust = _made(model, zoo_fingerprint(), *picture, target, method)
    return Map(method, torch.from_numpy(values), trust)


@st.cache_data(show_spinner=False, max_entries=1000)
def _made(
    model: str,
    fingerprint: tuple[tuple[str, int], ...],
    pixels: bytes,
    shape: tuple[int, ...],
    target: int,
    method: str,
) -> tuple[np.ndarray, str]:
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(1, *shape)
    bare, seen = scorer(model).model, as_input(image)
    if method == ATTENTION:
        gate = attention_of(bare, seen)[0]
        return gate.numpy(), f"from {float(gate.min()):.2f} to {float(gate.max()):.2f}"
    found = attribute(bare, seen, torch.tensor([target]), method)
    figure, scale = float(found.figure[0]), float(found.scale[0])
    share = f", {abs(figure) / scale:.1%} of {_whole(found.figure_name)}" if scale else ""
    return found.maps[0].numpy(), f"{found.figure_name} {figure:.2g}{share}"


def _whole(figure: Figure) -> str:
    if figure is Figure.CONVERGENCE_DELTA:
        return "what it should add up to"
    return "what a map that predicts no change would have"


def show_maps(
    model: str, scenes: Sequence[Scene], target: int, methods: Sequence[str], opacity: float
) -> dict[str, list[Map]]:
    """Every method's maps, one scene beside the other in one scale; returns them by method."""
    with st.container(horizontal=True):
        for scene in scenes:
            picture = ringed(scene.image, scene.edits, PICTURE_SCALE)
            st.image(picture, width=picture.width, caption=scene.title, alt=_seen(scene))
    made: dict[str, list[Map]] = {}
    for method in methods:
        try:
            made[method] = [map_of(model, scene, target, method) for scene in scenes]
        except InputError as error:
            st.warning(f"{WORDS[method]}: {error}", icon=":material/info:")
            continue
        _show_row(scenes, made[method], opacity)
    return made


def _seen(scene: Scene) -> str:
    places = ", ".join(f"({edit.x}, {edit.y})" for edit in scene.edits)
    return f"The picture, edited and ringed at {places}" if places else "The picture"


def _show_row(scenes: Sequence[Scene], maps: Sequence[Map], opacity: float) -> None:
    method = maps[0].method
    st.markdown(f"**{WORDS[method]}**", help=_described(method))
    signed = method != ATTENTION and METHODS.get(method).signed
    limit = 1.0 if method == ATTENTION else max(float(one.values.abs().max()) for one in maps)
    with st.container(horizontal=True):
        for scene, one in zip(scenes, maps, strict=True):
            with st.container(width=260):
                st.plotly_chart(
                    overlay(scene.image, one.values, limit, signed, opacity, scene.edits),
                    key=f"attention.{method}.{scene.title}",
                    width="content",
                    config={"displayModeBar": False},
                    alt=f"{WORDS[method]}, {scene.title.lower()}: {_in_words(one, scene.edits)}",
                )
                st.caption(" · ".join(filter(None, [scene.title, one.trust])))


def _described(method: str) -> str:
    if method == ATTENTION:
        return GATE
    entry = METHODS.get(method)
    return f"{entry.description} ({entry.reference})"


def _in_words(one: Map, edits: Sequence[PixelEdit]) -> str:
    """Where the map is strongest, and how it stands at the attacked pixel."""
    width = one.values.shape[1]
    place = int(one.values.argmax())
    words = f"strongest at ({place % width}, {place // width})"
    for edit in edits[:1]:
        share = standing(one.values.abs(), edit.x, edit.y)
        words += f"; the attacked pixel outweighs {share:.0%} of the others"
    return words


def agreement(
    model: str,
    scenes: Sequence[Scene],
    target: int,
    maps: dict[str, list[Map]],
    truth: TruthMap | None,
) -> pd.DataFrame:
    """How the maps of the first scene agree with attention, with the model and with what breaks it.

    Signs are left out where maps are held against each other: only how much a pixel weighs counts.
    """
    image, edits = scenes[0].image, scenes[-1].edits
    rows: list[dict[str, object]] = []
    own = maps.get(ATTENTION)
    for method, (one, *_) in maps.items():
        weight = one.values.abs()[None]
        row: dict[str, object] = {"method": WORDS[method]}
        if own is not None and method != ATTENTION:
            gate = own[0].values[None]
            row["rank correlation with attention"] = rank_correlation(weight, gate)[0]
            overlap = top_overlap(weight, gate, TOP)[0]
            row[f"share of its top {TOP:.0%} in attention's"] = overlap.shared
        if truth is not None:
            row["rank correlation with the truth map"] = vulnerability_correlation(weight, truth)[0]
        for edit in edits[:1]:
            row["share of pixels that the attacked one outweighs"] = standing(
                weight[0], edit.x, edit.y
            )
        rows.append(row | _areas(model, image, target, one.values))
    noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(0))
    rows.append({"method": "noise, to compare with", **_areas(model, image, target, noise)})
    return pd.DataFrame(rows)


def _areas(model: str, image: Tensor, target: int, heat: Tensor) -> dict[str, float]:
    asked = (scorer(model).model, as_input(image[None]), torch.tensor([target]), heat[None])
    return {
        "area under deletion (small is good)": float(deletion_curve(*asked).areas[0]),
        "area under insertion (large is good)": float(insertion_curve(*asked).areas[0]),
    }


def as_table(scenes: Sequence[Scene], maps: dict[str, list[Map]]) -> pd.DataFrame:
    """A line a pixel and scene, a column a method."""
    height, width = scenes[0].image.shape[1:]
    places = [(x, y) for y in range(height) for x in range(width)]
    parts = []
    for number, scene in enumerate(scenes):
        columns = {method: made[number].values.flatten().tolist() for method, made in maps.items()}
        frame = pd.DataFrame(places, columns=["x", "y"]).assign(**columns)
        frame.insert(0, "picture", scene.title)
        parts.append(frame)
    return pd.concat(parts)


def contact_sheet(scenes: Sequence[Scene], maps: dict[str, list[Map]]) -> bytes:
    """A PNG: a row a scene, the picture and then each map in grey, dark for none."""
    side = scenes[0].image.shape[2] * SHEET_SCALE
    gap, words = 6, 16
    columns = ["the picture", *maps]
    size = (gap + len(columns) * (side + gap), len(scenes) * (side + words + gap) + gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, scene in enumerate(scenes):
        top = gap + row * (side + words + gap)
        pictures = [ringed(scene.image, scene.edits, SHEET_SCALE)]
        for made in maps.values():
            limit = max(float(one.values.abs().max()) for one in made) or 1.0
            grey = (made[row].values.abs() / limit * 255).round().to(torch.uint8)
            pictures.append(enlarge(grey.expand(3, -1, -1).contiguous(), SHEET_SCALE))
        for column, (name, picture) in enumerate(zip(columns, pictures, strict=True)):
            left = gap + column * (side + gap)
            draw.text((left, top), name, fill="black")
            sheet.paste(picture, (left, top + words))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def choose_explained_model() -> str:
    """The model whose view is shown: one with attention first."""
    names = list(cards()[0])
    first = next((name for name in names if name.endswith("-apr")), names[0])
    st.session_state.setdefault("attention.model", first)
    name: str = st.selectbox("Model", names, key="attention.model", persist_state="session")
    return name


def choose_class(answer: Tensor) -> int:
    """The class to explain: what the model says, unless a person picks another.

    Args:
        answer: the model's probabilities, (K,).
    """
    said = int(answer.argmax())
    order = answer.argsort(descending=True).tolist()
    picked = st.pills(
        f"Explain the class (none picked: {CLASSES[said]}, which the model says)",
        order,
        format_func=lambda number: f"{CLASSES[number]} {float(answer[number]):.0%}",
        key="attention.class",
        persist_state="session",
    )
    return said if picked is None else int(picked)
