"""A component's files as texts."""

from __future__ import annotations

from pathlib import Path

ZOOM = Path(__file__).parent / "zoom"
"""The zoom of a canvas, for the components that name it beside their own folder."""


def asset(suffix: str, *folders: Path) -> str:
    """One text of all the files of the folders with an ending; numbered ones in their order."""
    files = [file for folder in folders for file in sorted(folder.glob(f"*.{suffix}"))]
    return "".join(file.read_text(encoding="utf-8") for file in files)
