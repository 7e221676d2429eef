"""The player: one canvas component that shows a run of the search, live and in replay."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from apr_ui.component import Component

Status = Literal[
    "queued",
    "running",
    "flipped",
    "survived",
    "cancelled",
    "unwatched",
    "failed",
    "misclassified",
    "skipped",
]


class Pixels(TypedDict):
    """The k pixels that one candidate proposes."""

    xy: Sequence[Sequence[int]]
    rgb: Sequence[Sequence[int]]


class ScoredPixels(Pixels):
    """The same, with the probability of the true class that they leave."""

    p: float


class Walk(TypedDict):
    """How one candidate of a generation was made: what slow motion tells."""

    slot: int
    parent: ScoredPixels
    donors: Sequence[Pixels]  # three: r1, r2, r3
    weight: float
    child: ScoredPixels
    kept: bool


class PlayerFrame(TypedDict):
    """One generation of P candidates of k pixels; `bytes` fields are base64 of uint8."""

    generation: int
    queries: int
    pixels: int
    xy: str  # P*k*2: x, y
    rgb: str  # P*k*3
    p: str  # P: the true class's probability * 255
    moved: str  # P: 1 where the child has just replaced its parent
    best: int
    best_true: float
    best_label: int
    best_confidence: float
    walk: Walk | None


class PlayerData(TypedDict):
    """What one poll sends: the run as it stands, and frames, at least those not sent yet."""

    run: str
    live: bool
    width: int
    height: int
    image: str  # base64 of H*W*3 bytes, row by row
    classes: Sequence[str]
    label: int
    target: int | None
    generations: int
    max_queries: int
    status: Status
    queue_place: int
    wait: float | None
    seconds_left: float | None
    autoplay: NotRequired[bool]  # an ended run plays by itself at the mount
    compact: NotRequired[bool]  # the picture and a line only: one of many, side by side
    title: NotRequired[str]  # what a compact player is called by screen readers
    frames: Sequence[PlayerFrame]


_mount = Component("apr_player", Path(__file__).parent)


def player(data: PlayerData | dict[str, Any], key: str) -> None:
    """Show a run under a key that stays the same for as long as the player stands.

    The browser keeps the frames of a run and merges new ones by generation, so a poll
    may send only the newest. A browser may skip a poll, and a reloaded page has none:
    send some overlap while live, all frames at a session's first poll, and all at the end.
    """
    _mount(key, data)
