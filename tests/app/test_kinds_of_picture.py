"""Photographs, traffic signs, ultrasound on the Attack page; other pages stay with CIFAR-10."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from apr_core import InputError, OnePixelConfig, Stop
from apr_core.attacks.oracle import SOON, ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.data.images import OWN_PICTURE, read_picture, refit, to_png
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.models.incremental.engine import DENSE
from apr_core.serving.archive.archive_format import weights_of
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.offered import OFFERED, offer, offered
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest, data_behind
from apr_core.zoo.library import LITE0
from apr_ui import choose_picture
from apr_ui.charts import MOST_LETTERS, confidence_bars
from apr_ui.choose_picture import ALL, CAMERA, GALLERY, TESTS, UPLOAD
from apr_ui.dataset import CHOICES, CHOSEN
from apr_ui.permalink import from_params, is_too_long, to_params
from apr_ui.resources import cards, gallery, service
from tests.app.pages import address_of, given, go, open_page, results, run, said, wait_for
from tests.conftest import PATIENCE, wait_until

MODELS = {
    PHOTOGRAPHS: LITE0,
    "gtsrb": "gtsrb-resnet20-vanilla",
    "breastmnist": "breastmnist-resnet20-vanilla",
}
SMALL = OnePixelConfig(population=4, generations=1, stop=Stop.BUDGET)


@pytest.fixture(autouse=True)
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find out how fast EfficientNet-Lite0 is takes half a minute, and a run here a second."""
    monkeypatch.setenv(DENSE, "1")


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was fetched: only what comes with the project is here."""
    monkeypatch.setenv("APR_DATA", str(tmp_path))


def picture_file(side: int = 300) -> tuple[str, bytes, str]:
    """A photograph of a person's own."""
    ramp = Image.linear_gradient("L").resize((side, side))
    file = io.BytesIO()
    Image.merge("RGB", (ramp, ramp.rotate(90), ramp.rotate(180))).save(file, "PNG")
    return "mine.png", file.getvalue(), "image/png"


def choose(data: str, source: str = TESTS) -> AppTest:
    app = run(open_page("attack").get("button_group")[0].set_value(data))
    return run(app.segmented_control(key="attack.source").set_value(source))


def tiles(app: AppTest) -> list[str]:
    """The titles of the pictures to choose from."""
    (shown,) = given(app, "items")
    return [item["title"] for item in shown["items"]]


def hunt(app: AppTest, **settings: int) -> AppTest:
    """Attack what is chosen, and see the end."""
    for name, value in settings.items():
        app.number_input(key=f"attack.{name}").set_value(value)
    run(app.button(key="attack.hunt").click())
    wait_for(app.session_state["attack.current-run"].ticket.run_id)
    return run(app)


@pytest.mark.parametrize("data", MODELS)
def test_each_kind_has_its_models_and_its_sources(data: str, no_data: None) -> None:
    app = choose(data)
    assert app.session_state["attack.model"] == MODELS[data]
    assert app.segmented_control(key="attack.source").options == [GALLERY, TESTS, UPLOAD, CAMERA]
    assert set(CHOICES) == {DEFAULT, *MODELS}


def test_where_no_pictures_come_with_the_project_that_is_said(
    no_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_picture, "_pictures", lambda data: None)
    app = choose("gtsrb")
    assert "python -m apr_core data gtsrb" in said(app)
    assert app.button(key="attack.hunt").disabled


@pytest.mark.parametrize("data", MODELS)
def test_each_kind_has_its_gallery(data: str, no_data: None) -> None:
    entries = gallery(data)
    app = choose(data, GALLERY)
    titles = tiles(app)
    for title, entry in zip(titles, entries, strict=True):
        assert title.startswith(find_dataset(data).class_name(entry.outcome.label))
        assert ("→" in title) == entry.outcome.success
    assert entries[0].story in said(app)


def test_a_run_of_the_gallery_goes_as_recorded_and_its_address_leads_back(no_data: None) -> None:
    entries = gallery("gtsrb")
    number = min(range(len(entries)), key=lambda one: entries[one].outcome.queries)
    app = choose("gtsrb", GALLERY)
    app.session_state["attack.entry"] = number
    app.session_state["attack.model"] = entries[number].model
    app = hunt(run(app))
    view = service().view(app.session_state["attack.current-run"].ticket.run_id)
    assert view is not None
    assert view.outcome is not None
    assert view.outcome.edits == entries[number].outcome.edits
    again = open_page("attack", address_of(app))
    assert again.session_state["attack.source"] == GALLERY
    assert again.session_state["attack.entry"] == number


