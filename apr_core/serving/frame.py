"""One generation of a run as JSON: what the player draws, an export holds and the archive keeps."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import MutationTrace, Snapshot

_MORE = ("flipped", "done", "walk", "other_walks")
_PLAIN = ("generation", "queries", "best", "best_true", "best_label", "best_confidence")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A generation of P candidates of k pixels; tensors are base64 of their bytes.

    Attributes:
        xy: (P, k, 2) int16, x and y.
        rgb: (P, k, 3) uint8.
        true: probability of the true class, (P,) float32.
        moved: (P,) uint8, 1 where the child has just replaced its parent.
        walk, other_walks: how some children were made; files of version 0.1 have only one.
    """

    generation: int
    queries: int
    xy: str
    rgb: str
    true: str
    moved: str
    best: int
    best_true: float
    best_label: int
    best_confidence: float
    walk: MutationTrace | None
    other_walks: tuple[MutationTrace, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArchivedFrame(Frame):
    """A frame with all else that a snapshot has; `fitness` is (P,) float32."""

    fitness: str
    flipped: bool
    done: bool


_FRAMES: WeakKeyDictionary[Snapshot, dict[str, Any]] = WeakKeyDictionary()
"""Of the snapshots in memory, whose bytes the service bounds; a frame takes as much again."""


def frame(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as the JSON values of a `Frame`, made once."""
    made = _FRAMES.get(snapshot)
    if made is None:
        made = _FRAMES[snapshot] = _made(snapshot)
    return made


def _made(snapshot: Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in _PLAIN} | {
        "xy": packed(snapshot.positions, torch.int16),
        "rgb": packed(snapshot.colours, torch.uint8),
        "true": packed(snapshot.true, torch.float32),
        "moved": packed(snapshot.moved, torch.uint8),
        "walk": asdict(snapshot.walk) if snapshot.walk else None,
        "other_walks": [asdict(walk) for walk in snapshot.other_walks],
    }


def archived_frame(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as the JSON values of an `ArchivedFrame`."""
    return frame(snapshot) | {
        "fitness": packed(snapshot.fitness, torch.float32),
        "flipped": snapshot.flipped,
        "done": snapshot.done,
    }


def to_snapshot(line: ArchivedFrame, config: OnePixelConfig) -> Snapshot:
    """The snapshot that `archived_frame` was given, to the bit.

    Raises:
        ValueError: a tensor is not of the shape that `config` has.
    """
    shape = (config.population, config.pixels)
    return Snapshot(
        **{name: getattr(line, name) for name in (*_PLAIN, *_MORE)},
        positions=_unpacked(line.xy, torch.int16, (*shape, 2)),
        colours=_unpacked(line.rgb, torch.uint8, (*shape, 3)),
        fitness=_unpacked(line.fitness, torch.float32, shape[:1]),
        true=_unpacked(line.true, torch.float32, shape[:1]),
        moved=_unpacked(line.moved, torch.uint8, shape[:1]).bool(),
    )


def from_format_1(old: dict[str, Any]) -> dict[str, Any]:
    """A frame of an export of format 1, whose positions and probabilities had one byte each.

    Raises:
        ValueError: it is none.
    """
    try:
        positions, probabilities = (
            torch.frombuffer(
                bytearray(base64.b64decode(old[name], validate=True)), dtype=torch.uint8
            )
            for name in ("xy", "p")
        )
        return {name: old[name] for name in (*_PLAIN, "rgb", "moved")} | {
            "xy": packed(positions, torch.int16),
            "true": packed(probabilities / 255, torch.float32),
            "walk": _walk_of_format_1(old["walk"]) if old["walk"] else None,
        }
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"a frame is damaged: {error!r:.60}") from None


def _walk_of_format_1(old: dict[str, Any]) -> dict[str, Any]:
    def edits(one: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"x": x, "y": y, "rgb": rgb} for (x, y), rgb in zip(one["xy"], one["rgb"], strict=True)
        ]

    return {name: old[name] for name in ("slot", "weight", "kept")} | {
        "parent": edits(old["parent"]),
        "child": edits(old["child"]),
        "donors": [edits(donor) for donor in old["donors"]],
        "parent_true": old["parent"]["p"],
        "child_true": old["child"]["p"],
    }


def packed(values: Tensor, kind: torch.dtype) -> str:
    """The values' bytes as `kind`, in base64."""
    return base64.b64encode(values.to(kind).contiguous().numpy().tobytes()).decode()


def _unpacked(text: str, kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    data = base64.b64decode(text, validate=True)
    if len(data) != kind.itemsize * torch.Size(shape).numel():
        raise ValueError(f"{len(data)} bytes do not make {shape} of {kind}")
    return torch.frombuffer(bytearray(data), dtype=kind).view(shape)
