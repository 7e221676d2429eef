"""What a record of agreement says, in words and tables; no streamlit here."""

from __future__ import annotations

import pandas as pd

from apr_core.data.cifar10 import CLASSES
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

NAMES = WORDS | {CENTRE: "nearness to the middle", NOISE: "noise"}
"""Of the methods, and of what they are held against."""
WITH_ATTENTION, SHARED = "with attention", f"top {TOP:.0%} shared"
WITH_TRUTH, OUTWEIGHS = "with truth map", "outweighs"
COLUMNS = {
    "with_truth": WITH_TRUTH,
    "truth_gain": "over the middle",
    "outweighs": OUTWEIGHS,
    "with_attention": WITH_ATTENTION,
    "overlap": SHARED,
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
}
"""Of a record's means, in the order in which they are shown."""
FEW = 5
"""Over fewer pictures than this, an interval is too wide to say anything."""
VERDICTS = {
    Verdict.PREDICTS: "predicts it",
    Verdict.WEAKLY: "weakly predicts it",
    Verdict.NOT: "does not predict it",
    Verdict.ELSEWHERE: "points away from it",
    Verdict.OPEN: "may or may not predict it",
}
"""Where one pixel breaks the model, that is."""
MORE, AS_MUCH, NO, UNSETTLED = (
    ":material/check_circle:",
    ":material/center_focus_weak:",
    ":material/cancel:",
    ":material/help:",
)
"""It predicts, and more than the middle of the picture; no more than that; not; nobody knows."""


def sentence(method: str, summary: Summary) -> str:
    """What a record says of a method, with the numbers that say it."""
    found, gain = summary.with_truth, summary.truth_gain
    if found is None:
        return f"{NAMES[method]}: nothing was found."
    said = verdict(found)
    if method == CENTRE:
        words = f"**Nearness to the middle, which asks no model, {VERDICTS[said]}**"
    else:
        words = f"**{NAMES[method]} {VERDICTS[said]}**{_against_centre(gain)}"
    words += f": rank correlation {in_words(found)} over {found.runs} pictures."
    if summary.outweighs is None:
        words += " None of them is broken by one pixel."
    else:
        words += (
            f" The pixel that breaks {summary.outweighs.runs} of them outweighs "
            f"{in_words(summary.outweighs)} of the others."
        )
    return f"{_icon(said, gain)} {words}"


def _icon(said: Verdict, gain: Mean | None) -> str:
    if said in (Verdict.PREDICTS, Verdict.WEAKLY):
        return MORE if gain and gain.low and gain.low > 0 else AS_MUCH
    return UNSETTLED if said is Verdict.OPEN else NO


def _against_centre(gain: Mean | None) -> str:
    """How a correlation compares with that of the middle of the picture."""
    if gain is None or gain.low is None or gain.high is None:
        return ""
    if gain.low > 0:
        return ", more than nearness to the middle does"
    return f", {'less' if gain.high < 0 else 'no more'} than nearness to the middle does"


def in_words(mean: Mean | None) -> str:
    """A mean with its interval; over few, with how many they are instead."""
    if mean is None:
        return ""
    if mean.low is None or mean.high is None or mean.runs < FEW:
        return f"{mean.mean:.2f} (of {mean.runs} alone)"
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def means_table(found: dict[str, Summary]) -> pd.DataFrame:
    """A line a method; columns that are empty for all are left out."""
    rows = [
        {"method": NAMES[method]}
        | {words: in_words(getattr(summary, name)) for name, words in COLUMNS.items()}
        for method, summary in found.items()
    ]
    frame = pd.DataFrame(rows)
    return frame.loc[:, (frame != "").any()]


def in_rows(record: AgreementRecord) -> pd.DataFrame:
    """A line a map: its picture, its method and its figures."""
    return pd.DataFrame(
        {"index": one.index, "class": CLASSES[one.label], "broken pixels": one.broken}
        | {"method": method, **figures._asdict()}
        for one in record.looked
        for method, figures in one.maps.items()
    )
