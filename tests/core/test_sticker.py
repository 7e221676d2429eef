"""Stickers: how they are stuck, learned and counted."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from apr_core.attacks.sticker import (
    StickerConfig,
    StickerLearner,
    Views,
    become_target,
    random_views,
    stick,
)
from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.data.printing import CM, MOST_CM, PAGE, to_pdf
from tests.core.test_ladder import pictures_of

SIZE = 24
CONFIG = StickerConfig(target=1, side=8, steps=25, batch=8, turn=10, light=0.1)


class Redness(nn.Module):
    """Class 1 is red, class 0 is not: a sticker that turns pictures into it must be red."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(60.0))

    def forward(self, images: Tensor) -> Tensor:
        red = images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))
        return torch.stack([torch.full_like(red, 2.0), self.gain * red], dim=1)


def pattern(side: int = 8) -> Tensor:
    """Four quarters: red and green above, blue and white below."""
    sticker = torch.zeros(3, side, side)
    half = side // 2
    sticker[0, :half, :half] = sticker[1, :half, half:] = sticker[2, half:, :half] = 1
    sticker[:, half:, half:] = 1
    return sticker


def stuck(**view: float) -> Tensor:
    return stick(torch.full((1, 3, SIZE, SIZE), 0.5), pattern(), Views.one(**view))[0]


def test_a_sticker_lies_where_it_is_stuck_and_nowhere_else() -> None:
    shown = stuck(across=0.5, down=0.5, size=1 / 3)
    torch.testing.assert_close(shown[:, 8:16, 8:16], pattern(), atol=1e-5, rtol=0)
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[8:16, 8:16] = False
    assert bool((shown[:, outside] == 0.5).all())


def test_it_is_turned_clockwise_and_lit() -> None:
    turned = stuck(across=0.5, down=0.5, size=1 / 3, turn=90.0)[:, 8:16, 8:16]
    torch.testing.assert_close(turned, pattern().rot90(-1, (1, 2)), atol=1e-4, rtol=0)
    dim = stuck(across=0.5, down=0.5, size=1 / 3, light=0.5)
    torch.testing.assert_close(dim[:, 8:16, 8:16], 0.5 * pattern(), atol=1e-5, rtol=0)


def test_what_lies_outside_the_picture_is_cut_off() -> None:
    shown = stuck(across=0.0, down=1.0, size=1 / 3)
    torch.testing.assert_close(shown[:, 20:, :4], pattern()[:, :4, 4:], atol=1e-5, rtol=0)


def test_on_a_wide_picture_it_stays_a_square() -> None:
    shown = stick(torch.zeros(1, 3, SIZE, 2 * SIZE), torch.ones(3, 8, 8), Views.one(size=0.5))[0]
    rows, columns = (shown[0] > 0.5).nonzero().unbind(1)
    assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == SIZE / 2 - 1


def test_views_stay_within_what_was_asked() -> None:
    keys = random.keys_for(0, torch.arange(500))
    views = random_views(CONFIG, keys, 3)
    assert bool((views.size >= CONFIG.smallest).all() and (views.size <= CONFIG.largest).all())
    assert bool((views.turn.abs() <= CONFIG.turn).all() and ((views.light - 1).abs() <= 0.1).all())
    for centre in (views.across, views.down):
        assert bool((centre >= views.size / 2).all() and (centre <= 1 - views.size / 2).all())
    assert float(views.turn.std()) > 0.4 * CONFIG.turn


def test_a_sticker_is_learned_that_works_on_pictures_it_has_not_seen() -> None:
    images, labels = pictures_of(20, SIZE), torch.zeros(20, dtype=torch.int64)
    learner = StickerLearner(Redness().eval(), images, labels, CONFIG)
    before = become_target(learner.model, pictures_of(50, SIZE, seed=2), CONFIG, learner.sticker)
    while learner.live:
        seen = learner.advance()
    others = pictures_of(50, SIZE, seed=2)
    assert int(before.sum()) < 10
    assert int(become_target(learner.model, others, CONFIG).sum()) < 5
    assert int(become_target(learner.model, others, CONFIG, learner.sticker).sum()) > 45
    assert float(learner.sticker[0].mean()) > 0.8
    assert float(learner.sticker[1:].mean()) < 0.3
    assert len(learner.loss) == CONFIG.steps
    assert learner.loss[-1] < 0.5 * learner.loss[0]
    assert seen.shape == (CONFIG.batch, 3, SIZE, SIZE)


def test_the_same_seed_learns_the_same_and_another_does_not() -> None:
    images, labels = pictures_of(6, SIZE), torch.zeros(6, dtype=torch.int64)

    def learned(config: StickerConfig) -> Tensor:
        learner = StickerLearner(Redness().eval(), images, labels, config)
        for _ in range(3):
            learner.advance()
        return learner.sticker

    assert torch.equal(learned(CONFIG), learned(CONFIG))
    assert not torch.equal(learned(CONFIG), learned(replace(CONFIG, seed=1)))


def test_nothing_is_learned_on_pictures_of_the_target() -> None:
    images, labels = pictures_of(6, SIZE), torch.tensor([0, 1, 1, 0, 1, 1])
    learner = StickerLearner(Redness().eval(), images, labels, CONFIG)
    assert torch.equal(learner.images, images[labels == 0])
    with pytest.raises(InputError, match="All 6 pictures are of the target, class 1"):
        StickerLearner(Redness().eval(), images, torch.ones(6, dtype=torch.int64), CONFIG)


def test_a_target_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(InputError, match="The target is class 7, but the model has 2"):
        StickerLearner(
            Redness().eval(), pictures_of(2, SIZE), torch.zeros(2), replace(CONFIG, target=7)
        )


def test_a_model_without_a_gradient_is_refused() -> None:
    class Blind(Redness):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).detach()

    images = pictures_of(2, SIZE)
    learner = StickerLearner(Blind().eval(), images, torch.zeros(2), CONFIG)
    with pytest.raises(InputError, match="gives no gradient"):
        learner.advance()


@pytest.mark.parametrize(
    ("field", "value"),
    [("side", 1), ("largest", 1.5), ("steps", 0), ("light", -0.1), ("smallest", 0.9)],
)
def test_settings_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field} is {value}, but"):
        replace(CONFIG, **{field: value})


def test_the_page_to_print_has_the_sticker_in_its_true_size() -> None:
    sticker = Image.new("RGB", (16, 16), "red")
    data = to_pdf(sticker, 5.0, "Sticker: toaster")
    assert data.startswith(b"%PDF")
    assert to_pdf(sticker, MOST_CM, "The largest").startswith(b"%PDF")
    points = [round(72 * dots / 300) for dots in PAGE]
    assert points == [595, 842]
    assert f"{math.floor(72 * PAGE[0] / 300)}".encode() in data.split(b"/MediaBox")[1][:60]
    jpeg = data[data.index(b"\xff\xd8") : data.rindex(b"\xff\xd9") + 2]
    page = Image.open(io.BytesIO(jpeg)).convert("RGB")
    red = [x for x in range(page.width) if page.getpixel((x, round(6 * CM)))[1] < 60]
    assert len(red) == pytest.approx(5 * CM, abs=4)
