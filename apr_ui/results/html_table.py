"""A table in HTML: wrapped cells, a first column that stays while the others scroll."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

import streamlit as st

from apr_core.evaluation.metrics import Rate
from apr_core.report.imagenet import NOT_TRAINED, UNKNOWN
from apr_core.report.lines import CertifiedVersus, Figure, Overhead, Value, Versus, in_words
from apr_ui.words import defence_title


LONG = 24
"""Characters of a cell that is kept wide."""


def show_html_table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table; its style is in `assets/app.css`.

    Args:
        label: its name for screen readers.
        heads: of the columns; neighbours "group, part" of one group share a head above.
        rows: cells as HTML; the first names the row.
    """
    body = "".join(_row(row) for row in rows)
    st.html(
        f'<div class="results-table" role="region" aria-label="{escape(label)}" tabindex="0">'
        f"<table><thead>{_head(heads)}</thead><tbody>{body}</tbody></table></div>"
    )


def two_lines(first: str, second: str = "") -> str:
    """A cell with a strong line and a faint one."""
    return f"<b>{escape(first)}</b>" + (f"<small>{escape(second)}</small>" if second else "")


def prose(text: str, more: str = "") -> str:
    """A cell with a sentence, wide enough to be read, and what is told of it."""
    told = f"<small>{escape(more)}</small>" if more else ""
    return f'<span class="prose">{escape(text)}{told}</span>'


def short(text: str) -> str:
    """A cell with a word or two, in one line."""
    return f'<span class="short">{escape(text)}</span>'


def cell(value: Value) -> str:
    """A value as a cell: a figure over its interval or what it is compared with, or words."""
    words = in_words(value)
    match value:
        case Rate():
            rate, interval, count = re.split(r" (?=\[|of )", words)
            return f"{two_lines(rate)}<small>{short(interval)} {short(count)}</small>"
        case Overhead() | Figure():
            share, _, interval = words.partition(" ")
            return two_lines(share) + (f"<small>{short(interval)}</small>" if interval else "")
        case Versus(reference, found):
            told = two_lines(f"p = {found.p_value:.2g}", f"against {defence_title(reference)}")
        case CertifiedVersus(reference, _):
            share, _, against = words.partition(" ")
            told = two_lines(share, against.replace(reference, defence_title(reference), 1))
        case _:
            told = escape(words)
            if value in (UNKNOWN, NOT_TRAINED):
                return f"<small>{told}</small>"
    return f'<span class="prose">{told}</span>' if len(words) > LONG else told


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{one}</td>" for one in rest)}</tr>'


def _head(heads: Sequence[str]) -> str:
    """A row of heads, or two where columns stand in groups."""
    groups = [(name, list(members)) for name, members in groupby(heads, _group)]
    if all(len(members) == 1 for _, members in groups):
        return f"<tr>{''.join(map(_single, heads))}</tr>"
    return f"<tr>{''.join(_upper(groups))}</tr><tr>{''.join(_lower(groups))}</tr>"


def _group(head: str) -> str:
    return head.partition(", ")[0]


def _single(head: str, rows: int = 1) -> str:
    return f'<th scope="col" rowspan="{rows}">{escape(head)}</th>'


def _upper(groups: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    for name, members in groups:
        if len(members) == 1:
            yield _single(members[0], rows=2)
        else:
            yield f'<th scope="colgroup" colspan="{len(members)}">{escape(name)}</th>'


def _lower(groups: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    for _, members in groups:
        if len(members) > 1:
            yield from (_single(member.partition(", ")[2]) for member in members)
