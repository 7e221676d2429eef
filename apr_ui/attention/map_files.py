"""Maps to download: as a table and as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from apr_ui.attention.view import Map, Scene
from apr_ui.pictures import contact_sheet, enlarge, ringed, scale_to

SHEET_SIDE = 160
"""Screen pixels of a tile's side, about."""


def as_table(scenes: Sequence[Scene], maps: dict[str, list[Map]]) -> pd.DataFrame:
    """A row a pixel and scene, a column a method."""
    height, width = scenes[0].image.shape[1:]
    places = [(x, y) for y in range(height) for x in range(width)]
    parts = []
    for number, scene in enumerate(scenes):
        columns = {method: made[number].values.flatten().tolist() for method, made in maps.items()}
        frame = pd.DataFrame(places, columns=["x", "y"]).assign(**columns)
        frame.insert(0, "picture", scene.title)
        parts.append(frame)
    return pd.concat(parts)


def map_sheet(scenes: Sequence[Scene], maps: dict[str, list[Map]]) -> bytes:
    """A PNG: a row a scene, the picture and then each map in grey, dark for none."""
    tiles, scale = [], scale_to(scenes[0].image, SHEET_SIDE)
    for row, scene in enumerate(scenes):
        tiles.append((ringed(scene.image, scene.edits, scale), scene.title))
        for method, made in maps.items():
            limit = max(float(one.values.abs().max()) for one in made) or 1.0
            grey = (made[row].values.abs() / limit * 255).round().to(torch.uint8)
            tiles.append((enlarge(grey.expand(3, -1, -1).contiguous(), scale), method))
    return contact_sheet(tiles, 1 + len(maps))
