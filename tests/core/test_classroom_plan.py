"""A class on paper: its plan, the names that people type, the QR code on the wall."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from unicodedata import category, normalize
from xml.etree import ElementTree

import numpy as np
import pytest
import zxingcpp
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from apr_core.base.types import InputError
from apr_core.classroom.names import (
    ALPHABET,
    clean_code,
    clean_nickname,
    clean_title,
    echo,
    fold,
    new_code,
    plain,
)
from apr_core.classroom.plan import HIDEABLE, STEPS, Plan
from apr_core.classroom.qr import MOST_BYTES, QUIET_ZONE, qr_png, qr_svg
from apr_core.data.registry import find_dataset

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
INDICES = find_dataset().shipped_sample().indices.tolist()
MODEL = "cifar10-resnet20-vanilla"
PLAN = Plan(INDICES[0], MODEL)
MARKUP = ("<b>Ann</b>", "**Ann**", "[x](y)", "`a`", "a_b_", "$x$", ":red[x]", "#Ann", "1. x", "- x")
ALIKE = (
    "=1+1",
    "-1",
    "+1",
    "@a",
    "www.x.org",
    "a|b",
    "a&lt;",
    "'x",
    "a\\b",
    "~a~",
    "\u0308x",
    "\ue000",
)
LINK = "http://192.168.178.21:8501/classroom?class=K7RQ3M"


def said_by(act: Callable[[], object]) -> str:
    """The sentence that something is refused with."""
    with pytest.raises(InputError) as caught:
        act()
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)
    return str(caught.value)


# Plans


@given(
    st.sampled_from(INDICES),
    st.integers(0, 2**31 - 1),
    st.permutations(STEPS).flatmap(lambda all: st.integers(1, len(all)).map(lambda n: all[:n])),
    st.lists(st.sampled_from(HIDEABLE), unique=True),
)
def test_every_plan_goes_through_json(
    index: int, seed: int, steps: list[str], hidden: list[str]
) -> None:
    plan = Plan(index, MODEL + "+lattice", seed, tuple(steps), tuple(hidden))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"index": -1}, "Test image -1 is not in the shipped sample"),
        ({"index": 10**30}, "is not in the shipped sample of 1,000; take 1193"),
        ({"index": True}, "index must be a whole number, not True"),
        ({"index": "3"}, "index must be a whole number, not '3'"),
        ({"model": ""}, "named as in the zoo"),
        ({"model": "../../etc"}, "named as in the zoo"),
        ({"model": "a" * 101}, "named as in the zoo"),
        ({"model": 3}, "named as in the zoo"),
        ({"seed": -1}, "seed is -1, but must lie between 0 and 2147483647"),
        ({"seed": 2**31}, "seed is 2147483648"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"steps": []}, "choose at least one step"),
        ({"steps": ["bet", "quiz", "bet"]}, "The step 'bet' is there twice"),
        ({"steps": ["bet", "lunch"]}, "There is no step 'lunch'; the known ones: bet, by-hand"),
        ({"steps": "bet"}, "must stand in a list, not in str"),
        ({"steps": [["bet"]]}, "There is no step"),
        ({"hidden": ["notes"]}, "There is no thing to hide 'notes'; the known ones: hints"),
        ({"hidden": None}, "must stand in a list"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, object], says: str) -> None:
    entry = {**json.loads(PLAN.to_json()), **change}
    assert says in said_by(lambda: Plan.from_json(json.dumps(entry)))


def test_an_image_that_is_not_shipped_is_refused_with_the_nearest_that_is() -> None:
    missing = next(index for index in range(10_000) if index not in INDICES)
    says = said_by(lambda: Plan(missing, MODEL))
    near = int(re.findall(r"take (\d+)", says)[0])
    assert near in INDICES
    assert abs(near - missing) == min(abs(index - missing) for index in INDICES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "{",
        "[" * 9_000,
        json.dumps({**json.loads(PLAN.to_json()), "teacher": "x"}),
        json.dumps({"index": INDICES[0], "model": MODEL}),
        PLAN.to_json() + " " * 10_000,
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    assert "no plan of a class" in said_by(lambda: Plan.from_json(text))


# Class codes


def test_codes_are_speakable_and_differ() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    assert not set("0O1IL") & set(ALPHABET)
    assert all(clean_code(code) == code for code in codes)
    assert set("".join(codes)) == set(ALPHABET)


@pytest.mark.parametrize(
    "typed", ["k7rq3m", " K7R-Q3M ", "k7 r\tq 3m", "K-7-R-Q-3-M", "Ｋ７ＲＱ３Ｍ"]
)
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert clean_code(typed) == "K7RQ3M"


@pytest.mark.parametrize(
    "typed",
    ["", "K7RQ3", "K7RQ3MM", "K7RQ30", "KIRQ3M", "' OR 1=1 --", "<b>K7", "\ud800", "K" * 9000],
)
def test_what_is_no_code_is_refused_without_markup(typed: str) -> None:
    says = said_by(lambda: clean_code(typed))
    assert "is no class code" in says
    assert len(says) < 200
    assert not set("<>&*_[]`\\$\ud800") & set(says)


# Nicknames


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ann \n  B ", "Ann B"),
        ("Zoë", "Zoë"),
        ("Zoe\u0308", "Zoë"),
        ("Mary-Jane O’Neil", "Mary-Jane O'Neil"),
        ("李雷", "李雷"),
        ("علی", "علی"),
        ("สมชาย", "สมชาย"),
        ("🦊 Fox 7", "🦊 Fox 7"),
        ("👍🏽", "👍🏽"),
        ("👩\u200d🚀", "👩🚀"),
        ("A\u200bn\u202en\ufeff", "Ann"),
        ("Ann\ufe0f\u3164\u034f\x00\x07", "Ann"),
        ("Ａｎｎ", "Ann"),
        ("x" * 24, "x" * 24),
    ],
)
def test_a_nickname_is_kept_in_one_form(typed: str, kept: str) -> None:
    assert clean_nickname(typed) == kept


@pytest.mark.parametrize(
    "typed", ["", "   ", "\u200b\u202e", "\u3164", "x" * 25, "ﷺ" * 3, "x" * 9999]
)
def test_a_nickname_of_no_or_too_many_characters_is_refused(typed: str) -> None:
    assert "has 1 to 24 characters" in said_by(lambda: clean_nickname(typed))


@pytest.mark.parametrize("typed", MARKUP + ALIKE)
def test_markup_is_no_nickname(typed: str) -> None:
    assert "A nickname begins with" in said_by(lambda: clean_nickname(typed))


def test_a_letter_does_not_cover_the_other_lines() -> None:
    assert "at most 3 marks" in said_by(lambda: clean_nickname("Z" + "\u0324" * 4))


@given(st.text(st.characters() | st.sampled_from("aZéß7' -\u200b\u0308\u034f’🦊"), max_size=30))
@example("a\u034f\u0308")
@example("\u1100\u115f\u1161")
@example("ß\u200b")
@example("İ")
def test_whatever_is_typed_is_a_harmless_nickname_or_is_refused(typed: str) -> None:
    try:
        kept = clean_nickname(typed)
    except InputError:
        assert said_by(lambda: clean_nickname(typed)).encode()
        return
    assert 1 <= len(kept) <= 24
    assert kept == clean_nickname(kept) == normalize("NFKC", kept).replace("’", "'")
    assert kept == " ".join(kept.split())
    assert not set(kept) & set('<>&`*_[](){}#$:|~\\/@=+"^.,!?%;\t\n')
    assert all(character == " " or category(character)[0] in "LMNS-P" for character in kept)
    assert not any(category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") for character in kept)
    assert kept[0] not in "=+-@' "
    assert kept.isprintable()
    assert plain(kept).replace("\\", "") == kept


@pytest.mark.parametrize("other", ["ANN", "ann", "A\u200bnn", "Ａnn", " ann "])
def test_nicknames_that_look_the_same_are_the_same(other: str) -> None:
    assert fold(clean_nickname(other)) == fold("Ann")


# Titles, and quoting


def test_a_title_is_one_line_and_is_shown_as_it_is() -> None:
    assert clean_title(" Year 9 \n *b*\u202e \ud800") == "Year 9 *b*"
    assert plain("a*b_[c](d) <e> $f$ :g:") == r"a\*b\_\[c\]\(d\) \<e\> \$f\$ \:g\:"
    assert "at most 80 characters" in said_by(lambda: clean_title("x" * 81))


def test_what_was_typed_is_quoted_without_markup() -> None:
    assert echo("a*b") == "'a·b'"
    assert echo("abcdefghijklmnop") == "'abcdefghijkl…'"


# QR codes


def read(picture: Image.Image) -> str:
    found = zxingcpp.read_barcode(picture)
    assert found is not None
    return str(found.text)


def svg_modules(svg: str) -> tuple[np.ndarray, str]:
    """The dark modules that a picture's path draws, (side, side) bool, and the background."""
    root = ElementTree.fromstring(svg)
    paths = [node for node in root.iter() if node.tag.endswith("path")]
    scale = float(re.findall(r"scale\((\d+)\)", svg)[0])
    side = round(float(root.attrib["width"]) / scale)
    dark = np.zeros((side, side), dtype=bool)
    x = y = 0.0
    for kind, numbers in re.findall(r"([Mmh])([^Mmhz]*)", paths[1].attrib["d"]):
        steps = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if kind == "h":
            dark[int(y), int(x) : int(x + steps[0])] = True
            x += steps[0]
        else:
            x, y = (steps[0], steps[1]) if kind == "M" else (x + steps[0], y + steps[1])
    return dark, paths[0].attrib["fill"]


@pytest.mark.parametrize(
    "text", [LINK, "K7RQ3M", "1", "https://schule.example/ö?class=ß", "x" * MOST_BYTES]
)
def test_a_phone_reads_what_was_drawn(text: str) -> None:
    picture = Image.open(io.BytesIO(qr_png(text, scale=4))).convert("L")
    assert read(picture) == text
    pixels = np.asarray(picture)
    assert set(np.unique(pixels)) == {0, 255}
    border = 4 * QUIET_ZONE
    for edge in (pixels[:border], pixels[-border:], pixels[:, :border], pixels[:, -border:]):
        assert edge.min() == 255
    dark, background = svg_modules(qr_svg(text))
    assert np.array_equal(dark, pixels[2::4, 2::4] == 0)
    assert background == "#fff"


@pytest.mark.parametrize("text", ["", "x" * (MOST_BYTES + 1), "ö" * MOST_BYTES])
def test_a_text_that_no_phone_would_read_is_refused(text: str) -> None:
    assert "A QR code holds" in said_by(lambda: qr_svg(text))
    assert "A QR code holds" in said_by(lambda: qr_png(text))


def test_half_a_character_is_refused() -> None:
    assert "not whole" in said_by(lambda: qr_svg("\ud800"))
