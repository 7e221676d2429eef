"""The summary picture: what a defence costs in clean accuracy, and what it brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import streamlit as st

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.report.tables import DefenceTable, Table
from apr_ui.chart_view import show_chart
from apr_ui.model_names import main_first, model_title
from apr_ui.persistent_widget import persistent
from apr_ui.results.charts import Mark, summary
from apr_ui.results.html_table import cell, show_html_table, two_lines

SUCCESS, CERTIFIED = "Attack success rate", "Certified, masked"
VIEWS: Mapping[str, tuple[Callable[[ModelSummary], Rate | None], str]] = {
    SUCCESS: (
        lambda cell: cell.asr,
        "Lower right is better: right on more pictures, fooled by one pixel on fewer.",
    ),
    CERTIFIED: (
        lambda cell: cell.certified,
        "Upper right is better: right on more pictures, and proven safe from any single pixel on "
        "more of them when masked.",
    ),
}


def show_summary(tables: Iterable[Table]) -> None:
    """Clean accuracy against a rate, as a picture and, for the main models, in figures."""
    cells = measured_cells(tables)
    views = [view for view, (rate, _) in VIEWS.items() if marks(cells, rate)[0]]
    if not views:
        return
    picture, figures = st.columns([3, 2])
    with picture:
        chosen = st.segmented_control(
            "Beside clean accuracy", views, required=True, **persistent("results.view", views[0])
        )
        rate, told = VIEWS[chosen or views[0]]
        main, others = marks(cells, rate)
        st.markdown(f"**{chosen}** upwards, **clean accuracy** to the right. {told}")
        alt = "; ".join(
            f"{mark.title}: clean {mark.clean.share:.1%}, {mark.rate.share:.1%}" for mark in main
        )
        what = (chosen or views[0]).lower()
        show_chart(summary(main, others, what), "results.summary", f"{chosen}: {alt}.")
        st.caption("Bars: 95 % intervals. Grey: ablations and other networks, by name on hover.")
    with figures:
        names = main_first(cells)[0]
        rows = [
            (two_lines(model_title(name)), *map(_figure, (cells[name].asr, cells[name].clean)))
            for name in names
        ]
        show_html_table("Summary", ["Model", SUCCESS, "Clean accuracy"], rows)


def measured_cells(tables: Iterable[Table]) -> dict[str, ModelSummary]:
    """The models of CIFAR-10 by name, without masking."""
    return {
        cell.model: cell
        for table in tables
        if isinstance(table, DefenceTable)
        for row in table.rows
        for cell in row.cells
        if not row.lattice and row.data == DEFAULT
    }


def marks(
    cells: Mapping[str, ModelSummary], rate: Callable[[ModelSummary], Rate | None]
) -> tuple[list[Mark], list[Mark]]:
    """The main models and the others, as far as clean accuracy and the rate were measured."""

    def known(names: Sequence[str]) -> list[Mark]:
        pairs = [(name, cells[name].clean, rate(cells[name])) for name in names]
        return [Mark(model_title(name), clean, r) for name, clean, r in pairs if clean and r]

    main, others = main_first(cells)
    return known(main), known(others)


def _figure(rate: Rate | None) -> str:
    return cell(rate) if rate else "not measured"
