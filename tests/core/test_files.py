"""Files with several writers, and claims that one process holds."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apr_core.base.files import Claim, write_whole
from apr_core.base.types import InputError
from apr_core.evaluation.journal import Journal
from apr_core.zoo.checkpoints import checkpoint_folder, load_card, load_model, save_checkpoint

HOLD = """
import sys, pathlib
from apr_core.base.files import Claim
claim = Claim(pathlib.Path(sys.argv[1]))
print(claim.take(), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the claim on a path until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline().strip() == "True"
        yield other


def test_two_writers_of_one_file_both_succeed(tmp_path: Path) -> None:
    """Handed case 13: of 600 writes, 97 raised FileNotFoundError."""
    path, raised, torn = tmp_path / "record.json", [], []

    def write(letter: str) -> None:
        for _ in range(300):
            try:
                write_whole(path, letter * 20_000)
                found = path.read_text()
            except OSError as error:
                raised.append(error)
            else:
                torn.extend([found] if len(set(found)) != 1 or len(found) != 20_000 else [])

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (raised, torn) == ([], [])
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_whole(tmp_path / "deep" / "file.txt", "before")

    def full(self: Path, target: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no room"):
        write_whole(path, "after")
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_weights_are_readable_by_whom_other_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, card = load_model("cifar10-resnet20-vanilla"), load_card("cifar10-resnet20-vanilla")
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path))
    save_checkpoint(model, card)
    plain = tmp_path / "plain"
    plain.touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in checkpoint_folder().iterdir()}
    assert modes == {stat.S_IMODE(plain.stat().st_mode)}


def test_another_process_cannot_take_what_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    claim = Claim(path)
    assert claim.holder == 0
    with another_holding(path) as other:
        assert not claim.take()
        assert claim.holder == other.pid
        other.kill()
        other.wait()
        assert claim.holder == 0
        assert claim.take()
        assert claim.holder == os.getpid()
        claim.release()


def test_a_second_evaluation_of_one_setting_is_told_by_whom_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    path = tmp_path / "unfinished" / "same.journal"
    path.parent.mkdir()
    with another_holding(path) as other:
        with pytest.raises(InputError, match=f"process {other.pid}"):
            Journal("same", {"a": 1}, "s" * 64)
        other.kill()
    Journal("same", {"a": 1}, "s" * 64).delete()


def test_two_journals_of_one_process_do_not_stop_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed case 13: the second raised FileNotFoundError once the first was done."""
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    first, second = (Journal("same", {"a": 1}, "s" * 64) for _ in range(2))
    first.add({1: {}}, 1.0)
    first.delete()
    second.add({2: {}}, 1.0)
    assert Journal("same", {"a": 1}, "s" * 64).entries == {2: {}}
