"""How the Attack page tells that a run ended: case 16, of runs that nobody cancelled."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from apr_core.base.types import Status
from apr_core.serving.requests import Phase
from apr_core.serving.run_export import UNWATCHED, record, status_of
from apr_ui.permalink import to_params
from apr_ui.resources import service
from apr_ui.stage import LEAST_OVERLAP
from tests.app.pages import VANILLA, given, open_page, results, run, wait_for
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


def test_the_polls_of_a_live_run_send_its_picture_at_first_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page that is drawn anew sends it again; a browser may skip the first polls."""
    asked = request(seed=87)
    open_page("attack", to_params(asked))
    live = replace(wait_for(asked.run_id), phase=Phase.RUNNING, outcome=None)
    monkeypatch.setattr("apr_ui.stage.service", lambda: SimpleNamespace(view=lambda *_: live))

    def script(asked):
        from apr_core.base.tickets import Ticket
        from apr_ui.stage import LEAST_OVERLAP, _poll
        from apr_ui.state import CurrentRun

        run = CurrentRun(asked, Ticket(asked.run_id, ""))
        _poll(run, True, "attack", float(LEAST_OVERLAP), True)

    app = AppTest.from_function(script, kwargs={"asked": asked}, default_timeout=PATIENCE)
    sent = []
    for _ in range(LEAST_OVERLAP + 2):
        run(app)
        (player,), (result,) = given(app, "frames"), results(app)
        sent.append((bool(player.get("image")), bool(result["image"])))
        assert player["width"] == result["width"] == 32
    assert sent == [(True, True)] * LEAST_OVERLAP + [(False, False)] * 2
    app.session_state["attack.sent"] = []  # as `watch` begins
    run(app)
    assert given(app, "frames")[0]["image"]
    assert results(app)[0]["image"]


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
