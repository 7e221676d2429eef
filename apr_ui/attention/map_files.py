"""Maps to take away: as a table and as one picture. No streamlit here."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import torch
from PIL import Image, ImageDraw

from apr_ui.attention.view import Map, Scene
from apr_ui.pictures import enlarge, ringed

SHEET_SCALE = 5


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
