"""Random numbers that depend on (seed, image, generation) and on nothing else.

A counter-based generator: each number is a hash of its key and its position, so the draws of
many searches come from one tensor operation, and a search draws the same numbers alone, in a
batch, merged with other people's, on a CPU or on a GPU. The hash is the finaliser of SplitMix64
(Steele, Lea and Flood, 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio, as a signed number
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def keys_for(seed: int, indices: Tensor) -> Tensor:
    """One key per image: seed and image indices (B,) int64 -> (B,) int64."""
    start = torch.full_like(indices, seed)
    return _mix(_mix(start + _GOLDEN) ^ (indices * _GOLDEN))


def uniform(keys: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers in [0, 1): keys (B,) -> (B, *shape) float32, multiples of 2^-24.

    Args:
        stream: which draw this is for the key; two draws of one stream are the same numbers.
    """
    count = math.prod(shape)
    positions = torch.arange(1, count + 1, device=keys.device)
    start = _mix(keys + _mix(torch.full_like(keys, stream) * _GOLDEN))
    bits = _mix(start[:, None] + positions * _GOLDEN)
    return (_shift(bits, 40).to(torch.float32) * 2.0**-24).view(len(keys), *shape)


def integers(keys: Tensor, stream: int, shape: tuple[int, ...], high: int) -> Tensor:
    """Whole numbers in [0, high), high at most 2^24: keys (B,) -> (B, *shape) int64."""
    return (uniform(keys, stream, shape) * high).long().clamp_(max=high - 1)


def normal(keys: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers (Box and Muller): keys (B,) -> (B, *shape) float32."""
    pair = uniform(keys, stream, (2, *shape))
    radius = torch.sqrt(-2 * torch.log1p(-pair[:, 0]))
    return radius * torch.cos(2 * math.pi * pair[:, 1])


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _MIX_1
    bits = (bits ^ _shift(bits, 27)) * _MIX_2
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, by: int) -> Tensor:
    """Shift right, filling with zeros: torch's own shift repeats the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
