"""The quiz: each question, its answers, and why the right one is right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question; `right` is the number of the right answer in `answers`."""

    key: str
    text: str
    answers: tuple[str, ...]
    right: int
    because: str


QUIZ = (
    Question(
        "black-box",
        "What did the search have to know about the network?",
        ("Its weights", "What it was trained on", "Only its answers"),
        2,
        "It asks, and compares probabilities. An attacker who can send pictures and read the "
        "answers needs no more (Su, Vargas and Sakurai, 2019).",
    ),
    Question(
        "survived",
        "A picture survives 40,400 questions. What do we know?",
        (
            "No single pixel can flip it",
            "This search, from this start, did not find such a pixel",
            "The network is robust",
        ),
        1,
        "A failed search is no proof. Trying every pixel in the eight extreme colours finds some "
        "that it missed; only a certificate speaks about all pixels and all colours.",
    ),
    Question(
        "confidence",
        "The network is 99 % sure. What does that say about its being right?",
        (
            "It is right 99 times in 100",
            "Little by itself: after the attack it can be as sure of the wrong class",
            "The picture was not attacked",
        ),
        1,
        "The probabilities say how the network's own evidence adds up. One pixel can make it as "
        "sure of the wrong answer as it was of the right one.",
    ),
    Question(
        "certificate",
        "What does the certificate of lattice masking promise?",
        (
            "The answer was right to begin with",
            "No edit of one pixel can change the answer",
            "No sticker can change the answer",
        ),
        1,
        "The proof covers every place and every colour, for one pixel: the answer stays. Whether "
        "that answer is right it cannot know, nor does it speak of two pixels or of patches; the "
        "lab looks at the true class as well before it gives its seal. The idea comes from "
        "PatchCleanser (Xiang, Mahloujifar and Mittal, 2022).",
    ),
    Question(
        "world",
        "Why is one wrong pixel not how a self-driving car is attacked?",
        (
            "Cameras have too many pixels to matter",
            "Nobody sets one pixel of a camera; stickers and light on real things are the danger",
            "Cars do not use networks",
        ),
        1,
        "A physical attack has to survive distance, angle and light (Eykholt et al., 2018). One "
        "pixel is the smallest case, which is what makes it good to study.",
    ),
)
