"""What a race leaves behind: a contact sheet and a page. No streamlit here."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from apr_core.attacks.transfer import Cell
from apr_core.data.cifar10 import CLASSES
from apr_ui.pictures import enlarge, ringed
from apr_ui.race.charts import transfer_table
from apr_ui.race.words import Runner, about, all_in_words, as_table, news, status_words

TILE, TILE_SCALE, TILES_A_ROW = 240, 7, 3
"""Of the contact sheet: a tile's width, screen pixels for one of the picture's, tiles in a row."""
_INK, _PAPER = (27, 31, 36), (255, 255, 255)


def contact_sheet(runners: Sequence[Runner]) -> Image.Image:
    """Every model's edited picture, its edit ringed, with its name and how it ended."""
    request = runners[0].view.request
    margin, side = 16, request.image.shape[2] * TILE_SCALE
    across = min(TILES_A_ROW, len(runners))
    down = -(-len(runners) // across)
    width = margin + across * (TILE + margin)
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    header = _lines(about(request), small, width - 2 * margin)
    top, tile_height = 2 * margin + 18 * len(header), side + 96
    sheet = Image.new("RGB", (width, top + down * tile_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((margin, margin), "\n".join(header), _INK, small)
    for number, runner in enumerate(runners):
        left = margin + number % across * (TILE + margin)
        high = top + number // across * tile_height
        sheet.paste(_tile(runner), (left, high))
        draw.text((left, high + side + 6), runner.name, _INK, large)
        words = "\n".join(_lines(status_words(runner.view), small, TILE)[:3])
        draw.multiline_text((left, high + side + 28), words, _INK, small)
    return sheet


def _tile(runner: Runner) -> Image.Image:
    image, outcome = runner.view.request.image, runner.view.outcome
    if outcome is None or not outcome.edits:
        return enlarge(image, TILE_SCALE)
    return ringed(outcome.apply(image), outcome.edits, TILE_SCALE)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in lines that are no wider than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def png_of(picture: Image.Image) -> bytes:
    """A PNG file's bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


_STYLE = """
:root { color-scheme: light dark; }
body { font-family: system-ui, sans-serif; line-height: 1.45; max-width: 64rem;
  margin: 1.5rem auto; padding: 0 1rem; }
img { max-width: 100%; height: auto; }
div { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid; padding: 0.3rem 0.6rem; text-align: left; white-space: nowrap; }
code { overflow-wrap: anywhere; }
"""


def report_page(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]], link: str) -> str:
    """The race as one HTML file that fetches nothing and runs nothing.

    Args:
        runners: as they ended.
        matrix: of those that have an outcome, in their order.
        link: an address that starts the same race.
    """
    request = runners[0].view.request
    table = as_table(runners).astype(object)
    for name in ("Sure before", "Sure after", "True class after"):
        table[name] = table[name].map("{:.1%}".format, na_action="ignore")
    table = table.where(table.notna(), "")
    finished = [runner for runner in runners if runner.view.outcome]
    sheet = base64.b64encode(png_of(contact_sheet(runners))).decode()
    title = f"A race of {len(runners)} models: {CLASSES[request.label]}"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
<p>{html.escape(about(request))}</p>
<p>{html.escape(news(runners))}</p>
<h2>Who fell, and when</h2>
<div>{table.to_html(index=False)}</div>
<img src="data:image/png;base64,{sheet}" alt="{html.escape(all_in_words(runners))}">
<h2>What each edit does to the others</h2>
<p>✗: the edit breaks the model. In brackets: the model misread the clean picture already.</p>
<div>{transfer_table(finished, matrix).to_html(index=False)}</div>
<h2>The same race again</h2>
<p><a href="{html.escape(link)}">This link</a> starts it: <code>{html.escape(link)}</code></p>
</html>
"""
