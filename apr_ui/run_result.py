"""The result of a run in words and pictures: before it, while it goes on, and when it has ended."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from torch import Tensor

from apr_core.attacks.result import (
    Outcome,
    PixelEdit,
    Snapshot,
    edits_text,
    square_of,
    to_edits,
)
from apr_core.base.types import Method, Status
from apr_core.base.words import percent
from apr_core.serving.requests import AttackRequest, RunView
from apr_ui.dataset import class_name, one_of, shown_data
from apr_ui.resources import probabilities
from apr_ui.result_view import Bar, Result, Tone, result_view
from apr_ui.words import count_text, duration_text

KEY = "result"


class Ending(NamedTuple):
    """How a run ended: a few words, a sentence, its tone, and an icon."""

    verdict: str
    detail: str
    tone: Tone
    icon: str

    @property
    def sentence(self) -> str:
        """Both, in Markdown."""
        return f"**{self.verdict}.** {self.detail}"


def ending_of(view: RunView) -> Ending:
    """How an ended run went; it has an outcome."""
    outcome = view.outcome
    assert outcome is not None
    true, after = class_name(outcome.label), class_name(outcome.label_after)
    spent = f"{outcome.queries:,} queries in {view.seconds:.1f} s"
    if outcome.status is Status.FLIPPED:
        detail = (
            f"After {spent}, {edits_text(outcome.edits)} made the model "
            f"{percent(outcome.confidence_after)} sure of {after}."
        )
        return Ending(f"Flipped: {true} → {after}", detail, "fooled", "bolt")
    if outcome.status is Status.MISCLASSIFIED:
        before = one_of(outcome.label_before)
        detail = (
            f"The model already mistakes {shown_data().this_one(outcome.label)} for {before}. "
            "Choose another picture or another model."
        )
        return Ending("Nothing to flip", detail, "plain", "help")
    if outcome.status is Status.SURVIVED:
        detail = f"{spent}. {_closest(outcome)}{_finding(view, outcome)}"
        return Ending(f"Survived: still {after}", detail, "held", "shield")
    if outcome.status is Status.SKIPPED:
        detail = f"The target is the picture's own class, {true}. Choose another target."
        return Ending("Not attacked", detail, "plain", "help")
    if view.unwatched:
        detail = (
            f"Ended after {spent}, because nobody watched it for a while (a lost connection, "
            "perhaps). Start it again for the whole search."
        )
        return Ending("Not finished", detail, "plain", "visibility_off")
    return Ending("Cancelled", f"After {spent}.", "plain", "stop_circle")


def _finding(view: RunView, outcome: Outcome) -> str:
    """What it means that even many pixels did not suffice."""
    pixels, area = len(outcome.edits), view.request.image[0].numel()
    if view.request.config.method is Method.DE or pixels < 2:
        return ""
    some = f"{edits_text(outcome.edits).removeprefix('a ')} that it tried"
    tried = f"No {some}" if square_of(outcome.edits) else f"No set of {some}"
    return (
        f" {tried}, {percent(pixels / area)} of the picture, "
        "changed the answer: that is a finding, not a failure."
    )


def _closest(outcome: Outcome) -> str:
    """The effect of the best edit that did not flip the picture."""
    true = class_name(outcome.label)
    if outcome.target is None:
        sure = percent(outcome.true_after)
        return f"With the best edit, the model is still {sure} sure of {true}."
    return (
        f"It did not become {class_name(outcome.target)}; with the best edit, the model is "
        f"{percent(outcome.confidence_after)} sure of {class_name(outcome.label_after)}."
    )


def show_before(image: Tensor, label: int | None, model: str, page: str) -> Tensor:
    """The picture before a run, and what the model says of it.

    Args:
        label: its true class, None where nobody named it.

    Returns:
        The model's probabilities, (K,).
    """
    answer = probabilities(model, [image])[0]
    leading, rival = answer.topk(2).indices.tolist()
    verdict = f"The model says: {class_name(leading)}"
    detail = f"{percent(float(answer[leading]))} sure. "
    if label is None or label == leading:
        detail += "Can a pixel change its answer?"
    else:
        detail += f"It is {one_of(label)}."
    bars = [_bar(class_name(each), float(answer[each]), None, each != leading)
            for each in (leading, rival)]  # fmt: skip
    captions = (_caption("The picture", leading, float(answer[leading])), "Nothing is changed yet")
    result_view(f"{page}.{KEY}", Result(image, (), captions, verdict, detail, bars))
    return answer


def show_result(view: RunView, page: str, picture: bool = True) -> None:
    """A run's result as it stands, in the place of the picture before it.

    Args:
        picture: whether to send the picture, which the browser keeps.
    """
    result_view(f"{page}.{KEY}", result_of(view, page), picture=picture)


def result_of(view: RunView, page: str) -> Result:
    """A run's result as it stands.

    Args:
        page: what the session's keys begin with.
    """
    before = _clean(view.request, page)
    if view.outcome is not None:
        return _at_the_end(view, view.outcome, before)
    if view.snapshots:
        return _live(view, view.snapshots[-1], before)
    return _waiting(view, before)


def _at_the_end(view: RunView, outcome: Outcome, before: Tensor) -> Result:
    end, label = ending_of(view), outcome.label
    first = _caption("The picture", outcome.label_before, outcome.confidence_before)
    changed = count_text(len(outcome.edits), "pixel changed", "pixels changed")
    if square_of(outcome.edits):
        changed = "With the patch"
    captions = (first, "Nothing is changed")
    bars = _clean_bars(before, label)
    if outcome.edits:
        captions = (first, _caption(changed, outcome.label_after, outcome.confidence_after))
        bars = _bars(before, label, outcome.true_after, outcome.label_after,
                     outcome.confidence_after)  # fmt: skip
    image, edits = view.request.image, outcome.edits
    return Result(image, edits, captions, end.verdict, end.detail, bars, end.tone)


def _live(view: RunView, seen: Snapshot, before: Tensor) -> Result:
    request = view.request
    edits = _best(seen)
    left = "" if view.seconds_left is None else f", about {duration_text(view.seconds_left)} left"
    detail = (
        f"Generation {seen.generation} of {request.config.generations}, "
        f"{count_text(seen.queries, 'query', 'queries')}{left}."
    )
    captions = (
        _clean_caption(before),
        _caption("Best edit so far", seen.best_label, seen.best_confidence),
    )
    bars = _bars(before, request.label, seen.best_true, seen.best_label, seen.best_confidence)
    return Result(request.image, edits, captions, "Searching", detail, bars, "live")


def _waiting(view: RunView, before: Tensor) -> Result:
    place = view.queue_place
    detail = f"Place {place} in the queue." if place else "The first guesses are being made."
    wait = "" if view.wait is None else f" It starts in about {duration_text(view.wait)}."
    captions = (_clean_caption(before), "Nothing is changed yet")
    bars = _clean_bars(before, view.request.label)
    words = "Waiting" if view.live else "Not finished"
    detail = detail + wait if view.live else ""  # the page says what happened
    tone: Tone = "live" if view.live else "plain"
    return Result(view.request.image, (), captions, words, detail, bars, tone)


def _best(seen: Snapshot) -> tuple[PixelEdit, ...]:
    return to_edits(seen.positions[seen.best], seen.colours[seen.best])


def _clean(request: AttackRequest, page: str) -> Tensor:
    """The model's probabilities for the picture before any edit, (K,); asked for once."""
    seat = f"{page}.clean"
    kept = st.session_state.get(seat)
    if kept is None or kept[0] != request.run_id:
        answer = probabilities(request.model, [request.image])[0]
        kept = st.session_state[seat] = (request.run_id, answer)
    found: Tensor = kept[1]
    return found


def _clean_caption(before: Tensor) -> str:
    return _caption("The picture", int(before.argmax()), float(before.max()))


def _clean_bars(before: Tensor, label: int) -> list[Bar]:
    others = before.clone()
    others[label] = -1
    rival = int(others.argmax())
    return [
        _bar(class_name(label), float(before[label]), None, False),
        _bar(class_name(rival), float(before[rival]), None, True),
    ]


def _bars(before: Tensor, label: int, true: float, leading: int, sure: float) -> list[Bar]:
    """The true class, and the one that leads in its place; all others together where it leads."""
    first = _bar(class_name(label), true, float(before[label]), False)
    if leading == label:
        return [first, _bar("all others", 1 - true, 1 - float(before[label]), True)]
    return [first, _bar(class_name(leading), sure, float(before[leading]), True)]


def _bar(name: str, value: float, before: float | None, rival: bool) -> Bar:
    return {"name": name, "value": value, "before": before, "rival": rival}


def _caption(what: str, label: int, sure: float) -> str:
    return f"{what}: {class_name(label)}, {percent(sure)}"
