"""The player's files as texts."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def asset(suffix: str) -> str:
    """One text of all the files with an ending; numbered ones in their order."""
    files = sorted(_FOLDER.glob(f"*.{suffix}"))
    return "".join(file.read_text(encoding="utf-8") for file in files)
