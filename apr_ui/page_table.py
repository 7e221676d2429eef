"""The pages: `app.py` makes the navigation of this table, and the tests walk it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageEntry:
    """One page.

    Attributes:
        key: what widget keys of the page begin with, and its address; "" addresses the first.
        title: in the navigation and the browser's tab.
        heading: what stands at the top of the page.
        summary: one sentence beneath it.
        icon: a Material symbol.
        invitation: what its door on the Start page says; "" for the Start page.
    """

    key: str
    title: str
    heading: str
    summary: str
    icon: str
    invitation: str = ""

    @property
    def script(self) -> str:
        return f"pages/{self.key}.py"


PAGES = (
    PageEntry(
        "start",
        "Start",
        "One pixel can change what a network sees",
        "Watch a search find that pixel, then try it on a picture of your own.",
        ":material/home:",
    ),
    PageEntry(
        "attack",
        "Attack",
        "Hunt for the pixel",
        "Differential evolution tries hundreds of single-pixel edits a generation and keeps what "
        "confuses the model most.",
        ":material/target:",
        "Attack an image",
    ),
    PageEntry(
        "hand",
        "By hand",
        "Be the attacker",
        "Choose a pixel and a colour yourself, and watch the bars move; then the search gets as "
        "many tries from the same picture.",
        ":material/touch_app:",
        "Try it by hand",
    ),
    PageEntry(
        "compare",
        "Compare",
        "Race the defences",
        "One picture, one seed and one budget on several models side by side: who falls, after how "
        "many queries, and whether the pixel that broke one breaks the others.",
        ":material/compare:",
        "Compare defences",
    ),
    PageEntry(
        "attention",
        "Attention",
        "Where the model looks",
        "The model's own attention beside what seven attribution methods say, before the attack "
        "and after it, and how far they agree.",
        ":material/visibility:",
        "See where it looks",
    ),
    PageEntry(
        "classes",
        "Classes",
        "Class by class",
        "What a model does with each of the ten classes, where it looks in them, and which class "
        "falls to which.",
        ":material/category:",
        "Browse the classes",
    ),
    PageEntry(
        "results",
        "Results",
        "What was measured",
        "The paper's tables beside ours, every rate with its interval and the number of images "
        "behind it.",
        ":material/table_chart:",
        "See what was measured",
    ),
    PageEntry(
        "train",
        "Train",
        "Train a model, and a defence",
        "Choose an architecture and a defence, and watch the network learn while a small attack "
        "tries it after every epoch.",
        ":material/model_training:",
        "Train a model",
    ),
    PageEntry(
        "classroom",
        "Classroom",
        "Ten minutes on one pixel",
        "A lesson in nine steps, alone or with a class whose phones follow: bet, try, watch, and "
        "see a defence fail.",
        ":material/school:",
        "Teach a class",
    ),
    PageEntry(
        "responsible",
        "Ethics",
        "What this is for, and what not",
        "Attacks are shown here so that they can be measured and mended; what the figures say, and "
        "what they do not.",
        ":material/balance:",
        "Read before you use it",
    ),
)


def page_entry(key: str) -> PageEntry:
    """The page with a key."""
    return next(entry for entry in PAGES if entry.key == key)
