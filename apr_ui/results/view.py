"""The Results page's parts: the paper's tables beside ours, curves, and what each attack caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from apr_core.evaluation.cells import Cell, is_past, lattices_of
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.report.printing import columns, in_print
from apr_core.evaluation.record import Record
from apr_core.report.tables import DefenceTable, Table
from apr_core.evaluation.verdicts import SURE, Claim, Holds, measured_first
from apr_core.zoo.checkpoints import Card, caution_of
from apr_ui.persistent_widget import persistent
from apr_ui.resources import cards
from apr_ui.results.charts import caught_bars, lattice_costs, success_curves, trade_off

ICONS = {
    Holds.YES: ":material/check_circle:",
    Holds.NO: ":material/cancel:",
    Holds.STANDS: ":material/shield:",
    Holds.OPEN: ":material/help:",
    Holds.UNMEASURED: ":material/pending:",
}
MIMES = {"markdown": ("md", "text/markdown"), "latex": ("tex", "text/x-tex")}


def show_table(table: Table) -> None:
    """One of the paper's tables, the claims put to it, and files to take away."""
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
        st.markdown(_in_words(claim))
    with st.container(horizontal=True):
        _download(f"table-{table.number}.csv", frame.to_csv(index=False), "text/csv")
        for style, (suffix, mime) in MIMES.items():
            _download(f"table-{table.number}.{suffix}", in_print([table], style), mime)


def _width(words: Sequence[str]) -> int:
    """Pixels that a column of words takes, which the browser would guess too few."""
    return 18 + 15 * max(map(len, words)) // 2


def _in_words(claim: Claim) -> str:
    said = f" {claim.found}" if claim.found else ""
    return f"{ICONS[claim.holds]} **{claim.holds}** · {claim.architecture}: {claim.text}{said}"


def _download(name: str, text: str, mime: str) -> None:
    st.download_button(
        name.rpartition(".")[2].upper(),
        text,
        file_name=name,
        mime=mime,
        key=f"results.{name}",
        on_click="ignore",
        icon=":material/download:",
    )


def show_definitions() -> None:
    """What is counted, where a rate is shown."""
    with st.expander("What is counted, and how", icon=":material/help:"):
        st.markdown(
            "- **Clean accuracy**: share of all 10,000 CIFAR-10 test images that a model gets "
            "right; behind masking, of those that were put to the certificate.\n"
            "- **Success rate** (ASR): of those images of an evaluation that the model gets right, "
            "the share that some edit flips. Every flip is confirmed in float32 on the 8-bit "
            "picture.\n"
            "- **Robust accuracy**: share of all images of an evaluation that are right and "
            "withstand.\n"
            "- In brackets, **Wilson's 95 % interval**; beside it, the number of images. Two "
            "models are compared on the images that both get right, by McNemar's exact test.\n"
            "- The **ladder** tries attacks from the cheapest to the dearest; an image leaves it "
            "when it is broken. The paper's own attack, differential evolution alone, stands "
            "beside it: it never finds more.\n"
            "- **Certified**: share of all images that the model behind lattice masking gets "
            "right, and for which it is proven that no edit of one pixel, of any colour, changes "
            "that answer. Beside it stand the shares of those images that were put to both of two "
            "models.\n"
            "- A **claim** about a defence is about these weights: they come from one training run "
            "each, and another run may fall out otherwise. A claim that chance may decide has a "
            "p-value: of McNemar's test, or of the test that our figure is the one named. All such "
            "claims of tables 1 and 3 are one family, corrected by Holm's method; a claim is settled "
            f"where its corrected p-value is below {SURE:g}. Never settled are claims between models "
            "that were trained for unequal numbers of epochs, or with the old penalty. What is asked "
            "of all 10,000 test images, and was measured on all of them, needs no test. Clean "
            "accuracies are compared by their counts, for the least favourable way in which the two "
            "models' mistakes may coincide.\n"
            "- That one model has the lowest rate **of several** holds where it is lower than each "
            "of them, and does not hold where any of them is lower still, their number accounted "
            "for.\n"
            "- By how much a defence lowers the success rate is said of the images that both models "
            "get right, so that a picture which the defended model misreads anyway does not count "
            "for the defence. A certificate rests on its proof: attacks on certified images can "
            "refute it, and say no more than that they did not.\n"
            "- A p-value in a column of a table is its own, and is not corrected.\n"
            "- A record counts for a model only if it was made with its present weights."
        )


