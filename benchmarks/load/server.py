"""The app in a process of its own, and what it takes of the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from apr_core.base.types import InputError
from apr_core.classroom.store import classes_file
from benchmarks.load.figures import Sample

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0
"""Seconds that the app may take to start."""


class App:
    """`streamlit run app.py` on a free port of the loopback; a context.

    Its runs and classes lie in a temporary folder.

    Attributes:
        url: its address.
        classes_file: where it keeps its classes.
        samples: of its memory, by `sample`.

    Raises:
        InputError: it is not there, did not start, or /proc is missing.
    """

    def __init__(self) -> None:
        if not (ROOT / "app.py").exists() or not Path("/proc/self/status").exists():
            raise InputError(
                "The load is measured on the app itself, under Linux; run this in a checkout of "
                "the project there."
            )
        self._folder = tempfile.TemporaryDirectory(prefix="apr-load-")
        folder = Path(self._folder.name)
        self._runs, self._log = folder / "runs", folder / "log"
        self.classes_file = folder / classes_file().name
        self.samples: list[Sample] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
                cwd=ROOT,
                env=os.environ | {"APR_RUNS": str(self._runs), "APR_CLASSROOM": str(folder)},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> App:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def tracebacks(self) -> list[str]:
        """Exceptions in its log: of each the first line after its frames, which are indented."""
        parts = self._log.read_text(errors="replace").split("Traceback (most recent call last):")
        lines = [[line for line in part.splitlines() if line.strip()] for part in parts[1:]]
        last = (next((x for x in found if not x.startswith(" ")), "an error") for found in lines)
        return [line[:300] for line in last]

    def runs_noted(self) -> int:
        """Runs requested so far; one counts once, however many request it."""
        return sum(1 for _ in self._runs.glob("*.json.gz"))

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str = "VmRSS") -> float:
        """Resident memory in MB; the peak as VmHWM."""
        lines = self._proc("status").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def sample(self) -> None:
        """Note the memory of this moment."""
        self.samples.append((time.monotonic(), self.memory()))

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        last = (self._log.read_text(errors="replace").strip() or "it said nothing").splitlines()
        raise InputError(f"The app did not start ({last[-1][:200]}); try `make run` to see why.")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()
