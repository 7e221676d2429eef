"""Titles of the defences, and numbers and sentences as text."""

from __future__ import annotations

import re

from torch import Tensor

from apr_core.attacks.result import PixelEdit

DEFENCE_WORDS = {
    "vanilla": ("No defence", "Trained on clean images only."),
    "at": (
        "Adversarial training",
        "In training, half of the images have one pixel changed, chosen by the gradient.",
    ),
    "at-fgsm": (
        "Adversarial training, FGSM",
        "In training, half of the images are changed a little in every pixel, in one step.",
    ),
    "at-pgd": (
        "Adversarial training, PGD",
        "As with FGSM, but in seven small steps: the slowest to train.",
    ),
    "it": (
        "Input transformation",
        "Reduces the colours and compresses the picture (JPEG) before the undefended model.",
    ),
    "dd": (
        "Defensive distillation",
        "Learns the undefended model's probabilities, softened (temperature 20).",
    ),
    "apr": (
        "APR",
        "An attention gate, one-pixel examples in training, and a penalty where one pixel changes "
        "the answer much.",
    ),
    "apr-exact": (
        "APR, exact penalty",
        "APR, but with a penalty on the gradient itself: slower to train.",
    ),
    "apr-no-attention": ("APR without attention", "An ablation: no gate before the network."),
    "apr-no-adversarial": ("APR without examples", "An ablation: trained on clean images alone."),
    "apr-no-regularizer": ("APR without penalty", "An ablation: no penalty on the gradient."),
    "apr-plus": (
        "APR+",
        "Keeps each pixel within the range of its neighbours, has an attention gate, and trains on "
        "masked images, so that pictures can be certified.",
    ),
    "apr-plus-no-clamp": ("APR+ without clamp", "An ablation: outlier pixels are not clamped."),
    "apr-plus-no-attention": ("APR+ without attention", "An ablation: no gate."),
    "apr-plus-no-adversarial": (
        "APR+ without examples",
        "An ablation: attacked images serve only to measure the penalty.",
    ),
    "apr-plus-no-regularizer": ("APR+ without penalty", "An ablation: no penalty on the gradient."),
    "apr-plus-no-masks": ("APR+ without masks", "An ablation: no training on masked images."),
}


_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_MARK = re.compile(r"([\\`*\[\]<>$~&]|:(?=\S))")
_ADDRESS = re.compile(r"(?i)(?<=http)(?=s?:)|(?<=https)(?=:)|(?<=www)(?=\.)|(?=@)")


def plain(text: object) -> str:
    """A sentence escaped for a place that renders Markdown.

    Error messages quote people, links and files: none of that may fetch a picture or become a link.
    Text in backticks stays code.
    """
    said, parts, end = str(text), [], 0
    for code in _CODE.finditer(said):
        parts += [_escaped(said[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _escaped(said[end:])])


def _escaped(text: str) -> str:
    """Escape Markdown's marks; split addresses, which have none, by an invisible character."""
    return _MARK.sub(r"\\\1", _ADDRESS.sub("\u2060", " ".join(text.split("\n"))))


def count_text(count: int, noun: str, plural: str) -> str:
    """A count with its noun, as in "1 query" and "2,000 queries"."""
    return f"{count:,} {noun if count == 1 else plural}"


def size_text(image: Tensor) -> str:
    """Width and height of an image (C, H, W), as in "32 × 32"."""
    return f"{image.shape[2]} × {image.shape[1]}"


def duration_text(seconds: float) -> str:
    """A time, rounded as people would."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def edit_text(edit: PixelEdit) -> str:
    """A pixel and its new colour."""
    return f"({edit.x}, {edit.y}) rgb{edit.rgb}"


def defence_title(name: str) -> str:
    """A defence's title; its own name where there is none."""
    return DEFENCE_WORDS[name][0] if name in DEFENCE_WORDS else name
