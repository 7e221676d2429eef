"""Pictures of a run: enlarged without blur, ringed, magnified, animated, on a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from textwrap import wrap

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from apr_core.attacks.result import (
    Outcome,
    PixelEdit,
    Snapshot,
    Square,
    edit_image,
    edits_text,
    square_of,
    to_edits,
)
from apr_core.attacks.truth_map import TruthMap
from apr_core.data.images import to_pil
from apr_core.serving.requests import RunView

SIDE = 384
"""Screen pixels of an enlarged picture's side, about: each of its pixels takes a whole number."""
RING = (255, 255, 255), (20, 20, 20)
GIF_SIDE = 256
PROVEN = (94, 234, 212)
SURE, FOOLED = (14, 38, 104), (255, 226, 66)
"""Colours of a candidate that left the model sure of the true class, and of one that did not."""
MASK = (255, 0, 255)
"""Of masked pixels: no photograph has much of it."""
LEAST_MARK = 7
"""Screen pixels of the side of a tried pixel, which would not be seen otherwise."""
MANY = 16
"""Edits beyond which each is drawn larger than it is, without a ring around it."""
DIM = 0.55
"""Brightness of a picture behind what is marked on it."""
LETTER, LINE = 7, 18
"""Of a contact sheet's text: the width of a letter and the height of a line, in pixels."""


def scale_to(image: Tensor, side: int = SIDE) -> int:
    """How many screen pixels each pixel of (C, H, W) takes for a side of about `side`."""
    return max(1, side // max(image.shape[1:]))


def enlarge(image: Tensor, scale: int = 0) -> Image.Image:
    """uint8 (C, H, W), each pixel a square of `scale`; 0 for what suits its size."""
    _, height, width = image.shape
    scale = scale or scale_to(image)
    return to_pil(image).resize((width * scale, height * scale), Image.Resampling.NEAREST)


def ringed(image: Tensor, edits: Iterable[PixelEdit], scale: int = 0) -> Image.Image:
    """The picture enlarged, with a ring around each edited pixel and around a patch; of many single
    pixels, each is drawn larger."""
    scale = scale or scale_to(image)
    picture = enlarge(image, scale)
    draw = ImageDraw.Draw(picture)
    edits = tuple(edits)
    if square := square_of(edits):
        left, top = square["x"] * scale, square["y"] * scale
        last = square["side"] * scale - 1
        for margin, colour in ((5, RING[1]), (3, RING[0])):
            box = (left - margin, top - margin, left + last + margin, top + last + margin)
            draw.rectangle(box, outline=colour, width=2)
        return picture
    if len(edits) > MANY:
        for edit in edits:
            left, top, right, bottom = _box(edit, scale)
            draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=edit.rgb)
        return picture
    for edit in edits:
        for margin, colour in ((5, RING[1]), (3, RING[0])):
            left, top, right, bottom = _box(edit, scale)
            box = (left - margin, top - margin, right + margin, bottom + margin)
            draw.rectangle(box, outline=colour, width=2)
    return picture


def _box(edit: PixelEdit, scale: int) -> tuple[int, int, int, int]:
    """A pixel's corners in the enlarged picture."""
    left, top = edit.x * scale, edit.y * scale
    return left, top, left + scale - 1, top + scale - 1


def magnified(image: Tensor, edit: PixelEdit, reach: int = 3, side: int = 224) -> Image.Image:
    """The neighbourhood of a pixel, `reach` pixels each way, as a square of `side`."""
    padded = Image.new("RGB", (2 * reach + 1, 2 * reach + 1), (128, 128, 128))
    padded.paste(to_pil(image), (reach - edit.x, reach - edit.y))
    return padded.resize((side, side), Image.Resampling.NEAREST)


