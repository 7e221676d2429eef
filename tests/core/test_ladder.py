"""The ladder and its stages, against brute force where that can be had."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise, product

import pytest
import torch
from torch import Tensor, nn

from apr_core.attacks import enumeration, stages
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import CORNERS, GRID, corner_sweep, refine_colours, top_gradient
from apr_core.attacks.ladder import LADDER, LadderConfig, Verdict, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import edit_image
from apr_core.attacks.sparse_rs import replaced
from apr_core.attacks.stages import STAGES, sparse_rs
from apr_core.base.types import InputError
from apr_core.models import Classifier
from apr_core.models.outputs import logit_margin
from tests.conftest import CountingModel, LinearModel, answers

SIZE = 6
SPARSE_QUERIES = 150
SMALL = ("top-gradient", "corners", "refine", "sparse-rs")
"""The ladder without differential evolution, which takes a while."""


def pictures_of(count: int, size: int = SIZE, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def margin_after(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return logit_margin(model(images.float() / 255), labels)


def every_corner_edit(image: Tensor) -> Tensor:
    """All H W 8 edits of one image, by row, column and corner."""
    edits = []
    for y, x, corner in product(range(image.shape[1]), range(image.shape[2]), CORNERS):
        edited = image.clone()
        edited[:, y, x] = corner.to(torch.uint8)
        edits.append(edited)
    return torch.stack(edits)


@pytest.fixture
def case() -> tuple[LinearModel, Tensor, Tensor]:
    """A model, 40 images, and what it says of them: some fall to a corner colour, some do not."""
    model, images = LinearModel(size=SIZE), pictures_of(40)
    return model, images, answers(model, images)


# Stages


def test_the_corner_sweep_is_brute_force(case) -> None:
    model, images, labels = case
    found = corner_sweep(ModelOracle(model, chunk=7), images, labels, stop_on_success=False)
    fell = []
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        edits = every_corner_edit(image)
        margins = margin_after(model, edits, label.expand(len(edits)))
        torch.testing.assert_close(found.margins[row], margins)
        fell.append(bool((answers(model, edits) != label).any()))
        if not fell[-1]:
            torch.testing.assert_close(found.margin[row], margins.min())
    assert found.flipped.tolist() == fell
    assert 5 < sum(fell) < 35
    after = answers(model, found.edited(images))
    assert (after != labels).tolist() == fell
    assert (found.queries[~found.flipped] == SIZE * SIZE * 8).all()


def test_an_image_leaves_the_sweep_at_its_first_flip(case) -> None:
    model, images, labels = case
    whole = corner_sweep(ModelOracle(model, chunk=7), images, labels, stop_on_success=False)
    counting = CountingModel(model)
    left = corner_sweep(ModelOracle(counting, chunk=7), images, labels)
    assert torch.equal(left.flipped, whole.flipped)
    assert torch.equal(left.queries, whole.queries)
    assert torch.equal(left.edited(images), whole.edited(images))
    assert left.queries.sum() <= counting.count < 40 * SIZE * SIZE * 8
    stood = ~left.flipped
    torch.testing.assert_close(left.margins[stood], whole.margins[stood])


def test_a_sweep_goes_the_same_way_in_any_company(case) -> None:
    model, images, labels = case
    together = corner_sweep(ModelOracle(model, chunk=50), images, labels, seed=3)
    for row in range(4):
        alone = corner_sweep(
            ModelOracle(model, chunk=9), images[row : row + 1], labels[row : row + 1], 3
        )
        assert torch.equal(alone.edited(images[row : row + 1])[0], together.edited(images)[row])
        assert alone.queries[0] == together.queries[row]


def test_refinement_tries_the_grid_where_corners_do_most(monkeypatch) -> None:
    """A colour within the cube flips the image; no corner does."""
    monkeypatch.setattr(enumeration, "REFINED", 2)

    class Grey(nn.Module):
        """Class 1 where the first pixel is close to mid-grey, else 0."""

        def forward(self, images: Tensor) -> Tensor:
            far = (images[:, :, 0, 0] - 0.5).abs().sum(1)
            bright = images[:, :, 0, 0].sum(1) * 0.01  # at the corners, this alone tells
            return torch.stack([far - bright, torch.full_like(far, 0.2)], dim=1)

    images, labels = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.tensor([0])
    oracle = ModelOracle(Grey())
    sweep = corner_sweep(oracle, images, labels)
    assert not sweep.flipped.any()
    found = refine_colours(oracle, images, labels, sweep.margins)
    assert found.flipped.all()
    assert found.positions.tolist() == [[[0, 0]]]
    assert (found.colours - 128).abs().max() <= 64
    assert found.queries[0] <= 2 * 125


def test_the_gradient_names_the_worst_pixels_of_a_linear_model(monkeypatch) -> None:
    monkeypatch.setattr(enumeration, "TOP", 1)
    model = LinearModel(size=SIZE, classes=2)
    images = pictures_of(12)
    labels = answers(model, images)
    found = top_gradient(ModelOracle(model), images, labels)
    sweep = corner_sweep(ModelOracle(model), images, labels, stop_on_success=False)
    assert torch.equal(found.flipped, sweep.flipped)  # of two classes, the worst pixel is the worst
    stood = ~found.flipped
    torch.testing.assert_close(found.margin[stood], sweep.margin[stood])
    assert found.queries.max() <= 8


def test_a_model_without_a_gradient_is_told() -> None:
    class Counted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images.detach().sum((1, 2, 3)), torch.ones(len(images))], dim=1)

    images = pictures_of(1)
    with pytest.raises(InputError, match=r"gives no gradient, and this needs one; choose"):
        top_gradient(ModelOracle(Counted()), images, torch.tensor([0]))


@pytest.mark.parametrize("pixels", [1, 3])
def test_sparse_rs_finds_what_brute_force_finds(case, pixels: int) -> None:
    model, images, labels = case
    images, labels = images[:12], labels[:12]
    indices = torch.arange(12)
    found = sparse_rs(ModelOracle(model), images, labels, indices, pixels, queries=1500)
    assert torch.equal(answers(model, found.edited(images)) != labels, found.flipped)
    assert found.queries[~found.flipped].eq(1500).all()
    if pixels == 1:
        sweep = corner_sweep(ModelOracle(model), images, labels, stop_on_success=False)
        assert torch.equal(found.flipped, sweep.flipped)
        stood = ~found.flipped
        torch.testing.assert_close(found.margin[stood], sweep.margin[stood])


def test_sparse_rs_depends_on_seed_and_index_alone(case) -> None:
    model, images, labels = case
    oracle, indices = ModelOracle(model), torch.arange(40) + 5
    together = sparse_rs(oracle, images, labels, indices, 2, seed=4, queries=40)
    alone = sparse_rs(oracle, images[7:8], labels[7:8], indices[7:8], 2, seed=4, queries=40)
    assert torch.equal(alone.positions[0], together.positions[7])
    assert alone.queries[0] == together.queries[7]
    other = sparse_rs(oracle, images, labels, indices, 2, seed=5, queries=40)
    assert not torch.equal(other.positions, together.positions)


@pytest.mark.parametrize(
    ("step", "part"),
    [(1, 2), (50, 2), (51, 4), (200, 4), (201, 5), (501, 6), (1001, 8), (2001, 10), (4001, 12),
     (6001, 15), (8001, 20), (9999, 20)],
)  # fmt: skip
@pytest.mark.parametrize("scale", [1, 10])
def test_sparse_rs_replaces_fewer_and_fewer_as_its_authors_do(
    step: int, part: int, scale: int
) -> None:
    """The table of `p_selection` for L0 in Croce et al.'s code, scaled to the budget."""
    keys = torch.arange(1)
    places, colours = torch.arange(1000)[None], torch.zeros(1, 1000, 3, dtype=torch.int64)
    after, _ = replaced(keys, step * scale, step * scale / (10_000 * scale), places, colours, 2**24)
    assert int((after != places).sum()) == int(0.3 / part * 1000)


