"""A component's files as texts."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def asset(suffix: str, folder: Path = _FOLDER) -> str:
    """One text of all the files with an ending; numbered ones in their order.

    Args:
        folder: of a component, by default the player's.
    """
    files = sorted(folder.glob(f"*.{suffix}"))
    return "".join(file.read_text(encoding="utf-8") for file in files)
