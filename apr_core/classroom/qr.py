"""QR codes, drawn locally: dark on white in every theme, with the quiet zone."""

from __future__ import annotations

import io

import segno
from segno import QRCode

from apr_core.base.types import InputError

MOST_BYTES = 400
"""More would make a pattern too fine to be read from a projector (77 modules a side)."""
QUIET_ZONE = 4
"""Modules of white around the pattern: what the standard asks for."""


def qr_svg(text: str, scale: int = 8) -> str:
    """A text as a QR code, an SVG picture.

    Args:
        text: most often a link, at most `MOST_BYTES` bytes of UTF-8.
        scale: pixels a module.

    Raises:
        InputError: the text is empty or too long.
    """
    out = io.BytesIO()
    _code(text).save(
        out,
        kind="svg",
        scale=scale,
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        xmldecl=False,
        nl=False,
    )
    return out.getvalue().decode()


def qr_png(text: str, scale: int = 8) -> bytes:
    """The same as a PNG picture; see `qr_svg`."""
    out = io.BytesIO()
    _code(text).save(out, kind="png", scale=scale, border=QUIET_ZONE, dark="#000", light="#fff")
    return out.getvalue()


def _code(text: str) -> QRCode:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputError("The QR code's text is not whole; copy the link anew.") from None
    if not 0 < size <= MOST_BYTES:
        raise InputError(
            f"A QR code holds 1 to {MOST_BYTES} bytes here, and this text has {size:,}; shorten it."
        )
    # Level M restores 15 % of the pattern; a micro code is read by few phones.
    return segno.make(text, error="m", micro=False, boost_error=False, encoding="utf-8")