@pytest.mark.parametrize(("pixels", "changed"), [(1, 1), (3, 1), (7, 1), (13, 1), (14, 2)])
def test_of_a_few_pixels_sparse_rs_replaces_one_at_a_time(pixels: int, changed: int) -> None:
    """With up to 13 pixels the authors' schedule replaces one from the first step on."""
    places, colours = torch.arange(pixels)[None], torch.zeros(1, pixels, 3, dtype=torch.int64)
    after, _ = replaced(torch.arange(1), 1, 1e-4, places, colours, 2**24)
    assert int((after != places).sum()) == changed


def test_sparse_rs_with_every_pixel_changes_colours_alone() -> None:
    model, images = LinearModel(size=2), pictures_of(6, size=2)
    labels = answers(model, images)
    found = sparse_rs(ModelOracle(model), images, labels, torch.arange(6), 4, queries=400)
    assert found.flipped.all()


# The ladder


def climbed(
    model: nn.Module, images: Tensor, labels: Tensor, pixels=(1,), stages=SMALL, **settings
) -> list[Verdict]:
    config = LadderConfig(stages, pixels, **settings)
    return climb(config, ModelOracle(model), images, labels, torch.arange(len(images)))


def broken(verdicts: list[Verdict], rung: int = 0) -> list[bool]:
    return [verdict.rungs[rung].flipped for verdict in verdicts]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that take a test's time."""
    monkeypatch.setattr(stages, "sparse_rs", partial(sparse_rs, queries=SPARSE_QUERIES))
    monkeypatch.setattr(
        stages, "OnePixelConfig", partial(OnePixelConfig, population=30, generations=5)
    )


