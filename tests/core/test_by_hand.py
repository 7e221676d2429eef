"""A person in the search's place: what counts, what is undone, and what a hint says."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.attacks.truth_map import TruthMap, TruthMapSearch
from apr_core.base.types import InputError
from apr_core.by_hand.export import from_json, to_csv, to_json
from apr_core.by_hand.game import (
    PIXELS,
    PIXELS_OF_LARGE,
    Game,
    Hint,
    begin,
    check_pixels,
    pixel_choices,
    reset,
    try_edit,
    undo,
)
from apr_core.by_hand.helps import (
    FEWEST_QUERIES,
    HOT,
    WARM,
    Heat,
    heat_of,
    search_config,
    with_hint,
)
from apr_core.data.images import from_png, to_png
from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import load_gallery
from apr_core.zoo.checkpoints import load_model
from tests.conftest import CountingModel, LinearModel

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
WINNER = FLIP.outcome.edits[0]
SIZE = 6
MODEL = LinearModel(classes=10, size=SIZE)
SCORER = ModelOracle(MODEL)
IMAGE = torch.randint(
    0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)
LABEL = int(MODEL(IMAGE[None].float() / 255).argmax())
EDITS = st.builds(
    PixelEdit,
    st.integers(0, SIZE - 1),
    st.integers(0, SIZE - 1),
    st.tuples(*[st.sampled_from([0, 128, 255])] * 3),
)


def new_game(pixels: int = 1) -> Game:
    return begin("linear", SCORER, IMAGE, LABEL, pixels)


def edit(x: int = 0, y: int = 0, value: int = 255) -> PixelEdit:
    return PixelEdit(x, y, (value, value, value))


def gallery_game() -> tuple[Game, ModelOracle]:
    scorer = ModelOracle(load_model(FLIP.model))
    return begin(FLIP.model, scorer, *find_dataset().test_image(FLIP.index)), scorer


def test_a_known_pixel_wins_and_survives_png() -> None:
    game, scorer = gallery_game()
    assert not game.flipped
    assert game.clean.label == game.label
    game = try_edit(game, PixelEdit(WINNER.x, WINNER.y, (128, 128, 128)), scorer)
    game = try_edit(game, WINNER, scorer)
    assert game.flipped
    assert (game.queries, game.first_flip, game.fewest) == (2, 2, 2)
    assert game.answer.label == FLIP.outcome.label_after
    assert game.answer.confidence == pytest.approx(FLIP.outcome.confidence_after, abs=1e-5)
    again = from_png(to_png(game.edited))
    assert torch.equal(again, FLIP.outcome.apply(game.image))
    assert int(scorer.verify_float32(again[None]).argmax()) == FLIP.outcome.label_after


def test_each_try_is_one_query_and_the_clean_picture_none() -> None:
    counting = CountingModel(MODEL)
    scorer = ModelOracle(counting, checked=True)
    game = begin("linear", scorer, IMAGE, LABEL)
    assert (counting.count, game.queries) == (1, 0)
    for number in range(1, 4):
        game = try_edit(game, edit(), scorer)  # the same again counts again
        assert (counting.count, game.queries) == (number + 1, number)
    assert (undo(game).queries, counting.count) == (3, 4)


def test_undo_shows_the_picture_before_and_asks_nothing() -> None:
    one = try_edit(new_game(), edit(1, 2), SCORER)
    two = try_edit(one, edit(3, 4), SCORER)
    back = undo(two)
    assert (back.edits, back.answer) == (one.edits, one.answer)
    assert back.tries == two.tries
    onward = try_edit(back, edit(5, 5), SCORER)
    assert undo(onward).edits == one.edits
    assert undo(undo(back)).edits == ()
    assert torch.equal(undo(undo(back)).edited, IMAGE)


def test_starting_over_remembers_what_was_spent() -> None:
    game, scorer = gallery_game()
    game = try_edit(try_edit(game, edit(), scorer), WINNER, scorer)
    over = reset(try_edit(game, edit(), scorer))
    assert (over.queries, over.edits, over.earlier) == (0, (), 3)
    assert (over.first_flip, over.fewest) == (None, 2)
    assert try_edit(over, WINNER, scorer).fewest == 1
    assert reset(reset(over)).earlier == 3
    hinted = replace(over, hints=(Hint(0, 0, Heat.COLD, 9, 36, 0),) * 2)
    assert reset(reset(hinted)).earlier_hints == 2


def test_an_edit_of_the_same_pixel_takes_its_place() -> None:
    game = try_edit(new_game(3), edit(1, 1, 0), SCORER)
    game = try_edit(try_edit(game, edit(2, 2), SCORER), edit(1, 1, 255), SCORER)
    assert game.edits == (edit(2, 2), edit(1, 1, 255))


def test_where_all_pixels_are_placed_the_newest_gives_way() -> None:
    game = new_game(3)
    for place in range(4):
        game = try_edit(game, edit(place), SCORER)
    assert game.edits == (edit(0), edit(1), edit(3))
    assert game.base == (edit(0), edit(1))


@settings(max_examples=60, deadline=None)
@given(pixels=st.sampled_from([1, 3, 5]), moves=st.lists(st.one_of(EDITS, st.none()), max_size=12))
def test_a_game_of_any_moves_holds_together(pixels: int, moves: list[PixelEdit | None]) -> None:
    game, tried = new_game(pixels), 0
    for move in moves:
        game = undo(game) if move is None else try_edit(game, move, SCORER)
        tried += move is not None
    assert game.queries == tried
    assert len(game.edits) <= pixels
    assert len({(placed.x, placed.y) for placed in game.edits}) == len(game.edits)
    said = SCORER.verify_float32(game.edited[None])[0]
    assert int(said.argmax()) == game.answer.label
    assert game.answer.probabilities == pytest.approx(said.softmax(-1).tolist(), abs=1e-6)
    flips = [
        int(SCORER.verify_float32(edit_image(IMAGE, t.edits)[None]).argmax()) for t in game.tries
    ]
    broke = [number for number, label in enumerate(flips, 1) if label != LABEL]
    assert game.first_flip == (broke[0] if broke else None)
    again = from_json(to_json(game))
    assert torch.equal(again.image, game.image)
    for name in ("model", "label", "pixels", "clean", "tries", "line", "hints", "earlier"):
        assert getattr(again, name) == getattr(game, name)


def test_a_large_picture_takes_more_pixels_and_a_grey_one_greys() -> None:
    large = torch.zeros(3, 224, 224, dtype=torch.uint8)
    assert pixel_choices(large) == PIXELS_OF_LARGE
    assert pixel_choices(IMAGE) == PIXELS
    check_pixels(16, large)
    with pytest.raises(InputError, match="pixels is 16"):
        check_pixels(16, IMAGE)
    grey, oracle = IMAGE[:1], ModelOracle(lambda images: MODEL(images.expand(-1, 3, -1, -1)))
    label = int(oracle.verify_float32(grey[None]).argmax())
    game = try_edit(begin("breastmnist-resnet20-vanilla", oracle, grey, label), edit(), oracle)
    assert game.edited.shape == grey.shape
    assert torch.equal(from_json(to_json(game)).image, grey)
    with pytest.raises(InputError, match="grey"):
        try_edit(game, PixelEdit(0, 0, (1, 2, 3)), oracle)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (PixelEdit(SIZE, 0, (0, 0, 0)), "no pixel at x 6, y 0"),
        (PixelEdit(0, -1, (0, 0, 0)), "no pixel at x 0, y -1"),
        (PixelEdit(0, 0, (0, 256, 0)), r"rgb\(0, 256, 0\) is no colour"),
        (PixelEdit(0, 0, (0, 0)), "is no colour"),
        (PixelEdit(0.5, 0, (0, 0, 0)), "whole numbers"),
    ],
)
def test_an_impossible_edit_is_refused_and_costs_nothing(bad: PixelEdit, said: str) -> None:
    counting = CountingModel(MODEL)
    with pytest.raises(InputError, match=said):
        try_edit(new_game(), bad, ModelOracle(counting))
    assert counting.count == 0


def test_what_cannot_be_played_is_said() -> None:
    wrong = (LABEL + 1) % 10
    with pytest.raises(
        InputError, match=f"{find_dataset().classes[wrong]}. for another class already"
    ):
        begin("linear", SCORER, IMAGE, wrong)
    with pytest.raises(InputError, match="label 10 is not a class"):
        begin("linear", SCORER, IMAGE, 10)
    with pytest.raises(InputError, match="pixels is 2"):
        begin("linear", SCORER, IMAGE, LABEL, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"label": 10},
        {"line": [3]},
        {"pixels": 2},
        {"image": "AAAA"},
        {"clean": {"label": 0, "probabilities": [1.0]}},
        {"tries": [{"edits": [{"x": 9, "y": 0, "rgb": [0, 0, 0]}], "answer": None}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_damaged_game_is_refused(change: dict[str, object]) -> None:
    entry = json.loads(to_json(try_edit(new_game(), edit(), SCORER)))
    with pytest.raises(InputError, match="not a game"):
        from_json(json.dumps(entry | change))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '"game"'])
def test_what_is_no_game_at_all_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a game"):
        from_json(text)


def test_the_table_has_a_line_a_try() -> None:
    game, scorer = gallery_game()
    game = try_edit(try_edit(game, edit(), scorer), WINNER, scorer)
    rows = list(csv.DictReader(io.StringIO(to_csv(undo(game)))))
    assert [row["flipped"] for row in rows] == ["no", "yes"]
    red, green, blue = WINNER.rgb
    assert rows[1]["pixels"] == f"({WINNER.x} {WINNER.y}) rgb({red} {green} {blue})"
    assert rows[1]["leading_class"] == find_dataset().classes[FLIP.outcome.label_after]
    assert float(rows[1]["true_probability"]) == pytest.approx(FLIP.outcome.true_after, abs=1e-5)


# ---------------------------------------------------------------- Hints


def survey(certified: torch.Tensor | None = None) -> TruthMap:
    found = TruthMapSearch(SCORER, IMAGE, LABEL, certified)
    while found.live:
        found.tell(SCORER.query(found.ask()))
    return found.result()


def test_heat_goes_by_the_rank_among_all_pixels() -> None:
    margins = torch.arange(1.0, 1 + SIZE * SIZE).view(SIZE, SIZE)
    nothing = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    colours = torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8)
    found = TruthMap(margins, colours, nothing, nothing, 1.0)
    ranked = [heat_of(found, place % SIZE, place // SIZE) for place in range(SIZE * SIZE)]
    assert [rank for _, rank in ranked] == list(range(1, SIZE * SIZE + 1))
    assert sum(heat is Heat.HOT for heat, _ in ranked) == int(HOT * SIZE * SIZE)
    assert sum(heat is not Heat.COLD for heat, _ in ranked) == int(WARM * SIZE * SIZE)
    broken = nothing.clone()
    broken[5, 5] = True
    assert heat_of(TruthMap(margins, colours, broken, nothing, 1.0), 5, 5) == (Heat.HOT, 36)


def test_what_is_proven_harmless_is_cold_and_has_no_rank() -> None:
    certified = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    certified[2, 3] = True
    assert heat_of(survey(certified), 3, 2) == (Heat.COLD, 0)


def test_a_hint_is_counted_and_the_hottest_pixel_has_rank_one() -> None:
    found = survey()
    hottest = int(found.margins.argmin())
    game = try_edit(new_game(), edit(), SCORER)
    game = with_hint(game, found, hottest % SIZE, hottest // SIZE)
    (hint,) = game.hints
    assert (hint.heat, hint.rank, hint.pixels, hint.after) == (Heat.HOT, 1, 36, 1)
    assert reset(game).hints == ()
    assert from_json(to_json(game)).hints == game.hints


# ---------------------------------------------------------------- The search's budget


@given(st.integers(1, 3000), st.sampled_from([1, 3, 5]))
def test_the_search_has_as_many_queries_and_never_more(queries: int, pixels: int) -> None:
    config = search_config(queries, pixels)
    allowed = max(queries, FEWEST_QUERIES)
    assert config.pixels == pixels
    assert config.max_queries <= allowed
    shapes = [size * (allowed // size) for size in range(FEWEST_QUERIES, allowed // 2 + 1)]
    assert config.max_queries == max(shapes, default=allowed)
    assert (config.generations >= 1) == (queries >= 8)


@pytest.mark.parametrize(
    ("queries", "population", "generations"),
    [(1, 4, 0), (7, 7, 0), (8, 4, 1), (20, 4, 4), (23, 11, 1), (100, 10, 9)],
)
def test_the_shape_is_the_squarest(queries: int, population: int, generations: int) -> None:
    config = search_config(queries, 1)
    assert (config.population, config.generations) == (population, generations)
