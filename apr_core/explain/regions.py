"""Object segmentation, guessed from colours alone, and a map's mass inside the object.

CIFAR-10 has no outlines. A picture's border is taken for background: pixels whose colour is far
from the border's are object (Mahalanobis distance, Otsu's threshold), and of those the largest
connected patch, with its holes filled. It is a guess, good on a plane against the sky and poor on a
frog among leaves; so it is shown beside what is measured with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

RIM = 2
"""Rows and columns of the border that are taken for background."""
LEAST = 0.02
"""Share of the picture that a patch must have to be an object."""
BINS = 64


@dataclass(frozen=True)
class Mass:
    """How much of a map lies on a region.

    Attributes:
        inside: share of the map's weight, in [0, 1].
        area: share of the picture that the region covers: what a map that knows nothing would have.
    """

    inside: float
    area: float

    @property
    def ratio(self) -> float:
        """1 where the map has no preference for the region; above, where it has one."""
        return self.inside / self.area


def object_region(image: Tensor) -> Tensor | None:
    """The object of a picture, uint8 (C, H, W) -> (H, W) bool; None where nothing stands out."""
    colours = image.permute(1, 2, 0).double().numpy() / 255
    height, width, channels = colours.shape
    rim = np.ones((height, width), dtype=bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    background = colours[rim]
    spread = np.atleast_2d(np.cov(background.T)) + 1e-3 * np.eye(channels)
    away = colours - background.mean(0)
    distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", away, np.linalg.inv(spread), away))
    patches, count = ndimage.label(distance > otsu(distance))
    if not count:
        return None
    sizes = ndimage.sum_labels(np.ones_like(patches), patches, range(1, count + 1))
    largest = ndimage.binary_fill_holes(patches == 1 + int(np.argmax(sizes)))
    share = float(largest.mean())
    return torch.from_numpy(largest) if LEAST <= share < 1 else None


def otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two groups of least variance within (Otsu, 1979)."""
    counts, edges = np.histogram(values, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    weighted = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below / total - weighted) ** 2 / (below * (total - below))
    return float(edges[1 + int(np.nanargmax(np.where(np.isfinite(between), between, -1)))])


def mass_inside(heat: Tensor, region: Tensor) -> Mass:
    """The share of a map (H, W), without its signs, that lies on a region (H, W) bool."""
    weight = heat.abs().double()
    total = float(weight.sum())
    area = float(region.double().mean())
    return Mass(float(weight[region].sum()) / total if total else area, area)
