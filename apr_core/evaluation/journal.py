"""What is known so far of something long: a line a group of images, in a file for each worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apr_core.evaluation.record import results_folder
from apr_core.training.workers import ALONE, Workers
from apr_core.types import InputError


class Journal:
    """Entries by the image's index, written down as they come and found again after a kill.

    Args:
        name: of the work; two works with one name must have one setting.
        setting: everything that an entry depends on, as JSON has it.
        workers: each writes a file of its own, and reads all.

    Raises:
        InputError: what was begun under the name is of another setting.
    """

    def __init__(self, name: str, setting: dict[str, Any], workers: Workers = ALONE) -> None:
        self._setting = json.loads(json.dumps(setting))
        self._folder = results_folder() / "unfinished" / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._mine = self._folder / f"{workers.rank}-of-{workers.count}.jsonl"
        self.entries: dict[int, dict[str, Any]] = {}
        self.seconds = 0.0
        self.read()
        workers.wait()

    def read(self) -> None:
        """Everything that any worker has written."""
        self.entries, self.seconds = {}, 0.0
        for path in sorted(self._folder.glob("*.jsonl")):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # a line without its end was being written at a kill
                    self._take(json.loads(line), path)

    def _take(self, line: dict[str, Any], path: Path) -> None:
        if line["setting"] != self._setting:
            raise InputError(
                f"{path.parent} holds unfinished work with other settings or weights; delete it to "
                "start afresh."
            )
        self.seconds += line["seconds"]
        self.entries |= {int(index): entry for index, entry in line["entries"].items()}

    def add(self, entries: dict[int, dict[str, Any]], seconds: float) -> None:
        """Write a group down, with how long it took."""
        line = {"setting": self._setting, "seconds": seconds, "entries": entries}
        if self._mine.exists() and not self._mine.read_bytes().endswith(b"\n"):
            text = self._mine.read_text()
            self._mine.write_text(text[: text.rfind("\n") + 1])
        with self._mine.open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        self.entries |= entries
        self.seconds += seconds

    def delete(self) -> None:
        """The record has it all."""
        for path in self._folder.glob("*.jsonl"):
            path.unlink()
        self._folder.rmdir()
