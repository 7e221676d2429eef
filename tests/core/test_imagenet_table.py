"""Table 2: what records of ImageNet's classes make of it."""

from __future__ import annotations

from dataclasses import replace

from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.model_summary import Records
from apr_core.evaluation.record import Record
from apr_core.report.imagenet import HOW_TO_TRAIN, NOT_TRAINED, NOTICES, UNKNOWN, imagenet_table
from apr_core.report.printing import columns

EASIER = "easier than ImageNet's validation set"


def a_record(model: str, pixels: int = 1, count: int = 3, images: int = 50) -> Record:
    like = next(r for r in Records.read().evaluations if r.setting.attack == "ladder")
    setting = replace(like.setting, model=model, data="nips2017", images=images, pixels=(pixels,))
    level = replace(like.levels[0], pixels=pixels, asr=rate_of(count, images))
    return replace(like, setting=setting, levels=(level,), clean_all=rate_of(546, 600), verdicts=())


def table_of(*records: Record):
    return imagenet_table(Records(records, ()))


def test_without_records_nothing_is_claimed() -> None:
    table = table_of()
    assert not any(row.cells for row in table.rows)
    assert {row.label: row.missing for row in table.rows} == {
        "No defence": UNKNOWN, "AT": NOT_TRAINED, "IT": UNKNOWN, "DD": NOT_TRAINED,
        "APR": NOT_TRAINED, "Clamp of APR+, untrained": UNKNOWN, "Lattice masking": UNKNOWN,
    }  # fmt: skip
    assert table.notes == (HOW_TO_TRAIN,)


def test_a_front_puts_a_record_into_its_row() -> None:
    table = table_of(a_record("net"), a_record("net+it", count=2), a_record("net+clamp", count=1))
    found = {row.label: row.cells[0] for row in table.rows if row.cells}
    assert {label: cell.success[0][1].count for label, cell in found.items()} == {
        "No defence": 3, "IT": 2, "Clamp of APR+, untrained": 1,
    }  # fmt: skip
    assert {cell.model for cell in found.values()} == {"net"}
    assert all(cell.clean == rate_of(546, 600) for cell in found.values())


def test_numbers_of_pixels_come_together_and_the_larger_record_counts() -> None:
    table = table_of(a_record("net"), a_record("net", 5, 20), a_record("net", 1, 9, 100))
    (cell,) = table.rows[0].cells
    assert [(k, rate.count, rate.total) for k, rate in cell.success] == [(1, 9, 100), (5, 20, 50)]
    headers, rows = columns(table)
    assert "ASR, 1 pixel" in headers
    assert "ASR, 5 pixels" in headers
    assert "9.0%" in rows[0][headers.index("ASR, 1 pixel")]
    assert rows[1][headers.index("ASR, 1 pixel")] == NOT_TRAINED


def test_what_must_be_said_stands_under_the_table() -> None:
    assert any(EASIER in note for note in table_of(a_record("net")).notes)
    for weights, notice in NOTICES.items():
        record = a_record("net")
        assert notice not in table_of(record).notes
        theirs = replace(record, setting=replace(record.setting, sha256=weights))
        assert notice in table_of(theirs).notes


def test_records_of_other_data_and_of_other_attacks_have_no_cell() -> None:
    record = a_record("net")
    others = [
        replace(record, setting=replace(record.setting, data="cifar10")),
        replace(record, setting=replace(record.setting, attack="de")),
        replace(record, setting=replace(record.setting, lattice=4)),
    ]
    assert not any(row.cells for row in table_of(*others).rows)
