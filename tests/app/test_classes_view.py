"""The Classes page: what it shows is what the engine and the records say."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical

from apr_core.data.registry import find_dataset
from apr_core.evaluation.classes import rates_by_class
from apr_core.evaluation.metrics import Mean
from apr_core.explain.attention import attention_of
from apr_core.explain.regions import mass_inside, object_region
from apr_core.zoo.checkpoints import OLD_PENALTY, caution_of, load_card, load_model
from apr_ui.classes.attention import _verdict, ratio_of
from apr_ui.classes.view import (
    ALL,
    FLIPPED,
    ORDERS,
    RIGHT,
    SURVIVED,
    WRONG,
    record_of,
    rows_of,
    view_of,
)
from apr_ui.resources import evaluations
from tests.app.pages import APR, VANILLA, go, open_page, run, said

CAT = find_dataset().classes.index("cat")


def on(model: str) -> dict[str, object]:
    return {"attention.model": model, "classes.class": CAT}


def test_the_view_is_the_models() -> None:
    view, sample = view_of(APR), find_dataset().shipped_sample()
    model, images = load_model(APR), sample.images[:20].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(
            view.answers[:20], model(images).softmax(1), rtol=1e-3, atol=1e-4
        )
    gate = attention_of(model, images)
    region = object_region(sample.images[0])
    torch.testing.assert_close(view.attention[:20], gate)
    assert view.ratios[0].item() == pytest.approx(mass_inside(gate[0], region).ratio, rel=1e-4)
    assert view_of(VANILLA).attention is None


def test_examples_are_of_their_kind_and_in_their_order() -> None:
    view, sample, record = view_of(VANILLA), find_dataset().shipped_sample(), record_of(VANILLA)
    every = rows_of(CAT, view, record, ALL, ORDERS[0])
    assert len(every) == 100
    assert {int(sample.labels[row]) for row in every} == {CAT}
    right = rows_of(CAT, view, record, RIGHT, ORDERS[0])
    wrong = rows_of(CAT, view, record, WRONG, ORDERS[0])
    assert sorted(right + wrong) == every
    assert all(view.answers[row].argmax() == CAT for row in right)
    flipped = rows_of(CAT, view, record, FLIPPED, ORDERS[0])
    survived = rows_of(CAT, view, record, SURVIVED, ORDERS[0])
    rate = rates_by_class(record, 1)[CAT]
    assert (len(flipped), len(flipped) + len(survived)) == (rate.count, rate.total)
    sure = [float(view.answers[row, 3]) for row in rows_of(CAT, view, record, ALL, ORDERS[1])]
    assert sure == sorted(sure, reverse=True)
    seen = view_of(APR)
    inner = seen.attention[rows_of(CAT, seen, None, ALL, ORDERS[2])][:, 1:-1, 1:-1]
    spread = [float(Categorical(probs=one.flatten()).entropy()) for one in inner]
    assert spread == pytest.approx(sorted(spread, reverse=True))
    assert spread[0] > spread[-1]


def test_the_kind_of_examples_is_kept_where_there_is_such_a_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = open_page("classes", state=on(VANILLA))
    run(app.segmented_control(key="classes.kind").set_value(FLIPPED))
    go(app, "start", "classes")
    assert app.segmented_control(key="classes.kind").value == FLIPPED
    others = [one for one in evaluations()[0] if one.setting.model != APR]
    monkeypatch.setattr("apr_ui.classes.view.evaluations", lambda: (others, []))
    app.session_state["attention.model"] = APR
    go(app, "classes")
    assert app.segmented_control(key="classes.kind").value == ALL


def test_the_page_says_the_rates_of_the_record() -> None:
    app = open_page("classes", state=on(VANILLA))
    rate = rates_by_class(record_of(VANILLA), 1)[CAT]
    assert f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}] of {rate.total}" in said(app)
    assert any("no attention gate" in one.value for one in app.info)


def test_the_papers_claims_have_a_verdict_each() -> None:
    app = open_page("classes", state=on(APR))
    claims = [text.value for text in app.markdown if "The paper finds" in text.value]
    assert len(claims) == 3
    caution = caution_of(load_card(APR))
    assert any(OLD_PENALTY in caption.value for caption in app.caption) == bool(caution)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(1.1, 1.3, "On the object"), (0.7, 0.9, "Off the object"), (0.99, 1.01, "No notable"),
     (0.9, 1.2, "Not settled"), (1.01, 1.2, "Not settled")],
)  # fmt: skip
def test_a_preference_must_be_worth_the_name(low: float, high: float, said: str) -> None:
    assert said in _verdict(Mean((low + high) / 2, low, high, 10))


def test_pictures_without_an_object_are_left_out_of_the_mean() -> None:
    mean = ratio_of(torch.tensor([1.0, float("nan"), 3.0]))
    assert (mean.mean, mean.runs) == (2.0, 2)
    assert ratio_of(torch.tensor([float("nan"), 1.0])) is None
