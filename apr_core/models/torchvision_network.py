"""torchvision's networks for images of 224 x 224 pixels, without weights."""

from __future__ import annotations

from torch import nn

from apr_core.base.types import InputError
from apr_core.models.inputs import RGB


def torchvision_network(name: str, num_classes: int = 1000, channels: int = RGB) -> nn.Module:
    """A network of torchvision's: (B, 3, H, W), normalised -> logits (B, K).

    Raises:
        InputError: the images are not in colour.
    """
    if channels != RGB:
        raise InputError(
            f"{name} takes pictures of {RGB} channels, and these have {channels}; choose another "
            "architecture."
        )
    from torchvision.models import get_model  # noqa: PLC0415 - slow to import

    network: nn.Module = get_model(name, weights=None, num_classes=num_classes)
    return network
