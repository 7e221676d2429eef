"""A component's files as texts."""

from __future__ import annotations

from pathlib import Path


def asset(suffix: str, folder: Path) -> str:
    """One text of all the files of a folder with an ending; numbered ones in their order."""
    files = sorted(folder.glob(f"*.{suffix}"))
    return "".join(file.read_text(encoding="utf-8") for file in files)
