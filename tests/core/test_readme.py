"""The README's numbers, and the cards', are the records'."""

from __future__ import annotations

from dataclasses import replace

from apr_core.report.tables import PLUS
from apr_core.zoo.checkpoints import OLD_PENALTY, list_cards
from scripts import readme
from scripts.cards import stale
from scripts.readme import README, numbers, rewritten


def test_the_readme_has_the_numbers_of_the_records() -> None:
    text = README.read_text()
    assert rewritten(text) == text, "Run `python -m scripts.readme`."


def test_the_cards_have_the_rates_of_the_records() -> None:
    assert stale() == [], "Run `python -m scripts.cards`."


def test_records_of_weights_that_a_model_had_before_are_left_out(monkeypatch) -> None:
    first, *cards = [card for card in list_cards() if card.defence != PLUS]  # which has its aims
    of_first = f"| `{first.name}`"
    assert numbers().count(of_first) > 2  # its accuracy, its certificate, what attacks did
    other = replace(first, sha256="0" * 64)
    monkeypatch.setattr(readme, "list_cards", lambda: [other, *cards])
    assert numbers().count(of_first) == 1


def test_a_model_of_the_old_penalty_is_marked_wherever_its_figures_stand(monkeypatch) -> None:
    """However many of the shipped ones have it still."""
    shipped = next(card for card in list_cards() if card.defence == PLUS)
    constants = dict(shipped.recipe["defence"])
    constants.pop("paired", None)
    old = replace(shipped, recipe={**shipped.recipe, "defence": constants})
    new = replace(shipped, recipe={**shipped.recipe, "defence": {**constants, "paired": 0.25}})
    for card, marked in ((old, True), (new, False)):
        monkeypatch.setattr(readme, "list_cards", lambda card=card: [card])
        lines = [line for line in numbers().splitlines() if line.startswith(f"| `{card.name}`")]
        assert len(lines) > 2
        assert all((readme.MARK in line) == marked for line in lines)
        assert (OLD_PENALTY in numbers().lower()) == marked
