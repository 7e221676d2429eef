"""The By hand page without a browser: the game's buttons, hints, the search, and addresses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit
from apr_core.base.types import InputError
from apr_core.base.words import percent
from apr_core.by_hand.game import Game, begin, try_edit
from apr_core.by_hand.helps import heat_of, search_config
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import load_gallery
from apr_core.serving.requests import AttackRequest, MapRequest, Phase, RunView
from apr_core.serving.service import AttackService
from apr_core.zoo.checkpoints import load_model
from apr_ui.hand.figures import duel, duel_words, tried_by_person, tried_by_search
from apr_ui.hand.games import GameBook, book
from apr_ui.hand.hints import hint_words
from apr_ui.model_names import model_title
from apr_ui.permalink import to_params
from apr_ui.pictures import DIM
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.resources import probabilities, scorer, service
from tests.app.pages import APR, address_of, go, open_page, results, run, said, wait_for
from tests.conftest import PATIENCE, figures, wait_until

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
WINNER = FLIP.outcome.edits[0]
GREY = PixelEdit(WINNER.x, WINNER.y, (128, 128, 128))


def link(**params: str) -> dict[str, str]:
    return {"model": FLIP.model, "index": str(FLIP.index)} | params


def game_of(app: AppTest) -> Game:
    return app.session_state["hand.games"][app.session_state["hand.place"]][1]


def try_by_hand(app: AppTest, *edits: PixelEdit) -> Game:
    """What clicks on the canvas would do, and the page drawn anew."""
    place, game = app.session_state["hand.place"], game_of(app)
    for edit in edits:
        game = try_edit(game, edit, scorer(game.model))
    games = app.session_state["hand.games"]
    games[place] = games[place][0], game
    book().keep(games[place][0], place, game)
    run(app)
    return game


def test_the_page_begins_with_the_clean_picture() -> None:
    app = open_page("hand", link())
    game = game_of(app)
    assert torch.equal(game.image, find_dataset().test_image(FLIP.index)[0])
    assert (game.queries, game.pixels, game.model) == (0, 1, FLIP.model)
    assert app.button(key="hand.undo").disabled
    assert app.button(key="hand.reset").disabled
    assert not app.header


@pytest.mark.parametrize("model", [FLIP.model, APR])
def test_the_caption_names_the_model_once(model: str) -> None:
    app = open_page("hand", link())
    run(app.selectbox(key="attack.model").set_value(model))
    caption = next(one.value for one in app.caption if FLIP.story in one.value)
    assert caption.count(model_title(model)) == 1
    assert caption.startswith(f"{model_title(FLIP.model)}: {FLIP.story}")


def test_undo_and_start_over() -> None:
    app = open_page("hand", link())
    try_by_hand(app, GREY, WINNER)
    (shown,) = results(app)
    assert shown["verdict"].startswith("Flipped:")
    assert "Your first flip was query 2." in shown["detail"]
    run(app.button(key="hand.undo").click())
    assert (game_of(app).edits, game_of(app).queries) == ((GREY,), 2)
    assert not results(app)[0]["verdict"].startswith("Flipped:")
    run(app.button(key="hand.reset").click())
    assert (game_of(app).edits, game_of(app).queries) == ((), 0)
    kept = next(line for line in said(app).splitlines() if "started over" in line)
    assert figures(kept)[-2:] == ["2", "2"]


def test_a_hint_says_what_the_truth_map_says() -> None:
    app = open_page("hand", link())
    game = try_by_hand(app, GREY)
    run(app.button(key="hand.hint").click())
    asked = MapRequest(game.model, game.image, game.label)
    wait_for(asked.run_id)
    run(app)
    heat, rank = heat_of(service().view(asked.run_id).outcome, GREY.x, GREY.y)
    (hint,) = game_of(app).hints
    assert (hint.x, hint.y, hint.heat, hint.rank) == (GREY.x, GREY.y, heat, rank)
    assert hint_words(game_of(app)) in said(app)
    assert "1 hint" in said(app)
    try_by_hand(app, PixelEdit(0, 0, (0, 0, 0)))
    run(app.button(key="hand.hint").click())
    run(app)
    words = hint_words(game_of(app))
    assert len(game_of(app).hints) == 2
    worse = game_of(app).hints[1].rank > rank
    assert f"{'Colder' if worse else 'Warmer'} than the hint before" in words


def test_a_hint_builds_on_the_pixels_that_stay() -> None:
    app = open_page("hand", link(pixels="3"))
    first, second = PixelEdit(1, 1, (255, 0, 0)), PixelEdit(2, 2, (0, 255, 0))
    game = try_by_hand(app, first, second)
    run(app.button(key="hand.hint").click())
    ticket = app.session_state["hand.hint-asked"].ticket
    assert torch.equal(service().view(ticket.run_id).request.image, game.edited)
    service().cancel(ticket.run_id, ticket.token)
    wait_for(ticket.run_id)
    run(app)
    assert game_of(app).hints == ()
    assert "hand.hint-asked" not in app.session_state


def test_the_search_gets_as_many_tries_and_both_are_shown() -> None:
    app = open_page("hand", link())
    tries = [PixelEdit(place, 3, (0, 0, 255)) for place in range(9)]
    game = try_by_hand(app, *tries)
    assert ["9", "8"] in [figures(line)[:2] for line in said(app).splitlines()]
    run(app.button(key="hand.search-same").click())
    search = app.session_state["hand.search"]
    assert search.request.config == search_config(9, 1)
    assert torch.equal(search.request.image, game.image)
    wait_for(search.ticket.run_id)
    run(app)
    wait_for(app.session_state["hand.truth"].run_id)
    run(app)
    view = service().view(search.ticket.run_id)
    assert view.outcome.queries <= 8
    assert duel_words(game, view) in said(app)
    for title in ("Pixels that you tried", "Pixels that the search tried", "Truth map"):
        assert f"**{title}**" in said(app)
    assert "pixels fool the model in a corner colour" in said(app)
    assert address_of(app)["run"] == search.ticket.run_id
    again = open_page("hand", address_of(app))
    assert duel_words(game, view) in said(again)


def test_a_single_try_gets_the_least_that_a_search_takes_and_says_so() -> None:
    app = open_page("hand", link())
    try_by_hand(app, GREY)
    assert ["1", "4"] in [figures(line)[:2] for line in said(app).splitlines()]
    run(app.button(key="hand.search-full").click())
    assert app.session_state["hand.search"].request.config == OnePixelConfig()
    ticket = app.session_state["hand.search"].ticket
    service().cancel(ticket.run_id, ticket.token)


def test_the_address_finds_the_tries_again_as_a_copy() -> None:
    app = open_page("hand", link(pixels="3"))
    game = try_by_hand(app, GREY, WINNER)
    address = address_of(app)
    assert {"model", "index", "pixels", "game"} == set(address)
    again = open_page("hand", address)
    assert game_of(again).tries == game.tries
    assert again.segmented_control(key="hand.pixels").value == 3
    assert address_of(again)["game"] != address["game"]
    run(again.button(key="hand.undo").click())
    assert game_of(open_page("hand", address)).edits == game.edits


def test_what_is_no_longer_in_memory_is_said_and_the_picture_is_there() -> None:
    app = open_page("hand", link(game="gone"))
    assert "no longer in memory" in app.info[0].value
    assert torch.equal(game_of(app).image, find_dataset().test_image(FLIP.index)[0])
    alone = open_page("hand", {"game": "gone"})
    assert "are kept nowhere else" in alone.info[0].value


def test_a_picture_of_ones_own_comes_back_by_link_and_by_name() -> None:
    image, label = find_dataset().test_image(FLIP.index)
    request = AttackRequest(FLIP.model, image, label, OWN_PICTURE, OnePixelConfig())
    app = open_page("hand", to_params(request))
    game = try_by_hand(app, WINNER)
    assert torch.equal(game.image, image)
    assert set(address_of(app)) == {"game"}
    again = open_page("hand", address_of(app))
    assert (game_of(again).tries, game_of(again).label) == (game.tries, label)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (link(pixels="2"), "The link's pixels is 2"),
        (link(index="cat"), "index is 'cat'"),
        (link(model="resnet50"), "There is no model 'resnet50'"),
    ],
)
def test_a_bad_link_is_answered_plainly(params: dict[str, str], words: str) -> None:
    assert words in said(open_page("hand", params))


def test_a_picture_that_the_model_misreads_is_not_attacked() -> None:
    shipped = find_dataset().shipped_sample()
    answers = probabilities(FLIP.model, list(shipped.images[:300])).argmax(1)
    row = int((answers != shipped.labels[:300]).nonzero()[0, 0])
    app = open_page("hand", link(index=str(int(shipped.indices[row]))))
    assert "for another class already" in app.warning[0].value
    assert "hand.place" not in app.session_state


def test_each_picture_has_its_own_game_and_a_page_change_loses_none() -> None:
    app = open_page("hand", link())
    game = try_by_hand(app, GREY)
    run(app.segmented_control(key="hand.pixels").set_value(3))
    assert game_of(app).queries == 0
    run(app.segmented_control(key="hand.pixels").set_value(1))
    assert game_of(app).tries == game.tries
    go(app, "results", "hand")
    assert game_of(app).tries == game.tries


def test_another_page_plays_without_hints_and_without_a_choice_of_pixels() -> None:
    def script(index: int) -> None:
        import streamlit as st

        from apr_core.data.registry import find_dataset
        from apr_ui.hand.view import play

        game = play(
            "seat", "cifar10-resnet20-vanilla", *find_dataset().test_image(index), page="lesson",
            hints=False, pixels=(1,),
        )  # fmt: skip
        st.text(f"{game.queries} queries")

    index = {"index": FLIP.index}
    app = AppTest.from_function(script, kwargs=index, default_timeout=PATIENCE).run()
    assert not app.exception
    assert app.text[0].value == "0 queries"
    assert not app.segmented_control
    assert [button.key for button in app.button] == ["lesson.undo", "lesson.reset"]


def test_the_book_forgets_the_games_that_were_played_longest_ago() -> None:
    kept = GameBook(most=2)
    games = [new_game(pixels) for pixels in (1, 3, 5)]
    kept.keep("a", "place", games[0])
    kept.keep("b", "place", games[1])
    kept.keep("a", "place", games[2])
    kept.keep("c", "place", games[0])
    assert kept.find("b") is None
    assert kept.find("a") == ("place", games[2])
    assert kept.find("") is None


def test_a_look_has_one_thread_of_torch_and_leaves_the_others_theirs() -> None:
    before = torch.get_num_threads()
    assert on_prediction_thread(torch.get_num_threads) == 1
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == before
    with pytest.raises(InputError, match="pixels is 2"):
        on_prediction_thread(new_game, 2)
    image, _ = find_dataset().test_image(FLIP.index)
    found = ModelOracle(load_model(FLIP.model))
    assert torch.equal(
        on_prediction_thread(found.verify_float32, image[None]), found.verify_float32(image[None])
    )


# ---------------------------------------------------------------- Words and figures


def new_game(pixels: int = 1) -> Game:
    image, label = find_dataset().test_image(FLIP.index)
    return begin(FLIP.model, ModelOracle(load_model(FLIP.model)), image, label, pixels)


@pytest.fixture(scope="module")
def ended() -> RunView:
    """The gallery's run, which flips."""
    own = AttackService()
    image, label = find_dataset().test_image(FLIP.index)
    ticket = own.submit(AttackRequest(FLIP.model, image, label, FLIP.index, FLIP.config))
    wait_until(lambda: not own.view(ticket.run_id).live)
    view = own.view(ticket.run_id)
    own.close()
    assert view.phase is Phase.ENDED
    return view


