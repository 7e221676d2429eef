"""A run as query parameters, and back.

A shipped test image is named by its index. An uploaded picture is in the link itself, as a PNG,
because the server keeps no pictures; beside it stands its class as `label`, or, where nobody gave
it, the model's `prediction`. Settings at their defaults are left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet
from apr_core.data.images import OWN_PICTURE, from_png, to_png
from apr_core.serving.requests import AttackRequest, check_served, data_behind

LONGEST = 16_000
"""Characters of a picture in a link; a 32 x 32 PNG has at most about 4,300."""
LABEL, PREDICTION = "label", "prediction"
"""Whose class of an uploaded picture it is: a person's, or the model's."""
_DEFAULT = OnePixelConfig()
_KINDS = get_type_hints(OnePixelConfig)


def to_params(request: AttackRequest) -> dict[str, str]:
    """The query parameters that make this request again."""
    params, name = {"model": request.model}, request.data.class_name
    if request.index == OWN_PICTURE:
        png = base64.urlsafe_b64encode(to_png(request.image)).decode().rstrip("=")
        params |= {"picture": png, LABEL if request.named else PREDICTION: name(request.label)}
    else:
        params["index"] = str(request.index)
    for item in fields(OnePixelConfig):
        value = getattr(request.config, item.name)
        if value != getattr(_DEFAULT, item.name):
            params[item.name] = name(value) if item.name == "target" else str(value)
    return params


def from_params(params: Mapping[str, str]) -> AttackRequest | None:
    """The request that a link stands for; None if it stands for none.

    Raises:
        InputError: the link names a setting, an image or a class that cannot be.
    """
    if "model" not in params or not ("index" in params or "picture" in params):
        return None
    data = data_behind(params["model"])
    config = OnePixelConfig(
        **{name: _value(name, params[name], data) for name in _KINDS if name in params}
    )
    check_served(config, data)
    if "picture" in params:
        image = _picture(params["picture"], data)
        named = LABEL in params or PREDICTION not in params
        label = data.class_number(params.get(LABEL if named else PREDICTION, ""))
        return AttackRequest(params["model"], image, label, OWN_PICTURE, config, named)
    if not params["index"].isdecimal():
        raise InputError(
            f"The link's index is '{shown(params['index'])}', which is no test image; indices go "
            f"from 0 to {data.tested - 1}."
        )
    index = int(params["index"][:9])
    image, label = data.test_image(index)
    return AttackRequest(params["model"], image, label, index, config)


def is_too_long(params: Mapping[str, str]) -> bool:
    """Whether a link's picture is too large for an address, as a photograph is."""
    return len(params.get("picture", "")) > LONGEST


def _value(name: str, text: str, data: DataSet) -> Any:
    """A setting as its type; other text is returned as it is, for the config to refuse."""
    if name == "target":
        return data.class_number(text)
    for kind in (int, float):
        if _KINDS[name] is kind:
            try:
                return kind(text)
            except ValueError:
                return text[:40]
    return text[:40]


def _picture(text: str, data: DataSet) -> Any:
    try:
        if len(text) > LONGEST:
            raise ValueError("too long")
        height, width = data.size
        image = from_png(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), height * width)
        if tuple(image.shape) != (3, height, width):
            raise ValueError(f"not {width} x {height}")
        image = image[: data.channels]  # a PNG in grey is read as three equal channels
    except (ValueError, binascii.Error, InputError):
        raise InputError(
            "The picture in the link is damaged; copy the whole link again, or upload the picture."
        ) from None
    return image
