"""A record of agreement in words and tables."""

from __future__ import annotations

import pandas as pd

from apr_core.evaluation.attribution.agreement import (
    CENTRE,
    NOISE,
    AgreementRecord,
    Summary,
    Verdict,
    verdict,
)
from apr_core.evaluation.metrics import Mean
from apr_core.explain.agreement import TOP
from apr_ui.attention.view import WORDS
from apr_ui.dataset import class_name
from apr_ui.words import count_text

NAMES = WORDS | {CENTRE: "nearness to the centre", NOISE: "noise"}
"""Titles of the methods, and of the two baselines."""
WITH_ATTENTION, SHARED = "attention correlation", f"top {TOP:.0%} shared"
WITH_TRUTH, OUTWEIGHS = "truth map correlation", "percentile rank"
COLUMNS = {
    "with_truth": WITH_TRUTH,
    "truth_gain": "gain over the centre",
    "outweighs": OUTWEIGHS,
    "with_attention": WITH_ATTENTION,
    "overlap": SHARED,
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
}
"""Titles of a record's means, in the order in which they are shown."""
FEW = 5
"""For fewer pictures, an interval is too wide to be useful."""
VERDICTS = {
    Verdict.PREDICTS: "predicts it",
    Verdict.WEAKLY: "weakly predicts it",
    Verdict.NOT: "does not predict it",
    Verdict.ELSEWHERE: "predicts the opposite",
    Verdict.OPEN: "may or may not predict it",
}
"""“It” is where one pixel fools the model."""
MORE, AS_MUCH, NO, UNSETTLED = (
    ":material/check_circle:",
    ":material/center_focus_weak:",
    ":material/cancel:",
    ":material/help:",
)
"""Predicts better than the centre of the picture; no better than it; does not predict; unknown."""


def sentence(method: str, summary: Summary) -> str:
    """A record's verdict on a method, with the numbers behind it."""
    found, gain = summary.with_truth, summary.truth_gain
    if found is None:
        return f"{NAMES[method]}: no result."
    said = verdict(found)
    if method == CENTRE:
        words = f"**Nearness to the centre, a baseline that needs no model, {VERDICTS[said]}**"
    else:
        words = f"**{NAMES[method]} {VERDICTS[said]}**{_against_centre(gain)}"
    words += f": rank correlation {mean_text(found)} over {found.runs} pictures."
    if summary.outweighs is None:
        words += " No single pixel fools the model on any of them."
    else:
        words += (
            f" In {summary.outweighs.runs} of them a pixel fools the model; it ranks above "
            f"{mean_text(summary.outweighs)} of the other pixels."
        )
    return f"{_icon(said, gain)} {words}"


def _icon(said: Verdict, gain: Mean | None) -> str:
    if said in (Verdict.PREDICTS, Verdict.WEAKLY):
        return MORE if gain and gain.low and gain.low > 0 else AS_MUCH
    return UNSETTLED if said is Verdict.OPEN else NO


def _against_centre(gain: Mean | None) -> str:
    """How a correlation compares with that of the baseline, nearness to the centre."""
    if gain is None or gain.low is None or gain.high is None:
        return ""
    if gain.low > 0:
        return ", better than nearness to the centre"
    return f", {'worse' if gain.high < 0 else 'no better'} than nearness to the centre"


def mean_text(mean: Mean | None) -> str:
    """A mean with its interval; for few pictures, with their number instead."""
    if mean is None:
        return ""
    if mean.low is None or mean.high is None or mean.runs < FEW:
        return f"{mean.mean:.2f} (only {count_text(mean.runs, 'picture', 'pictures')})"
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def means_table(found: dict[str, Summary]) -> pd.DataFrame:
    """A row a method; columns that are empty for all are left out."""
    rows = [
        {"method": NAMES[method]}
        | {words: mean_text(getattr(summary, name)) for name, words in COLUMNS.items()}
        for method, summary in found.items()
    ]
    frame = pd.DataFrame(rows)
    return frame.loc[:, (frame != "").any()]


def in_rows(record: AgreementRecord) -> pd.DataFrame:
    """A row a map: its picture, its method and its figures."""
    return pd.DataFrame(
        {"index": one.index, "class": class_name(one.label), "broken pixels": one.broken}
        | {"method": method, **figures._asdict()}
        for one in record.looked
        for method, figures in one.maps.items()
    )
