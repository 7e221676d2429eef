"""Files of a race: a contact sheet and a page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from PIL import Image

from apr_ui.dataset import class_name
from apr_ui.pictures import contact_sheet, ringed
from apr_ui.race.charts import Matrix, transfer_table
from apr_ui.race.words import Runner, about, all_status_words, as_table, news, status_words

TILE_SCALE, TILES_A_ROW = 7, 3
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


def race_sheet(runners: Sequence[Runner]) -> bytes:
    """A PNG: every model's edited picture, its edit ringed, with its name and how it ended."""
    tiles = [(_tile(one), f"{one.name}\n{status_words(one.view)}") for one in runners]
    return contact_sheet(tiles, TILES_A_ROW, about(runners[0].view.request))


def _tile(runner: Runner) -> Image.Image:
    image, outcome = runner.view.request.image, runner.view.outcome
    edits = outcome.edits if outcome else ()
    return ringed(outcome.apply(image) if outcome else image, edits, TILE_SCALE)


def report_page(runners: Sequence[Runner], matrix: Matrix, link: str) -> str:
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
    sheet = base64.b64encode(race_sheet(runners)).decode()
    title = f"A race of {len(runners)} models: {class_name(request.label)}"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
<p>{html.escape(about(request))}</p>
<p>{html.escape(news(runners))}</p>
<h2>Attack results by model</h2>
<div>{table.to_html(index=False)}</div>
<img src="data:image/png;base64,{sheet}" alt="{html.escape(all_status_words(runners))}">
<h2>Transfer of each edit to the other models</h2>
<p>✗: the edit fools the model. In brackets: the model misreads the clean picture too.</p>
<div>{transfer_table(finished, matrix).to_html(index=False)}</div>
<h2>Run it again</h2>
<p><a href="{html.escape(link)}">This link</a> starts the race: <code>{html.escape(link)}</code></p>
</html>
"""
