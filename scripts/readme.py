"""Write the README's measured numbers from the records in the repository.

    python -m scripts.readme

What stands between the two markers is made here and nowhere else; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from apr_core.zoo import Card, is_own, list_cards

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BENCH = ROOT / "results" / "bench-cpu.json"
BEGIN, END = "<!-- numbers -->", "<!-- end of numbers -->"


def numbers() -> str:
    """The block of tables."""
    shipped = [card for card in list_cards() if not is_own(card.name)]
    return "\n\n".join(["", _models(shipped), _bench(json.loads(BENCH.read_text())), ""])


def _models(cards: list[Card]) -> str:
    rows = [
        "| model | clean accuracy, 10,000 test images | epochs | seed | trained on |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| `{card.name}` | {card.clean_accuracy:.2%} | {card.epochs} | {card.seed} | "
        f"{card.hardware}, {card.wall_time / 60:.0f} min |"
        for card in cards
    ]
    return "\n".join(rows)


def _bench(record: dict) -> str:  # type: ignore[type-arg]
    ours = record["queries_per_second"]
    rows = [
        f"On {record['hardware']}, `{record['model']}`, {record['rounds']} alternating rounds "
        f"(medians), torch {record['versions']['torch']}:",
        "",
        "| | per second | ours over it |",
        "|---|---|---|",
        f"| this attack, queries | {ours:,.0f} | |",
        f"| the folded model's own forward, images | {record['forward_images_per_second']:,.0f} | "
        f"{record['ratio']:.2f} |",
    ]
    rows += [
        f"| {name} {peer['version']}, queries | {peer['queries_per_second']:,.0f} | "
        f"{peer['ratio_of_ours']:.2f} |"
        for name, peer in record.get("peers", {}).items()
    ]
    return "\n".join(rows)


def rewritten(text: str) -> str:
    """The README with the block made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{numbers()}{END}{after}"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
    print(f"{README.name} has the numbers of today's records.")