def test_another_kinds_gallery_begins_with_its_first_entry_and_model(no_data: None) -> None:
    app = choose("gtsrb", GALLERY)
    app.session_state["attack.entry"] = 3
    run(app)
    run(app.get("button_group")[0].set_value("breastmnist"))
    first = gallery("breastmnist")[0]
    assert app.session_state["attack.entry"] == 0
    assert app.selectbox(key="attack.model").value == first.model
    assert first.story in said(app)


@pytest.mark.parametrize("data", [PHOTOGRAPHS, "breastmnist", "gtsrb"])
def test_pictures_are_searched_by_class(data: str, no_data: None) -> None:
    app = choose(data)
    sample = find_dataset(data).shipped_sample()
    assert len(tiles(app)) == len(sample.labels)
    box = app.selectbox(key="attack.class")
    assert box.options[0] == ALL
    label = int(sample.labels[-1])
    app = run(box.set_value(find_dataset(data).class_name(label)))
    assert len(tiles(app)) == int((sample.labels == label).sum())


def test_a_drawn_sign_is_said_to_be_drawn(no_data: None) -> None:
    for source in (GALLERY, TESTS):
        assert "Drawn for this project" in said(choose("gtsrb", source))
    assert "Drawn" not in said(choose("breastmnist"))


@pytest.mark.parametrize("source", [GALLERY, TESTS])
def test_the_author_of_every_photograph_is_named(source: str, no_data: None) -> None:
    app = choose(PHOTOGRAPHS, source)
    sample = find_dataset(PHOTOGRAPHS).shipped_sample()
    index = gallery(PHOTOGRAPHS)[0].index if source == GALLERY else int(sample.indices[0])
    row = sample.row(index)
    assert row is not None
    credit = sample.credits[row]
    for part in (credit.author, credit.link, credit.licence, credit.licence_url):
        assert part in said(app)
    assert "cropped and scaled" in said(app)


def test_a_run_whose_picture_is_not_chosen_can_be_seen_again_and_cancelled(no_data: None) -> None:
    app = choose("breastmnist")
    app.session_state["attack.number"] = 2  # the model is wrong on the first
    run(app)
    for name, value in (("population", 2000), ("generations", 1000)):
        app.number_input(key=f"attack.{name}").set_value(value)
    app.selectbox(key="attack.stop").set_value(Stop.BUDGET)
    run(app.button(key="attack.hunt").click())
    ticket = app.session_state["attack.current-run"].ticket
    app.session_state["attack.number"] = 3
    app = run(app)
    assert "still running" in said(app)
    app = run(app.button(key="attack.show").click())
    assert app.button(key="attack.cancel").label == "Cancel"
    assert "still running" not in said(app)
    app.session_state["attack.source"] = TESTS  # it was found in the gallery
    app.session_state["attack.number"] = 3
    app = run(run(app).button(key="attack.cancel-hidden").click())
    assert service().count_live([ticket.run_id]) == 0
    assert "still running" not in said(app)


@pytest.mark.parametrize("data", [PHOTOGRAPHS, "breastmnist", "gtsrb"])
def test_a_test_image_is_attacked_and_its_address_leads_back(data: str, no_data: None) -> None:
    app = hunt(choose(data), population=4, generations=1)
    request = app.session_state["attack.current-run"].request
    sample = find_dataset(data).shipped_sample()
    assert request.model == MODELS[data]
    assert torch.equal(request.image, sample.images[0])
    assert request.index == int(sample.indices[0])
    (shown,) = results(app)
    assert (shown["width"], shown["height"]) == find_dataset(data).size[::-1]
    assert find_dataset(data).class_name(request.label) in str(shown)
    again = open_page("attack", address_of(app))
    assert again.session_state[CHOSEN] == data
    assert again.session_state["attack.current-run"].request.run_id == request.run_id


def test_a_photographs_author_stands_by_it_before_and_after_the_run(no_data: None) -> None:
    credit = find_dataset(PHOTOGRAPHS).shipped_sample().credits[0].author
    app = choose(PHOTOGRAPHS)
    assert credit in said(app)
    assert credit in said(hunt(app, population=4, generations=0))


def test_the_likeliest_of_many_classes_are_named(no_data: None) -> None:
    app = choose(PHOTOGRAPHS)
    (line,) = [one.value for one in app.caption if "likeliest" in str(one.value)]
    assert line.count("%") == 5
    assert "zebra" in line