def test_the_ladder_equals_brute_force_on_a_linear_model(case) -> None:
    """Of a linear model, the best edit of a pixel is a corner: no colour can do what none does."""
    model, images, labels = case
    verdicts = climbed(model, images, labels, stages=LADDER)
    for image, label, verdict in zip(images, labels, verdicts, strict=True):
        edits = every_corner_edit(image)
        expected = bool((answers(model, edits) != label).any())
        assert verdict.rungs[0].flipped == expected
        edited = edit_image(image, verdict.rungs[0].edits)
        assert bool(answers(model, edited[None])[0] != label) == expected
        if not expected:
            margins = margin_after(model, edits, label.expand(len(edits)))
            assert verdict.rungs[0].margin == pytest.approx(float(margins.min()), abs=1e-5)


def test_the_union_is_at_least_each_part(case) -> None:
    model, images, labels = case
    together = climbed(model, images, labels, stages=LADDER, stop_on_success=False)
    for stage in LADDER:
        alone = broken(climbed(model, images, labels, stages=(stage,)))
        assert alone == [stage in verdict.rungs[0].caught for verdict in together]
        assert all(whole >= part for whole, part in zip(broken(together), alone, strict=True))
    assert broken(together) == [bool(verdict.rungs[0].caught) for verdict in together]


def test_who_leaves_early_is_broken_all_the_same(case) -> None:
    model, images, labels = case
    leaving = climbed(model, images, labels)
    staying = climbed(model, images, labels, stop_on_success=False)
    assert broken(leaving) == broken(staying)
    for one, other in zip(leaving, staying, strict=True):
        assert one.rungs[0].stage == other.rungs[0].stage
        idle = 0 if other.rungs[0].flipped else SPARSE_QUERIES
        assert one.rungs[0].queries == other.rungs[0].queries - idle
        assert one.rungs[0].caught == other.rungs[0].caught[:1]


