"""The property tests notice each kind of fault."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from apr_core.base.types import LONGEST_MESSAGE, InputError
from tests.fuzz import hold as bounds
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hold import Attempt, hold, is_plain, nothing_beside


def refuse(value: int) -> None:
    raise InputError(f"{value} will not do; take another.")


def refuse_unplainly(value: int) -> None:
    error = InputError()
    error.args = ("no\nsentence",)
    raise error


def take_long(value: int) -> None:
    until = time.process_time() + 0.06
    while time.process_time() < until:
        pass


def take_much(value: int) -> None:
    bytearray(b"x" * (310 << 20))


def test_another_exception_is_noticed() -> None:
    with pytest.raises(KeyError):
        hold({}.__getitem__, 0)


def test_a_refusal_must_be_plain() -> None:
    assert hold(refuse, 3) == "3 will not do; take another."
    with pytest.raises(AssertionError, match="no plain sentence"):
        hold(refuse_unplainly, 0)


@pytest.mark.parametrize(
    ("attempt", "seconds", "said"),
    [(take_long, 0.05, r"took \d+\.\d\d s"), (take_much, bounds.MOST_SECONDS, r"\d{3} MB")],
)
def test_too_much_time_or_memory_is_noticed(
    attempt: Attempt, seconds: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_SECONDS", seconds)
    with pytest.raises(AssertionError, match=said):
        hold(attempt, 0)
    hold(attempt, 0, works=True)


def test_a_file_outside_the_folder_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="outside"), nothing_beside(tmp_path / "inside"):
        (tmp_path / "opened").touch()


def test_a_drawn_input_that_breaks_is_noticed(fuzz: Fuzz) -> None:
    with pytest.raises(ZeroDivisionError):
        fuzz(st.integers(0, 5), lambda value: 1 / (3 - value), valid=1)


@pytest.mark.parametrize(
    "message", ["A\nB.", "\x1b[31mred\x1b[0m.", "x" * 50_000 + " Take another.", "\u202eabc."]
)
def test_an_error_is_one_short_printable_line(message: str) -> None:
    said = str(InputError(message))
    assert is_plain(said)
    assert len(said) <= LONGEST_MESSAGE
    assert said.endswith(message[-3:].replace("\n", " "))
