"""One of the processes that torchrun starts in `test_trainer.py`: it runs the `train` command."""

from __future__ import annotations

import sys

from apr_core.cli import main
from apr_core.cli import train as command
from apr_core.data.cifar10 import Cifar10
from apr_core.models import ARCHITECTURES
from tests.core.small import QUICK, PlainNet, SmallNet, red_and_blue

if __name__ == "__main__":
    images, labels = red_and_blue(count=60, size=32)
    data = Cifar10(images[:40], labels[:40], images[40:], labels[40:])
    command.fetch_cifar10 = lambda **_: data
    ARCHITECTURES.add("small", lambda num_classes: SmallNet(0, num_classes))
    ARCHITECTURES.add("plain", PlainNet)
    sys.exit(
        main(
            ["train", "--architecture", sys.argv[1], "--defence", sys.argv[2], "--ship", "--device",
             "cpu", "--epochs", str(QUICK.epochs), "--batch-size", str(QUICK.batch_size),
             "--learning-rate", str(QUICK.learning_rate), "--no-mixed-precision"]
        )
    )  # fmt: skip
