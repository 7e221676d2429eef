"""Models whose answers are known, images to attack, and what holds for the whole run of tests."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from apr_core.data.registry import find_dataset
from apr_core.models import Classifier, build_model
from apr_core.models.pixel_attention import PixelAttention
from tests import processes

ROOT = Path(__file__).parents[1]
PATIENCE = 600.0
"""Seconds that a test waits for an event: so many that only a hang reaches them."""
KEPT_APART = {"APR_CLASSROOM": "classroom", "APR_RUNS": "runs", "APR_SPEEDS": "speeds"}
"""Where the app keeps what people do, and what was measured; tests have folders of their own."""


LONG_MINUTES = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long-minutes",
        type=float,
        default=float("inf"),
        help="begin no further test marked long after so many minutes",
    )
    parser.addoption("--golden", action="store_true", help="write tests/golden anew")


def pytest_configure(config: pytest.Config) -> None:
    processes.mark_children()
    config.stash[LONG_MINUTES] = time.monotonic() + 60 * config.getoption("--long-minutes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and time.monotonic() > item.config.stash[LONG_MINUTES]:
        pytest.skip("left out: the minutes for long tests are spent")


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """No process that a test started outlives the tests."""
    yield
    left = processes.left_behind(os.environ[processes.MARK])
    assert left == [], "processes that tests started and did not end"


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def shared_data() -> Path:
    """The folder of real data for measuring, which is no part of the project; skips without it."""
    beside = [ROOT.parent / "shared" / "data", ROOT.parents[1] / "shared" / "data"]
    named = os.environ.get("APR_SHARED_DATA")
    for folder in [Path(named)] if named else beside:
        if folder.is_dir():
            return folder
    pytest.skip("needs the shared data: set APR_SHARED_DATA to their folder")


FIGURE = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?%?")


def figures(text: str) -> list[str]:
    """The numbers that a sentence tells, in their order; its wording is held by tests/golden."""
    return FIGURE.findall(text)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests do is not found by the app, nor by other tests' servers."""
    for variable, name in KEPT_APART.items():
        os.environ[variable] = str(tmp_path_factory.mktemp(name))


class LinearModel(nn.Module):
    """Logits that are linear in the pixels, so that the best edit can be found by looking.

    They are summed in double precision: in single, some processors round an image's logits
    otherwise when others stand beside it.
    """

    def __init__(self, size: int = 6, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, 3 * size * size, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1).double() @ self.weight.T.double()).to(images.dtype)


class CountingModel(nn.Module):
    """Another model, with a count of the images it was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.count = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += len(images)
        return self.model(images)


class ConstantModel(nn.Module):
    """The same logits for every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1)


@pytest.fixture
def linear_model() -> LinearModel:
    return LinearModel()


@pytest.fixture
def small_images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 3, 6, 6), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="session")
def network() -> Classifier:
    """A ResNet-20 of random weights: the package's own kind of model, untrained."""
    torch.manual_seed(0)
    return build_model("resnet20", PixelAttention()).eval()


@pytest.fixture(scope="session")
def pictures() -> Tensor:
    """Four CIFAR-10 test images, uint8 (4, 3, 32, 32)."""
    return find_dataset().shipped_sample().images[:4]


def answers(model: nn.Module, images: Tensor) -> Tensor:
    """What the model says of uint8 images, (B,)."""
    with torch.no_grad():
        return model(images.float() / 255).argmax(1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def long_but_for(quick: Callable[[Any], bool], items: Iterable[Any], name: str) -> list[Any]:
    """Parameters of a test, each named by its attribute `name`; all but the quick ones are long."""
    return [
        pytest.param(item, id=getattr(item, name), marks=[] if quick(item) else [pytest.mark.long])
        for item in items
    ]
