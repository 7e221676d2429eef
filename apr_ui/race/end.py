"""The end of a race: results by model, curves, the transfer matrix, certificates and files."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from apr_core.attacks.transfer import Cell, transfer_matrix
from apr_core.base.types import InputError
from apr_ui.changing_text import changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.dataset import class_name
from apr_ui.downloads import offer_files
from apr_ui.proof.certificate import (
    EXPLANATION,
    seal_words,
    show_seal,
    true_class,
    why_no_certificate,
)
from apr_ui.proof.finding import find_proof, is_light
from apr_ui.race.charts import Matrix, race_curves, transfer_chart, transfer_table, transfer_words
from apr_ui.race.report import race_sheet, report_page
from apr_ui.race.view import Race
from apr_ui.race.words import Runner, all_status_words, as_table, news
from apr_ui.resources import scorer
from apr_ui.words import plain

_COMPARED, _SEALS = "compare.compared", "compare.seals"


def show_end(race: Race, runners: Sequence[Runner], link: str) -> None:
    """How the race ended: a table, figures, and files to download."""
    finished = [runner for runner in runners if runner.view.outcome]
    matrix = _compared(race, finished)
    st.header("Attack results by model", anchor=False)
    table = as_table(runners)
    share = st.column_config.NumberColumn(format="percent")
    columns = {name: share for name in table if name.startswith(("Sure", "True"))}
    columns["Queries"] = st.column_config.NumberColumn(format="localized")
    columns["Model"] = st.column_config.TextColumn(pinned=True)
    shown = [name for name in table if name != "Checkpoint"]  # which is in the CSV alone
    st.dataframe(
        table,
        hide_index=True,
        key="compare.table",
        alt=news(runners),
        column_config=columns,
        column_order=shown,
        placeholder="–",
    )
    files = (
        ("PNG", lambda: race_sheet(runners), "Every edited picture"),
        ("CSV", lambda: table.to_csv(index=False), "The table"),
        ("HTML", lambda: report_page(runners, matrix, link), "All of it as one page"),
    )
    first = runners[0].view.request
    name = f"race-{class_name(first.label)}-{first.config.code}-{len(runners)}-models"
    offer_files("compare", name, files)
    if not finished:
        return
    curves, transfer = st.columns(2, gap="medium")
    with curves:
        _curves(runners)
    with transfer:
        _transfer(finished, matrix)
    st.dataframe(
        transfer_table(finished, matrix),
        hide_index=True,
        key="compare.answers",
        column_config={"Edit found on": st.column_config.TextColumn(width=200, pinned=True)},
        alt="Each model's prediction for each edited picture.",
    )


def _compared(race: Race, finished: Sequence[Runner]) -> list[list[Cell]]:
    """The transfer matrix of the runs that have an outcome, made once."""
    image, label = race.requests[0].image, race.requests[0].label
    ends = [(r.view.request.model, r.view.outcome) for r in finished if r.view.outcome]
    kept: tuple[object, list[list[Cell]]] | None = st.session_state.get(_COMPARED)
    if kept is None or kept[0] != (race.key, ends):
        scorers = [scorer(model) for model, _ in ends]
        matrix = transfer_matrix(scorers, image, label, [found.edits for _, found in ends])
        kept = st.session_state[_COMPARED] = ((race.key, ends), matrix)
    return kept[1]


def _curves(runners: Sequence[Runner]) -> None:
    st.header("Confidence over the search", anchor=False)
    st.markdown("The model's probability of the true class, for the best edit so far.")
    alt = f"The true class's probability against queries. {all_status_words(runners)}"
    show_chart(race_curves(runners), "compare.curves", alt)


def _transfer(finished: Sequence[Runner], matrix: Matrix) -> None:
    st.header("Transfer: does an edit fool other models too?", anchor=False)
    sentences = transfer_words(finished, matrix) or [_no_transfer(finished)]
    changing_markdown("compare.transfer-words", "\n".join(f"- {one}" for one in sentences))
    alt = " ".join(sentences).replace("**", "")
    show_chart(transfer_chart(finished, matrix), "compare.transfer", alt)
    st.caption(
        "Each row is the edit that was found on one model, shown to all models; the diagonal is "
        "that model itself. ✗: the edit fools the model. In brackets: the model misreads the "
        "clean picture too. The table below has the predictions."
    )


def _no_transfer(finished: Sequence[Runner]) -> str:
    """Why no edit can be said to fool other models."""
    if any(runner.fell for runner in finished):
        return "No other model gets the clean picture right, so there is none left to fool."
    return "No attack fooled its model."


def offer_seals(race: Race, runners: Sequence[Runner]) -> None:
    """A certificate for each model: at once if all are light, else at the press of a button."""
    finished = [runner for runner in runners if runner.view.outcome]
    if not finished:
        return
    st.header("Certificates", anchor=False)
    label = true_class(race.requests[0])
    if label is None:
        st.markdown(why_no_certificate())
        return
    st.markdown(
        f"{EXPLANATION} Each certificate is for a model behind lattice masking. Without masks, as "
        "it was attacked above, the same model may still be fooled."
    )
    if st.session_state.get(_SEALS) != race.key and not _all_light(finished):
        icon = ":material/verified:"
        if not st.button("Certify every model", key="compare.certify", icon=icon):
            return
        st.session_state[_SEALS] = race.key
    bar, grid = st.empty(), st.grid("auto", min_column_width=300)
    for done, runner in enumerate(finished):
        bar.progress(done / len(finished), f"Certifying {runner.name}")
        request = runner.view.request
        try:
            found = find_proof(request.model, request.image, label).found
        except InputError as error:
            grid.error(f"{runner.name}  \n{plain(error)}", icon=":material/error:")
        else:
            show_seal(f"{runner.name}  \n{seal_words(found)}", found, grid)
    bar.empty()


def _all_light(runners: Sequence[Runner]) -> bool:
    try:
        return all(is_light(runner.view.request.model) for runner in runners)
    except InputError:  # shown for the model in question once somebody asks
        return False
