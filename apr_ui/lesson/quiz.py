"""The quiz: questions, answers and explanations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        key: its name among a class's answers.
        taught: the step that tells the answer.
        answers: to choose from.
        right: the number of the right one.
        because: why it is right.
    """

    key: str
    taught: str
    text: str
    answers: tuple[str, ...]
    right: int
    because: str


QUIZ = (
    Question(
        "black-box",
        "by-hand",
        "What did the search have to know about the network?",
        ("Its weights", "What it was trained on", "Only its answers"),
        2,
        "It did what you did by hand: show a picture, read how sure the network is. An attacker "
        "needs no more (Su, Vargas and Sakurai, 2019).",
    ),
    Question(
        "survived",
        "defences",
        "A picture survives 40,400 queries. What do we know?",
        (
            "No single pixel can flip it",
            "This search, from this start, did not find such a pixel",
            "The network is robust",
        ),
        1,
        "A search that fails is not a proof. Another search, or another start, may find a pixel "
        "that this one missed.",
    ),
    Question(
        "confidence",
        "full-speed",
        "The network is 99 % sure. What does that tell us?",
        (
            "It is right 99 times in 100",
            "Little by itself: after the attack it can be as sure of the wrong class",
            "The picture was not attacked",
        ),
        1,
        "You saw it: after one pixel changed, the network was sure of something else. Being sure "
        "is not being right.",
    ),
    Question(
        "defences",
        "failure",
        "What do the defences of this lesson achieve?",
        (
            "They stop every attack",
            "Nothing at all",
            "They make an attack harder, and none of them is perfect",
        ),
        2,
        "APR resisted on one picture and was fooled on another. What counts is how often, over "
        "many pictures: the Results page tells it.",
    ),
    Question(
        "world",
        "failure",
        "How would somebody attack the camera of a car?",
        (
            "With a sticker on a road sign",
            "With one wrong pixel in its camera",
            "It cannot be attacked",
        ),
        0,
        "Nobody outside can set one pixel of a camera, but everybody can put up a sticker "
        "(Eykholt et al., 2018). One pixel is the smallest attack, which makes it good to study.",
    ),
)


def questions_for(steps: Collection[str]) -> tuple[Question, ...]:
    """The questions that a lesson of these steps has taught; all of them for a quiz by itself."""
    return tuple(question for question in QUIZ if question.taught in steps) or QUIZ
