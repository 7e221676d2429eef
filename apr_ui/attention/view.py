"""The Attention page's parts: attribution maps of a picture, before the attack and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.base.types import InputError
from apr_core.explain import attention as gates
from apr_core.explain.agreement import percentile_rank
from apr_core.explain.attributions import attribute
from apr_core.explain.methods import METHODS, Figure
from apr_core.models.inputs import as_input
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.dataset import class_name
from apr_ui.heat import heat, heat_picture
from apr_ui.model_names import main_first, model_line, model_title
from apr_ui.persistent_widget import persistent
from apr_ui.resources import cards, scorer, show_caution
from apr_ui.words import plain

ATTENTION = gates.ATTENTION
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
    "The attention gate scales each pixel before the rest of the network: 1 lets it pass, 0 blocks "
    "it. It is the same for every class. At the picture's edge its values differ, because the gate "
    "sees black outside the picture. (Section IV.B of the paper.)"
)


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
        trust: the method's own measure of its error; for attention, its range.
    """

    method: str
    values: Tensor
    trust: str


def methods_of(model: str) -> list[str]:
    """The methods that fit the model."""
    own = [ATTENTION] if gates.has_attention(scorer(model).model) else []
    return [*own, *METHODS.names]


def scenes_of(image: Tensor, edits: tuple[PixelEdit, ...]) -> list[Scene]:
    """The picture, and the attacked one if there is one."""
    if not edits:
        return [Scene("The picture", image)]
    after = Scene("After the attack", edit_image(image, edits), edits)
    return [Scene("Before the attack", image), after]


def map_of(model: str, scene: Scene, target: int, method: str) -> Map:
    """A method's map of a scene, from the cache if it was made before.

    Raises:
        InputError: the method does not fit the model.
    """
    target = 0 if method == ATTENTION else target  # the gate does not depend on the class
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
        gate = gates.attention_of(bare, seen)[0]
        return gate.numpy(), f"from {float(gate.min()):.2f} to {float(gate.max()):.2f}"
    found = attribute(bare, seen, torch.tensor([target]), method)
    figure, scale = float(found.figure[0]), float(found.scale[0])
    share = f", {abs(figure) / scale:.1%} of {_whole(found.figure_name)}" if scale else ""
    return found.maps[0].numpy(), f"{found.figure_name} {figure:.2g}{share}"


def _whole(figure: Figure) -> str:
    if figure is Figure.CONVERGENCE_DELTA:
        return "the sum that it should have"
    return "the value of a map that predicts no change"


def show_maps(
    model: str, scenes: Sequence[Scene], target: int, methods: Sequence[str], opacity: float
) -> dict[str, list[Map]]:
    """Draw every method's maps, the scenes side by side on one scale; returns them by method."""
    pictures = [
        heat_picture(scene.image, None, scene.title, _seen(scene), scene.edits) for scene in scenes
    ]
    heat(pictures, (0.0, 1.0), signed=False, opacity=0.0, key="attention.pictures")
    made: dict[str, list[Map]] = {}
    for method in methods:
        try:
            made[method] = [map_of(model, scene, target, method) for scene in scenes]
        except InputError as error:
            st.warning(f"{WORDS[method]}: {plain(error)}", icon=":material/info:")
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
    drawn = [
        heat_picture(
            scene.image,
            one.values,
            f"{scene.title} · {one.trust}",
            f"{WORDS[method]}, {scene.title.lower()}: {_map_text(one, scene.edits)}",
            scene.edits,
        )
        for scene, one in zip(scenes, maps, strict=True)
    ]
    heat(drawn, limits_of(maps, signed), signed, opacity, f"attention.{method}")


def limits_of(maps: Sequence[Map], signed: bool) -> tuple[float, float]:
    """The ends of the scale that maps share: symmetric about 0 if they have signs, else from 0 to
    the highest value; for attention, which is never near 0, from its lowest value."""
    if maps[0].method == ATTENTION:
        return min(float(one.values.min()) for one in maps), max(
            float(one.values.max()) for one in maps
        )
    most = max(float(one.values.abs().max()) for one in maps)
    return (-most if signed else 0.0), most


def _described(method: str) -> str:
    if method == ATTENTION:
        return GATE
    entry = METHODS.get(method)
    return f"{entry.description} ({entry.reference})"


def _map_text(one: Map, edits: Sequence[PixelEdit]) -> str:
    """Where the map is strongest, and the attacked pixel's percentile rank in it."""
    width = one.values.shape[1]
    place = int(one.values.argmax())
    words = f"strongest at ({place % width}, {place // width})"
    for edit in edits[:1]:
        share = percentile_rank(one.values.abs(), edit.x, edit.y)
        words += f"; the attacked pixel ranks above {share:.0%} of the others"
    return words


def choose_explained_model() -> str:
    """The model that is explained; at first one with attention."""
    main, more = main_first(cards()[0])
    names = [*main, *more]
    first = next((name for name in names if name.endswith("-apr")), names[0])
    name: str = st.selectbox(
        "Model", names, format_func=model_title, **persistent("attention.model", first)
    )
    st.caption(model_line(name))
    show_caution(name)
    return name


def choose_class(answer: Tensor) -> int:
    """The class to explain: the model's prediction, unless a person picks another.

    Args:
        answer: the model's probabilities, (K,).
    """
    said = int(answer.argmax())
    order = answer.argsort(descending=True).tolist()
    chosen = st.session_state.get("attention.class")
    now = f"{class_name(said)} (prediction)" if chosen in (None, said) else class_name(chosen)
    picked = st.pills(
        f"Explain why: {now}",
        order,
        format_func=lambda number: f"{class_name(number)} {float(answer[number]):.0%}",
        **persistent("attention.class"),
        wrap=True,
    )
    return said if picked is None else int(picked)
