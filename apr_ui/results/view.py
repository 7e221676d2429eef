"""The Results page's parts: definitions, curves, lattices, speeds and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.model_summary import find_record, is_past, lattices_of
from apr_core.evaluation.record import Record
from apr_core.evaluation.verdicts import SURE
from apr_core.report.imagenet import notices
from apr_core.report.speeds import SPEED_CAPTION, Speeds, speed_notes, speed_table
from apr_core.zoo.checkpoints import Card, caution_of
from apr_ui.chart_view import show_chart
from apr_ui.dataset import shown_data
from apr_ui.downloads import offer_files
from apr_ui.model_names import main_first, model_title
from apr_ui.persistent_widget import persistent
from apr_ui.resources import cards
from apr_ui.results.charts import caught_bars, lattice_costs, success_curves
from apr_ui.results.names import in_a_word, record_titles, success_text

DEFINITIONS = f"""
- **Clean accuracy**: share of all 10,000 CIFAR-10 test images that a model classifies correctly;
  behind masking, of the images that were tested for a certificate.
- **Attack success rate** (ASR): of the images in an evaluation that the model gets right, the share
  that some edit flips. Every flip is verified in float32 on the 8-bit picture.
- **Robust accuracy**: share of all images in an evaluation that the model gets right and that no
  attack flips.
- In brackets: **Wilson's 95 % interval**, with the number of images beside it. Two models are
  compared on the images that both get right, by McNemar's exact test.
- The **ladder** runs attacks from the cheapest to the most expensive, each on the images that no
  attack before it has flipped. The paper's own attack, differential evolution alone, is shown beside it: it never finds
  more.
- **Certified**: share of all images that the model behind lattice masking gets right, and for which
  it is proven that no edit of one pixel, of any colour, changes that answer. For two models, the
  shares of the images that were tested on both are shown beside it. Table 6 has the same for
  patches, behind square masks.
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


def show_definitions() -> None:
    """Definitions of the rates and of the tests."""
    with st.expander("Definitions: what is counted, and how", icon=":material/help:"):
        st.markdown(DEFINITIONS)


def show_curves(records: Sequence[Record]) -> None:
    """Success rate against queries, for the records that a person picks."""
    known, titles = {record.setting.name: record for record in records}, record_titles(records)
    chosen = st.multiselect(
        "Evaluations",
        list(titles),
        format_func=titles.__getitem__,
        **persistent("results.curves", first_curves(records)),
    )
    picked = [known[name] for name in chosen]
    if not picked:
        st.info("Pick an evaluation to see its curve.")
        return
    _show_notices(picked)
    curves, caught = st.columns(2)
    with curves:
        st.markdown("**Success rate against queries**, for one pixel or the fewest tried")
        alt = "Share of images flipped against queries: " + "; ".join(map(in_a_word, picked))
        show_chart(success_curves(picked), "results.curve-chart", alt)
    with caught:
        st.markdown("**Images that each attack was the first to flip**")
        alt = "Images that each attack was the first to flip, by model."
        show_chart(caught_bars(picked), "results.caught-chart", alt)


def first_curves(records: Sequence[Record]) -> list[str]:
    """Names of the records shown at first: the undefended model's and the five defences'.

    Where there are none of these, up to six of the pages' data set, or of any.
    """
    models = cards()[0]
    main, _ = main_first(models)
    found = [find_record(records, models[name]) for name in main]
    if names := [record.setting.name for record in found if record]:
        return names
    shown = [record for record in records if record.setting.data == shown_data().name]
    return [record.setting.name for record in (shown or records)[:6]]


def show_lattices(certificates: Sequence[CertRecord]) -> None:
    """The price of a certificate in forward passes, for models behind several lattices."""
    certificates = _of_several_lattices(lattices_of(certificates, cards()[0].values()))
    if not certificates:
        return
    st.header("Certified share against forward passes", anchor=False)
    st.caption(
        "Models that were certified behind more than one lattice, each on the images that all of "
        "its lattices were tested on."
    )
    alt = "Certified share by the lattice's spacing: " + "; ".join(
        f"{model_title(record.setting.model)}, spacing {record.setting.spacing}: "
        f"{record.certified.rate:.1%} of {record.certified.total:,}"
        for record in certificates
    )
    show_chart(lattice_costs(certificates), "results.lattices", alt)


def show_speeds(records: Sequence[Speeds]) -> None:
    """How fast the attack is beside a forward pass, other engines and other libraries."""
    if not records:
        return
    headers, rows = speed_table(records)
    st.header("Speed of the attack", anchor=False)
    st.caption(SPEED_CAPTION)
    frame = pd.DataFrame(rows, columns=headers)
    st.dataframe(frame, hide_index=True, height="content", key="results.speeds")
    for note in speed_notes(records):
        st.caption(note)


def _of_several_lattices(records: Sequence[CertRecord]) -> list[CertRecord]:
    """Records of models with several lattices: only these show the price of another lattice."""
    times = Counter(record.setting.model for record in records)
    return [record for record in records if times[record.setting.model] > 1]


def show_records(records: Sequence[Record], models: Mapping[str, Card]) -> None:
    """One evaluation at a time, with the command that repeats it."""
    known, titles = {record.setting.name: record for record in records}, record_titles(records)
    chosen = st.selectbox(
        "Details of an evaluation",
        list(titles),
        format_func=titles.__getitem__,
        **persistent("results.record", next(iter(titles))),
    )
    _show_record(known[chosen], models)


def _show_record(record: Record, models: Mapping[str, Card]) -> None:
    setting = record.setting
    lines = [
        f"- {level.pixels} px: {success_text(level.asr)}; robust {level.robust.rate:.1%} of "
        f"{level.robust.total}"
        for level in record.levels
    ]
    st.markdown("\n".join(lines))
    if is_past(record, models):
        st.warning("Made with weights that the model had before.", icon=":material/history:")
    if caution := _caution(record, models):
        st.warning(caution, icon=":material/warning:")
    _show_notices([record])
    st.caption(
        f"{record.hardware}, {record.seconds / 60:.0f} min of attacking, {record.date}, "
        f"torch {record.versions.get('torch', '?')}, commit {record.commit[:12]}."
    )
    st.code(record.command, language=None, wrap_lines=True)
    files = [("JSON", record.to_json, "")]
    offer_files("results.record", setting.name, files, "This evaluation as {kind}")


def _show_notices(records: Sequence[Record]) -> None:
    """What must stand beside rates on the records' data, and of their weights."""
    for notice in notices((record.setting.sha256, record.setting.data) for record in records):
        st.caption(notice)


def _caution(record: Record, models: Mapping[str, Card]) -> str:
    """A known fault of the weights of a record; "" if there is none."""
    card = models.get(record.setting.model)
    caution = caution_of(card) if card and not is_past(record, models) else ""
    return f"These weights were {caution}." if caution else ""
