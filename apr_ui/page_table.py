"""The pages: `app.py` makes the navigation from this table, and the tests walk it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageEntry:
    """One page.

    Attributes:
        key: prefix of the page's widget keys, and its address; "" is the first page's.
        title: in the navigation and the browser's tab.
        heading: at the top of the page.
        summary: one sentence below it.
        icon: a Material symbol.
        invitation: its link on the Start page; "" for the Start page.
        section: of the navigation; "" for the Start page, which stands alone.
        terms: of `apr_ui.terms`, explained below the summary.
    """

    key: str
    title: str
    heading: str
    summary: str
    icon: str
    invitation: str = ""
    section: str = ""
    terms: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        return f"pages/{self.key}.py"


PAGES = (
    PageEntry(
        "start",
        "Start",
        "One pixel can change what a network sees",
        "**APR Lab** shows how one changed pixel can fool an image classifier, and tests defences "
        "against it, such as Adaptive Pixel Resilience (APR).",
        ":material/home:",
    ),
    PageEntry(
        "attack",
        "Attack",
        "Hunt for the pixel",
        "A search tries many edits of one pixel or more and keeps those that confuse the model "
        "most.",
        ":material/target:",
        "Attack an image",
        "Attack",
        ("differential evolution", "generation", "query", "APR", "masking", "certificate"),
    ),
    PageEntry(
        "hand",
        "By hand",
        "Be the attacker",
        "Choose a pixel and a colour, and watch the model's confidence. Then let the search try.",
        ":material/touch_app:",
        "Try it by hand",
        "Attack",
        ("query", "differential evolution", "generation", "masking"),
    ),
    PageEntry(
        "stickers",
        "Stickers",
        "A sticker that fools wherever it is",
        "Learn one printed square that makes the model see what you choose. Stick it on pictures, "
        "print it, and hold it before the camera.",
        ":material/note_stack:",
        "Learn a sticker",
        "Attack",
    ),
    PageEntry(
        "compare",
        "Compare",
        "Race the defences",
        "The same attack on several models side by side: which models are flipped, after how many "
        "queries, and whether the edit that fools one also fools the others.",
        ":material/compare:",
        "Compare defences",
        "Defend",
        ("query", "APR", "certificate"),
    ),
    PageEntry(
        "safety",
        "Safety net",
        "Answer, or ask a person",
        "Checks around a model withhold an answer that they doubt. See a picture pass them, move "
        "their thresholds, and attack all of them together.",
        ":material/health_and_safety:",
        "Catch it in a safety net",
        "Defend",
        ("calibration", "false alarm", "certificate"),
    ),
    PageEntry(
        "train",
        "Train",
        "Train a model with a defence",
        "Choose an architecture and a defence and watch the network learn; a small attack tests it "
        "after every epoch.",
        ":material/model_training:",
        "Train a model",
        "Defend",
    ),
    PageEntry(
        "attention",
        "Attention",
        "Where the model looks",
        "The model's own attention beside seven attribution methods, before and after the attack, "
        "and how well they agree.",
        ":material/visibility:",
        "See where it looks",
        "Understand",
        ("APR",),
    ),
    PageEntry(
        "classes",
        "Classes",
        "Class by class",
        "A model's accuracy and attention for each class, and which classes the "
        "attack turns into which.",
        ":material/category:",
        "Browse the classes",
        "Understand",
    ),
    PageEntry(
        "results",
        "Results",
        "Measured results",
        "The paper's tables beside ours, every rate with its interval and its number of images.",
        ":material/table_chart:",
        "See the results",
        "Understand",
        ("query", "APR", "masking", "certificate"),
    ),
    PageEntry(
        "classroom",
        "Classroom",
        "Eleven minutes on one pixel",
        "A lesson in ten steps, alone or with a class on their phones: bet, try, watch, and see a "
        "defence fail.",
        ":material/school:",
        "Teach a class",
        "Teach",
    ),
    PageEntry(
        "responsible",
        "Ethics",
        "Responsible use",
        "Attacks are shown here so that weaknesses can be measured and fixed. What the results "
        "show, and what they do not.",
        ":material/balance:",
        "Read about responsible use",
        "Teach",
    ),
)


def page_entry(key: str) -> PageEntry:
    """The page with a key."""
    return next(entry for entry in PAGES if entry.key == key)
