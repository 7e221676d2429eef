"""The Start page without a browser: its pictures, its numbers, and its one button."""

from __future__ import annotations

import base64

import numpy as np
import torch
from PIL import ImageChops
from streamlit.testing.v1 import AppTest

from apr_core.serving.gallery import load_gallery, request_of
from apr_core.serving.run_export import START_RUN, load_recording
from apr_ui.page_table import page_entry
from apr_ui.permalink import to_params
from apr_ui.start_run import SIDE, start_run
from apr_ui.state import ATTACK
from tests.app.pages import address_of, open_page, run, said, wait_for
from tests.conftest import PATIENCE, ROOT

RECORDING = load_recording(START_RUN)


def test_the_request_is_the_recorded_run() -> None:
    request = start_run().request
    pixels = np.frombuffer(base64.b64decode(RECORDING["image"]), "u1").reshape(32, 32, 3)
    assert torch.equal(request.image.permute(1, 2, 0), torch.tensor(pixels))
    assert request.label == RECORDING["label"]
    entry = next(e for e in load_gallery() if request_of(e).run_id == request.run_id)
    assert entry.outcome == start_run().outcome


def test_before_and_after_differ_around_the_pixel_alone() -> None:
    shown, cell = start_run(), SIDE // 32
    (edit,) = shown.outcome.edits
    x, y = cell * edit.x + cell // 2, cell * edit.y + cell // 2
    assert shown.before.size == (SIDE, SIDE)
    assert shown.after.getpixel((x, y)) == edit.rgb
    left, top, right, bottom = ImageChops.difference(shown.before, shown.after).getbbox()
    assert max(x - left, right - x, y - top, bottom - y) < 3 * cell


def test_every_number_is_the_recordings() -> None:
    words, outcome = said(open_page("start")), start_run().outcome
    for number in (
        f"{outcome.confidence_before:.0%}",
        f"{outcome.confidence_after:.0%}",
        f"{outcome.queries:,} queries",
        f"({outcome.edits[0].x}, {outcome.edits[0].y})",
    ):
        assert number in words
    assert "Adaptive Pixel Resilience (APR)" in words
    assert start_run().request.model not in words


def test_the_button_starts_the_attack() -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    run(run(app).button(key="start.attack").click())
    request = start_run().request
    assert app.title[0].value == page_entry("attack").heading
    assert app.session_state[ATTACK.key].request.run_id == request.run_id
    assert app.session_state["attack.entry"] == 0
    assert address_of(app) == to_params(request)
    assert wait_for(request.run_id).outcome == start_run().outcome
