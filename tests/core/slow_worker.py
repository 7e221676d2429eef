"""The `train` command on pictures and a network that take no time, for `test_training_service`."""

from __future__ import annotations

import sys
import time

from apr_core.cli import main
from apr_core.cli import train as command
from apr_core.data.cifar10 import Cifar10
from apr_core.models import ARCHITECTURES
from apr_core.training.fit import Progress
from tests.core.small import SmallNet, red_and_blue


class Reporter(command.Reporter):
    """Takes its time, so that a test can come in between."""

    def __call__(self, progress: Progress) -> None:
        super().__call__(progress)
        time.sleep(0.1)


if __name__ == "__main__":
    images, labels = red_and_blue(count=60, size=32)
    data = Cifar10(images[:40], labels[:40], images[40:], labels[40:])
    command.fetch_cifar10 = lambda **_: data
    command.Reporter = Reporter
    ARCHITECTURES.add("small", lambda num_classes: SmallNet(0, num_classes))
    sys.exit(main(sys.argv[1:]))
