"""The README's numbers, and the cards', are the records'."""

from __future__ import annotations

from scripts.cards import stale
from scripts.readme import README, rewritten


def test_the_readme_has_the_numbers_of_the_records() -> None:
    text = README.read_text()
    assert rewritten(text) == text, "Run `python -m scripts.readme`."


def test_the_cards_have_the_rates_of_the_records() -> None:
    assert stale() == [], "Run `python -m scripts.cards`."
