"""The documents' numbers, and the cards', are the records'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.model_summary import Records
from apr_core.report.tables import BARE, PLUS
from apr_core.zoo.checkpoints import OLD_PENALTY, Card
from scripts import readme
from scripts.cards import stale, with_records
from scripts.readme import BEGIN, DOCUMENTS, END, headlines, rewritten, shipped_cards
from scripts.result_tables import MARK, numbers

NAMES = [path.name for path in DOCUMENTS]


def a_card(defence: str) -> Card:
    """A shipped card of CIFAR-10 and the headlines' architecture."""
    wanted = {"architecture": readme.HEADLINE_ARCHITECTURE, "defence": defence}
    return next(card for card in cifar_cards() if wanted.items() <= vars(card).items())


def cifar_cards() -> list[Card]:
    return [card for card in shipped_cards() if card.dataset == DEFAULT]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_document_has_the_numbers_of_the_records(path: Path) -> None:
    text = path.read_text()
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert rewritten(path) == text, "Run `make records`."


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ("net.onnx", "pictures", False),
        ("mine:make", DEFAULT, False),
        ("mine-resnet20-vanilla-0a1b2c", "pictures", False),
        ("efficientnet-lite0", "pictures", False),
        ("torchvision:resnet50+it", "nips2017", True),
    ],
)
def test_what_a_person_measured_of_their_own_is_in_no_document(
    model: str, data: str, told: bool
) -> None:
    read, cards = Records.read(), shipped_cards()
    setting = replace(read.evaluations[0].setting, model=model, data=data)
    proof = replace(read.certificates[0].setting, model=model, data=data)
    more = Records(
        [*read.evaluations, replace(read.evaluations[0], setting=setting)],
        [*read.certificates, replace(read.certificates[0], setting=proof)],
    )
    assert (numbers(cards, more) != numbers(cards, read)) is told
    assert headlines(cards, more) == headlines(cards, read)


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_record_that_changes_changes_the_document(path: Path, monkeypatch) -> None:
    """So the test above fails where a document and a record differ."""
    records, bare = Records.read(), a_card(BARE)
    name = bare.name
    evaluations = [
        replace(record, levels=tuple(replace(level, asr=rate_of(7, 9)) for level in record.levels))
        if record.setting.model == name
        else record
        for record in records.evaluations
    ]
    changed = Records(evaluations, records.certificates)
    monkeypatch.setattr(
        readme, "Records", type("Changed", (), {"read": staticmethod(lambda: changed)})
    )
    text = rewritten(path)
    assert text != path.read_text()
    assert f"{7 / 9:.1%}" in text


def test_a_certificate_against_patches_is_in_a_table_of_its_own() -> None:
    read, cards, card = Records.read(), shipped_cards(), a_card(BARE)
    (proof, *_) = [one for one in read.certificates if one.setting.model == card.name]
    setting = replace(proof.setting, spacing=0, patch=31, masks=7, images=10**6)
    more = Records(read.evaluations, [*read.certificates, replace(proof, setting=setting)])
    assert headlines(cards, more) == headlines(cards, read)
    before, _, patches = numbers(cards, more).partition("## Certified accuracy against patches")
    assert f"| `{card.name}` | 31 × 31 | 49 |" in patches
    assert before == numbers(cards, read)[: len(before)]
    (kept,) = [one for one in with_records(card, more).certificates if one.get("patch") == 31]
    assert (kept["masks"], "spacing" in kept) == (7, False)


def test_the_cards_have_the_rates_of_the_records() -> None:
    assert stale() == [], "Run `python -m scripts.cards`."


def test_records_of_weights_that_a_model_had_before_are_left_out() -> None:
    first, *cards = [card for card in cifar_cards() if card.defence != PLUS]  # which has its aims
    of_first, records = f"| `{first.name}`", Records.read()
    assert numbers([first, *cards], records).count(of_first) > 2  # accuracy, certificate, attacks
    other = replace(first, sha256="0" * 64)
    assert numbers([other, *cards], records).count(of_first) == 1


def test_headlines_are_of_present_weights() -> None:
    records, other = Records.read(), replace(a_card(BARE), sha256="0" * 64)
    assert headlines([other], records).count("| not measured |") == 3
    rate = _one_pixel_rate(a_card(BARE), records)
    shown = f"| {rate.share:.1%} | {rate.low:.1%} to {rate.high:.1%} | {rate.total:,} |"
    assert shown in headlines([a_card(BARE)], records)


def _one_pixel_rate(card: Card, records: Records) -> Rate:
    found = [
        level.asr
        for record in records.evaluations
        if record.setting.sha256 == card.sha256 and record.setting.attack == "ladder"
        for level in record.levels
        if level.pixels == 1 and not record.setting.lattice
    ]
    return max(found, key=lambda rate: rate.total)


@pytest.mark.parametrize(("make", "least"), [(numbers, 3), (headlines, 1)])
def test_a_model_of_the_old_penalty_is_marked_wherever_its_figures_stand(
    make: Callable[[Sequence[Card], Records], str], least: int
) -> None:
    """However many of the shipped ones have it still."""
    shipped, records = a_card(PLUS), Records.read()
    constants = dict(shipped.recipe["defence"])
    constants.pop("paired", None)
    old = replace(shipped, recipe={**shipped.recipe, "defence": constants})
    new = replace(shipped, recipe={**shipped.recipe, "defence": {**constants, "paired": 0.25}})
    for card, marked in ((old, True), (new, False)):
        text = make([card], records)
        lines = [line for line in text.splitlines() if f"| `{card.name}`" in line or "APR+" in line]
        lines = [line for line in lines if line.startswith("| ")]
        assert len(lines) >= least
        assert all((MARK in line) == marked for line in lines)
        assert (OLD_PENALTY in text.lower()) == marked