def test_what_was_measured_of_one_pixel_on_photographs_is_said_before_the_run() -> None:
    assert "seldom suffices" in said(choose(PHOTOGRAPHS))
    assert "seldom suffices" not in said(choose("breastmnist"))


@pytest.mark.parametrize("data", MODELS)
def test_a_picture_of_ones_own_is_made_to_fit_each_kind(data: str, no_data: None) -> None:
    app = open_page("attack")
    run(app.segmented_control(key="attack.source").set_value(UPLOAD))
    run(app.file_uploader(key="attack.file").set_value(picture_file()))
    app = run(app.get("button_group")[0].set_value(data))
    assert app.segmented_control(key="attack.source").value == UPLOAD
    dataset = find_dataset(data)
    shape = (dataset.channels, *dataset.size)
    assert app.session_state["attack.picture"].image.shape == shape
    app = hunt(app, population=4, generations=0)
    assert app.session_state["attack.current-run"].request.image.shape == shape
    go(app, "compare")
    assert app.session_state["attack.picture"].image.shape == shape
    assert app.multiselect(key="compare.models").value[0] == MODELS[data]


def test_traffic_signs_are_raced_on_the_defences_that_there_are(no_data: None) -> None:
    app = open_page("compare", state={CHOSEN: "gtsrb"})
    run(app.segmented_control(key="attack.source").set_value(UPLOAD))
    run(app.file_uploader(key="attack.file").set_value(picture_file()))
    run(app.number_input(key="attack.population").set_value(8))
    run(app.number_input(key="attack.generations").set_value(2))
    run(app.button(key="compare.go").click())
    models = [f"gtsrb-resnet20-{defence}" for defence in ("vanilla", "apr", "apr-plus")]
    race = app.session_state["compare.race"]
    assert [request.model for request in race.requests] == models
    for ticket in race.tickets:
        wait_for(ticket.run_id)
    run(app)
    signs = find_dataset("gtsrb").classes
    assert len(results(app)) == len(models)
    for shown, request in zip(results(app), race.requests, strict=True):
        assert signs[request.label] in str(shown)
    assert app.dataframe[0].value["Prediction"].isin(signs).all()


def test_a_race_of_one_model_says_how_to_have_others(no_data: None) -> None:
    app = open_page("compare", state={CHOSEN: PHOTOGRAPHS})
    assert app.multiselect(key="compare.models").value == [LITE0]
    assert "--library" in said(app)


def test_the_other_pages_stay_with_cifar10() -> None:
    app = choose(PHOTOGRAPHS)
    for page in ("attention", "classes", "results", "hand"):
        go(app, page)
        assert not app.error
    assert app.segmented_control(key="attack.source").options[0] == GALLERY
    go(app, "attack")
    assert app.session_state[CHOSEN] == PHOTOGRAPHS
    assert app.session_state["attack.model"] == LITE0


def test_a_target_of_another_kind_is_not_kept() -> None:
    app = open_page("attack")
    run(app.selectbox(key="attack.target").set_value("ship"))
    run(app.get("button_group")[0].set_value("breastmnist"))
    assert app.selectbox(key="attack.target").value != "ship"


def test_a_photograph_is_too_large_for_a_link_and_that_is_said(no_data: None) -> None:
    app = open_page("attack", state={CHOSEN: PHOTOGRAPHS})
    run(app.segmented_control(key="attack.source").set_value(UPLOAD))
    run(app.file_uploader(key="attack.file").set_value(picture_file()))
    app = hunt(app, population=4, generations=0)
    assert set(address_of(app)) == {"run"}
    request = app.session_state["attack.current-run"].request
    noisy = torch.randint(0, 256, request.image.shape, dtype=torch.uint8)
    assert is_too_long(to_params(replace(request, image=noisy)))
    assert is_too_long(to_params(request)) == ("too large for a link" in said(app))


@pytest.mark.parametrize("data", MODELS)
def test_a_link_to_a_picture_of_ones_own_is_of_its_models_data(data: str) -> None:
    dataset = find_dataset(data)
    flat = torch.full((dataset.channels, *dataset.size), 90, dtype=torch.uint8)
    asked = AttackRequest(MODELS[data], flat, len(dataset.classes) - 1, OWN_PICTURE, SMALL)
    found = from_params(to_params(asked))
    assert found is not None
    assert torch.equal(found.image, flat)
    assert (found.label, found.run_id) == (asked.label, asked.run_id)


