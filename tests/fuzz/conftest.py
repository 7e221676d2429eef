"""Property tests of everything that comes from outside: any input gives a right result or one plain
sentence, soon, in little memory, and writes nothing outside its folder.

Hypothesis draws the inputs: a few the same each time, and many in the tests marked `long`.
`pytest tests/fuzz -m long --hypothesis-seed=7` draws others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.hold import Attempt, foreseen, hold, nothing_beside

FOLDERS = ("APR_CHECKPOINTS", "APR_RESULTS", "APR_TRAINING", "APR_RUNS", "APR_DATA")

Fuzz = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to write to, with the engine's own folders inside it."""
    inside = tmp_path / "inside"
    for name in FOLDERS:
        (inside / name).mkdir(parents=True)
        monkeypatch.setenv(name, str(inside / name))
    with nothing_beside(inside):
        yield inside


@pytest.fixture(
    params=[pytest.param(25, id="few"), pytest.param(600, id="many", marks=pytest.mark.long)]
)
def fuzz(request: pytest.FixtureRequest, folder: Path) -> Fuzz:
    """Hold a function to `hold` on a valid input, which it must accept, and on drawn ones.

    The function returns where the input led to a right result, and raises InputError to refuse it.
    """
    few = settings(
        max_examples=request.param,
        derandomize=request.config.getoption("--hypothesis-seed") is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )

    def run(inputs: SearchStrategy[Any], attempt: Attempt, valid: Any, works: bool = False) -> None:
        said = []

        @few
        @given(inputs)
        def every(value: Any) -> None:
            said.append(hold(attempt, value, works))

        with foreseen():
            assert hold(attempt, valid, works) == ""
            every()
        assert any(said), "no input was refused"

    return run
