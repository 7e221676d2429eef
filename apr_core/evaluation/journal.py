"""Journal: checkpoints of a long measurement, one line per group of images, one file per worker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apr_core.base import schema
from apr_core.base.files import Claim
from apr_core.base.types import InputError
from apr_core.evaluation.record import results_folder
from apr_core.training.workers import ALONE, Workers

GROUP = {"cpu": 8, "cuda": 64}
"""Images in a group, whose results are written together: a kill loses one group's work."""
Entries = dict[int, dict[str, Any]]
Dispatcher = Callable[[list[Tensor]], Iterator[tuple[Entries, float]]]
"""Processes groups of images: places (n,) of each -> entries and seconds, as they come."""


def dispatch_in_turn(task: Callable[[Tensor], Entries]) -> Dispatcher:
    """Process the groups one after the other, in this process."""

    def deal(groups: list[Tensor]) -> Iterator[tuple[Entries, float]]:
        for group in groups:
            started = time.monotonic()
            entries = task(group)
            yield entries, time.monotonic() - started

    return deal


@dataclass(frozen=True)
class _Line:
    setting: dict[str, Any]
    seconds: float
    entries: dict[str, dict[str, Any]]


Check = Callable[[dict[str, Any]], object]
"""Raises ValueError, KeyError or TypeError of an entry that is none."""


def _read_line(line: bytes, path: Path, check: Check) -> _Line:
    """A line that was written whole.

    Raises:
        InputError: it is damaged all the same.
    """
    try:
        found = schema.build(_Line, schema.parse(line))
        if not all(index.isascii() and index.isdecimal() for index in found.entries):
            raise ValueError("an entry is of no image")
        for entry in found.entries.values():
            check(entry)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"A line of {path} is damaged ({error}); delete the file: its work is done again."
        ) from None
    return found


class Journal:
    """Entries by the image's index, written down as they come and found again after a kill.

    Args:
        name: of the work; two works with one name must have one setting.
        setting: everything that an entry depends on, as JSON has it.
        sha256: of the model's weights; "" where nothing tells whether it is still the same, and so
            nothing is found again.
        workers: each writes a file of its own, and reads all.
        check: what an entry must pass that is found again.

    Raises:
        InputError: another process works under the name, or what was begun under it is of another
            setting, or damaged.
    """

    def __init__(
        self,
        name: str,
        setting: dict[str, Any],
        sha256: str,
        workers: Workers = ALONE,
        check: Check = lambda entry: None,
    ) -> None:
        self._check = check
        self._setting = json.loads(json.dumps(setting))
        self._folder = results_folder() / "unfinished" / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._claim = Claim(self._folder.with_name(f"{name}.journal"), again=True)
        if workers.first and not self._claim.take():
            raise InputError(
                f"{name} is being measured already, by process {self._claim.holder}; wait for it, "
                "or end it and start again: what it has done is kept."
            )
        self._mine = self._folder / f"{workers.rank}-of-{workers.count}.jsonl"
        self.entries: dict[int, dict[str, Any]] = {}
        self.seconds = 0.0
        if workers.first and not sha256:
            self._clear()
        workers.wait()
        self._mend()
        self.read()
        workers.wait()

    def _mend(self) -> None:
        """Cut off a line of one's own that was being written at a kill."""
        if self._mine.exists():
            written = self._mine.read_bytes()
            os.truncate(self._mine, written.rfind(b"\n") + 1)

    def read(self) -> None:
        """Everything that any worker has written."""
        self.entries, self.seconds = {}, 0.0
        for path in sorted(self._folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):  # else it is another worker's, and not all there
                    self._take(_read_line(line, path, self._check), path)

    def _take(self, line: _Line, path: Path) -> None:
        if line.setting != self._setting:
            raise InputError(
                f"{path.parent} holds unfinished work with other settings or weights; delete it to "
                "start afresh."
            )
        self.seconds += line.seconds
        self.entries |= {int(index): entry for index, entry in line.entries.items()}

    def work_through(
        self,
        indices: Tensor,
        device: torch.device,
        deal: Dispatcher,
        workers: Workers = ALONE,
        weight: int = 1,
    ) -> Iterator[tuple[float, float]]:
        """Have the images looked at that are not written down yet, and write them down.

        Args:
            indices: of the images, (N,), in their order.
            device: where they are looked at, which says how many make a group.
            deal: has groups looked at, each given as places in that order.
            workers: among whom the groups are dealt.
            weight: how many times as long as usual an image takes.

        Yields:
            After each group, the seconds spent over all sittings and those left.
        """
        missing = [place for place, i in enumerate(indices.tolist()) if i not in self.entries]
        group = max(1, GROUP.get(device.type, 64) // weight)
        todo = list(torch.split(torch.tensor(missing), group))
        mine = todo[workers.rank :: workers.count] if missing else []
        began, before = time.monotonic(), self.seconds
        for number, (entries, seconds) in enumerate(deal(mine), start=1):
            self.add(entries, seconds)
            spent = time.monotonic() - began
            left = spent / number * (len(todo) / workers.count - number)
            yield before + spent, max(0.0, left)

    def add(self, entries: dict[int, dict[str, Any]], seconds: float) -> None:
        """Write a group down, with how long it took."""
        line = {"setting": self._setting, "seconds": seconds, "entries": entries}
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._mine.open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        self.entries |= entries
        self.seconds += seconds

    def delete(self) -> None:
        """The record has it all."""
        self._clear()
        if self._folder.exists():
            self._folder.rmdir()
        self._claim.forget()

    def _clear(self) -> None:
        for path in self._folder.glob("*.jsonl"):
            path.unlink(missing_ok=True)
