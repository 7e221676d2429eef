"""What a race leaves: words, a table, figures, a contact sheet and a page. No streamlit here."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from PIL import Image, ImageDraw, ImageFont

from apr_core.attacks.result import Outcome
from apr_core.attacks.transfer import Cell, Effect
from apr_core.data.cifar10 import CLASSES
from apr_core.data.images import OWN_PICTURE
from apr_core.defences.lattice_masking import Certificate, Verdict
from apr_core.runs import AttackRequest, Phase, RunView
from apr_core.types import Status
from apr_core.zoo import Card
from apr_ui.pictures import enlarge, ringed
from apr_ui.result_charts import COLOURS, DASHES
from apr_ui.words import defence_title

ENDED = {
    Status.FLIPPED: "flipped",
    Status.SURVIVED: "survived",
    Status.CANCELLED: "cancelled",
    Status.MISCLASSIFIED: "misread already",
}
FAILED = "failed"
_ORDER = (*ENDED.values(), FAILED)
_MARKS = {"flipped": "x", "survived": "circle"}
TILE, TILE_SCALE, TILES_A_ROW = 240, 7, 3
"""Of the contact sheet: a tile's width, screen pixels for one of the picture's, tiles in a row."""
_INK, _PAPER = (27, 31, 36), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Runner:
    """One model in a race: what it is called there, and its run as it stands."""

    name: str
    view: RunView

    @property
    def ended(self) -> str:
        """How its run ended, in a word or two; "" while it is live."""
        if self.view.live:
            return ""
        return ENDED[self.view.outcome.status] if self.view.outcome else FAILED

    @property
    def fell(self) -> bool:
        return self.ended == ENDED[Status.FLIPPED]


def shown_names(models: Sequence[str], cards: Mapping[str, Card]) -> list[str]:
    """Each model by its defence, as people say it; by its own name where two would share that."""
    titles = [defence_title(cards[name].defence) if name in cards else name for name in models]
    count = Counter(titles)
    return [
        title if count[title] == 1 else name for title, name in zip(titles, models, strict=True)
    ]


def in_finish_order(runners: Sequence[Runner]) -> list[Runner]:
    """Those that fell, the first to fall first; then those that held, the closest call first."""

    def place(runner: Runner) -> tuple[int, float]:
        outcome = runner.view.outcome
        if outcome is None:
            return _ORDER.index(FAILED), 0.0
        late = outcome.queries if runner.fell else outcome.true_after
        return _ORDER.index(runner.ended), late

    return sorted(runners, key=place)


def status_words(view: RunView) -> str:
    """The run in a few words, whether it is live or has ended."""
    if view.outcome is not None:
        return _outcome_words(view.outcome)
    if view.phase is Phase.FAILED:
        return view.error
    if view.phase is Phase.QUEUED:
        return f"waiting: place {view.queue_place} in the queue" if view.queue_place else "starting"
    done = view.snapshots[-1].queries if view.snapshots else 0
    return f"searching: {done:,} of {view.request.config.max_queries:,} queries"


def _outcome_words(outcome: Outcome) -> str:
    left = f"{outcome.true_after:.0%} {CLASSES[outcome.label]}"
    spent = f"{outcome.queries:,} queries"
    return {
        Status.FLIPPED: f"flipped to {CLASSES[outcome.label_after]} after {spent}",
        Status.SURVIVED: f"survived {spent}; the closest left {left}",
        Status.MISCLASSIFIED: f"misread already, as {CLASSES[outcome.label_before]}: nothing to "
        "flip",
        Status.CANCELLED: f"cancelled after {spent}",
    }[outcome.status]


def news(runners: Sequence[Runner]) -> str:
    """How the race ended, in a sentence or two."""
    ranked = in_finish_order(runners)
    fallen = [
        f"{runner.name} after {_queries(runner):,} queries" for runner in ranked if runner.fell
    ]
    order = f": {', '.join(fallen)}." if fallen else "."
    parts = [f"{len(fallen)} of {len(runners)} fell{order}"]
    for ended, words in (
        (ENDED[Status.SURVIVED], "Survived"),
        (ENDED[Status.MISCLASSIFIED], "Misread the picture already, and were not attacked"),
        (ENDED[Status.CANCELLED], "Cancelled"),
        (FAILED, "Failed"),
    ):
        names = [runner.name for runner in ranked if runner.ended == ended]
        if names:
            parts.append(f"{words}: {', '.join(names)}.")
    return " ".join(parts)


def _queries(runner: Runner) -> int:
    return runner.view.outcome.queries if runner.view.outcome else 0


def about(request: AttackRequest) -> str:
    """What raced: the picture and the settings that all models shared."""
    own = request.index == OWN_PICTURE
    what = "a picture of one's own" if own else f"test image {request.index}"
    config = request.config
    count = "1 pixel" if config.pixels == 1 else f"{config.pixels} pixels"
    aim = "" if config.target is None else f", to be turned into {CLASSES[config.target]}"
    return (
        f"{CLASSES[request.label].capitalize()}, {what}{aim}; {count}, population "
        f"{config.population}, at most {config.max_queries:,} queries each, {config.strategy}, "
        f"stop {config.stop}, seed {config.seed}."
    )


def as_table(runners: Sequence[Runner]) -> pd.DataFrame:
    """A line a model, those that fell first at the top; probabilities in [0, 1]."""
    ranked = in_finish_order(runners)
    spent = [_queries(runner) for runner in ranked if runner.fell]
    rows = []
    for runner in ranked:
        outcome = runner.view.outcome
        place = 1 + sum(less < _queries(runner) for less in spent) if runner.fell else None
        rows.append(
            {
                "Fell": place,
                "Model": runner.name,
                "Ended": runner.ended,
                "Queries": outcome.queries if outcome else None,
                "Read as": CLASSES[outcome.label_after] if outcome else None,
                "Pixel and colour": edit_words(outcome),
                "Sure before": outcome.confidence_before if outcome else None,
                "Sure after": outcome.confidence_after if outcome else None,
                "True class after": outcome.true_after if outcome else None,
                "Checkpoint": runner.view.request.model,
            }
        )
    return pd.DataFrame(rows).astype({"Fell": "Int64", "Queries": "Int64"})


def edit_words(outcome: Outcome | None) -> str:
    """Where the edit is and which colour it has; "" where there is none."""
    edits = outcome.edits if outcome else ()
    return "; ".join(f"({edit.x}, {edit.y}) rgb{edit.rgb}" for edit in edits)


def race_curves(runners: Sequence[Runner]) -> go.Figure:
    """How sure each model still is of the true class, for the best edit so far, against queries."""
    figure = go.Figure()
    for number, runner in enumerate(runners):
        snapshots = runner.view.snapshots
        if not snapshots:
            continue
        last = len(snapshots) - 1
        figure.add_scatter(
            x=[snapshot.queries for snapshot in snapshots],
            y=[snapshot.best_true for snapshot in snapshots],
            name=f"{runner.name}: {runner.ended}",
            mode="lines+markers",
            line={
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number % len(DASHES)],
            },
            marker={
                "symbol": _MARKS.get(runner.ended, "line-ns-open"),
                "color": COLOURS[number % len(COLOURS)],
                "size": [0] * last + [11],
                "opacity": 1,
            },
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>" + runner.name + "</extra>",
        )
    figure.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        xaxis={
            "type": "log",
            "title": "queries",
            "tickvals": [first * 10**zeros for zeros in range(7) for first in (1, 2, 5)],
            "tickformat": ",",
            "fixedrange": True,
        },
        yaxis={"tickformat": ".0%", "range": [0, 1.03], "fixedrange": True},
        showlegend=True,
    )
    return figure


def transfer_words(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> list[str]:
    """A sentence a row whose attack found something: which others its edit breaks."""
    sentences = []
    for row, (runner, cells) in enumerate(zip(runners, matrix, strict=True)):
        if not runner.fell:
            continue
        others = [
            (other.name, cell.effect)
            for column, (other, cell) in enumerate(zip(runners, cells, strict=True))
            if column != row and cell.effect is not Effect.MISREAD
        ]
        broken = [name for name, effect in others if effect is Effect.BREAKS]
        what = f": {', '.join(broken)}" if broken else ""
        sentences.append(
            f"The edit that broke **{runner.name}** breaks {len(broken)} of {len(others)} others"
            f"{what}."
        )
    return sentences


def cell_words(cell: Cell) -> str:
    """What a model reads after an edit, for a table: with a cross where that breaks it."""
    read = f"{CLASSES[cell.label]} {cell.confidence:.0%}"
    return {
        Effect.BREAKS: f"✗ {read}",
        Effect.HOLDS: read,
        Effect.MISREAD: f"({read})",
        Effect.NO_EDIT: "no edit",
    }[cell.effect]


def transfer_table(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> pd.DataFrame:
    """The matrix in words: an edit a row, a model a column."""
    rows = [
        {"Edit found on": runner.name, "Ended": runner.ended}
        | {other.name: cell_words(cell) for other, cell in zip(runners, cells, strict=True)}
        for runner, cells in zip(runners, matrix, strict=True)
    ]
    return pd.DataFrame(rows)


def transfer_chart(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> go.Figure:
    """The matrix as a heatmap: how sure each model still is of the true class; hover for more."""
    columns = [_wrapped(runner.name) for runner in runners]
    rows = [_wrapped(f"{run.name} ({run.ended})" if not run.fell else run.name) for run in runners]
    figure = go.Figure()
    figure.add_heatmap(
        z=[[cell.true for cell in cells] for cells in matrix],
        x=columns,
        y=rows,
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        reversescale=True,
        xgap=2,
        ygap=2,
        text=[[_in_a_square(cell) for cell in cells] for cells in matrix],
        texttemplate="%{text}",
        textfont={"size": 12},  # without a size, Plotly shrinks it to nothing on a phone
        customdata=[
            [
                f"{_of_row(runner)}, shown to {other.name}:<br>{cell.effect}; read as "
                f"{CLASSES[cell.label]}, {cell.confidence:.1%} sure;<br>{cell.true:.1%} left to "
                "the true class"
                for other, cell in zip(runners, cells, strict=True)
            ]
            for runner, cells in zip(runners, matrix, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        colorbar={
            "title": {"text": "left to the true class", "side": "bottom"},
            "orientation": "h",
            "thickness": 10,
            "tickformat": ".0%",
            "y": -0.05,
            "yanchor": "top",
        },
    )
    figure.update_layout(
        height=170 + 64 * len(runners),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"side": "top", "fixedrange": True, "showgrid": False, "title": "shown to"},
        yaxis={"autorange": "reversed", "fixedrange": True, "showgrid": False},
    )
    return figure


def _of_row(runner: Runner) -> str:
    kind = "The edit that broke" if runner.fell else "The closest edit on"
    return f"{kind} {runner.name}"


def _in_a_square(cell: Cell) -> str:
    """What is left to the true class: few letters, which a phone has room for."""
    left = f"{cell.true:.0%}"
    return {
        Effect.BREAKS: f"<b>✗ {left}</b>",
        Effect.HOLDS: left,
        Effect.MISREAD: f"({left})",
        Effect.NO_EDIT: "no edit",
    }[cell.effect]


def _wrapped(words: str) -> str:
    return words.replace(" ", "<br>")


def seal_words(found: Certificate) -> str:
    """What was proven of one model's picture."""
    name, asked = CLASSES[found.label], f"{found.predictions} predictions"
    if found.verdict is Verdict.CERTIFIED:
        return f"**Certified: {name}.** All {asked} agree."
    return f"**Not certified.** {found.agreeing} of {asked} say {name} for sure."


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


def all_in_words(runners: Sequence[Runner]) -> str:
    """Every model and how it ended, for those who cannot see the pictures."""
    return "; ".join(f"{runner.name}: {status_words(runner.view)}" for runner in runners) + "."


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
