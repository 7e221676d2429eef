"""How the Attack page tells that a run ended: case 16, of runs that nobody cancelled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from apr_core.base.types import Status
from apr_core.serving.requests import Phase
from apr_core.serving.run_export import UNWATCHED, record, status_of
from apr_ui.permalink import to_params
from apr_ui.resources import service
from tests.app.pages import VANILLA, open_page, results, run, wait_for
from tests.app.test_links import request
from tests.app.test_race import ended
from tests.conftest import PATIENCE, figures

ENDINGS = {
    "cancelled": ended(VANILLA, Status.CANCELLED, 80),
    "unwatched": replace(ended(VANILLA, Status.CANCELLED, 80), unwatched=True),
    "skipped": ended(VANILLA, Status.SKIPPED, 0, target=3),
    "failed": replace(
        ended(VANILLA, Status.CANCELLED, 80), phase=Phase.FAILED, outcome=None, error="It broke."
    ),
}


def told(name: str) -> str:
    def script(name: str) -> None:
        from apr_ui.stage import headline
        from tests.app.test_endings import ENDINGS

        headline(ENDINGS[name])

    app = AppTest.from_function(script, kwargs={"name": name}, default_timeout=PATIENCE).run()
    assert not app.exception
    (sentence,) = (*app.info, *app.warning, *app.error)
    return sentence.value


@pytest.mark.parametrize("name", ENDINGS)
def test_only_what_a_person_cancelled_is_called_cancelled(name: str) -> None:
    view = ENDINGS[name]
    words = told(name)
    assert ("ancelled" in words) == (name == "cancelled")
    assert figures(words)[:1] == (["80"] if name in ("cancelled", "unwatched") else [])
    assert status_of(view) == record(view)["status"] == name


def test_a_run_that_nobody_looked_at_says_so_and_is_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = request(seed=86, population=400, generations=1000)
    app = open_page("attack", to_params(asked))
    assert service().view(asked.run_id).live
    monkeypatch.setattr(service(), "_idle_seconds", 0.0)
    wait_for(asked.run_id)
    monkeypatch.undo()
    run(app)
    assert status_of(service().view(asked.run_id)) == UNWATCHED
    assert "nobody watched it" in results(app)[0]["detail"]
    run(app.button(key="attack.again").click())
    assert service().view(asked.run_id).live
