"""Tickets: capability tokens of callers that share a run; a run without callers ends.

Callers may be one visitor's: the tabs of one browser. Their tokens begin with the visitor's name.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ticket:
    """A caller's claim on a run: its id, and the secret that may cancel it."""

    run_id: str
    token: str


def new_token(visitor: str = "") -> str:
    """A fresh token.

    Args:
        visitor: a name, without a point, that nobody else can know; "" for a visitor of its own.
    """
    secret = secrets.token_urlsafe(16)
    return f"{visitor or secret}.{secret}"


def visitor_of(token: str) -> str:
    """The visitor whose token it is."""
    return token.partition(".")[0]


def known_claim(claims: Iterable[str], token: str) -> str:
    """The one of `claims` that `token` is, compared in constant time; "" if it is none."""
    offered = token.encode(errors="surrogatepass")
    matches = [known for known in claims if hmac.compare_digest(known.encode(), offered)]
    return matches[0] if matches else ""


GIVEN_UP = float("-inf")
"""When a claim was last seen whose holder wants the run no more."""


def past_claims(claims: Iterable[str]) -> dict[str, float]:
    """The claims on a run that broke off, on the one that takes its place: they may cancel it, and
    do not keep it going."""
    return dict.fromkeys(claims, GIVEN_UP)


def note_look(claims: dict[str, float], token: str, now: float) -> None:
    """Note that a claim's holder looks; one who has given it up only watches.

    Args:
        claims: tokens, with when each was last seen; changed.
    """
    claim = known_claim(claims, token)
    if claim and claims[claim] != GIVEN_UP:
        claims[claim] = now


def give_up_claim(claims: dict[str, float], token: str, recent: float, alone: bool = False) -> bool:
    """Let a visitor's claims keep a run no longer; they may still cancel it, once all others let
    go.

    Args:
        claims: tokens, with when each was last seen; changed.
        alone: give up this claim, and none of the visitor's others.

    Returns:
        Whether nobody else who claims has looked since `recent`; False if the token is no claim.
    """
    claim = known_claim(claims, token)
    if not claim:
        return False
    given = [other for other in claims if not alone and visitor_of(other) == visitor_of(claim)]
    claims.update(dict.fromkeys([claim, *given], GIVEN_UP))
    return all(seen < recent for seen in claims.values())
