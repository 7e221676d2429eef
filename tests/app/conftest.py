"""The app's own service, which all tests of the app share in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apr_ui.resources import service
from tests.conftest import PATIENCE


@pytest.fixture(autouse=True)
def maps_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Attention page draws its maps at once, however busy the machine is."""
    monkeypatch.setattr("apr_ui.attention.view.FIRST_SECONDS", PATIENCE)


@pytest.fixture(autouse=True)
def no_run_goes_on() -> Iterator[None]:
    """A test's runs do not take the time of those after it."""
    yield
    shared = service()
    with shared._changed:
        for run in shared._runs.values():
            run.cancelled = run.cancelled or run.view.live
