"""Files of a table: CSV with a number a cell, and LaTeX that fits the width of a page."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from apr_core.evaluation.metrics import Mean, Paired, rate_of
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.report import paper
from apr_core.report.imagenet import ImageNetCell, ImageNetRow, ImageNetTable
from apr_core.report.latex import LONG, SHARE, as_latex
from apr_core.report.numbers import as_csv
from apr_core.report.overheads import OverheadRow
from apr_core.report.tables import DefenceTable, OverheadTable, Row, Table, make_tables

WIDTH, CHARACTER, BETWEEN = 345, 4.1, 8
"""Points: of a line of LaTeX's class article; of a character at 8 points; between two columns."""
CELL = ModelSummary(
    "cifar10-resnet18-at",
    "resnet18",
    16,
    0,
    rate_of(9000, 10_000),
    asr=rate_of(45, 180),
    attack="ladder",
    images=200,
    versus=Paired(170, 30, 20, 10, 0.1),
    certified=rate_of(80, 100),
    certified_versus=Paired(100, 10, 5, 10, 0.3),
    clean_runs=Mean(0.9, 0.88, 0.92, 3),
    asr_runs=Mean(0.25, None, None, 1),
)
ROW = Row("AT", "at", "vanilla", paper=paper.DEFENCES[1], cells=(CELL, replace(CELL, asr=None)))
DEFENCES = DefenceTable(1, "Defences", (ROW, Row("APR_100%", "apr", "vanilla")), ())
OVERHEADS = OverheadTable(
    4,
    "Overhead",
    (
        OverheadRow("resnet18", "apr", 0.273, 0.086, 0.2, (0.1, 0.3), None, None, "a GPU"),
        OverheadRow("resnet20", "apr", None, None, None, None, None, None, ""),
    ),
    (),
)


def read(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def test_a_rate_has_a_column_for_each_of_its_numbers() -> None:
    first, second, empty = read(DEFENCES)
    assert float(first["asr_ours_rate"]) == 0.25
    assert float(first["asr_ours_low"]) == CELL.asr.low
    assert float(first["asr_ours_high"]) == CELL.asr.high
    assert int(first["asr_ours_n"]) == 180
    assert (first["defence"], first["name"]) == ("AT", "cifar10-resnet18-at")
    assert (float(first["clean_paper"]), float(first["asr_paper"])) == (0.873, 0.4532)
    assert (first["attack"], first["attack_images"]) == ("ladder", "200")
    assert (first["mcnemar_reference"], float(first["mcnemar_p"])) == ("vanilla", 0.1)
    assert float(first["certified_same_images_rate"]) == pytest.approx(0.8)
    assert float(first["certified_same_images_reference_rate"]) == pytest.approx(0.85)
    assert (float(first["clean_several_seeds_low"]), first["asr_several_seeds_runs"]) == (0.88, "1")
    assert (second["defence"], second["asr_ours_rate"], second["asr_ours_n"]) == ("AT", "", "")
    assert {value for name, value in empty.items() if name != "defence"} == {""}


def test_an_overhead_has_its_bounds() -> None:
    first, second = read(OVERHEADS)
    names = ("training_paper", "training_ours", "training_ours_low", "training_ours_high")
    assert [float(first[name]) for name in names] == [0.273, 0.2, 0.1, 0.3]
    assert second["training_ours"] == second["training_ours_low"] == ""


@pytest.mark.parametrize("number", range(6))
def test_no_cell_of_the_shipped_tables_holds_two_figures(number: int) -> None:
    for row in read(make_tables()[number]):
        for name, cell in row.items():
            if name not in ("defence", "name", "model", "form", "measured_on", "caution"):
                assert not re.search(r"\d[^\d.e-]+\d", cell), (name, cell)
                assert "%" not in cell


@pytest.mark.parametrize("table", [DEFENCES, OVERHEADS, *make_tables()], ids=lambda t: t.title)
def test_latex_fits_the_width_of_a_page(table: Table) -> None:
    bodies = re.findall(r"\\toprule\n(.*?)\\bottomrule", as_latex(table), re.DOTALL)
    assert len(bodies) > 1
    for body in bodies:
        rows = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if "&" in line]
        assert len({len(row) for row in rows}) == 1
        printed = [[re.sub(r"\\allowbreak\{\}|\\", "", cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
        points = [SHARE * WIDTH if width > LONG else CHARACTER * width for width in widths]
        assert sum(points) + BETWEEN * len(widths) <= WIDTH


def test_latex_escapes_what_it_would_read_as_its_own() -> None:
    assert r"APR\_100\%" in as_latex(DEFENCES)
    name = "torchvision:resnet50:a_b-weights.safetensors"
    row = ImageNetRow("AT", None, (ImageNetCell(name, "nips2017", "", rate_of(9, 10)),))
    printed = as_latex(ImageNetTable(2, "ImageNet", (row,)))
    assert r"torchvision:\allowbreak{}resnet50:\allowbreak{}a\_b-\allowbreak{}weights" in printed
    assert r"p{0.22\linewidth}" in printed
