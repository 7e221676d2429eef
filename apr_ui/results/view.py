"""The Results page's parts: the paper's tables beside ours, curves, trade-offs and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from apr_core.evaluation.model_summary import ModelSummary, is_past, lattices_of
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.report.imagenet import notices
from apr_core.report.printing import columns, in_print
from apr_core.evaluation.record import Record
from apr_core.report.speeds import SPEED_CAPTION, Speeds, speed_notes, speed_table
from apr_core.report.tables import DefenceTable, Table
from apr_core.evaluation.verdicts import SURE, Claim, Holds, measured_first
from apr_core.zoo.checkpoints import Card, caution_of
from apr_ui.persistent_widget import persistent
from apr_ui.chart_view import show_chart
from apr_ui.dataset import shown_data
from apr_ui.downloads import offer_files
from apr_ui.resources import cards
from apr_ui.results.charts import caught_bars, lattice_costs, success_curves, trade_off

ICONS = {
    Holds.YES: ":material/check_circle:",
    Holds.NO: ":material/cancel:",
    Holds.STANDS: ":material/shield:",
    Holds.OPEN: ":material/help:",
    Holds.UNMEASURED: ":material/pending:",
}

DEFINITIONS = f"""
- **Clean accuracy**: share of all 10,000 CIFAR-10 test images that a model classifies correctly;
  behind masking, of the images that were tested for a certificate.
- **Attack success rate** (ASR): of the images in an evaluation that the model gets right, the share
  that some edit flips. Every flip is verified in float32 on the 8-bit picture.
- **Robust accuracy**: share of all images in an evaluation that the model gets right and that no
  attack flips.
- In brackets: **Wilson's 95 % interval**, with the number of images beside it. Two models are
  compared on the images that both get right, by McNemar's exact test.
- The **ladder** runs attacks from the cheapest to the most expensive; an image leaves it when it is
  broken. The paper's own attack, differential evolution alone, is shown beside it: it never finds
  more.
- **Certified**: share of all images that the model behind lattice masking gets right, and for which
  it is proven that no edit of one pixel, of any colour, changes that answer. For two models, the
  shares of the images that were tested on both are shown beside it.
- A **claim** about a defence is about these weights: each comes from one training run, and another
  run may give another result. A claim that chance could decide has a p-value: of McNemar's test, or
  of the test that our rate is the one named. All such claims of tables 1 and 3 are one family,
  corrected by Holm's method; a claim is settled if its corrected p-value is below {SURE:g}. Claims
  between models that were trained for different numbers of epochs, or with the old penalty, are
  never settled. A rate measured on all 10,000 test images needs no test. Clean accuracies are
  compared by their counts, for the least favourable overlap of the two models' mistakes.
- The claim that one model has the lowest rate **of several** holds if it is lower than each of
  theirs, and does not hold if any of theirs is lower, corrected for their number.
- By how much a defence lowers the success rate is measured on the images that both models get
  right, so that a picture which the defended model misclassifies anyway does not count for the
  defence. A certificate is a proof: an attack on a certified image can refute it, but cannot
  confirm it.
- A p-value in a column of a table is uncorrected.
- A record counts for a model only if it was made with the model's present weights.
"""


def show_table(table: Table) -> None:
    """One of the paper's tables, the claims tested on it, and files to download."""
    headers, rows = columns(table)
    st.subheader(f"Table {table.number}. {table.title}", anchor=False)
    frame = pd.DataFrame(rows, columns=headers)
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        key=f"results.table-{table.number}",
        column_config={
            name: st.column_config.TextColumn(
                width=_width([name, *frame[name]]), pinned=name == "defence"
            )
            for name in headers
        },
    )
    for note in table.notes:
        st.caption(note)
    for claim in measured_first(table.claims):
        st.markdown(_claim_text(claim))
    name = f"table-{table.number}"
    files = (
        ("CSV", lambda: frame.to_csv(index=False), ""),
        ("MD", lambda: in_print([table], "markdown"), ""),
        ("TEX", lambda: in_print([table], "latex"), ""),
    )
    offer_files(f"results.{name}", name, files)


def _width(words: Sequence[str]) -> int:
    """Pixels that a column of words takes; the browser's own guess is too small."""
    return 18 + 15 * max(map(len, words)) // 2


def _claim_text(claim: Claim) -> str:
    said = f" {claim.found}" if claim.found else ""
    return f"{ICONS[claim.holds]} **{claim.holds}** · {claim.architecture}: {claim.text}{said}"


def show_definitions() -> None:
    """Definitions of the rates and of the tests."""
    with st.expander("Definitions: what is counted, and how", icon=":material/help:"):
        st.markdown(DEFINITIONS)


