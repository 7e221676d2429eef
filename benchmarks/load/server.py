"""The app as people start it, in a process of its own, and what it takes of the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from apr_core.base.types import InputError
from apr_core.classroom.store import classes_file

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0
"""Seconds that the app may take to start: it imports all there is."""
MEBI = 2**20

Sample = tuple[float, float]
"""`time.monotonic`, and the resident memory in MB."""


class App:
    """`streamlit run app.py` on a free port of the loopback; a context.

    Runs and classes lie in a folder of its own, which is gone in the end.

    Attributes:
        url: its address.
        classes_file: where it keeps its classes.
        samples: what it took of memory, once a second.

    Raises:
        InputError: it is not there, did not start, or the system tells nothing of its processes.
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
        places = {"APR_RUNS": str(self._runs), "APR_CLASSROOM": str(folder)}
        self.classes_file = folder / classes_file().name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
                cwd=ROOT,
                env=os.environ | places,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.samples: list[Sample] = []
        self._over = threading.Event()
        self._sampling = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> App:
        self._sampling.start()
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sampling.join()
        self._folder.cleanup()

    def tracebacks(self) -> list[str]:
        """Whatever it logged so far of errors that nobody caught, each with its last line."""
        parts = self._log.read_text(errors="replace").split("Traceback (most recent call last):")
        return [_last_line(part) for part in parts[1:]]

    def runs_noted(self) -> int:
        """How many runs were asked for so far; one counts once, however many ask for it."""
        return sum(1 for path in self._runs.glob("*.json.gz"))

    def cpu_seconds(self) -> float:
        """Of the processors, so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident, in MB."""
        return self._status("VmRSS")

    def peak_memory(self) -> float:
        """The most that it ever took, in MB."""
        return self._status("VmHWM")

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

    def _sample(self) -> None:
        while not self._over.wait(1.0):
            try:
                self.samples.append((time.monotonic(), self.memory()))
            except (OSError, StopIteration):
                return  # it has ended

    def _status(self, name: str) -> float:
        lines = self._proc("status").splitlines()
        line = next(line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024 / MEBI

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


def _last_line(trace: str) -> str:
    """A traceback's error: the first line after its frames, which are indented."""
    lines = trace.strip("\n").splitlines()
    return next((line for line in lines if not line.startswith(" ")), "an error")[:300]
