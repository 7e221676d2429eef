"""Numbers in words that people read."""

from __future__ import annotations


def percent(share: float) -> str:
    """A probability in [0, 1] in per cent; to a tenth near 0 and 1, where most edits move it."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.1%}" if share < 0.02 or share > 0.98 else f"{share:.0%}"
