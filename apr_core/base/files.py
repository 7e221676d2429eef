"""Files: atomic writes, lock files and hashes."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a text, or bytes, where a reader finds either all of it or what was there before.

    Several may write one path at once: the last one stays. Folders are made as needed.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


class Claim:
    """A lock file that one process holds, and a file beside it that says which.

    Args:
        path: what is claimed. It is left alone: the lock lies beside it, with the suffix .lock.
        again: whether this process may hold it several times.
    """

    def __init__(self, path: Path, again: bool = False) -> None:
        lock = path.with_suffix(".lock")
        self._lock = FileLock(lock, is_singleton=again, thread_local=False)
        self._holder = path.with_suffix(".pid")

    def take(self) -> bool:
        """Hold it, unless another process does; whether it is held now."""
        self._holder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        write_whole(self._holder, str(os.getpid()))
        return True

    def release(self) -> None:
        """Let others take it; of a claim that is not held, nothing."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release(force=True)

    def forget(self) -> None:
        """Release it, and leave no lock file: nobody will work under this name soon."""
        with suppress(OSError):  # Windows keeps a file that is open
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self.release()

    @property
    def holder(self) -> int:
        """The process that holds it at this moment, 0 if none does."""
        if not self._holder.exists():
            return 0
        if self._lock.is_locked:
            return os.getpid()
        try:
            with self._lock.acquire(timeout=0):
                return 0
        except Timeout:
            return self._written()

    def _written(self) -> int:
        try:
            text = self._holder.read_text().strip()
        except OSError:
            return 0
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
