"""The Attention page's parts: attribution maps of a picture, before the attack and after it."""

from __future__ import annotations

import atexit
import hashlib
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.enumeration import is_large
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.base.types import InputError
from apr_core.explain import attention as gates
from apr_core.explain.agreement import percentile_rank
from apr_core.explain.attributions import attribute
from apr_core.explain.methods import METHODS, Figure
from apr_core.models.inputs import as_input
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.heat import heat, heat_picture
from apr_ui.jobs import Job, Jobs, Report
from apr_ui.resources import scorer
from apr_ui.words import plain

ATTENTION = gates.ATTENTION
MOST_KEPT = 400
"""Maps: a photograph's takes 200 kB."""
FIRST_SECONDS, POLL_SECONDS = 2.0, 0.5
"""How long the page waits for its maps before it draws their progress, and how often it does so."""
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
CLIPPED = 0.01
"""Share of a large picture's pixels that are beyond the scale's end."""
GATE = (
    "The attention gate scales each pixel before the rest of the network: 1 lets it pass, 0 blocks "
    "it. It is the same for every class. At the picture's edge its values differ, because the gate "
    "sees black outside the picture. (Section IV.B of the paper.)"
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture to explain: uint8 (C, H, W), and the edits that made it of another."""

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
    """A method's map of a scene, kept from before or made now.

    Raises:
        InputError: the method does not fit the model.
    """
    job = job_of(model, scene, target, method)
    job.wait(None)
    made = _map_from(job, method)
    return map_of(model, scene, target, method) if made is None else made  # another cancelled it


Made = tuple[Tensor, str]
"""A map (H, W), and a sentence on how far to trust it."""


@st.cache_resource(show_spinner=False)
def map_jobs(large: bool) -> Jobs[Made]:
    """Everybody's maps of large pictures, or of small ones, which do not wait for the large."""
    jobs: Jobs[Made] = Jobs(MOST_KEPT)
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs


def job_of(model: str, scene: Scene, target: int, method: str) -> Job[Made]:
    """A method's map of a scene: kept, in the making, or begun now."""
    key = key_of(model, scene, target, method)
    make = partial(_make, model, scene.image, target, method)
    return map_jobs(is_large(*scene.image.shape[1:])).ask(key, make)


def key_of(model: str, scene: Scene, target: int, method: str) -> Hashable:
    """Equal for equal maps; the gate does not depend on the class."""
    picture = hashlib.sha256(scene.image.contiguous().numpy().tobytes()).hexdigest()
    return model, zoo_fingerprint(), picture, 0 if method == ATTENTION else target, method


def _map_from(job: Job[Made], method: str) -> Map | None:
    """What came of it; None where it was cancelled, or has not ended."""
    if job.error:
        raise InputError(job.error)
    return Map(method, *job.made) if job.made else None


def _make(
    model: str,
    image: Tensor,
    target: int,
    method: str,
    report: Report,
    cancelled: Callable[[], bool],
) -> Made:
    bare, seen = scorer(model).model, as_input(image[None])
    if method == ATTENTION:
        gate = gates.attention_of(bare, seen)[0]
        return gate, f"from {float(gate.min()):.2f} to {float(gate.max()):.2f}"
    classes = torch.tensor([target])
    found = attribute(bare, seen, classes, method, report=report, cancelled=cancelled)
    figure, scale = float(found.figure[0]), float(found.scale[0])
    share = f", {abs(figure) / scale:.1%} of {_whole(found.figure_name)}" if scale else ""
    return found.maps[0], f"{found.figure_name} {figure:.2g}{share}"


def _whole(figure: Figure) -> str:
    if figure is Figure.CONVERGENCE_DELTA:
        return "the sum that it should have"
    return "the value of a map that predicts no change"


def show_maps(
    model: str, scenes: Sequence[Scene], target: int, methods: Sequence[str], opacity: float
) -> dict[str, list[Map]]:
    """Draw every method's maps, the scenes side by side on one scale; returns them by method.

    Those that take longer than `FIRST_SECONDS` have their progress drawn, and are drawn when they
    have ended.
    """
    pictures = [
        heat_picture(scene.image, None, scene.title, _seen(scene), scene.edits) for scene in scenes
    ]
    heat(pictures, (0.0, 1.0), signed=False, opacity=0.0, key="attention.pictures")
    stopped: set[Hashable] = st.session_state.setdefault("attention.stopped", set())
    keys = {method: [key_of(model, one, target, method) for one in scenes] for method in methods}
    asked = {
        method: [job_of(model, scene, target, method) for scene in scenes]
        for method in methods
        if stopped.isdisjoint(keys[method])
    }
    until, made, waiting = time.monotonic() + FIRST_SECONDS, {}, {}
    for method in methods:
        if method not in asked:
            _offer_again(method, keys[method])
        elif not all(job.wait(until - time.monotonic()) for job in asked[method]):
            waiting[method] = asked[method]
        elif found := _found(method, asked[method]):
            made[method] = found
            _show_row(scenes, found, opacity)
    if waiting:
        st.fragment(_follow, run_every=POLL_SECONDS)(waiting, {one: keys[one] for one in waiting})
    return made


def _found(method: str, jobs: Sequence[Job[Made]]) -> list[Map]:
    """The maps of a method, none where it does not fit the model, which is said."""
    try:
        maps = [_map_from(job, method) for job in jobs]
    except InputError as error:
        st.warning(f"{WORDS[method]}: {plain(error)}", icon=":material/info:")
        return []
    return [one for one in maps if one is not None] if all(maps) else []


def _follow(waiting: dict[str, list[Job[Made]]], keys: dict[str, list[Hashable]]) -> None:
    """The progress of maps, and the whole page again once those of a method have ended."""
    ended = {method: [job.wait(0) for job in jobs] for method, jobs in waiting.items()}
    if any(map(all, ended.values())):
        st.rerun()
    for method, jobs in waiting.items():
        done = sum(job.done for job in jobs) / len(jobs)
        st.progress(done, f"{WORDS[method]}: {done:.0%}")
    st.button("Cancel", key="attention.cancel", on_click=_stop, args=(waiting, keys))


def _stop(waiting: dict[str, list[Job[Made]]], keys: dict[str, list[Hashable]]) -> None:
    for method, jobs in waiting.items():
        st.session_state["attention.stopped"].update(keys[method])
        for job in jobs:
            job.cancel()


def _offer_again(method: str, keys: Sequence[Hashable]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{WORDS[method]}** was cancelled.")
        st.button(
            "Compute it",
            key=f"attention.again-{method}",
            on_click=st.session_state["attention.stopped"].difference_update,
            args=(keys,),
        )


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
    the highest value; for attention, which is never near 0, from its lowest value.

    Of a large picture the strongest values are few and far above the rest, which would be all one
    colour: there the scale ends where `CLIPPED` of the pixels lie beyond.
    """
    if maps[0].method == ATTENTION:
        return min(float(one.values.min()) for one in maps), max(
            float(one.values.max()) for one in maps
        )
    most = max(_strongest(one.values.abs()) for one in maps)
    return (-most if signed else 0.0), most


def _strongest(weights: Tensor) -> float:
    """Where the scale of a map's weights (H, W) ends."""
    if not is_large(*weights.shape):
        return float(weights.max())
    return float(weights.flatten().quantile(1 - CLIPPED)) or float(weights.max())


def _described(method: str) -> str:
    if method == ATTENTION:
        return GATE
    entry = METHODS.get(method)
    clipped = (
        f" On a photograph, the strongest {CLIPPED:.0%} of the pixels have the colour of the "
        "scale's end."
    )
    return f"{entry.description} ({entry.reference}){clipped}"


def _map_text(one: Map, edits: Sequence[PixelEdit]) -> str:
    """Where the map is strongest, and the attacked pixel's percentile rank in it."""
    width = one.values.shape[1]
    place = int(one.values.argmax())
    words = f"strongest at ({place % width}, {place // width})"
    for edit in edits[:1]:
        share = percentile_rank(one.values.abs(), edit.x, edit.y)
        words += f"; the attacked pixel ranks above {share:.0%} of the others"
    return words
