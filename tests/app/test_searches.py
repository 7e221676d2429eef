"""How many pixels, by which method: the choice on photographs, and what is said of such runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from apr_core import InputError, OnePixelConfig, Status
from apr_core.attacks.result import PixelEdit
from apr_core.base.types import Fitness, Method
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.models.incremental.engine import DENSE
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest, Phase, check_served
from apr_core.serving.run_export import record, to_csv
from apr_core.zoo.library import LITE0
from apr_ui.permalink import from_params, to_params
from apr_ui.pictures import MANY, alt_text, animation
from apr_ui.run_result import ending_of
from apr_ui.searches import OFFERS, PAPERS, QUICK, larger_searches, offers_on
from apr_ui.stage import share_picture
from tests.app.pages import address_of, open_page, results, run, said, wait_for

PILLS = 1
"""The second group of pills; the first is of the data sets."""
MODEL = "cifar10-resnet20-vanilla"


@pytest.fixture(autouse=True)
def dense(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DENSE, "1")
    monkeypatch.setenv("APR_DATA", str(tmp_path))


def choose(data: str) -> AppTest:
    return run(open_page("attack").get("button_group")[0].set_value(data))


def pills(app: AppTest):
    (found,) = [one for one in app.get("button_group") if one.label == "What may change"]
    return found


def search_of(app: AppTest) -> tuple[int, Method, int, int]:
    names = ("pixels", "method", "population", "generations")
    return tuple(app.session_state[f"attack.{name}"] for name in names)


def test_the_choices_on_photographs_are_one_control_that_the_settings_follow() -> None:
    app = choose(PHOTOGRAPHS)
    assert [offer.pixels for offer in OFFERS[PHOTOGRAPHS]] == [1, 16, 50, 150, 32**2]
    assert pills(app).value == "1 pixel"
    for offer in OFFERS[PHOTOGRAPHS]:
        run(pills(app).set_value(offer.words))
        assert search_of(app) == offer
        assert pills(app).value == offer.words
    run(app.get("button_group")[0].set_value(DEFAULT))
    assert search_of(app) == PAPERS


def test_signs_are_searched_with_fewer_queries_than_published() -> None:
    app = choose("gtsrb")
    assert search_of(app) == offers_on("gtsrb")[0] == (1, Method.DE, 400, 49)
    assert "allow 40,400; here fewer give a quick answer" in said(app)
    run(app.get("button_group")[0].set_value(DEFAULT))
    assert search_of(app) == PAPERS


def test_every_choice_is_one_that_the_service_takes() -> None:
    for data, offers in {**OFFERS, "gtsrb": QUICK}.items():
        for offer in offers:
            check_served(OnePixelConfig(**offer._asdict()), find_dataset(data))


def test_the_method_brings_its_usual_budget_and_hides_what_is_not_its_own() -> None:
    app = open_page("attack")
    run(app.selectbox(key="attack.method").set_value(Method.SPARSE_RS))
    assert search_of(app) == (16, Method.SPARSE_RS, 8, 39)
    assert not [one for one in app.selectbox if one.key in ("attack.strategy", "attack.fitness")]
    run(app.selectbox(key="attack.method").set_value(Method.DE))
    assert search_of(app) == PAPERS
    assert app.selectbox(key="attack.strategy").value == "su2019"


def test_pixels_that_do_not_fit_are_said_and_nothing_starts() -> None:
    app = choose(PHOTOGRAPHS)
    run(app.number_input(key="attack.pixels").set_value(50))
    assert "differential evolution changes at most 16 and Sparse-RS at most 250" in said(app)
    run(app.button(key="attack.hunt").click())
    assert "attack.current-run" not in app.session_state or not results(app)[0]["edits"]


def test_a_photograph_is_attacked_with_many_pixels_and_its_link_leads_back() -> None:
    app = choose(PHOTOGRAPHS)
    run(pills(app).set_value("150 pixels"))
    run(app.number_input(key="attack.generations").set_value(1))
    run(app.button(key="attack.hunt").click())
    wait_for(app.session_state["attack.current-run"].ticket.run_id)
    run(app)
    config = app.session_state["attack.current-run"].request.config
    assert (config.pixels, config.method, config.fitness) == (
        150,
        Method.SPARSE_RS,
        Fitness.MARGIN,
    )
    assert len(results(app)[0]["edits"]) == 150
    assert "150 pixels by Sparse-RS" in said(app)
    again = open_page("attack", address_of(app))
    assert again.session_state["attack.current-run"].request.config == config
    assert pills(again).value == "150 pixels"


def test_a_link_without_a_method_is_of_differential_evolution() -> None:
    assert from_params({"model": MODEL, "index": "3"}).config.method is Method.DE
    asked = {"model": LITE0, "index": "409", "method": "sparse-rs", "population": "8"}
    request = from_params({**asked, "pixels": "250"})
    assert from_params(to_params(request)).run_id == request.run_id
    with pytest.raises(InputError, match=r"pixels is 251"):
        from_params({**to_params(request), "pixels": "251"})
    with pytest.raises(InputError, match=r"pixels is 17"):
        from_params({**asked, "model": MODEL, "pixels": "17"})


def test_who_survives_is_offered_more_pixels() -> None:
    image, label = find_dataset(PHOTOGRAPHS).shipped_sample().images[0], 340
    config = OnePixelConfig(**OFFERS[PHOTOGRAPHS][1]._asdict())
    request = AttackRequest(LITE0, image, label, 0, config)
    assert [more.pixels for more in larger_searches(request)] == [50, 150, 32**2]
    small = AttackRequest(MODEL, image, label, 0, OnePixelConfig(3))
    assert [more.words for more in larger_searches(small)] == ["5 pixels", "a patch of 5 × 5"]
    assert larger_searches(replace(small, config=OnePixelConfig(25, method=Method.PATCH))) == []


def test_what_was_chosen_stays_on_other_pictures_that_offer_it() -> None:
    app = open_page("attack")
    run(pills(app).set_value("5 pixels"))
    run(app.get("button_group")[0].set_value("gtsrb"))
    assert pills(app).value == "5 pixels"
    assert search_of(app) == (5, Method.DE, 400, 49)
    run(app.get("button_group")[0].set_value(PHOTOGRAPHS))
    assert pills(app).value == "1 pixel"


def test_the_button_says_how_many_pixels_are_hunted_for() -> None:
    app = open_page("attack", {"model": MODEL, "index": "3"})
    assert app.button(key="attack.hunt").label == "Hunt for the pixel"
    run(pills(app).set_value("3 pixels"))
    assert app.button(key="attack.hunt").label == "Hunt for the pixels"


def test_a_patch_is_hunted_and_its_link_leads_back() -> None:
    app = open_page("attack", {"model": MODEL, "index": "3"})
    run(pills(app).set_value("a patch, 5 × 5"))
    assert app.button(key="attack.hunt").label == "Hunt for the patch"
    run(app.number_input(key="attack.side").set_value(6))
    run(app.button(key="attack.hunt").click())
    wait_for(app.session_state["attack.current-run"].ticket.run_id)
    run(app)
    config = app.session_state["attack.current-run"].request.config
    assert (config.side, config.method, config.fitness) == (6, Method.PATCH, Fitness.MARGIN)
    (shown,) = results(app)
    assert (len(shown["edits"]), shown["square"]["side"]) == (36, 6)
    assert "a patch of 6 × 6 made the model" in shown["detail"]
    assert "with a patch of 6 × 6 by Sparse-RS" in said(app)
    again = open_page("attack", address_of(app))
    assert again.session_state["attack.current-run"].request.config == config
    assert again.number_input(key="attack.side").value == 6
    with pytest.raises(InputError, match="The patch is 17 × 17, but here its side is at most 16"):
        from_params(address_of(app) | {"pixels": "289"})
    with pytest.raises(InputError, match="a patch is a square; give 36"):
        from_params(address_of(app) | {"pixels": "40"})


@pytest.fixture(scope="module")
def survivor():
    """A run of 150 pixels on a photograph that they do not turn."""
    from apr_ui.resources import service

    image = find_dataset(PHOTOGRAPHS).shipped_sample().images[0]
    config = OnePixelConfig(150, population=2, generations=1, method=Method.SPARSE_RS)
    request = AttackRequest(LITE0, image, 340, OWN_PICTURE, config)
    view = service().view(service().submit(request).run_id)
    assert view is not None
    while view.live:
        view = service().view(request.run_id, wait=1)
    assert view.phase is Phase.ENDED
    assert view.outcome.status is Status.SURVIVED
    return view


def test_surviving_many_pixels_is_a_finding(survivor) -> None:
    end = ending_of(survivor)
    assert (end.tone, end.icon) == ("held", "shield")
    assert "finding" in end.detail
    assert "150 pixels" in end.detail


def test_the_files_of_such_a_run_are_made_and_count_its_pixels(survivor) -> None:
    assert animation(survivor, "Survived").startswith(b"GIF")
    assert share_picture(survivor).startswith(b"\x89PNG")
    assert to_csv(survivor).count("rgb(") == 300
    assert len(record(survivor)["frames"]) == 2
    outcome, classes = survivor.outcome, survivor.request.data.classes
    assert "150 pixels" in alt_text(outcome, classes)
    few = replace(outcome, edits=(PixelEdit(1, 2, (0, 0, 0)),) * MANY)
    assert alt_text(few, classes).count("x 1, y 2") == MANY
