"""The paper's tables beside ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from apr_core.data.registry import DEFAULT
from apr_core.report.lines import LATTICE, NAME, Line, lines, said_of
from apr_core.report.numbers import as_csv
from apr_core.report.printing import in_print
from apr_core.report.tables import OverheadTable, Table
from apr_core.serving.requests import BEHIND_LATTICE
from apr_ui.dataset import data_words
from apr_ui.downloads import offer_files
from apr_ui.model_names import model_title
from apr_ui.persistent_widget import persistent
from apr_ui.resources import all_cards
from apr_ui.results.html_table import cell, show_html_table, two_lines
from apr_ui.model_names import network_title
from apr_ui.results.names import with_titles
from apr_ui.words import defence_title

LED = (NAME, LATTICE, "defence", "model", "caution", "form")
"""Columns that the first one on the page says in words."""
FIRST = (
    *("ASR, paper", "ASR, ours", "ASR, 1 pixel", "clean, paper", "clean, ours"),
    *("certified with masking", "adaptive", "unknowing", "clean withheld"),
    *("ASR, 2 × 2 patch", "ASR, 5 × 5 patch", "ASR, PGD 2/255"),
)
"""Columns that are always shown; the others, where a person asks for them."""
HEADS = {"ASR": "Attack success rate", "clean": "Clean accuracy", "McNemar": "McNemar's test"}


def show_table(table: Table) -> None:
    """A table with its notes, and files to download."""
    name = f"Table {table.number}"
    st.header(f"{name}. {table.title}", anchor=False)
    found = lines(table)
    columns = [column for column in said_of(found) if column not in LED]
    first = [column for column in FIRST if column in columns] or columns
    rest = [column for column in columns if column not in first]
    key = f"results.table-{table.number}"
    if rest:
        label = f"All columns of table {table.number}"
        first += rest if st.toggle(label, **persistent(f"{key}.all", False)) else []
    show_html_table(name, ["Model", *map(_head, first)], _rows(found, first))
    for note in table.notes:
        st.caption(with_titles(note))
    files = (
        ("CSV", lambda: as_csv(table), "Numbers only: rate, low, high and n in columns."),
        ("MD", lambda: in_print([table], "markdown"), "Markdown, with the claims."),
        ("TEX", lambda: in_print([table], "latex"), "LaTeX tables that each fit a page."),
    )
    offer_files(key, f"table-{table.number}", files, f"{name} as {{kind}}")


def _rows(found: Sequence[Line], columns: Sequence[str]) -> list[list[str]]:
    return [[_row_head(line), *(cell(line[column]) for column in columns)] for line in found]


def _row_head(line: Line) -> str:
    """What the row is: the model's title and how the paper names it, or what is known of both."""
    if "form" in line:
        return two_lines(defence_title(str(line["form"])), network_title(str(line["model"])))
    name, label, notes = str(line[NAME]), str(line["defence"]), str(line.get("caution", ""))
    if name not in all_cards()[0]:
        return two_lines(label, _library_title(str(line["model"])))
    title = model_title(name + (BEHIND_LATTICE if line.get(LATTICE) else ""))
    if (data := all_cards()[0][name].dataset) != DEFAULT:
        title = f"{title}, {data_words(data)}"
    return two_lines(title, ", ".join(filter(None, [label, notes])))


def _library_title(model: str) -> str:
    """A library's model without the name of the file that its weights are in."""
    name, on, data = model.partition(" on ")
    found = re.fullmatch(r"(?:torchvision|timm):([\w.]+):\S+\.safetensors", name)
    title = f"{network_title(found[1])} with weights from a file," if found else network_title(name)
    return f"{title}{on}{data}"


def _head(column: str) -> str:
    group, comma, part = column.partition(", ")
    return f"{HEADS.get(group, group.capitalize())}{comma}{part}"
