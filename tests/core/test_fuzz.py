"""Every way in, fuzzed for a moment; `python -m scripts.fuzz` does the same at length."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st
from PIL import ImageFile

from apr_core.base import schema as strict
from apr_core.base.types import LONGEST_MESSAGE, InputError, shown
from apr_core.data.decode import MAX_SCANS
from apr_core.data.images import read_picture
from scripts.fuzz import boundary as bounds
from scripts.fuzz.__main__ import all_boundaries, fuzz
from scripts.fuzz.boundary import Attempt, Boundary, BoundError, Tally, apart, hold, is_plain
from scripts.nasty_pictures import corpus, many_scans
from tests.conftest import PATIENCE

INPUTS = 40
BOUNDARIES = {boundary.name: boundary for boundary in all_boundaries()}
MEANT = re.compile(
    "plain|progressive|turned|grey|cmyk|mode|clear|bits|lossless|thin|thousand.webp|exif|maker|"
    "two|profile|text-bomb|unicode-bomb|comments|says-it|claims|moving|eight|palette|many"
)
"""Names of nasty pictures that a reader may take for a picture, or may not."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are an aim for a quick processor, and nothing that a test can hold any to."""
    monkeypatch.setattr(bounds, "MOST_SECONDS", PATIENCE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inputs", [INPUTS, pytest.param(600, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", BOUNDARIES)
def test_whatever_comes_gives_a_right_result_or_a_plain_error(name: str, inputs: int) -> None:
    found = fuzz(BOUNDARIES[name], seconds=PATIENCE, inputs=inputs)
    assert found.failure == ""
    assert found.inputs >= inputs
    assert found.right_results + found.plain_errors == found.inputs


def boundary_of(attempt: Attempt) -> Boundary:
    @contextmanager
    def ready(folder: Path) -> Iterator[Attempt]:
        yield attempt

    return Boundary("a test's", st.integers(0, 3), ready)


def refuse(value: int) -> None:
    raise InputError(f"{value} will not do; take another.")


def unplain(value: int) -> None:
    error = InputError()
    error.args = ("no\nsentence",)
    raise error


def break_off(value: int) -> None:
    raise KeyError(value)


def take_long(value: int) -> None:
    until = time.process_time() + 0.06
    while time.process_time() < until:
        pass


def take_much(value: int) -> None:
    bytearray(b"x" * (310 << 20))


def write_beside(value: int) -> None:
    (Path(__import__("os").environ["APR_RUNS"]).parents[1] / "opened").touch()


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (unplain, "no plain sentence"),
        (break_off, "KeyError"),
    ],
)
def test_what_is_amiss_is_seen(attempt: Attempt, said: str) -> None:
    found = fuzz(boundary_of(attempt), seconds=PATIENCE, inputs=1)
    assert re.search(said, found.failure)


@pytest.mark.parametrize(
    ("attempt", "said"), [(take_long, r"took \d+\.\d\d s"), (take_much, r"\d{3} MB")]
)
def test_what_is_out_of_bounds_is_seen(
    attempt: Attempt, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_SECONDS", 0.05)
    with pytest.raises(BoundError, match=said):
        hold(attempt, 0, Tally())
    hold(attempt, 0, Tally(), works=True)  # a right result may take its time, where it is work


def test_what_is_written_beside_its_folder_is_seen() -> None:
    with pytest.raises(AssertionError, match="opened"):
        fuzz(boundary_of(write_beside), seconds=PATIENCE, inputs=1)


def test_refusals_are_counted() -> None:
    found = fuzz(boundary_of(refuse), seconds=PATIENCE, inputs=4)
    assert (found.plain_errors, found.right_results, found.kinds_of_error) == (4, 0, 4)


# The nasty pictures


def test_the_corpus_is_the_same_each_time_and_small() -> None:
    first, second = corpus(), corpus()
    for files in (first, second):
        files.pop("moving.avif", None)  # its encoder writes down when it was made
    assert first == second
    assert sum(map(len, corpus().values())) < 500_000


@pytest.fixture(scope="module")
def nasty() -> dict[str, bytes]:
    return corpus()


@pytest.mark.parametrize("name", corpus())
def test_a_nasty_picture_is_read_or_refused(name: str, nasty: dict[str, bytes]) -> None:
    tally = Tally()
    with apart(BOUNDARIES["pictures"]) as attempt:
        hold(attempt, (nasty[name], name), tally)
    assert tally.tried == 1
    assert tally.refused or MEANT.search(name), f"{name} was taken for a picture"


def test_a_scan_that_is_said_again_and_again_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_picture(many_scans(100, MAX_SCANS - 10))
    data = many_scans(5000, 20_000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=rf"scans in .*{MAX_SCANS}"):
        read_picture(data)


# Sentences and values


@pytest.mark.parametrize(
    "message", ["A\nB.", "\x1b[31mred\x1b[0m.", "x" * 50_000 + " Take another.", "\u202eabc."]
)
def test_an_error_is_one_short_printable_line(message: str) -> None:
    said = str(InputError(message))
    assert is_plain(said)
    assert len(said) <= LONGEST_MESSAGE
    assert said.endswith(message[-3:].replace("\n", " "))


def test_a_text_from_outside_is_shown_short() -> None:
    assert shown(" a\n\tb\x00c  ") == "a b c"
    assert len(shown("x" * 500)) == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "1e999 is no number"),
        ("9" * 5000, "is no number"),
        ("[" * 10**6, "deeper than"),
        ("[" * 50 + "]" * 50, "deeper than"),
        ('{"a":' * 30 + "1" + "}" * 30, "deeper than"),
        ('"\\ud800"', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
        (b"\xff\xff", "UTF-8"),
    ],
)
def test_json_that_cannot_be_taken_on_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        strict.parse(text)


def test_good_json_is_as_it_was() -> None:
    assert strict.parse('{"a": [1, -2.5, "x", null, true]}') == {"a": [1, -2.5, "x", None, True]}
    assert strict.parse("[NaN, 1e999]", finite=False)[1] == float("inf")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, True, "whole number"),
        (int, 1.0, "whole number"),
        (float, "1", "number"),
        (bool, 1, "true or false"),
        (str, None, "text"),
        (int | None, "x", "whole number"),
        (tuple[int, int], [1], "1 entries and not 2"),
        (tuple[int, ...], [1, "x"], "[1] is 'x'"),
        (list[float], {}, "no list"),
        (dict[str, int], {"a": "x"}, "'a' is 'x'"),
        (Tally, {"tried": 1, "colour": 2}, "stray field 'colour'"),
        (Boundary, {}, "lacks the field 'name'"),
    ],
)
def test_values_are_held_to_their_type(kind: type, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        strict.build(kind, value)


def test_values_of_their_type_are_built() -> None:
    assert strict.build(tuple[int, str], [1, "x"]) == (1, "x")
    assert strict.build(float | None, None) is None
    assert strict.build(Tally, {"tried": 3}) == Tally(tried=3)


def test_a_file_too_big_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_text("[" + "1," * 10_000 + "1]")
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        strict.read(path, most=1000)
