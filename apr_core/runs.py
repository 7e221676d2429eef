"""What is asked of the attack service, and what its callers see of it: values, no machinery."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property

from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome, Snapshot


class Phase(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class AttackRequest:
    """One image to attack.

    Attributes:
        model: a name that the service can load.
        image: uint8 (3, H, W).
        label: its true class.
        index: with the config's seed it fixes the random numbers.
        config: how to attack.
    """

    model: str
    image: Tensor
    label: int
    index: int
    config: OnePixelConfig

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that equal requests share."""
        settings = [self.model, self.label, self.index, asdict(self.config)]
        digest = hashlib.sha256(json.dumps(settings).encode())
        digest.update(self.image.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Ticket:
    """A caller's claim on a run: its id, and the secret that may cancel it."""

    run_id: str
    token: str


def known_claim(claims: Iterable[str], token: str) -> str:
    """The one of `claims` that `token` is, compared in constant time; "" if it is none."""
    matches = [known for known in claims if hmac.compare_digest(known.encode(), token.encode())]
    return matches[0] if matches else ""


def give_up_claim(claims: dict[str, float], token: str, recent: float) -> bool | None:
    """Take a claim away; whether nobody else who claims has looked since `recent`.

    Args:
        claims: tokens, with when each was last seen; changed.

    Returns:
        None if the token is no claim.
    """
    claim = known_claim(claims, token)
    if not claim:
        return None
    del claims[claim]
    return all(seen < recent for seen in claims.values())


@dataclass(frozen=True, eq=False)
class RunView:
    """A run as its viewers see it; never changed, only replaced.

    Attributes:
        snapshots: one a generation so far.
        outcome: how it ended, None before that, or if it failed.
        error: a sentence, "" unless it failed.
        queue_place: 1 for the next to start; 0 once started.
        seconds: of searching so far.
        seconds_left: at the pace so far, to the end of the budget; None while unknown.
    """

    request: AttackRequest
    phase: Phase
    snapshots: tuple[Snapshot, ...] = ()
    outcome: Outcome | None = None
    error: str = ""
    queue_place: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None

    @property
    def live(self) -> bool:
        return self.phase in (Phase.QUEUED, Phase.RUNNING)
