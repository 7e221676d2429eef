"""Limits of one session on the attack service, so that nobody crowds out the others."""

from __future__ import annotations

import math
import time
from collections import deque

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apr_core.base.tickets import Ticket
from apr_core.base.types import InputError
from apr_core.serving.requests import Request
from apr_core.serving.service import AttackService
from apr_ui.visitor import current_visitor

MOST_LIVE = 16
"""Live or waiting runs of a session: two races of six, and some."""
MOST_A_MINUTE = 60
_ASKED = "app.asked"


class SessionService(AttackService):
    """The attack service with limits for each session; none outside a session, as in a test."""

    def submit(self, request: Request, visitor: str = "") -> Ticket:
        """See `AttackService`; the visitor is the session's.

        Raises:
            InputError: too many runs wait already, or the session has or asks for too many.
        """
        if get_script_run_ctx() is None:
            return super().submit(request, visitor)
        asked: deque[tuple[float, str]] = st.session_state.setdefault(
            _ASKED, deque(maxlen=MOST_A_MINUTE)
        )
        now = time.monotonic()
        if len(asked) == MOST_A_MINUTE and now - asked[0][0] < 60:
            wait = math.ceil(60 - (now - asked[0][0]))
            raise InputError(
                f"You asked for {MOST_A_MINUTE} runs within a minute; wait {wait} s and try again."
            )
        others = {run_id for _, run_id in asked} - {request.run_id}
        live = self.count_live(others)
        if live >= MOST_LIVE:
            raise InputError(
                f"{live} of your runs are running or waiting already; wait until one ends, or "
                "cancel one, and try again."
            )
        ticket = super().submit(request, visitor or current_visitor())
        asked.append((now, request.run_id))
        return ticket
