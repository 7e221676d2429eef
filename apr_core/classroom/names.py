"""Input sanitising: class codes, nicknames and titles."""

from __future__ import annotations

import re
import secrets
from unicodedata import category, normalize

from apr_core.base.types import InputError

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No 0 or O, 1, I or L: what one person says, another can type."""
CODE_LENGTH = 6
"""31^6 is 887 million codes: a guess at a rate that this machine can answer finds no class."""
LONGEST_NICKNAME = 24
LONGEST_TYPED = 200
"""Characters, with those that are left out of a nickname."""
LONGEST_TITLE = 80
MOST_MARKS = 3
"""Combining marks on one letter; scripts need that many, and more would cover other lines."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0100-\U000e01ef]"
)
"""Letters, marks and symbols of Unicode that show nothing; categories do not tell them apart."""
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def new_code() -> str:
    """A class code that nobody can foresee, such as "K7RQ3M"."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def clean_code(code: str) -> str:
    """A class code as it is kept: capitals, without spaces and hyphens.

    Raises:
        InputError: it cannot be one.
    """
    cleaned = re.sub(r"[\s-]", "", normalize("NFKC", code[:100])).upper()
    if len(cleaned) != CODE_LENGTH or not set(cleaned) <= set(ALPHABET):
        raise InputError(
            f"{echo(code)} is no class code, which has {CODE_LENGTH} letters and digits, such as "
            "K7RQ3M, and never 0, O, 1, I or L; look at the teacher's screen again."
        )
    return cleaned


def clean_nickname(nickname: str) -> str:
    """A nickname as everyone sees it: one form for each spelling, nothing invisible, no markup.

    Letters and digits of every script, emoji, spaces, hyphens and apostrophes may be in it. None
    of these means anything to Markdown, HTML or a spreadsheet, at the beginning or elsewhere.

    Raises:
        InputError: nothing is left of it, it is too long, or it has other characters in it.
    """
    cleaned = _one_form(nickname) if len(nickname) <= LONGEST_TYPED else nickname
    if not 0 < len(cleaned) <= LONGEST_NICKNAME:
        raise InputError(
            f"A nickname has 1 to {LONGEST_NICKNAME} characters, and this one has "
            f"{len(cleaned):,}; choose another."
        )
    for place, character in enumerate(cleaned):
        if not _fits(character, first=place == 0):
            shown = f"'{character}'" if character.isprintable() else "what cannot be shown"
            raise InputError(
                "A nickname begins with a letter, a digit or an emoji, and after that may have "
                f"spaces, hyphens and apostrophes too; leave out {shown}."
            )
    marks = "".join(category(character)[0] for character in cleaned)
    if "M" * (MOST_MARKS + 1) in marks:
        raise InputError(
            f"A letter of a nickname carries at most {MOST_MARKS} marks; leave some out."
        )
    return cleaned


def _fits(character: str, first: bool) -> bool:
    kind = category(character)
    if kind[0] in "LN" or kind == "So":
        return True
    # Mn and Mc are marks on a letter; U+1F3FB and on are the skin tones of an emoji.
    return not first and (kind in ("Mn", "Mc") or character in " -'" or "🏻" <= character <= "🏿")


def fold(nickname: str) -> str:
    """What is equal for nicknames that differ in capitals only."""
    return normalize("NFKC", nickname.casefold())


def clean_title(title: str) -> str:
    """A class's title on one line; show it through `plain`.

    Raises:
        InputError: it is too long.
    """
    cleaned = _tidy(title)
    if len(cleaned) > LONGEST_TITLE:
        raise InputError(
            f"A class's title has at most {LONGEST_TITLE} characters, and this one has "
            f"{len(cleaned):,}; shorten it."
        )
    return cleaned


def plain(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    return _PUNCTUATION.sub(r"\\\1", text)


def echo(text: str) -> str:
    """What somebody typed, quoted in a sentence: its beginning, without what could be markup."""
    kept = "".join(c if c.isalnum() or c in " -" else "·" for c in text[: CODE_LENGTH + 6])
    return f"'{kept}{'…' if len(text) > CODE_LENGTH + 6 else ''}'"


def _one_form(nickname: str) -> str:
    """The same for all ways of writing what looks the same."""
    tidied = _tidy(normalize("NFKC", nickname))
    # Marks may stand beside their letter only now.
    return normalize("NFKC", tidied).replace("’", "'")


def _tidy(text: str) -> str:
    """The text without what shows nothing and without halves of characters, singly spaced."""
    seen = (c for c in text if c.isspace() or category(c) not in ("Cc", "Cf", "Cs"))
    return " ".join(_INVISIBLE.sub("", "".join(seen)).split())