def test_who_flipped_it_first_is_said(ended: RunView) -> None:
    scorer = ModelOracle(load_model(FLIP.model))
    none = try_edit(new_game(), GREY, scorer)
    won = try_edit(none, WINNER, scorer)
    spent = ended.outcome.queries
    assert figures(duel_words(won, ended)) == ["2", f"{spent:,}"]
    assert figures(duel_words(none, ended))[:2] == [f"{spent:,}", "1"]
    assert percent(none.closest) in duel_words(none, ended)
    status = replace(ended.outcome, status="survived")
    held = replace(ended, outcome=status)
    closest = percent(held.outcome.true_after).strip("<>")
    assert figures(duel_words(won, held)) == ["2", f"{spent:,}", closest]
    assert figures(duel_words(none, held)) == ["1", percent(none.closest), f"{spent:,}", closest]
    four = [(won, ended), (none, ended), (won, held), (none, held)]
    assert len({duel_words(*each).split("**")[1] for each in four}) == 4  # who did


def test_the_figures_show_every_try_and_the_flip(ended: RunView) -> None:
    game = try_edit(try_edit(new_game(), GREY, ModelOracle(load_model(FLIP.model))),
                    WINNER, ModelOracle(load_model(FLIP.model)))  # fmt: skip
    line, marks, search = duel(game, ended).data
    assert list(marks.y) == [game.true(tried) for tried in game.tries]
    assert list(line.y) == [game.true(game.tries[0]), min(marks.y)]
    assert list(marks.marker.symbol) == ["circle", "x"]
    assert search.x[-1] == ended.outcome.queries
    picture = tried_by_person(try_edit(new_game(), GREY, ModelOracle(load_model(FLIP.model))), 10)
    assert picture.getpixel((10 * GREY.x + 5, 10 * GREY.y + 5)) == GREY.rgb
    dim = tuple((game.image[:, 0, 0] * DIM).to(torch.uint8).tolist())
    assert picture.getpixel((5, 5)) == dim
    seen = tried_by_search(ended, 10)
    x, y = ended.snapshots[0].positions[0, 0].tolist()
    assert seen.getpixel((10 * x, 10 * y)) != tuple((game.image[:, y, x] * DIM).byte().tolist())


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0.0%"), (0.0004, "<0.1%"), (0.012, "1.2%"), (0.5, "50%"), (0.987, "98.7%"),
        (0.9996, ">99.9%"), (1.0, "100.0%"),
    ],
)  # fmt: skip
def test_probabilities_near_the_ends_are_said_to_a_tenth(share: float, words: str) -> None:
    assert percent(share) == words
