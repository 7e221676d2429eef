"""The `train` command on pictures and a network that take no time, for `test_training_service`."""

from __future__ import annotations

import sys
import time

from apr_core.cli import main
from apr_core.cli import train as command
from apr_core.models import ARCHITECTURES
from apr_core.training.fit import Progress
from tests.core.small import red_and_blue_data, small_network


class Reporter(command.Reporter):
    """Takes its time, so that a test can come in between."""

    def __call__(self, progress: Progress) -> None:
        super().__call__(progress)
        time.sleep(0.1)


if __name__ == "__main__":
    data = red_and_blue_data()
    command.find_dataset = lambda name: data
    command.Reporter = Reporter
    ARCHITECTURES.add("small", small_network)
    sys.exit(main(sys.argv[1:]))
