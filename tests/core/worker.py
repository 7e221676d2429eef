"""One of the processes that torchrun starts in `test_trainer.py`: it runs the `train` command."""

from __future__ import annotations

import sys

from apr_core.cli import main
from apr_core.cli import train as command
from apr_core.models import ARCHITECTURES
from tests.core.small import QUICK, PlainNet, red_and_blue_data, small_network

if __name__ == "__main__":
    data = red_and_blue_data()
    command.find_dataset = lambda name: data
    ARCHITECTURES.add("small", small_network)
    ARCHITECTURES.add("plain", PlainNet)
    sys.exit(
        main(
            ["train", "--architecture", sys.argv[1], "--defence", sys.argv[2], "--ship", "--device",
             "cpu", "--epochs", str(QUICK.epochs), "--batch-size", str(QUICK.batch_size),
             "--learning-rate", str(QUICK.learning_rate), "--no-mixed-precision"]
        )
    )  # fmt: skip
