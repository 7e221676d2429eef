"""Class database: SQLite transactions, one sentence for each failure."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from apr_core.base.paths import written
from apr_core.base.types import InputError

VERSION = 2
"""Of the tables below; a file with a later one was written by a later version of the program."""
PATIENCE = 10.0
"""Seconds that a call waits for another process that writes."""
TABLES = """
CREATE TABLE classes (
    code TEXT PRIMARY KEY, title TEXT NOT NULL, plan TEXT NOT NULL, step TEXT NOT NULL,
    token BLOB NOT NULL, opened REAL NOT NULL, touched REAL NOT NULL,
    round INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE seats (
    id INTEGER PRIMARY KEY, class TEXT NOT NULL REFERENCES classes ON DELETE CASCADE,
    nickname TEXT NOT NULL, folded TEXT NOT NULL, token BLOB NOT NULL, joined REAL NOT NULL,
    UNIQUE (class, folded), UNIQUE (class, token)
);
CREATE TABLE wins (
    seat INTEGER PRIMARY KEY REFERENCES seats ON DELETE CASCADE, queries INTEGER NOT NULL,
    pixels INTEGER NOT NULL, hints INTEGER NOT NULL, edits TEXT NOT NULL, entered REAL NOT NULL
);
CREATE TABLE answers (
    seat INTEGER NOT NULL REFERENCES seats ON DELETE CASCADE, question TEXT NOT NULL,
    choice TEXT NOT NULL, PRIMARY KEY (seat, question)
);
"""
FROM_1 = "ALTER TABLE classes ADD COLUMN round INTEGER NOT NULL DEFAULT 0"
"""Makes the tables of version 1 those of version 2."""

_BUSY = "Too many are writing at once, and this was not saved; try again in a moment."
_DAMAGED = (
    "{file}, where the classes are, is damaged; stop the lab, then restore a copy of it or move it "
    "away to begin anew."
)
_CLOSED = (
    "{file}, where the classes are, cannot be read and written; look at its permissions and its "
    "folder's on the machine that runs the lab."
)
_SENTENCES = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_FULL: "The disk is full, and this was not saved; make room and try again.",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_IOERR: "The disk failed, and this was not saved; look at it, then try again.",
}
"""What SQLite's error codes mean to a person."""


def classes_file() -> Path:
    """Where classes are kept; see `written`."""
    return written("classroom") / "classes.sqlite3"


class Store:
    """Transactions on a file, made with its folder when it is first needed.

    Every failure of the file is an InputError, and leaves the file as it was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Writers of this process wait in line here: SQLite's own waiting is by chance.
        self._line = threading.Lock()
        self._idle: sqlite3.Connection | None = None

    @contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """Read; all that is read is of one moment."""
        with self._plainly(), closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Write: all of it, or nothing if anything is raised."""
        with self._plainly(), self._line:
            self._stay_open()
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")

    def wipe(self) -> None:
        """Take what was deleted out of the log beside the file too, unless someone reads now."""
        with self._plainly(), self._line, closing(self._connect()) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _stay_open(self) -> None:
        """Keep a connection that does nothing.

        Whenever the last one is closed, SQLite moves its log into the file, waiting for the disk:
        tens of milliseconds for each of thirty answers that come at once.
        """
        if self._idle is None:
            self._idle = self._connect()
            self._idle.execute("SELECT count(*) FROM classes").fetchall()
            weakref.finalize(self, self._idle.close)

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # What is deleted is overwritten: a class that is closed is gone.
            connection.execute("PRAGMA secure_delete = ON")
            # A killed process loses nothing. A power cut may lose the last seconds, and no more.
            connection.execute("PRAGMA synchronous = NORMAL")
            if _version(connection) != VERSION:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file, or those of an old one new, whoever comes first.

        Raises:
            InputError: the file is of a later version, or holds something else.
        """
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)
        if version > VERSION:
            raise InputError(
                f"{self._path.name} was written by a later version of this program ({version}, "
                f"and this one knows {VERSION}); update the program, or move the file away."
            )
        if version == 0:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise InputError(
                    f"{self._path.name} is a database of something else; move it away, or set "
                    "APR_CLASSROOM to another folder."
                )
            for statement in TABLES.split(";"):
                connection.execute(statement)
        if version == 1:
            connection.execute(FROM_1)
        if version != VERSION:
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        # Readers and a writer do not wait for each other. The file remembers it.
        connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Say what failed in a sentence, with the file's name and not its place."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"The classes' folder cannot be used ({error.strerror}); ask your teacher to see "
                "to it on the machine that runs the lab."
            ) from None
        except UnicodeDecodeError:  # of SQLite's own words on a file that is damaged
            raise InputError(_DAMAGED.format(file=self._path.name)) from None
        except sqlite3.Error as error:
            sentence = self._sentence(error)
            if not sentence:
                raise
            raise InputError(sentence) from None

    def _sentence(self, error: sqlite3.Error) -> str:
        """What an error means to a person; "" for one that is the program's own fault."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if str(error).startswith(("no such", "Could not decode", "unsupported", "malformed")):
            code = sqlite3.SQLITE_CORRUPT
        return _SENTENCES.get(code, "").format(file=self._path.name)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
