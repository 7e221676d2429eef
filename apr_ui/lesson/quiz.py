"""The quiz: questions, answers and explanations."""

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
        "It compares the probabilities of its queries. An attacker who can send pictures and read "
        "the answers needs no more (Su, Vargas and Sakurai, 2019).",
    ),
    Question(
        "survived",
        "A picture survives 40,400 queries. What do we know?",
        (
            "No single pixel can flip it",
            "This search, from this start, did not find such a pixel",
            "The network is robust",
        ),
        1,
        "A failed search is not a proof. Trying every pixel in the eight extreme colours finds "
        "some that it missed; only a certificate covers all pixels and all colours.",
    ),
    Question(
        "confidence",
        "The network is 99 % sure. What does that tell us?",
        (
            "It is right 99 times in 100",
            "Little by itself: after the attack it can be as sure of the wrong class",
            "The picture was not attacked",
        ),
        1,
        "The probabilities only show how the network's own evidence adds up. One pixel can make it "
        "as sure of the wrong answer as it was of the right one.",
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
        "The proof covers every place and every colour of one pixel: the answer stays the same. It "
        "does not show that the answer is right, and does not cover two pixels or patches; the lab "
        "also compares the answer with the true class before it certifies. The idea comes from "
        "PatchCleanser (Xiang, Mahloujifar and Mittal, 2022).",
    ),
    Question(
        "world",
        "Why is a self-driving car not attacked with one wrong pixel?",
        (
            "Cameras have too many pixels to matter",
            "Nobody can set one pixel of a camera; stickers and light on real objects are the "
            "danger",
            "Cars do not use networks",
        ),
        1,
        "A physical attack has to work at many distances, angles and lights (Eykholt et al., "
        "2018). One pixel is the smallest attack, which makes it good to study.",
    ),
)
