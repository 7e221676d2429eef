"""What the app calls the defences, in a few words and in a sentence."""

from __future__ import annotations

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
        "An ablation: no adversarial images, and so no penalty.",
    ),
    "apr-plus-no-regularizer": ("APR+ without penalty", "An ablation: no penalty on steepness."),
    "apr-plus-no-masks": ("APR+ without masks", "An ablation: never sees a masked image."),
}


def defence_title(name: str) -> str:
    """A defence as people say it; its own name where there is nothing better."""
    return DEFENCE_WORDS[name][0] if name in DEFENCE_WORDS else name
