"""Strategies for hostile input: texts, values, and valid documents with something spoiled."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

TEXTS = (
    "", " ", "0", "-1", "1", "9", "1e3", "nan", "inf", "-inf", "1e999", "0x10", "٣", "²", "1_0",
    "9" * 30, "9" * 5000, "2147483648", "None", "true", "../../x", "/etc/passwd", "a/b", "\x00",
    "\n", "\x1b[31m", "\u202e", "💥", "ａ", "'; --", "${HOME}", "%s%n", "a" * 300, "a" * 20_000,
    "<script>alert(1)</script>", "![x](http://evil.example/x.png)", "cat", "cifar10-resnet20-apr",
    "cifar10-resnet20-apr+lattice", "+lattice", "first-flip", "su2019", "margin", "budget",
)  # fmt: skip
MARKS = {
    '"@nan@"': "NaN",
    '"@inf@"': "-Infinity",
    '"@huge@"': "9" * 400,
    '"@huger@"': "9" * 6000,
    '"@float@"': "1e999",
    '"@half@"': '"\\ud800"',
    '"@deep@"': "[" * 30 + "]" * 30,
    '"@deeper@"': "[" * 100_000 + "]" * 100_000,
    '"@deepest@"': '{"a":' * 20_000 + "1" + "}" * 20_000,
    '"@twice@"': '{"a": 1, "a": 2}',
}
"""JSON that json.dumps never writes: these texts are replaced by it."""
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 255, 256, 10_000, 2**31, 2**62, -(2**62), 0.5, -0.5, 1.5, 1e308,
    [], {}, [[]], [1, 2], ["a"], {"a": 1}, {"": None},
    *TEXTS, *(mark.strip('"') for mark in MARKS),
)  # fmt: skip
WORDS = st.sampled_from(TEXTS) | st.text(max_size=20)


@st.composite
def params(draw: st.DrawFn, valid: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """A link's parameters: some of the known names, each with a valid or a hostile value."""
    names = draw(st.lists(st.sampled_from(list(valid)), unique=True, max_size=6))
    return {name: draw(st.sampled_from(valid[name]) | WORDS) for name in names}


@st.composite
def spoiled_json(draw: st.DrawFn, *valid: Any) -> str:
    """A valid document with up to three changes, as JSON; at times with a character changed."""
    document = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 3))):
        document = _spoil(draw, document)
    text = json.dumps(document)
    for mark, meant in MARKS.items():
        text = text.replace(mark, meant)
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(text)))
        put = draw(st.sampled_from(("", "\x00", "{", "]", '"', "\ufeff")))
        text = text[:at] + put + text[at + 1 :]
    return text


def _spoil(draw: st.DrawFn, document: Any) -> Any:
    """Change one value, somewhere down the document."""
    if not isinstance(document, dict | list) or not document or draw(st.integers(0, 5)) == 0:
        return copy.deepcopy(draw(st.sampled_from(VALUES)))
    keys = document if isinstance(document, dict) else range(len(document))
    key = draw(st.sampled_from(list(keys)))
    how = draw(st.integers(0, 9))
    if how == 0:
        del document[key]
    elif how == 1 and isinstance(document, dict):
        document[draw(st.sampled_from(TEXTS))] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    elif how == 2 and isinstance(document, list):
        document += [copy.deepcopy(document[key])] * draw(st.sampled_from((1, 3, 200)))
    else:
        document[key] = _spoil(draw, document[key])
    return document


@st.composite
def spoiled_lines(draw: st.DrawFn, *valid: Any) -> bytes:
    """Documents, one a line, of which one is spoiled."""
    place = draw(st.integers(0, len(valid) - 1))
    lines = [json.dumps(line) for line in valid]
    lines[place] = draw(spoiled_json(valid[place]))
    return "\n".join([*lines, ""]).encode()


@st.composite
def spoiled_bytes(draw: st.DrawFn, *valid: bytes) -> bytes:
    """A valid file with bytes changed, left out, put in, or cut off at the end."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        bytes_put = st.sampled_from((b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff"))
        put = draw(bytes_put | st.binary(max_size=4))
        data[at : at + draw(st.integers(0, 4))] = put
    if draw(st.integers(0, 4)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return bytes(data)
