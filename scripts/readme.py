"""Write the generated parts of README.md and docs/results.md from the records.

    python -m scripts.readme

What stands between the two markers of a document is made here and nowhere else; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import LADDER, Records, find_certificates, find_record
from apr_core.report.speeds import Speeds, read_speeds
from apr_core.report.tables import BARE, PLUS
from apr_core.zoo.checkpoints import Card, is_own, list_cards
from scripts.result_tables import MARK, cautions_of, numbers, rate_columns, table

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
BEGIN, END = "<!-- numbers -->", "<!-- end of numbers -->"
HEADLINE_ARCHITECTURE = "resnet20"
SPEEDS = {"forward": "PyTorch's forward pass", "torchattacks": "torchattacks", "art": "ART"}


def headlines(cards: Sequence[Card], records: Records) -> str:
    """Three figures, one pixel against no defence and against APR+ and the certified share; and
    the speed of the attack."""
    known = {
        card.defence: card
        for card in cards
        if (card.dataset, card.architecture) == (DEFAULT, HEADLINE_ARCHITECTURE)
    }
    bare, plus = known.get(BARE), known.get(PLUS)
    marks = {card.name for card in cards if cautions_of([card])}
    mark = f" {MARK}" if plus and plus.name in marks else ""
    rows = [
        ("One pixel fools the undefended ResNet-20", *rate_columns(_success(bare, records))),
        (
            f"One pixel fools the same network with APR+{mark}",
            *rate_columns(_success(plus, records)),
        ),
        (
            f"Certified with APR+ behind lattice masking{mark}: no change of one pixel, to any "
            "colour, alters the right answer",
            *rate_columns(_certified(plus, records)),
        ),
    ]
    found = table(("CIFAR-10 test images", "share", "95 % interval", "of images"), rows)
    cautions = cautions_of([plus]) if plus else []
    return "\n\n".join(["", found, *cautions, *_speeds(read_speeds()), ""])


def _speeds(records: Sequence[Speeds]) -> list[str]:
    """How many times as fast the attack is as a forward pass and other libraries."""
    if not records:
        return []
    head = ("how many times as fast the attack is as", *SPEEDS.values())
    rows = ((one.title, *(one.ratio(name) for name in SPEEDS)) for one in records)
    return [table(head, rows)]


def _success(card: Card | None, records: Records) -> Rate | None:
    """The success rate of the attack ladder at one pixel."""
    record = find_record(records.evaluations, card, LADDER) if card else None
    level = record.level(1) if record else None
    return level.asr if level else None


def _certified(card: Card | None, records: Records) -> Rate | None:
    record = find_certificates(records.certificates, card) if card else None
    return record.certified if record else None


DOCUMENTS: dict[Path, Callable[[Sequence[Card], Records], str]] = {
    README: headlines,
    RESULTS: numbers,
}
"""Each document, and what makes its generated part from the shipped cards and the records."""


def shipped_cards() -> list[Card]:
    """The cards of the models that come with the project."""
    return [card for card in list_cards() if not is_own(card.name)]


def rewritten(path: Path) -> str:
    """A document with its generated part made anew."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    generated = DOCUMENTS[path](shipped_cards(), Records.read())
    return f"{before}{BEGIN}{generated}{END}{after}"


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(rewritten(document))
        print(f"{document.relative_to(ROOT)} has the numbers of today's records.")
