"""Files: there whole or not at all, and what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a text, or bytes, where a reader finds either all of it or what was there before.

    Folders are made as needed.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
