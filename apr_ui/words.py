"""What the app calls the defences, in a few words and in a sentence."""

from __future__ import annotations

import re

DEFENCE_WORDS = {
    "vanilla": ("No defence", "Cross-entropy on clean images: what every defence is measured by."),
    "at": (
        "Adversarial training",
        "Half of each batch is attacked at one pixel, chosen by the gradient.",
    ),
    "at-fgsm": (
        "Adversarial training, FGSM",
        "Half of each batch is shifted a little in every pixel, one step up the gradient.",
    ),
    "at-pgd": (
        "Adversarial training, PGD",
        "The same in seven small steps: the slowest recipe, several passes a batch.",
    ),
    "it": ("Input transformation", "Fewer colours, then JPEG, before the undefended model."),
    "dd": (
        "Defensive distillation",
        "Learns the undefended model's probabilities at a temperature of 20.",
    ),
    "apr": (
        "APR",
        "Attention, one-pixel examples, and a penalty on steepness that costs no extra pass.",
    ),
    "apr-exact": ("APR, exact penalty", "The same with the gradient itself penalised: slower."),
    "apr-no-attention": ("APR without attention", "An ablation: no gate before the network."),
    "apr-no-adversarial": ("APR without examples", "An ablation: trained on clean images alone."),
    "apr-no-regularizer": ("APR without penalty", "An ablation: nothing keeps the network smooth."),
    "apr-plus": (
        "APR+",
        "Clamps each pixel to its neighbours, gates toward them, and trains on masked images, so "
        "that it can be certified.",
    ),
    "apr-plus-no-clamp": ("APR+ without clamp", "An ablation: outliers are let in."),
    "apr-plus-no-attention": ("APR+ without attention", "An ablation: no gate."),
    "apr-plus-no-adversarial": (
        "APR+ without examples",
        "An ablation: adversarial images only to measure the penalty on.",
    ),
    "apr-plus-no-regularizer": ("APR+ without penalty", "An ablation: no penalty on steepness."),
    "apr-plus-no-masks": ("APR+ without masks", "An ablation: never sees a masked image."),
}


_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_MARK = re.compile(r"([\\`*\[\]<>$~&]|:(?=\S))")
_ADDRESS = re.compile(r"(?i)(?<=http)(?=s?:)|(?<=https)(?=:)|(?<=www)(?=\.)|(?=@)")


def plain(text: object) -> str:
    """A sentence for a place that reads Markdown, to be read as it stands.

    Sentences on what was wrong repeat what people, links and files said: no picture is to be
    fetched because of that, nor a link made. What stands in backticks is left as code.
    """
    said, parts, end = str(text), [], 0
    for code in _CODE.finditer(said):
        parts += [_escaped(said[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _escaped(said[end:])])


def _escaped(text: str) -> str:
    """Marks lose their meaning; addresses, which have no mark, are parted by no visible sign."""
    return _MARK.sub(r"\\\1", _ADDRESS.sub("\u2060", " ".join(text.split("\n"))))


def percent(share: float) -> str:
    """A probability in [0, 1] in words; near the ends, where most edits move it, to a tenth."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.1%}" if share < 0.02 or share > 0.98 else f"{share:.0%}"


def defence_title(name: str) -> str:
    """A defence as people say it; its own name where there is nothing better."""
    return DEFENCE_WORDS[name][0] if name in DEFENCE_WORDS else name
