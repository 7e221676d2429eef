"""Library models: pretrained classifiers of torchvision and timm, and EfficientNet-Lite0."""

from apr_core.zoo.library.efficientnet_lite0 import LITE0
from apr_core.zoo.library.efficientnet_lite0 import SHA256 as LITE0_SHA256
from apr_core.zoo.library.entry import LibraryEntry, LibraryModel
from apr_core.zoo.library.find import find_library, is_library, load_library

__all__ = [
    "LITE0",
    "LITE0_SHA256",
    "LibraryEntry",
    "LibraryModel",
    "find_library",
    "is_library",
    "load_library",
]
