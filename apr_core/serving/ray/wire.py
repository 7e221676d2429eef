"""Wire format: perturbations as arrays, which Ray does not copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from apr_core.attacks.perturbation import Perturbations

Array = npt.NDArray[np.generic]
Packed = tuple[Array, Array, Array, Array]
"""`Perturbations`, its fields in order."""


def pack(edits: Perturbations, first: int, last: int) -> Packed:
    """Edits `first` to `last`, with the images that they are of and no others."""
    used, owner = np.unique(edits.owner[first:last].numpy(), return_inverse=True)
    positions, colours = edits.positions[first:last].numpy(), edits.colours[first:last].numpy()
    return edits.images.numpy()[used], owner, positions, colours


def unpack(packed: Packed) -> Perturbations:
    """The edits again."""
    return Perturbations(*map(tensor_of, packed))


def tensor_of(array: Array) -> Tensor:
    """A tensor of its own: what Ray hands over may not be written to."""
    return torch.from_numpy(array.copy())
