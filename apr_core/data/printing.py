"""Pictures on paper, in their true size."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

DPI = 300
CM = DPI / 2.54
PAGE = (round(21.0 * CM), round(29.7 * CM))
"""A4, upright, in dots."""
MOST_CM = 18
"""Side of the largest picture that the page has room for."""
_MARGIN = round(1.5 * CM)


def to_pdf(picture: Image.Image, width: float, title: str) -> bytes:
    """One page with a picture, how to print it, and a rule to check its size by.

    Args:
        picture: RGB or grey; its pixels stay squares.
        width: of the picture on paper, in cm, at most `MOST_CM`.
        title: what it is, in a line.
    """
    page = Image.new("RGB", PAGE, "white")
    draw = ImageDraw.Draw(page)
    size = round(width * CM), round(width * CM * picture.height / picture.width)
    shown = picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
    left, top = (PAGE[0] - size[0]) // 2, round(5 * CM)
    page.paste(shown, (left, top))
    large, small = (ImageFont.load_default(size) for size in (64, 44))
    draw.text((_MARGIN, _MARGIN), title, "black", large)
    told = (
        f"Print at 100 %, not fitted to the page: the sticker is then {width:g} cm wide, and the",
        "line below it 10 cm long. Use matt paper; cut it out; hold or stick it flat, in even",
        "light. It was learned for one model; others may see nothing in it.",
    )
    for row, line in enumerate(told):
        draw.text((_MARGIN, _MARGIN + 110 + 62 * row), line, "black", small)
    y, x = top + size[1] + round(CM), round(PAGE[0] / 2 - 5 * CM)
    draw.line((x, y, x + round(10 * CM), y), "black", 6)
    for end in (x, x + round(10 * CM)):
        draw.line((end, y - 30, end, y + 30), "black", 6)
    draw.text((x, y + 50), "10 cm", "black", small)
    file = io.BytesIO()
    page.save(file, "PDF", resolution=DPI)
    return file.getvalue()
