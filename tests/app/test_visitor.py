"""Who looks at a page, from the cookie that Streamlit gives each browser."""

from __future__ import annotations

import os

import pytest
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from apr_ui.visitor import secret_in


def test_the_cookie_of_the_pinned_streamlit_names_the_same_visitor_each_time_it_is_set() -> None:
    secret = os.urandom(16)
    cookies = {generate_xsrf_token_string(secret) for _ in range(3)}
    assert len(cookies) == 3
    assert {secret_in(cookie) for cookie in cookies} == {secret.hex()}
    assert secret_in(generate_xsrf_token_string()) != secret.hex()


@pytest.mark.parametrize("cookie", ["", "2|", "2||ab|1", "2|00ff00ff|zz|1", "2|00ff00ff|ab|1", "x"])
def test_any_other_cookie_names_nobody(cookie: str) -> None:
    assert secret_in(cookie) == ""
