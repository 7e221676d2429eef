"""Claims and their verdicts, as a table to filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from apr_core.evaluation.verdicts import Claim, Holds
from apr_core.report.tables import Table
from apr_ui.persistent_widget import persistent
from apr_ui.results.html_table import prose, short, show_html_table, two_lines
from apr_ui.model_names import network_title
from apr_ui.results.names import with_titles
from apr_ui.words import count_text

MARKS = {Holds.YES: "✓", Holds.NO: "✗", Holds.STANDS: "◇", Holds.OPEN: "○"}
COUNTED = {
    Holds.YES: "hold",
    Holds.NO: "do not hold",
    Holds.STANDS: "not refuted",
    Holds.OPEN: "not settled",
}
Numbered = tuple[int, Claim]
"""The table's number, and a claim of it."""


def show_verdicts(tables: Sequence[Table]) -> None:
    """Every claim that was put to the test; those that nothing was measured of stand apart."""
    claims = [(table.number, claim) for table in tables for claim in table.claims]
    measured = [each for each in claims if each[1].holds is not Holds.UNMEASURED]
    missing = [each for each in claims if each[1].holds is Holds.UNMEASURED]
    st.header("Claims and verdicts", anchor=False)
    times = Counter(claim.holds for _, claim in measured)
    told = [f"{times[holds]} {words}" for holds, words in COUNTED.items() if times[holds]]
    st.markdown(f"{count_text(len(measured), 'claim', 'claims')} tested: {', '.join(told)}.")
    if measured:
        _show_claims("Claims and verdicts", _filtered(measured, [h for h in COUNTED if times[h]]))
    if missing:
        title = f"Not measured yet: {count_text(len(missing), 'claim', 'claims')}"
        with st.expander(title, icon=":material/pending:"):
            _show_claims("Claims not measured yet", missing)


def _filtered(claims: Sequence[Numbered], verdicts: Sequence[Holds]) -> list[Numbered]:
    """Those that a person has chosen, by verdict and by table; all where nothing is chosen."""
    numbers = list(dict.fromkeys(number for number, _ in claims))
    left, right = st.columns(2)
    with left:
        held = st.pills(
            "Verdict", list(map(str, verdicts)), selection_mode="multi",
            **persistent("results.verdicts", []),
        )  # fmt: skip
    with right:
        named = st.pills(
            "Table", [f"Table {number}" for number in numbers], selection_mode="multi",
            **persistent("results.of-table", []),
        )  # fmt: skip
    return [
        (number, claim)
        for number, claim in claims
        if (not held or claim.holds in held) and (not named or f"Table {number}" in named)
    ]


def _show_claims(label: str, claims: Sequence[Numbered]) -> None:
    if not claims:
        st.info("No claim of that table has that verdict.", icon=":material/filter_alt_off:")
        return
    rows = [
        (
            two_lines(f"{MARKS.get(claim.holds, '')} {claim.holds}"),
            prose(with_titles(claim.text), with_titles(claim.found)),
            short(network_title(claim.architecture)),
            short(f"Table {number}"),
        )
        for number, claim in claims
    ]
    show_html_table(label, ["Verdict", "Claim and what was found", "Network", "From"], rows)
