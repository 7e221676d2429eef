"""Export: a game as JSON, which can be read again, and its tries as CSV."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import asdict
from typing import Any, get_type_hints

from apr_core.base import schema
from apr_core.base.types import InputError
from apr_core.base.version import versions
from apr_core.by_hand.game import Game, check_edit, pixel_choices
from apr_core.data.images import from_png, to_png
from apr_core.serving.requests import data_behind

FORMAT = 1
_PLAIN = ("model", "label", "pixels", "line", "earlier", "earlier_best", "earlier_hints")
_LISTS = ("clean", "tries", "hints")


def to_json(game: Game) -> str:
    """The whole game, with its picture as a PNG."""
    entry = {name: getattr(game, name) for name in _PLAIN} | {
        "format": FORMAT,
        "image": base64.b64encode(to_png(game.image)).decode(),
        "clean": asdict(game.clean),
        "tries": [asdict(tried) for tried in game.tries],
        "hints": [asdict(hint) for hint in game.hints],
        "versions": versions(),
    }
    return json.dumps(entry)


def from_json(text: str) -> Game:
    """Undo `to_json`; what it says of the model's answers is taken on trust.

    Raises:
        InputError: the text is no game.
    """
    try:
        entry = schema.build(dict[str, Any], schema.parse(text))
        if entry["format"] != FORMAT:
            raise ValueError(f"format {entry['format']!r:.40}")
        entry.setdefault("earlier_hints", 0)  # files from before they were remembered
        kinds = get_type_hints(Game)
        told = {name: schema.build(kinds[name], entry[name], name) for name in (*_PLAIN, *_LISTS)}
        image = from_png(base64.b64decode(schema.build(str, entry["image"], "image")))
        game = Game(image=image[: data_behind(told["model"]).channels], **told)
        _check(game)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"This is not a game ({error}); use a file that the page By hand wrote."
        ) from None
    return game


def _check(game: Game) -> None:
    answers = [game.clean, *(tried.answer for tried in game.tries)]
    if len({len(answer.probabilities) for answer in answers}) > 1:
        raise ValueError("answers of several lengths")
    classes = range(len(game.clean.probabilities))
    if not all(label in classes for label in (game.label, *(answer.label for answer in answers))):
        raise ValueError("a class that is none")
    if game.pixels not in pixel_choices(game.image) or any(
        len(tried.edits) > game.pixels for tried in game.tries
    ):
        raise ValueError("more pixels than may be changed")
    if not all(number in range(game.queries) for number in game.line):
        raise ValueError("a try that is none")
    for tried in game.tries:
        for edit in tried.edits:
            check_edit(game, edit)


def to_csv(game: Game) -> str:
    """A line a try: the edits in the picture, what the model said, and whether it flipped."""
    file = io.StringIO()
    lines, name = csv.writer(file), data_behind(game.model).class_name
    said_of = ["true_probability", "leading_class", "confidence", "flipped"]
    lines.writerow(["query", "pixels", *said_of])
    for number, tried in enumerate(game.tries, 1):
        pixels = "; ".join(
            f"({edit.x} {edit.y}) rgb({' '.join(map(str, edit.rgb))})" for edit in tried.edits
        )
        said = [name(tried.answer.label), f"{tried.answer.confidence:.6f}"]
        flipped = "yes" if game.broke(tried) else "no"
        lines.writerow([number, pixels, f"{game.true(tried):.6f}", *said, flipped])
    return file.getvalue()