@pytest.mark.parametrize("stages", [SMALL, ("corners",), ("top-gradient",), LADDER])
def test_the_rate_never_falls_with_more_pixels(stages: tuple[str, ...]) -> None:
    model, images = LinearModel(size=SIZE), pictures_of(30, seed=8)
    labels = answers(model, images)
    verdicts = climbed(model, images, labels, pixels=(1, 2, 3, 5), stages=stages)
    counts = [sum(broken(verdicts, rung)) for rung in range(4)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    for verdict in verdicts:
        for fewer, more in pairwise(verdict.rungs):
            assert fewer.flipped <= more.flipped
            assert more.margin <= fewer.margin + 1e-5 or more.flipped
            assert more.queries >= fewer.queries
        for rung in verdict.rungs:
            assert len({(edit.x, edit.y) for edit in rung.edits}) <= rung.pixels
            edited = edit_image(images[verdict.index], rung.edits)
            assert bool(answers(model, edited[None])[0] != verdict.label) == rung.flipped


def test_every_image_falls_when_every_pixel_may_change() -> None:
    model, images = LinearModel(size=3), pictures_of(30, size=3)
    labels = answers(model, images)
    verdicts = climbed(model, images, labels, pixels=(1, 9), stages=("corners", "sparse-rs"))
    assert not all(broken(verdicts, 0))
    assert all(broken(verdicts, 1))


def test_two_pixels_fall_short_of_brute_force_by_nothing_on_a_tiny_image() -> None:
    model, images = LinearModel(size=2, seed=3), pictures_of(25, size=2, seed=5)
    labels = answers(model, images)
    verdicts = climbed(model, images, labels, pixels=(2,), stages=("corners", "sparse-rs"))
    for image, label, verdict in zip(images, labels, verdicts, strict=True):
        fell = False
        for places in combinations(range(4), 2):
            for colours in product(CORNERS, repeat=2):
                edited = image.clone()
                for place, colour in zip(places, colours, strict=True):
                    edited[:, place // 2, place % 2] = colour.to(torch.uint8)
                fell |= bool(answers(model, edited[None])[0] != label)
        assert verdict.rungs[0].flipped == fell


def test_what_the_model_gets_wrong_is_not_attacked(case) -> None:
    model, images, labels = case
    labels = labels.clone()
    labels[3] = (labels[3] + 1) % 3
    verdicts = climbed(model, images[:6], labels[:6])
    assert [verdict.correct for verdict in verdicts] == [True, True, True, False, True, True]
    assert [len(verdict.rungs) for verdict in verdicts] == [1, 1, 1, 0, 1, 1]
    nothing = climbed(model, images[:2], (labels[:2] + 1) % 3)
    assert [verdict.rungs for verdict in nothing] == [(), ()]


def test_flips_of_the_folded_copy_are_confirmed_by_the_model(network: Classifier, pictures) -> None:
    labels = answers(network, pictures)
    oracle = ModelOracle(network)

    class Liar(nn.Module):
        """A folded copy that says another class of every image but the clean ones."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(
                (answers(network, images * 255) + 1) % 10, 10
            ).float()

    oracle._search = Liar()
    found = corner_sweep(oracle, pictures[:1, :, :4, :4].contiguous(), labels[:1])
    assert torch.equal(
        found.flipped, answers(network, found.edited(pictures[:1, :, :4, :4])) != labels[:1]
    )


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_attacks_on_every_pixel_are_there_for_comparison(case, name: str) -> None:
    model, images, labels = case
    verdicts = climbed(model, images, labels, stages=(name,))
    assert any(broken(verdicts))
    assert {verdict.rungs[0].stage for verdict in verdicts} <= {name, ""}
    for rung in (verdict.rungs[0] for verdict in verdicts):
        assert rung.queries == (1 if rung.flipped else 2)  # one for each loss


def test_a_model_that_is_very_sure_hides_nothing_from_pgd(case) -> None:
    """Its probabilities are 1 and 0 in floats, so that cross-entropy has no gradient."""
    model, images, labels = case

    class Sure(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 1e4 * model(images)

    plain = climbed(model, images, labels, stages=("pgd",), epsilon=8 / 255)
    sure = climbed(Sure().eval(), images, labels, stages=("pgd",), epsilon=8 / 255)
    assert sum(broken(sure)) >= sum(broken(plain)) > 0


def test_pgd_turns_no_fewer_than_fgsm_and_a_longer_reach_no_fewer_than_a_shorter(case) -> None:
    model, images, labels = case

    def turned(name: str, epsilon: float) -> int:
        return sum(broken(climbed(model, images, labels, stages=(name,), epsilon=epsilon)))

    for name in ("fgsm", "pgd"):
        few, more = turned(name, 1 / 255), turned(name, 8 / 255)
        assert 0 == turned(name, 0) <= few < more
    assert turned("pgd", 4 / 255) >= turned("fgsm", 4 / 255)
    assert turned("pgd", 1) == len(images)


def test_more_restarts_of_pgd_turn_no_fewer_and_try_what_is_left(case) -> None:
    model, images, labels = case
    few, more = (
        climbed(model, images, labels, stages=("pgd",), epsilon=2 / 255, steps=3, restarts=count)
        for count in (1, 4)
    )
    assert all(now >= before for now, before in zip(broken(more), broken(few), strict=True))
    assert {one.rungs[0].queries for one in more if not one.rungs[0].flipped} == {2 * 4}


def test_attacks_on_every_pixel_stay_on_the_grid_and_within_reach(case) -> None:
    model, images, labels = case
    asked: list[torch.Tensor] = []

    class Watched(ModelOracle):
        def verify_float32(self, images: torch.Tensor) -> torch.Tensor:
            asked.append(images)
            return super().verify_float32(images)

    climb(
        LadderConfig(("pgd",), epsilon=3 / 255),
        Watched(model),
        images,
        labels,
        torch.arange(len(images)),
    )
    first = asked[1]  # after the clean ones
    change = first.int() - images.int()
    assert first.dtype == torch.uint8
    assert int(change.abs().max()) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"stages": ("corner",)}, "no attack 'corner'"), ({"pixels": (3, 1)}, "must rise"),
     ({"pixels": ()}, "pixels is"), ({"pixels": (0,)}, "between 1 and 150"),
     ({"pixels": (151,)}, "between 1 and 150"), ({"stages": ()}, "one attack at least"),
     ({"seed": 10**20}, "seed is 1000"), ({"epsilon": 1.5}, "epsilon is 1.5, but must lie")],
)  # fmt: skip
def test_a_ladder_that_cannot_be_climbed_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(LadderConfig(), **settings)


def test_every_stage_of_the_ladder_is_known() -> None:
    assert set(LADDER) < set(STAGES)


def test_refining_alone_counts_the_sweep_that_it_needs(case) -> None:
    model, images, labels = case
    counting = CountingModel(model)
    config = LadderConfig(("refine",))
    found = climb(config, ModelOracle(counting), images, labels, torch.arange(len(images)))
    stood = [one.rungs[0].queries for one in found if not one.rungs[0].flipped]
    assert set(stood) == {SIZE * SIZE * (len(CORNERS) + len(GRID))}


@pytest.mark.parametrize("stage", ["sparse-rs", "pgd", "de"])
def test_what_is_found_of_an_image_does_not_depend_on_its_company(case, stage: str) -> None:
    model, images, labels = case
    indices = torch.arange(100, 112)
    config = LadderConfig((stage,))
    together = climb(config, ModelOracle(model), images[:12], labels[:12], indices)
    for row in (0, 5, 11):
        one = slice(row, row + 1)
        (alone,) = climb(config, ModelOracle(model), images[one], labels[one], indices[one])
        assert alone.rungs[0].margin == pytest.approx(together[row].rungs[0].margin, abs=1e-5)
        assert replace(alone.rungs[0], margin=0.0) == replace(together[row].rungs[0], margin=0.0)


def test_what_is_known_is_not_searched_again() -> None:
    """With the verdicts of differential evolution at hand, the ladder ends as it does without."""
    model, images = LinearModel(size=12), pictures_of(20, 12)
    labels = answers(model, images)
    stages, pixels = ("top-gradient", "de"), (1, 2)
    known = {}
    for several in ((1,), (2,)):  # each search by itself
        alone = climbed(model, images, labels, several, ("de",))
        known |= {(one.index, rung.pixels): rung for one in alone for rung in one.rungs}
    known = {"de": known}
    straight = climbed(model, images, labels, pixels, stages)
    assert any(one.rungs[1].stage != "top-gradient" for one in straight)
    counting = CountingModel(model)
    config = LadderConfig(stages, pixels)
    indices = torch.arange(len(images))
    spared = climb(config, ModelOracle(counting), images, labels, indices, known)
    assert [[rung.flipped for rung in one.rungs] for one in spared] == [
        [rung.flipped for rung in one.rungs] for one in straight
    ]
    assert spared == straight
    some = {"de": dict(list(known["de"].items())[:5])}  # of too few images: searched after all
    assert climb(config, ModelOracle(model), images, labels, indices, some) == straight
    cheap = CountingModel(model)
    climb(replace(config, stages=stages[:1]), ModelOracle(cheap), images, labels, indices)
    assert counting.count <= cheap.count