def show_curves(records: Sequence[Record]) -> None:
    """Success against queries, for the records that a person picks."""
    names = {record.setting.name: record for record in records}
    chosen = st.multiselect(
        "Evaluations",
        list(names),
        **persistent("results.curves", list(names)[:6]),
    )
    picked = [names[name] for name in chosen]
    if not picked:
        st.info("Pick an evaluation to see its curve.")
        return
    curves, caught = st.columns(2)
    with curves:
        st.markdown("**Broken within so many queries**, one pixel or the fewest tried")
        st.plotly_chart(
            success_curves(picked),
            key="results.curve-chart",
            config={"displayModeBar": False},
            alt="Share of images broken against queries: " + "; ".join(map(in_a_word, picked)),
        )
    with caught:
        st.markdown("**What each attack was the first to break**")
        st.plotly_chart(
            caught_bars(picked),
            key="results.caught-chart",
            config={"displayModeBar": False},
            alt="Images that each attack was the first to break, by model.",
        )


def show_trade_offs(tables: Sequence[Table], certificates: Sequence[CertRecord]) -> None:
    """What robustness costs: in clean accuracy, by defence, and in forwards, by lattice."""
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
            st.markdown("**What a defence costs, and what it buys**")
            st.caption(
                "Filled: certified behind the lattice. Open: right, and withstood the attack. Both "
                "are shares of all images that were tried."
            )
            st.plotly_chart(
                trade_off(list(cells.values())),
                key="results.trade-off",
                config={"displayModeBar": False},
                alt="Clean accuracy against the certified share: "
                + "; ".join(map(_trade_off_words, cells.values())),
            )
    if certificates:
        with lattices:
            st.markdown("**What the lattice costs, and what it certifies**")
            st.caption(
                "Of the models that were certified behind more than one lattice, each on the "
                "images that all of its lattices were tried on."
            )
            st.plotly_chart(
                lattice_costs(certificates),
                key="results.lattices",
                config={"displayModeBar": False},
                alt="Certified share by the lattice's spacing: "
                + "; ".join(
                    f"{record.setting.model}, spacing {record.setting.spacing}: "
                    f"{record.certified.rate:.1%} of {record.certified.total:,}"
                    for record in certificates
                ),
            )


def _of_several_lattices(records: Sequence[CertRecord]) -> list[CertRecord]:
    """Those whose model has more than one: what another lattice costs shows in no other."""
    times = Counter(record.setting.model for record in records)
    return [record for record in records if times[record.setting.model] > 1]


def _trade_off_words(cell: Cell) -> str:
    parts = [f"{cell.model} {cell.clean.rate:.1%} clean" if cell.clean else cell.model]
    parts += [f"{cell.certified.rate:.1%} certified"] if cell.certified else []
    parts += [f"{cell.robust.rate:.1%} right after the attack"] if cell.robust else []
    return ", ".join(parts)


def in_a_word(record: Record) -> str:
    """A record's rate at its fewest pixels."""
    rate = record.levels[0].asr
    share = "no rate" if rate.rate is None else f"{rate.rate:.1%}"
    return f"{record.setting.subject} {share} of {rate.total}"


def _success_words(rate: Rate) -> str:
    if rate.rate is None:
        return "no image was attacked, for the model got none right"
    return f"success {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total}"


def show_records(records: Sequence[Record], models: Mapping[str, Card]) -> None:
    """Every evaluation, with what makes it again."""
    for record in records:
        setting = record.setting
        title = f"{setting.name} · {in_a_word(record)}"
        title += " · of weights that it had before" if is_past(record, models) else ""
        with st.expander(title, icon=":material/description:"):
            lines = [
                f"- {level.pixels} px: {_success_words(level.asr)}; robust "
                f"{level.robust.rate:.1%} of {level.robust.total}"
                for level in record.levels
            ]
            st.markdown("\n".join(lines))
            if caution := _caution(record, models):
                st.warning(caution, icon=":material/warning:")
            st.caption(
                f"{record.hardware}, {record.seconds / 60:.0f} min of attacking, {record.date}, "
                f"torch {record.versions.get('torch', '?')}, commit {record.commit[:12]}."
            )
            st.code(record.command, language=None, wrap_lines=True)
            _download(f"{setting.name}.json", record.to_json(), "application/json")


def _caution(record: Record, models: Mapping[str, Card]) -> str:
    """What is wrong with the weights that a record is of; "" where nothing is known to be."""
    card = models.get(record.setting.model)
    caution = caution_of(card) if card and not is_past(record, models) else ""
    return f"These weights were {caution}." if caution else ""
