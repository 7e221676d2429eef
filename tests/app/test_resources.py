"""What all sessions share, to the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PATIENCE, ROOT

ENDING = """
import time

from apr_core import OnePixelConfig
from apr_core.base.types import Stop
from apr_core.data.registry import find_dataset
from apr_core.serving.requests import AttackRequest
from apr_ui.resources import service

config = OnePixelConfig(generations=1000, stop=Stop.BUDGET)
request = AttackRequest("cifar10-resnet20-vanilla", *find_dataset().test_image(9), 9, config)
ticket = service().submit(request)
while len(service().view(ticket.run_id).snapshots) < 2:
    time.sleep(0.01)
"""


def test_python_ends_well_though_an_attack_is_under_way(tmp_path: Path) -> None:
    """Its thread is inside torch, which aborts the process where that is not waited for."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDING],
        cwd=ROOT,
        env=os.environ | {"APR_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stderr.count("terminate called")) == (0, 0), ended.stderr