def show_curves(records: Sequence[Record]) -> None:
    """Success rate against queries, for the records that a person picks."""
    names = {record.setting.name: record for record in records}
    shown = [name for name, record in names.items() if record.setting.data == shown_data().name]
    chosen = st.multiselect(
        "Evaluations", list(names), **persistent("results.curves", (shown or list(names))[:6])
    )
    picked = [names[name] for name in chosen]
    if not picked:
        st.info("Pick an evaluation to see its curve.")
        return
    _show_notices(picked)
    curves, caught = st.columns(2)
    with curves:
        st.markdown("**Success rate against queries**, for one pixel or the fewest tried")
        alt = "Share of images broken against queries: " + "; ".join(map(in_a_word, picked))
        show_chart(success_curves(picked), "results.curve-chart", alt)
    with caught:
        st.markdown("**Images that each attack was the first to break**")
        alt = "Images that each attack was the first to break, by model."
        show_chart(caught_bars(picked), "results.caught-chart", alt)


def show_trade_offs(tables: Sequence[Table], certificates: Sequence[CertRecord]) -> None:
    """The price of robustness: in clean accuracy, by defence, and in forward passes, by lattice."""
    cells = {
        cell.model: cell
        for table in tables
        if isinstance(table, DefenceTable)
        for row in table.rows
        for cell in row.cells
        if not row.lattice and (cell.certified or cell.robust)
    }
    certificates = _of_several_lattices(lattices_of(certificates, cards()[0].values()))
    defences, lattices = st.columns(2)
    if cells:
        with defences:
            st.markdown("**Robustness against clean accuracy, by defence**")
            st.caption(
                "Filled: certified behind the lattice. Open: robust accuracy, right and not broken "
                "by the attack. Both are shares of all images that were tested."
            )
            alt = "Clean accuracy against the certified share: "
            alt += "; ".join(map(_trade_off_text, cells.values()))
            show_chart(trade_off(list(cells.values())), "results.trade-off", alt)
    if certificates:
        with lattices:
            st.markdown("**Certified share against forward passes, by lattice**")
            st.caption(
                "Models that were certified behind more than one lattice, each on the images that "
                "all of its lattices were tested on."
            )
            alt = "Certified share by the lattice's spacing: " + "; ".join(
                f"{record.setting.model}, spacing {record.setting.spacing}: "
                f"{record.certified.rate:.1%} of {record.certified.total:,}"
                for record in certificates
            )
            show_chart(lattice_costs(certificates), "results.lattices", alt)


def show_speeds(records: Sequence[Speeds]) -> None:
    """How fast the attack is beside a forward pass, other engines and other libraries."""
    if not records:
        return
    headers, rows = speed_table(records)
    st.subheader("Speed of the attack", anchor=False)
    st.caption(SPEED_CAPTION)
    frame = pd.DataFrame(rows, columns=headers)
    st.dataframe(frame, hide_index=True, height="content", key="results.speeds")
    for note in speed_notes(records):
        st.caption(note)


def _of_several_lattices(records: Sequence[CertRecord]) -> list[CertRecord]:
    """Records of models with several lattices: only these show the price of another lattice."""
    times = Counter(record.setting.model for record in records)
    return [record for record in records if times[record.setting.model] > 1]


def _trade_off_text(cell: ModelSummary) -> str:
    parts = [f"{cell.model} {cell.clean.rate:.1%} clean" if cell.clean else cell.model]
    parts += [f"{cell.certified.rate:.1%} certified"] if cell.certified else []
    parts += [f"{cell.robust.rate:.1%} right after the attack"] if cell.robust else []
    return ", ".join(parts)


def in_a_word(record: Record) -> str:
    """A record's rate at its fewest pixels."""
    rate = record.levels[0].asr
    share = "no rate" if rate.rate is None else f"{rate.rate:.1%}"
    return f"{record.setting.subject} {share} of {rate.total}"


def _success_text(rate: Rate) -> str:
    if rate.rate is None:
        return "no image was attacked, because the model got none right"
    return f"success {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total}"


def show_records(records: Sequence[Record], models: Mapping[str, Card]) -> None:
    """Every evaluation, with the command that repeats it."""
    for record in records:
        setting = record.setting
        title = f"{setting.name} · {in_a_word(record)}"
        title += " · with earlier weights" if is_past(record, models) else ""
        with st.expander(title, icon=":material/description:"):
            lines = [
                f"- {level.pixels} px: {_success_text(level.asr)}; robust "
                f"{level.robust.rate:.1%} of {level.robust.total}"
                for level in record.levels
            ]
            st.markdown("\n".join(lines))
            if caution := _caution(record, models):
                st.warning(caution, icon=":material/warning:")
            _show_notices([record])
            st.caption(
                f"{record.hardware}, {record.seconds / 60:.0f} min of attacking, {record.date}, "
                f"torch {record.versions.get('torch', '?')}, commit {record.commit[:12]}."
            )
            st.code(record.command, language=None, wrap_lines=True)
            offer_files(f"results.{setting.name}", setting.name, [("JSON", record.to_json, "")])


def _show_notices(records: Sequence[Record]) -> None:
    """What must stand beside rates on the records' data, and of their weights."""
    for notice in notices((record.setting.model, record.setting.data) for record in records):
        st.caption(notice)


def _caution(record: Record, models: Mapping[str, Card]) -> str:
    """A known fault of the weights of a record; "" if there is none."""
    card = models.get(record.setting.model)
    caution = caution_of(card) if card and not is_past(record, models) else ""
    return f"These weights were {caution}." if caution else ""
