"""JSON that nobody vouches for: what is not of its type is refused in a few words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from apr_core.base import schema
from apr_core.base.types import shown


@dataclass
class Tally:
    tried: int
    right: int = 0


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
        schema.parse(text)


def test_good_json_is_as_it_was() -> None:
    assert schema.parse('{"a": [1, -2.5, "x", null, true]}') == {"a": [1, -2.5, "x", None, True]}
    assert schema.parse("[NaN, 1e999]", finite=False)[1] == float("inf")


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
        (Tally, {}, "lacks the field 'tried'"),
    ],
)
def test_values_are_held_to_their_type(kind: type, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        schema.build(kind, value)


def test_values_of_their_type_are_built() -> None:
    assert schema.build(tuple[int, str], [1, "x"]) == (1, "x")
    assert schema.build(float | None, None) is None
    assert schema.build(Tally, {"tried": 3}) == Tally(tried=3)


def test_a_file_too_big_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_text("[" + "1," * 10_000 + "1]")
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        schema.read(path, most=1000)
