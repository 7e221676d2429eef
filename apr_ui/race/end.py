"""How a race ended, on the page: who fell, the curves, the transfer matrix, proofs, files."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from torch import Tensor

from apr_core.attacks.transfer import Cell, transfer_matrix
from apr_core.base.types import InputError
from apr_core.data.cifar10 import CLASSES
from apr_ui.charts import confidence_bars, describe_bars
from apr_ui.downloads import offer_files
from apr_ui.fresh import fresh_markdown
from apr_ui.proof.certificate import show_seal
from apr_ui.proof.finding import find_proof, is_light
from apr_ui.proof.words import seal_words
from apr_ui.race.charts import race_curves, transfer_chart, transfer_table, transfer_words
from apr_ui.race.report import contact_sheet, png_of, report_page
from apr_ui.race.view import Race
from apr_ui.race.words import (
    Runner,
    all_in_words,
    as_table,
    news,
)
from apr_ui.resources import probabilities, scorer
from apr_ui.words import plain

_COMPARED, _SEALS = "compare.compared", "compare.seals"
_BARE = {"displayModeBar": False}


def show_end(race: Race, runners: Sequence[Runner], link: str) -> None:
    """How the race ended: words, a table, figures, and files to take away."""
    finished = [runner for runner in runners if runner.view.outcome]
    matrix, before, after = _compared(race, finished)
    st.subheader("Who fell, and when", anchor=False)
    table = as_table(runners)
    share = st.column_config.NumberColumn(format="percent")
    columns = {name: share for name in table if name.startswith(("Sure", "True"))}
    columns["Queries"] = st.column_config.NumberColumn(format="localized")
    columns["Model"] = st.column_config.TextColumn(pinned=True)
    st.dataframe(
        table,
        hide_index=True,
        key="compare.table",
        alt=news(runners),
        column_config=columns,
        placeholder="–",
    )
    _downloads(runners, matrix, link)
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
        column_config={"Edit found on": st.column_config.TextColumn(width=170, pinned=True)},
        alt="What each model reads in each edited picture.",
    )
    _confidence(finished, before, after)


def _compared(
    race: Race, finished: Sequence[Runner]
) -> tuple[list[list[Cell]], list[Tensor], list[Tensor]]:
    """The transfer matrix, and each model's probabilities before and after its own edit."""
    image, label = race.requests[0].image, race.requests[0].label
    ends = [(r.view.request.model, r.view.outcome) for r in finished if r.view.outcome]
    kept: tuple[object, tuple[list[list[Cell]], list[Tensor], list[Tensor]]] | None
    kept = st.session_state.get(_COMPARED)
    if kept is None or kept[0] != (race.key, ends):
        scorers = [scorer(model) for model, _ in ends]
        matrix = transfer_matrix(scorers, image, label, [found.edits for _, found in ends])
        both = [probabilities(model, [image, found.apply(image)]) for model, found in ends]
        sure = [answer[0] for answer in both], [answer[1] for answer in both]
        kept = st.session_state[_COMPARED] = ((race.key, ends), (matrix, *sure))
    return kept[1]


def _curves(runners: Sequence[Runner]) -> None:
    st.subheader("How it went", anchor=False)
    st.markdown("How sure the model still was of the true class, for the best edit so far.")
    st.plotly_chart(
        race_curves(runners),
        key="compare.curves",
        config=_BARE,
        alt=f"The true class's probability against queries. {all_in_words(runners)}",
    )


def _transfer(finished: Sequence[Runner], matrix: list[list[Cell]]) -> None:
    st.subheader("Do the edits carry over?", anchor=False)
    sentences = transfer_words(finished, matrix) or ["No attack broke its model."]
    listed = "\n".join(f"- {sentence}" for sentence in sentences)
    fresh_markdown("compare.transfer-words", listed)
    st.plotly_chart(
        transfer_chart(finished, matrix),
        key="compare.transfer",
        config=_BARE,
        alt=" ".join(sentences).replace("**", ""),
    )
    st.caption(
        "A row is the edit found on one model, shown to all; on the diagonal, to its own. ✗: it "
        "breaks the model. In brackets: misread even without an edit. Below: what each reads."
    )


def _confidence(
    finished: Sequence[Runner], before: Sequence[Tensor], after: Sequence[Tensor]
) -> None:
    st.subheader("Before and after, on each model's own edit", anchor=False)
    grid = st.grid("auto", min_column_width=300)
    for number, runner in enumerate(finished):
        with grid.cell():
            st.markdown(f"**{runner.name}**")
            st.plotly_chart(
                confidence_bars(CLASSES, before[number], after[number], most=3),
                key=f"compare.bars-{number}",
                config=_BARE,
                alt=describe_bars(CLASSES, before[number], after[number]),
            )


def _downloads(runners: Sequence[Runner], matrix: list[list[Cell]], link: str) -> None:
    name = f"race-{runners[0].view.request.run_id}"
    files = (
        ("PNG", lambda: png_of(contact_sheet(runners)), "image/png", "Every edited picture"),
        ("CSV", lambda: as_table(runners).to_csv(index=False), "text/csv", "The table"),
        ("HTML", lambda: report_page(runners, matrix, link), "text/html", "All of it as one page"),
    )
    offer_files("compare", name, files)


def offer_seals(race: Race, runners: Sequence[Runner]) -> None:
    """A certificate for each model: unasked if all are light, else for those who ask."""
    finished = [runner for runner in runners if runner.view.outcome]
    if not finished:
        return
    st.subheader("Could any pixel do it? The proof", anchor=False)
    st.markdown(
        "Behind **lattice masking**, each model is asked with one part in sixteen of the picture "
        "masked, and with two. If all 136 answers agree, no single pixel, of any colour, can "
        "change the answer that they give together. The promise is the masked model's: the bare "
        "one, which raced above, may fall all the same."
    )
    wanted = st.session_state.get(_SEALS) == race.key
    if not (wanted or _all_light(finished)):
        icon = ":material/verified:"
        if not st.button("Certify for every model", key="compare.certify", icon=icon):
            return
        st.session_state[_SEALS] = race.key
    bar, grid = st.empty(), st.grid("auto", min_column_width=300)
    for done, runner in enumerate(finished):
        bar.progress(done / len(finished), f"Asking {runner.name}")
        request = runner.view.request
        try:
            found = find_proof(request.model, request.image, request.label).found
        except InputError as error:
            grid.error(f"{runner.name}  \n{plain(error)}", icon=":material/error:")
        else:
            show_seal(f"{runner.name}  \n{seal_words(found)}", found, grid)
    bar.empty()


def _all_light(runners: Sequence[Runner]) -> bool:
    try:
        return all(is_light(runner.view.request.model) for runner in runners)
    except InputError:  # said of the one that is meant, to those who ask
        return False
