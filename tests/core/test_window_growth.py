"""Growth of the window: what the layers of a network compute for an edit of one pixel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from apr_core.attacks.perturbation import apply_edits
from apr_core.models import build_model
from apr_core.models.clamp_front import NeighbourhoodFront
from apr_core.models.incremental import layers_of, multiplied, trace

ALL = 1 << 30


def small() -> nn.Module:
    """Maps of 16, 8 and 4 places a side; its windows are counted by hand below."""
    parts = (
        nn.Conv2d(3, 4, 3, padding=1),  # 3 of 16
        nn.ReLU(),
        nn.Conv2d(4, 4, 5, stride=2, padding=2, groups=4),  # (3 + 4) / 2, rounded up: 4 of 8
        nn.MaxPool2d(2),  # 4 places, from an odd one or an even: 3 of 4
        nn.Conv2d(4, 2, 3, padding=1),  # 5, but the map has 4
    )
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(32, 5)).eval()


def test_windows_and_multiplications_are_those_counted_by_hand() -> None:
    layers = layers_of(small(), (3, 16, 16))
    assert [layer.kind for layer in layers] == [
        "conv2d", "conv2d", "max_pool2d", "conv2d", "linear",
    ]  # fmt: skip
    assert [layer.kernel for layer in layers] == [(3, 3), (5, 5), (2, 2), (3, 3), None]
    assert [layer.size[0] for layer in layers] == [16, 8, 4, 4, 1]
    assert [layer.window[0] for layer in layers] == [3, 4, 3, 4, 1]
    counts = [16 * 16 * 9 * 3 * 4, 8 * 8 * 25 * 4, 0, 4 * 4 * 9 * 4 * 2, 32 * 5]
    assert [layer.multiplications for layer in layers] == counts
    windows = 3 * 3 * 9 * 3 * 4 + 4 * 4 * 25 * 4
    assert multiplied(layers, ALL) == (windows + counts[3] + counts[4]) / sum(counts)
    first = layers[1].step  # the second convolution and what follows it on whole maps
    assert multiplied(layers, first) == (3 * 3 * 9 * 3 * 4 + sum(counts[1:])) / sum(counts)
    assert multiplied(layers, 0) == 1


@torch.no_grad()
@pytest.mark.parametrize("place", [(0, 0), (15, 0), (7, 8), (14, 15)])
def test_what_a_pixel_changes_lies_in_the_windows(place: tuple[int, int]) -> None:
    model = small()
    image = torch.randint(0, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    positions, colours = torch.tensor([[place]]), torch.tensor([[[255, 0, 255]]])
    pair = torch.cat([image.byte(), apply_edits(image.byte(), positions, colours)]).float() / 255
    layers = iter(layers_of(model, (3, 16, 16)))
    for part in model:
        pair = part(pair)
        if isinstance(part, nn.Flatten):
            break
        if isinstance(part, nn.ReLU):
            continue
        layer = next(layers)
        _, rows, columns = (pair[0] != pair[1]).nonzero().unbind(1)
        if layer.axes is None:
            continue
        for axis, found, pixel in zip(layer.axes, (rows, columns), place[::-1], strict=True):
            first = int(axis.start[pixel])
            assert first <= int(found.min())
            assert int(found.max()) < first + axis.size


def test_a_defences_own_part_is_a_layer_without_multiplications() -> None:
    model = build_model("resnet20", NeighbourhoodFront(True, True)).eval()
    front, first, *_ = layers_of(model, (3, 32, 32))
    assert (front.kind, front.window, front.multiplications) == ("front", (5, 5), 0)
    assert first.window == (7, 7)


def test_models_are_traced_by_several_threads_at_once() -> None:
    models = [build_model(name).eval() for name in ("resnet20", "vgg16", "resnet20", "resnet18")]
    with ThreadPoolExecutor(len(models)) as pool:
        graphs = list(pool.map(lambda model: trace(model, (3, 32, 32)), models))
    alone = [trace(model, (3, 32, 32)) for model in models]
    for graph, expected in zip(graphs, alone, strict=True):
        assert [(s.kind, s.shape) for s in graph.steps] == [
            (s.kind, s.shape) for s in expected.steps
        ]
