"""Agreement on the pages: worked out when it is asked for, and said as the record has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apr_core.data.registry import find_dataset
from apr_core.evaluation.attribution.agreement import (
    CENTRE,
    NOISE,
    AgreementRecord,
    AgreementSetting,
    AttributionScores,
    ImageStudy,
    Summary,
    save_agreement,
    summaries,
)
from apr_core.evaluation.metrics import Mean, rate_of
from apr_core.explain.task import AttributionConfig
from apr_core.zoo.checkpoints import load_card
from apr_ui.attention.agreement import COLUMN_WORDS
from apr_ui.attention.agreement_words import (
    AS_MUCH,
    MORE,
    NAMES,
    NO,
    UNSETTLED,
    WITH_ATTENTION,
    in_rows,
    mean_text,
    means_table,
    sentence,
)
from tests.app.pages import APR, open_page
from tests.conftest import figures

AT = "cifar10-resnet20-at"


def looked(index: int, label: int, truth: float, outweighs: float | None) -> ImageStudy:
    maps = {
        "saliency": AttributionScores(None, None, truth, outweighs, 0.2, 0.6),
        CENTRE: AttributionScores(None, None, 0.1, outweighs, 0.3, 0.5),
        NOISE: AttributionScores(None, None, 0.0, outweighs, 0.3, 0.5),
    }
    return ImageStudy(index, label, int(outweighs is not None), maps)


IMAGES = (
    looked(4, 3, 0.30, 0.8), looked(5, 3, 0.34, None), looked(6, 3, 0.32, 0.9),
    looked(7, 9, -0.02, None), looked(8, 9, 0.02, None), looked(9, 9, 0.0, None),
)  # fmt: skip


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AgreementRecord]:
    """The only record there is: of the model with adversarial training."""
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    setting = AgreementSetting(
        AT, load_card(AT).sha256, 8, "0" * 64, 0.1, 32, asdict(AttributionConfig())
    )
    made = AgreementRecord(
        setting,
        rate_of(6, 8),
        IMAGES,
        hardware="a processor",
        versions={},
        commit="",
        command="the command",
        date="2026-01-02",
        seconds=1.0,
    )
    save_agreement(made)
    yield made
    st.cache_resource.clear()


def said_by(app: AppTest) -> list[str]:
    return [text.value for text in app.markdown if "rank correlation" in text.value]


def test_nothing_is_worked_out_before_it_is_asked_for(record: AgreementRecord) -> None:
    state = {"attention.model": AT, "attention.methods": ["saliency"]}
    assert len(open_page("attention", state=state).dataframe) == 0
    app = open_page("attention", state=state | {"attention.agree": True})
    table = app.dataframe[0].value
    assert list(table["method"]) == ["Saliency", "noise"]
    (words,) = [one.value for one in app.caption if "Deletion blackens" in one.value]
    for column, meaning in COLUMN_WORDS.items():  # AT has no gate: its columns are not explained
        assert (meaning in words) == (column in table)
    assert WITH_ATTENTION not in table


def test_the_attention_page_says_what_the_record_says(record: AgreementRecord) -> None:
    state = {"attention.model": AT, "attention.methods": ["saliency"], "attention.overall": True}
    app = open_page("attention", state=state)
    words, centre = said_by(app)
    assert "Nearness to the centre" in centre
    means = record.summaries()["saliency"].with_truth
    assert f"{means.mean:.2f} [{means.low:.2f}, {means.high:.2f}] over 6 pictures" in words
    assert any("gets 6 right" in one.value and "the command" in one.value for one in app.caption)


@pytest.mark.parametrize(("name", "icon"), [("cat", MORE), ("truck", NO), ("frog", "")])
def test_the_classes_page_says_it_of_the_class(
    record: AgreementRecord, name: str, icon: str
) -> None:
    label = find_dataset().class_number(name)
    state = {"attention.model": AT, "classes.class": label, "classes.overall": True}
    app = open_page("classes", state=state)
    if icon:
        assert said_by(app)[0].startswith(f"- {icon}")
        assert "over 3 pictures" in said_by(app)[0]
    else:
        assert not said_by(app)
        assert app.info


def test_without_a_record_the_page_says_how_to_make_one(record: AgreementRecord) -> None:
    app = open_page("classes", state={"attention.model": APR, "classes.overall": True})
    assert any(f"`python -m apr_core agreement --model {APR}`" in one.value for one in app.info)


# what is said


def summary(low: float, high: float, gain: tuple[float, float], outweighs: bool = True) -> Summary:
    nothing = dict.fromkeys(Summary.__dataclass_fields__)
    return Summary(
        **nothing
        | {
            "with_truth": Mean((low + high) / 2, low, high, 40),
            "truth_gain": Mean(sum(gain) / 2, *gain, 40),
            "outweighs": Mean(0.7, 0.6, 0.8, 12) if outweighs else None,
        }
    )


SENTENCES = {
    "better than the centre": summary(0.4, 0.5, (0.1, 0.2)),
    "worse than the centre": summary(0.4, 0.5, (-0.2, -0.1)),
    "no better than the centre": summary(0.4, 0.5, (-0.2, 0.1)),
    "no prediction": summary(0.0, 0.05, (0.1, 0.2)),
    "the opposite": summary(-0.3, -0.2, (0.1, 0.2)),
    "unknown": summary(-0.2, 0.2, (0.1, 0.2)),
    "nothing broken": summary(0.4, 0.5, (0.1, 0.2), outweighs=False),
}
"""Worded in tests/golden."""


def test_a_sentence_has_the_numbers_behind_its_verdict() -> None:
    words = [sentence("gradcam", found) for found in SENTENCES.values()]
    assert len({one.partition(":**")[0].split("**")[1] for one in words}) == 4
    rank = figures(words[0])
    assert rank == ["0.45", "0.40", "0.50", "40", "12", "0.70", "0.60", "0.80"]
    assert figures(words[-1]) == rank[:4]


@pytest.mark.parametrize(
    ("found", "icon"),
    [
        (summary(0.4, 0.5, (0.1, 0.2)), MORE),
        (summary(0.1, 0.2, (0.1, 0.2)), MORE),
        (summary(0.4, 0.5, (-0.1, 0.2)), AS_MUCH),
        (summary(0.4, 0.5, (-0.2, -0.1)), AS_MUCH),
        (summary(0.0, 0.05, (0.1, 0.2)), NO),
        (summary(-0.3, -0.2, (0.1, 0.2)), NO),
        (summary(-0.2, 0.2, (0.1, 0.2)), UNSETTLED),
    ],
)
def test_what_knows_no_more_than_the_middle_gets_no_tick(found: Summary, icon: str) -> None:
    assert sentence("gradcam", found).startswith(icon)
    assert NAMES[CENTRE] not in sentence(CENTRE, found)


def test_an_interval_over_few_pictures_is_not_given() -> None:
    assert mean_text(Mean(0.7, 0.6, 0.8, 5)) == "0.70 [0.60, 0.80]"
    assert mean_text(Mean(0.8, -1.0, 2.6, 2)) == "0.80 (only 2 pictures)"
    assert mean_text(Mean(0.8, None, None, 1)) == "0.80 (only 1 picture)"
    assert mean_text(None) == ""


def test_a_table_leaves_out_what_no_method_has() -> None:
    table = means_table(summaries(IMAGES))
    assert list(table["method"]) == ["Saliency", NAMES[CENTRE], "noise"]
    assert WITH_ATTENTION not in table
    assert table["deletion gain"][0] == "0.10 [0.10, 0.10]"


def test_the_file_has_a_line_a_map(record: AgreementRecord) -> None:
    rows = in_rows(record)
    assert len(rows) == 6 * 3
    line = rows[(rows["index"] == 6) & (rows["method"] == "saliency")].iloc[0]
    assert (line["class"], line["broken pixels"], line["with_truth"]) == ("cat", 1, 0.32)
    assert json.loads(record.to_json())["looked"][2]["index"] == 6