def cut_out(image: Tensor, square: Square, side: int = 224) -> Image.Image:
    """A square of the picture alone, about `side` wide."""
    x, y, count = square["x"], square["y"], square["side"]
    return enlarge(image[:, y : y + count, x : x + count], max(1, side // count))


def animation(view: RunView, ending: str, milliseconds: int = 180) -> bytes:
    """A GIF of the search, captioned: the candidates of each generation, then how it ended."""
    image, outcome = view.request.image, view.outcome
    shown = [
        _captioned(
            _candidates(image, seen), f"Generation {seen.generation}, {seen.queries:,} queries"
        )
        for seen in view.snapshots
    ]
    edits = outcome.edits if outcome else ()
    last = ringed(edit_image(image, edits), edits, scale_to(image, GIF_SIDE))
    shown.append(_captioned(last, ending))
    durations = [milliseconds] * (len(shown) - 1) + [2000]
    file = io.BytesIO()
    shown[0].save(file, "GIF", save_all=True, append_images=shown[1:], duration=durations, loop=0)
    return file.getvalue()


def _captioned(picture: Image.Image, words: str) -> Image.Image:
    width, height = picture.size
    whole = Image.new("RGB", (width, height + LINE + 8), "white")
    whole.paste(picture)
    ImageDraw.Draw(whole).text((6, height + 4), words, "black", ImageFont.load_default(13))
    return whole


def _candidates(image: Tensor, snapshot: Snapshot) -> Image.Image:
    """Every candidate as a dot on the pixel it edits, yellow and large where it fools the model."""
    best = to_edits(snapshot.positions[snapshot.best], snapshot.colours[snapshot.best])
    scale = scale_to(image, GIF_SIDE)
    picture = ringed(edit_image(image, best), best, scale)
    if len(best) > MANY or square_of(best):
        return picture  # dots on all pixels of all candidates would hide it
    draw = ImageDraw.Draw(picture)
    for places, true in zip(snapshot.positions.tolist(), snapshot.true.tolist(), strict=True):
        colour = tuple(
            round(fooled + true * (sure - fooled))
            for sure, fooled in zip(SURE, FOOLED, strict=True)
        )
        for x, y in places:
            centre = ((x + 0.5) * scale, (y + 0.5) * scale)
            draw.circle(centre, 1.5 + 1.5 * (1 - true), fill=colour)
    return picture


def mapped(image: Tensor, found: TruthMap, scale: int) -> Image.Image:
    """The picture with its truth map: each pixel that breaks the model in the colour that does it.

    The picture around it is dim, darker where nothing was tried; a proven pixel has a dot.
    """
    known = found.certified | found.margins.isfinite()
    picture = enlarge((image * torch.where(known, DIM, 0.2)).to(torch.uint8), scale)
    draw = ImageDraw.Draw(picture)
    for y, x in found.certified.nonzero().tolist():
        centre = ((x + 0.5) * scale, (y + 0.5) * scale)
        draw.circle(centre, scale / 8, fill=PROVEN)
    for edit in found.flips():
        left, top, right, bottom = _box(edit, scale)
        draw.rectangle((left, top, right, bottom), fill=edit.rgb, outline=RING[0])
        draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=RING[1])
    return picture


def with_mask(image: Tensor, masked: Tensor, scale: int) -> Image.Image:
    """The picture enlarged, and each masked pixel (H, W) bool a square of `MASK` on it."""
    picture = enlarge(image, scale)
    draw = ImageDraw.Draw(picture)
    for y, x in masked.nonzero().tolist():
        draw.rectangle(_box(PixelEdit(x, y, MASK), scale), fill=MASK)
    return picture


def tried(
    image: Tensor, edits: Iterable[PixelEdit], winners: Iterable[PixelEdit], scale: int
) -> Image.Image:
    """The picture, dim, with each edit's pixel in its colour, and a cross on each winner."""
    picture = enlarge((image * DIM).to(torch.uint8), scale)
    draw, wider = ImageDraw.Draw(picture), max(0, (LEAST_MARK - scale) // 2)
    for edit in edits:
        x, y, last_x, last_y = _box(edit, scale)
        box = (x - wider, y - wider, last_x + wider, last_y + wider)
        draw.rectangle(box, fill=edit.rgb, outline=RING[0])
    for edit in winners:
        left, top = (edit.x - 0.7) * scale - wider, (edit.y - 0.7) * scale - wider
        right, bottom = (edit.x + 1.7) * scale + wider, (edit.y + 1.7) * scale + wider
        for width, colour in ((5, RING[1]), (2, RING[0])):  # seen on any colour
            draw.line((left, top, right, bottom), fill=colour, width=width)
            draw.line((left, bottom, right, top), fill=colour, width=width)
    return picture


def contact_sheet(tiles: Sequence[tuple[Image.Image, str]], across: int, header: str = "") -> bytes:
    """A PNG file of pictures of one size, in rows of `across`, each above its text."""
    font, gap = ImageFont.load_default(13), 24
    width, height = tiles[0][0].size
    across = min(across, len(tiles))
    down = -(-len(tiles) // across)
    texts = [_wrapped(text, width) for _, text in tiles]
    head = _wrapped(header, across * (width + gap))
    top = gap + (LINE * len(head) + gap if header else 0)
    tall = height + LINE * (1 + max(map(len, texts)))
    sheet = Image.new("RGB", (gap + across * (width + gap), top + down * tall), "white")
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((gap, gap), "\n".join(head), "black", font)
    for number, ((picture, _), text) in enumerate(zip(tiles, texts, strict=True)):
        place = (gap + number % across * (width + gap), top + number // across * tall)
        sheet.paste(picture, place)
        draw.multiline_text((place[0], place[1] + height + 4), "\n".join(text), "black", font)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.splitlines() for part in wrap(line, width // LETTER)]


def alt_text(outcome: Outcome, classes: tuple[str, ...]) -> str:
    """The picture after the attack in words, for people who cannot see it."""
    if len(outcome.edits) > MANY or square_of(outcome.edits):
        return f"The {classes[outcome.label]} with {edits_text(outcome.edits)} changed."
    places = ", ".join(f"x {edit.x}, y {edit.y}, rgb{edit.rgb}" for edit in outcome.edits)
    return f"The {classes[outcome.label]} with the pixel at {places} changed, ringed."
