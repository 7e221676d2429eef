"""The lab's pictures of a run: enlarged without blur, ringed, magnified, animated. No streamlit."""

from __future__ import annotations

import io

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from apr_core.attacks.result import Outcome, PixelEdit, Snapshot, edit_image, to_edits
from apr_core.attacks.truth_map import TruthMap
from apr_core.data.images import to_pil
from apr_core.serving.requests import RunView

SCALE = 12
"""Screen pixels for one pixel of the picture."""
RING = (255, 255, 255), (20, 20, 20)
GIF_SCALE = 8
PROVEN = (94, 234, 212)
SURE, FOOLED = (14, 38, 104), (255, 226, 66)
"""Colours of a candidate that left the model sure of the true class, and of one that did not."""


def enlarge(image: Tensor, scale: int = SCALE) -> Image.Image:
    """uint8 (3, H, W), each pixel a square of `scale`."""
    _, height, width = image.shape
    return to_pil(image).resize((width * scale, height * scale), Image.Resampling.NEAREST)


def ringed(image: Tensor, edits: tuple[PixelEdit, ...], scale: int = SCALE) -> Image.Image:
    """The picture enlarged, with a ring around each edited pixel."""
    picture = enlarge(image, scale)
    draw = ImageDraw.Draw(picture)
    for edit in edits:
        for margin, colour in ((5, RING[1]), (3, RING[0])):
            box = (
                edit.x * scale - margin,
                edit.y * scale - margin,
                (edit.x + 1) * scale - 1 + margin,
                (edit.y + 1) * scale - 1 + margin,
            )
            draw.rectangle(box, outline=colour, width=2)
    return picture


def magnified(image: Tensor, edit: PixelEdit, reach: int = 3, side: int = 224) -> Image.Image:
    """The neighbourhood of a pixel, `reach` pixels each way, as a square of `side`."""
    padded = Image.new("RGB", (2 * reach + 1, 2 * reach + 1), (128, 128, 128))
    padded.paste(to_pil(image), (reach - edit.x, reach - edit.y))
    return padded.resize((side, side), Image.Resampling.NEAREST)


def animation(view: RunView, milliseconds: int = 180) -> bytes:
    """A GIF of the search: the candidates of each generation, then how it ended."""
    image = view.request.image
    shown = [_candidates(image, snapshot) for snapshot in view.snapshots]
    if view.outcome is not None and view.outcome.edits:
        shown.append(ringed(view.outcome.apply(image), view.outcome.edits, GIF_SCALE))
    else:
        shown.append(enlarge(image, GIF_SCALE))
    durations = [milliseconds] * (len(shown) - 1) + [2000]
    file = io.BytesIO()
    shown[0].save(file, "GIF", save_all=True, append_images=shown[1:], duration=durations, loop=0)
    return file.getvalue()


def _candidates(image: Tensor, snapshot: Snapshot) -> Image.Image:
    """Every candidate as a dot on the pixel it edits, yellow and large where it fools the model."""
    best = to_edits(snapshot.positions[snapshot.best], snapshot.colours[snapshot.best])
    picture = ringed(edit_image(image, best), best, GIF_SCALE)
    draw = ImageDraw.Draw(picture)
    for places, true in zip(snapshot.positions.tolist(), snapshot.true.tolist(), strict=True):
        colour = tuple(
            round(fooled + true * (sure - fooled))
            for sure, fooled in zip(SURE, FOOLED, strict=True)
        )
        for x, y in places:
            centre = ((x + 0.5) * GIF_SCALE, (y + 0.5) * GIF_SCALE)
            draw.circle(centre, 1.5 + 1.5 * (1 - true), fill=colour)
    return picture


def mapped(image: Tensor, found: TruthMap, scale: int = SCALE) -> Image.Image:
    """The picture with its truth map: what breaks the model stands in the colour that does it.

    Around it the picture is dim; darker still is what was not looked at, and a proven pixel has a
    dot.
    """
    known = found.certified | found.margins.isfinite()
    light = torch.where(known, 0.55, 0.2)
    picture = enlarge((image * light).to(torch.uint8), scale)
    draw = ImageDraw.Draw(picture)
    for y, x in found.certified.nonzero().tolist():
        centre = ((x + 0.5) * scale, (y + 0.5) * scale)
        draw.circle(centre, scale / 8, fill=PROVEN)
    for edit in found.flips():
        left, top = edit.x * scale, edit.y * scale
        draw.rectangle(
            (left, top, left + scale - 1, top + scale - 1), fill=edit.rgb, outline=RING[0]
        )
        draw.rectangle((left + 1, top + 1, left + scale - 2, top + scale - 2), outline=RING[1])
    return picture


def alt_text(outcome: Outcome, classes: tuple[str, ...]) -> str:
    """What the picture after the attack shows, for those who cannot see it."""
    places = ", ".join(f"x {edit.x}, y {edit.y}, rgb{edit.rgb}" for edit in outcome.edits)
    return f"The {classes[outcome.label]} with the pixel at {places} changed, ringed."