def test_a_picture_that_is_refitted_is_what_reading_it_would_give() -> None:
    content = picture_file(200)[1]
    small = read_picture(content)
    photographs = find_dataset(PHOTOGRAPHS)
    assert torch.equal(
        refit(small, photographs).image, read_picture(content, "", photographs).image
    )
    assert torch.equal(refit(refit(small, photographs), find_dataset()).image, small.image)


@pytest.mark.parametrize("name", ["torchvision:resnet50", "timm:resnet18", "os:abort", "/a.onnx"])
def test_a_name_from_a_link_fetches_nothing_and_is_no_path(name: str) -> None:
    with pytest.raises(InputError, match="There is no model"):
        load_oracle(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet50", "torchvision:resnet50"),
        ("torchvision:resnet5", "no classifier"),
        ("torchvision:inception_v3", "299 x 299"),
    ],
)
def test_what_the_app_cannot_offer_is_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        offer([name])


def test_a_librarys_model_is_offered_on_photographs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "torchvision:vgg19"
    monkeypatch.setenv(OFFERED, "")
    offer([name])
    assert list(offered()) == [LITE0, name]
    app = choose(PHOTOGRAPHS)
    options = app.selectbox(key="attack.model").options
    assert options == ["Undefended EfficientNet-Lite0", "Undefended VGG-19"]
    go(app, "hand")
    assert name not in cards()[0]


@pytest.mark.parametrize(("set_to", "kept"), [(None, 29), (300, 300)])
def test_fewer_generations_are_usual_on_photographs(set_to: int | None, kept: int) -> None:
    app = open_page("attack")
    if set_to:
        run(app.number_input(key="attack.generations").set_value(set_to))
    run(app.get("button_group")[0].set_value(PHOTOGRAPHS))
    assert app.number_input(key="attack.generations").value == kept
    run(app.get("button_group")[0].set_value(DEFAULT))
    assert app.number_input(key="attack.generations").value == (set_to or 100)


def test_the_network_that_comes_as_a_package_is_known_by_its_weights() -> None:
    assert data_behind(LITE0).name == PHOTOGRAPHS
    assert len(weights_of(LITE0)) == 64
    assert LITE0 not in cards()[0]  # outside the Attack page


class Slow(ModelOracle):
    """One that chooses its engine only when it is let."""

    def __init__(self, gate: Gate, **settings: bool) -> None:
        super().__init__(torch.nn.Flatten().eval(), checked=True, incremental=True, **settings)
        self.gate = gate

    def _choose_engine(self, shape: tuple[int, ...]) -> None:
        self.gate.chosen.append(shape)
        assert self.gate.open.wait(PATIENCE)


class Gate:
    def __init__(self) -> None:
        import threading

        self.open, self.chosen = threading.Event(), []


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def edits_of(side: int) -> Perturbations:
    image = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    places, colours = torch.zeros(1, 2, 1, 2, dtype=torch.int64), torch.ones(1, 2, 1, 3).byte()
    return Perturbations.of_each(image, places, colours)


def test_large_images_go_dense_until_an_engine_is_chosen_in_a_thread(gate: Gate) -> None:
    oracle = Slow(gate, background=True)
    for _ in range(3):
        assert len(oracle.query(edits_of(SOON + 1))) == 2
    wait_until(lambda: len(gate.chosen) > 0)
    gate.open.set()
    assert gate.chosen == [(3, SOON + 1, SOON + 1)]


def test_small_images_wait_for_their_engine(gate: Gate) -> None:
    gate.open.set()
    oracle = Slow(gate, background=True)
    assert len(oracle.query(edits_of(SOON))) == 2
    assert gate.chosen == [(3, SOON, SOON)]


def test_a_picture_in_grey_is_drawn_in_three_colours(no_data: None) -> None:
    app = choose("breastmnist")
    (shown,) = results(app)
    image = find_dataset("breastmnist").shipped_sample().images[0]
    assert len(to_png(image)) > 0
    assert len(shown["image"]) == 4 * 28 * 28  # base64 of three bytes a pixel


def test_long_names_of_classes_are_wrapped_beside_their_bars() -> None:
    classes = find_dataset(PHOTOGRAPHS).classes
    order = sorted(range(len(classes)), key=lambda label: -len(classes[label]))
    answer = torch.zeros(len(classes))
    answer[order[:5]] = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1])
    figure = confidence_bars(classes, answer, answer)
    names = list(figure.data[0].y)[::-1]
    whole = [name.replace("-<br>", "-").replace("<br>", " ") for name in names]
    assert whole == [classes[label] for label in order[:5]]
    assert max(len(line) for name in names for line in name.split("<br>")) <= MOST_LETTERS
