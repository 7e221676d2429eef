"""The paper's tables beside ours: every figure from a card or a record, and claims put to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.attacks.ladder import SparsityLevelResult, Verdict
from apr_core.base.provenance import provenance
from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import SPACING
from apr_core.cli import main
from apr_core.data.registry import DEFAULT
from apr_core.defences import DEFENCES
from apr_core.defences.recipe import constants
from apr_core.evaluation.certificates import (
    CertRecord,
    CertSetting,
    load_certificates,
    save_certificates,
)
from apr_core.evaluation.metrics import Paired, rate_of
from apr_core.evaluation.model_summary import find_record, is_past, lattices_of
from apr_core.evaluation.record import Record, Setting, levels_of, results_folder, save_record
from apr_core.evaluation.verdicts import Holds
from apr_core.report import paper
from apr_core.report.printing import STYLES, columns, in_print
from apr_core.report.tables import make_tables
from apr_core.zoo.checkpoints import CAUTION, OLD_PENALTY, Card, load_card, write_card

SHA = "a" * 64
LOWERS = "With these weights, APR lowers the success rate by 69.8% against the undefended model."
LOWEST = "With these weights, APR has the lowest success rate of the five."
COSTS = "With these weights, APR costs at most 2.4 points of clean accuracy."
MOST = (
    "With these weights, attention lowers the success rate most of APR's parts. (The paper's own "
    "table has it rise by, in points: w/o attention 7.3, w/o adversarial training 13.8, "
    "w/o regularisation 3.5.)"
)
NO_ATTENTION = "With these weights, APR w/o attention falls more often than the whole of it."
NO_CLAMP = (
    "With these weights, APR+ w/o clamp falls at least a point more often than the whole of it."
)
CLEAN = "These weights of APR+ get at least 94% of all 10,000 test images right."
CERTIFIED = (
    "At least 90% of all 10,000 test images are certified for these weights of APR+ behind the "
    "lattice."
)
FALLS = (
    "These weights of APR+ without masking fall to one pixel on at most 5% of the images that they "
    "get right."
)


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    (tmp_path / "checkpoints").mkdir()


def add_model(defence: str, correct: int, architecture: str = "resnet18") -> Card:
    name = f"cifar10-{architecture}-{defence}"
    recipe = {"defence": constants(DEFENCES.get(defence))}
    card = Card(
        name, "cifar10", architecture, defence, recipe, 0, 1, "0" * 64, correct / 10_000, correct,
        10_000, "a test", 0.0, {}, sha256=SHA,
    )  # fmt: skip
    write_card(card)
    return card


def add_record(
    card: Card,
    broken: set[int],
    total: int,
    attack: str = "ladder",
    lattice: int = 0,
    pixels: tuple[int, ...] = (1,),
    stages: tuple[str, ...] = ("corners",),
    **more: float,
) -> Record:
    """A record of `total` images, all classified correctly, of which some were broken."""
    setting = Setting(
        card.name, card.sha256, attack, stages, pixels, total, f"{total:064}", 0,
        lattice=lattice, **more,
    )  # fmt: skip
    verdicts = tuple(
        Verdict(index, 1, 1, tuple(
            SparsityLevelResult(k, index in broken, "corners" * (index in broken), 5, (), 0.1, ())
            for k in pixels
        ))
        for index in range(total)
    )  # fmt: skip
    record = Record(
        setting, rate_of(total, total), rate_of(card.correct, 10_000), levels_of(setting, verdicts),
        verdicts, **provenance(torch.device("cpu"), "", 1.0),
    )  # fmt: skip
    save_record(record)
    return record


def add_certificates(card: Card, right: int, certified: int, total: int, spacing: int) -> None:
    """A record whose first images are certified, and whose last are wrong."""
    verdicts = ["certified"] * certified + ["not certified"] * (right - certified)
    certify_each(card, verdicts + ["wrong"] * (total - right), spacing)


def certify_each(
    card: Card, verdicts: list[str], spacing: int = SPACING, patch: int = 0, data: str = DEFAULT
) -> None:
    """A record of certificates with a verdict for each of the first images."""
    total = len(verdicts)
    setting = CertSetting(card.name, card.sha256, spacing, total, f"{total:064}", data)
    setting = replace(setting, patch=patch, masks=6 if patch else 0)
    right, certified = total - verdicts.count("wrong"), verdicts.count("certified")
    save_certificates(
        CertRecord(
            setting, rate_of(right, total), rate_of(certified, total), 100.0, 5.0,
            tuple(enumerate(verdicts)), **provenance(torch.device("cpu"), "", 1.0),
        )
    )  # fmt: skip


def claims(number: int) -> dict[str, tuple[Holds, str]]:
    table = next(table for table in make_tables() if table.number == number)
    return {claim.text: (claim.holds, claim.found) for claim in table.claims}


def test_an_empty_zoo_has_the_papers_figures_alone() -> None:
    tables = make_tables()
    assert [table.number for table in tables] == [1, 2, 3, 4]
    assert [row.paper for row in tables[0].rows] == [*paper.DEFENCES, None, None]
    assert all(row.cells == () for table in tables[:3] for row in table.rows)
    assert all(table.claims == () for table in tables)


def test_a_model_without_a_record_has_its_clean_accuracy() -> None:
    add_model("vanilla", 9500)
    (cell,) = make_tables()[0].rows[0].cells
    assert (cell.clean.rate, cell.asr) == (0.95, None)
    assert {holds for holds, _ in claims(1).values()} == {Holds.UNMEASURED}


def test_a_claim_that_holds() -> None:
    vanilla, apr = add_model("vanilla", 9500), add_model("apr", 9400)
    add_record(vanilla, set(range(60)), 200)
    add_record(apr, set(range(6)), 200)
    found = claims(1)
    holds, said = found[LOWERS]
    assert holds is Holds.YES
    assert said.startswith(
        "By 90.0% [78.6%, 95.3%], from 30.0% to 3.0% of the 200 images that both get right. p = "
    )
    holds, said = found[COSTS]
    assert holds is Holds.YES
    assert said.startswith("It costs 1.0 [0.3, 1.6]: 95.0% to 94.0%. p = ")


def test_a_price_between_models_of_unequal_epochs_is_not_settled() -> None:
    vanilla = add_model("vanilla", 9500)
    write_card(replace(vanilla, epochs=40))
    add_model("apr", 9000)
    holds, said = claims(1)[COSTS]
    assert holds is Holds.OPEN
    assert said.startswith("It costs 5.0 [")
    assert said.endswith("cifar10-resnet18-apr 1, cifar10-resnet18-vanilla 40.")


def test_nor_is_anything_else_that_is_said_of_them() -> None:
    rates = {"apr": 0, "apr-no-attention": 60, "apr-no-adversarial": 20, "apr-no-regularizer": 20}
    rates |= {"vanilla": 60, "at": 60, "it": 60, "dd": 60}
    rates |= {"apr-plus": 0, "apr-plus-no-clamp": 60}
    for name, count in rates.items():
        add_record(add_model(name, 9000), set(range(count)), 200)
    add_record(load_card("cifar10-resnet18-apr"), {1, 2}, 200)
    compared = {
        LOWERS: 1,
        LOWEST: 1,
        NO_ATTENTION: 3,
        NO_CLAMP: 3,
    }
    assert all(claims(number)[text][0] is Holds.YES for text, number in compared.items())
    for name in ("apr", "apr-plus"):
        write_card(replace(load_card(f"cifar10-resnet18-{name}"), epochs=16))
    for text, number in compared.items():
        holds, said = claims(number)[text]
        assert holds is Holds.OPEN
        assert "Epochs of training differ, and may be why: " in said


def test_a_model_of_the_old_penalty_is_marked_and_settles_nothing() -> None:
    add_record(add_model("vanilla", 9500), set(range(60)), 200)
    apr = add_model("apr", 9400)
    add_record(apr, set(range(10)), 200)
    assert claims(1)[LOWERS][0] is Holds.YES
    assert not any(cell.caution for row in make_tables()[0].rows for cell in row.cells)
    before = {name: value for name, value in apr.recipe["defence"].items() if name != "paired"}
    write_card(replace(apr, recipe={"defence": before}))
    tables = make_tables()
    assert tables[0].rows[4].cells[0].caution.startswith(OLD_PENALTY)
    for text in (LOWERS, COSTS):
        holds, said = claims(1)[text]
        assert holds is Holds.OPEN
        assert apr.name in said
        assert CAUTION in said
    headers, rows = columns(tables[0])
    marks = [row[headers.index("caution")] for row in rows]
    assert marks == ["", "", "", "", CAUTION, "", ""]
    assert all(OLD_PENALTY in in_print(tables[:1], style) for style in STYLES)


def test_models_of_other_data_have_a_table_and_no_claims() -> None:
    add_model("vanilla", 9500)
    assert all(table.number < 5 for table in make_tables())
    for defence, correct in (("vanilla", 98), ("apr", 99)):
        name = f"gtsrb-resnet20-{defence}"
        card = replace(add_model(defence, 9400, "resnet20"), name=name, dataset="gtsrb")
        write_card(replace(card, tested=100, correct=correct))
    *_, table = make_tables()
    assert (table.number, [row.label for row in table.rows]) == (8, ["No defence", "APR"])
    headers, rows = columns(table)
    assert [row[headers.index("model")] for row in rows] == ["resnet20 on GTSRB"] * 2
    assert [row.cells[0].clean.count for row in table.rows] == [98, 99]
    assert table.claims == ()
    assert table.notes == ()


def test_the_claims_of_both_tables_are_one_family() -> None:
    add_model("vanilla", 9500)
    apr = add_model("apr", 9340)
    assert claims(1)[COSTS][0] is Holds.YES
    add_record(apr, set(range(19)), 200)
    for name in ("apr-no-attention", "apr-no-adversarial", "apr-no-regularizer"):
        add_record(add_model(name, 9400), set(range(20)), 200)
    assert claims(3)[NO_ATTENTION][0] is Holds.OPEN
    assert claims(1)[COSTS][0] is Holds.OPEN


def test_no_part_of_apr_plus_is_shown_to_gain_a_point() -> None:
    """REVIEW.md, C2: the README said that a part keeps its place by such a gain."""
    add_record(add_model("apr-plus", 9000), set(range(20)), 200)
    add_record(add_model("apr-plus-no-clamp", 9000), set(range(24)), 200)
    (summary,) = make_tables()[2].notes
    assert "none shows a gain of a point" in summary


def test_what_the_training_departs_in_is_noted() -> None:
    card = add_model("vanilla", 9500)
    write_card(replace(card, recipe={"preset": "paper"}))
    assert make_tables()[0].notes == ()
    write_card(replace(card, recipe={"preset": "fast"}))
    (note,) = make_tables()[0].notes
    assert note.startswith("The paper trained by Adam")
    assert all(note in in_print(make_tables()[:1], style) for style in STYLES)


def test_claims_that_do_not_hold() -> None:
    vanilla, apr = add_model("vanilla", 9500), add_model("apr", 9000)
    text = LOWERS
    add_record(vanilla, set(range(60)), 200)
    add_record(apr, set(range(58)), 200)
    assert claims(1)[text][0] is Holds.NO  # two images are no such difference, for sure
    add_record(apr, set(range(20)), 200)
    assert claims(1)[text][0] is Holds.OPEN  # two thirds, and perhaps more
    add_record(apr, set(range(40)), 200)
    found = claims(1)
    assert found[text][0] is Holds.NO
    assert found[COSTS][0] is Holds.NO


def test_the_lowest_rate_is_the_lowest_beyond_chance() -> None:
    rates = {"vanilla": 60, "at": 22, "it": 24, "dd": 25, "apr": 20}
    cards = {name: add_model(name, 9000) for name in rates}
    for name, count in rates.items():
        add_record(cards[name], set(range(count)), 200)
    holds, said = claims(1)[LOWEST]
    assert holds is Holds.OPEN
    assert (
        "cifar10-resnet18-apr, 10.0%; beside it cifar10-resnet18-vanilla, 30.0% (p = 1.8e-12)"
        in said
    )
    assert "cifar10-resnet18-at, 11.0% (p = 0.5)" in said
    add_record(cards["apr"], set(range(10)), 200)
    assert claims(1)[LOWEST][0] is Holds.YES
    record = add_record(cards["apr"], set(range(40)), 200)
    holds, said = claims(1)[LOWEST]
    assert holds is Holds.NO
    assert "at, 11.0% (p = 7.6e-06)" in said
    (results_folder() / "evaluations" / f"{record.setting.name}.json").unlink()
    add_record(cards["apr"], set(range(10)), 300, attack="de")  # not what the others withstood
    assert claims(1)[LOWEST][0] is Holds.OPEN


def test_more_pixels_and_more_images_may_be_in_two_records() -> None:
    card = add_model("vanilla", 9500)
    add_record(card, {1}, 40)
    add_record(card, {1, 2}, 20, pixels=(1, 3))
    cell = make_tables()[0].rows[0].cells[0]
    assert (cell.images, cell.asr3.total) == (40, 20)


def test_an_attack_on_every_pixel_is_none_on_one() -> None:
    card = add_model("vanilla", 9500)
    for lattice in (SPACING, 0):
        add_record(card, {1, 2}, 40, attack="pgd", lattice=lattice, stages=("pgd",))
    certify_each(card, ["certified"] * 40)
    assert make_tables()[0].rows[0].cells[0].asr is None
    assert "No edit of one pixel" not in " ".join(claims(1))


def test_other_attacks_stand_beside_each_other_and_what_apr_is_worth_against_them() -> None:
    vanilla, apr = add_model("vanilla", 9500), add_model("apr", 9400)
    add_record(vanilla, set(range(20)), 40)
    for card, shades, broken in ((vanilla, 8, 40), (vanilla, 2, 8), (apr, 8, 30), (apr, 2, 10)):
        attack = {"attack": "pgd", "stages": ("pgd",), "epsilon": shades / 255}
        add_record(card, set(range(broken)), 40, **attack)
    for card, side, broken in ((vanilla, 5, 36), (apr, 5, 24), (apr, 2, 8)):
        patch = {"stages": ("patch", "sparse-rs-patch-1000"), "side": side}
        add_record(card, set(range(broken)), 40, **patch)
    (table,) = [table for table in make_tables() if table.number == 5]
    rates = {
        row.label: {name: rate.rate for name, rate in row.success.items()} for row in table.rows
    }
    assert rates == {
        "No defence": {"1 pixel": 0.5, "5 × 5 patch": 0.9, "PGD 2/255": 0.2, "PGD 8/255": 1.0},
        "APR": {"2 × 2 patch": 0.2, "5 × 5 patch": 0.6, "PGD 2/255": 0.25, "PGD 8/255": 0.75},
    }
    said = (
        "Beyond few pixels, of the images that it and cifar10-resnet18-vanilla get right, "
        "cifar10-resnet18-apr helps against a 5 × 5 patch (60.0% against 90.0% of 40), PGD at "
        "8/255 (75.0% against 100.0% of 40); makes no clear difference against PGD at 2/255 (25.0% "
        "against 20.0% of 40) (McNemar's test, corrected by Holm's method)."
    )
    assert table.notes[1:] == (said,)


def test_an_ablation_is_settled_by_the_paired_test() -> None:
    add_record(add_model("apr", 9000), set(range(20)), 200)
    add_record(add_model("apr-no-attention", 9000), set(range(60)), 200)
    add_record(add_model("apr-no-adversarial", 9000), set(range(21)), 200)
    add_record(add_model("apr-no-regularizer", 9000), set(range(2)), 200)
    *found, (most, said) = claims(3).values()
    assert [holds for holds, _ in found] == [Holds.YES, Holds.OPEN, Holds.NO]
    assert "beside it cifar10-resnet18-apr, 10.0% (p = 1.8e-12)" in said
    assert "cifar10-resnet18-apr-no-adversarial, 10.5% (p = 3.6e-12)" in said
    assert found[0][1].startswith(
        "30.0% against 10.0% of the 200 images that both get right. p = 1.8e-12"
    )
    assert (most, said.split(";")[0]) == (Holds.YES, "cifar10-resnet18-apr-no-attention, 30.0%")


def test_the_part_that_helps_most_does_so_beyond_chance() -> None:
    add_record(add_model("apr", 9000), set(range(10)), 200)
    add_record(add_model("apr-no-attention", 9000), set(range(60)), 200)
    add_record(add_model("apr-no-regularizer", 9000), set(range(20)), 200)
    assert claims(3)[MOST] == (Holds.UNMEASURED, "3 of 4 measured.")
    adversarial = add_model("apr-no-adversarial", 9000)
    add_record(adversarial, set(range(58)), 200)
    assert claims(3)[MOST][0] is Holds.OPEN
    add_record(adversarial, set(range(90)), 200)
    holds, said = claims(3)[MOST]
    assert holds is Holds.NO
    assert "apr-no-adversarial, 45.0% (p = 1.9e-09)" in said


def test_a_part_that_does_harm_helps_most_of_none() -> None:
    """However the others do: a model without it must fall more often than the whole."""
    add_record(add_model("apr", 9000), set(range(60)), 200)
    add_record(add_model("apr-no-attention", 9000), set(range(40)), 200)
    add_record(add_model("apr-no-regularizer", 9000), set(range(10)), 200)
    add_record(add_model("apr-no-adversarial", 9000), set(range(10)), 200)
    *_, (most, said) = claims(3).values()
    assert most is Holds.NO
    assert said.startswith(
        "cifar10-resnet18-apr-no-attention, 20.0%; "
        "beside it cifar10-resnet18-apr, 30.0% (p = 1.9e-06)"
    )


def test_apr_plus_is_held_to_its_aims() -> None:
    plus = add_model("apr-plus", 9262)
    found = claims(1)
    assert found[CLEAN] == (Holds.NO, "92.6% of 10,000, 1.4 points from it.")
    assert found[CERTIFIED] == found[FALLS] == (Holds.UNMEASURED, "")
    add_certificates(plus, 950, 905, 1000, SPACING)
    add_record(plus, set(range(12)), 200)
    found = claims(1)
    for text, said in (
        (CERTIFIED, "90.5% [88.5%, 92.2%] of 1,000. p = 0.6"),
        (FALLS, "6.0% [3.5%, 10.2%] of 200, by ladder, 1.0 points from it. p = 0.52"),
    ):
        assert found[text][0] is Holds.OPEN
        assert found[text][1].startswith(said)
    add_record(plus, set(range(12)), 1000)
    holds, said = claims(1)[FALLS]
    assert holds is Holds.YES
    assert said.startswith("1.2% [0.7%, 2.1%] of 1,000, by ladder. p = ")
    write_card(replace(plus, clean_accuracy=0.94, correct=9400))  # of all test images, to the image
    add_certificates(plus, 9400, 8999, 10_000, SPACING)
    found = claims(1)
    assert found[CLEAN][0] is Holds.YES
    assert found[CERTIFIED] == (Holds.NO, "90.0% of 10,000, 0.01 points from it.")


def test_what_a_weak_attack_left_standing_is_no_aim_reached() -> None:
    plus = add_model("apr-plus", 9500)
    add_record(plus, set(range(3)), 1000, attack="de")
    assert claims(1)[FALLS] == (Holds.OPEN, "0.3% [0.1%, 0.9%] of 1,000, by de.")
    add_record(plus, set(range(300)), 1000, attack="de")
    assert claims(1)[FALLS][0] is Holds.NO


def test_an_architecture_of_which_nothing_was_asked_has_no_aims() -> None:
    add_model("apr-plus", 9262, "vgg16")
    assert not any("of APR+ get at least" in text for text in claims(1))


def test_a_part_of_apr_plus_is_worth_its_place_from_a_point_on() -> None:
    whole = add_model("apr-plus", 9000)
    add_record(whole, set(range(20)), 400)
    assert len(claims(3)) == 4  # nothing of the parts of an architecture that none was left out of
    add_record(add_model("apr-plus-no-clamp", 9000), set(range(60)), 400)
    add_record(add_model("apr-plus-no-attention", 9000), set(range(18)), 400)
    add_record(add_model("apr-plus-no-regularizer", 9000), set(range(25)), 400)
    add_model("apr-plus-no-adversarial", 9000)
    found = list(claims(3).items())[4:]
    verdicts = [Holds.YES, Holds.NO, Holds.UNMEASURED, Holds.OPEN, Holds.UNMEASURED]
    assert [holds for _, (holds, _) in found] == verdicts
    text, (_, said) = found[0]
    assert text == NO_CLAMP
    assert said.startswith("By 10.0 points [")
    assert "15.0% against 5.0% of the 400 images that both get right." in said
    (summary,) = make_tables()[2].notes
    assert summary.startswith("Of 3 measurements of what a part of APR+ gains, 1 shows a gain")


def test_masks_in_training_are_worth_the_certificates_that_they_bring() -> None:
    whole, rest = add_model("apr-plus", 9000), add_model("apr-plus-no-masks", 9000)
    add_record(whole, set(range(20)), 400)
    add_record(rest, set(range(200)), 400)
    certify_each(whole, ["certified"] * 360 + ["uncertified"] * 40)
    text = (
        "With these weights, APR+ w/o masks in training goes without a certificate at least a "
        "point more often than the whole of it."
    )
    assert claims(3)[text][0] is Holds.UNMEASURED
    certify_each(rest, ["certified"] * 100 + ["uncertified"] * 80 + ["wrong"] * 20)  # fewer images
    holds, said = claims(3)[text]
    assert holds is Holds.YES
    assert said.startswith("By 50.0 points [")
    assert "50.0% against 0.0% of the 200 images that were put to both" in said
    certify_each(rest, ["certified"] * 361 + ["uncertified"] * 39)
    assert claims(3)[text][0] is Holds.NO


def test_rates_that_are_compared_are_of_one_attack() -> None:
    """The whole has a ladder besides; what is said beside the p-value is what was compared."""
    whole = add_model("apr", 9000)
    add_record(whole, set(range(20)), 200, attack="de")
    add_record(whole, set(range(50)), 200)
    add_record(add_model("apr-no-attention", 9000), set(range(40)), 200, attack="de")
    holds, said = claims(3)[NO_ATTENTION]
    assert holds is Holds.YES
    assert said.startswith("20.0% against 10.0% of the 200 images that both get right")


def test_a_record_of_other_weights_does_not_count() -> None:
    card = add_model("vanilla", 9500)
    record = add_record(card, {1}, 10)
    write_card(replace(card, sha256="b" * 64))
    assert make_tables()[0].rows[0].cells[0].asr is None
    assert find_record([record], card) == record


def test_a_record_on_other_data_does_not_count() -> None:
    card = add_model("vanilla", 9500)
    record = add_record(card, {1}, 10)
    elsewhere = replace(record, setting=replace(record.setting, data="my-folder"))
    assert find_record([elsewhere], card) is None
    assert find_record([elsewhere, record], card) is record
    assert not is_past(elsewhere, {card.name: card})


def test_a_model_of_other_data_has_no_row_whatever_its_name() -> None:
    card = add_model("vanilla", 9000)
    write_card(replace(card, dataset="pictures/mine", correct=3, tested=6, clean_accuracy=0.5))
    assert not any(row.cells for row in make_tables()[0].rows)


def test_the_strongest_attack_on_the_most_images_counts() -> None:
    card = add_model("vanilla", 9500)
    add_record(card, {1}, 50, attack="de")
    add_record(card, {1, 2}, 400, attack="corners")
    add_record(card, {1, 2, 3}, 20)
    add_record(card, {1, 2, 3, 4}, 40)
    cell = make_tables()[0].rows[0].cells[0]
    assert (cell.attack, cell.asr.count, cell.asr.total) == ("ladder", 4, 40)
    assert (cell.papers_attack.count, cell.papers_attack.total) == (1, 50)


def test_masking_has_a_row_and_every_model_its_certified_share() -> None:
    vanilla, plus = add_model("vanilla", 9500), add_model("apr-plus", 9000)
    add_certificates(vanilla, 190, 120, 200, SPACING)
    add_certificates(vanilla, 90, 80, 100, SPACING)  # fewer images
    add_certificates(vanilla, 390, 380, 400, SPACING + 1)  # not the usual lattice
    add_certificates(plus, 180, 170, 200, SPACING)
    add_record(vanilla, set(range(60)), 200)
    add_record(plus, set(range(20)), 200, pixels=(1, 3))
    add_record(plus, set(range(170, 175)), 200, lattice=SPACING)
    rows = {row.label: row.cells for row in make_tables()[0].rows}
    (bare,), (plain,) = rows["No defence"], rows["APR+"]
    (masked,) = rows["APR+ with masking"]
    assert bare.certified.count == 120
    assert bare.certified_versus is None
    assert plain.certified_versus == masked.certified_versus == Paired(200, 30, 50, 0, 2**-49)
    told = "85.0% against 60.0% of vanilla, 200 images, p = 1.8e-15"
    assert in_print(make_tables(), "text").count(told) == 2
    assert (plain.certified.count, masked.certified.count) == (170, 170)
    assert (plain.clean.rate, masked.clean.rate) == (0.9, 0.9)
    assert (plain.clean.total, masked.clean.total) == (10_000, 200)
    assert (plain.asr.count, plain.asr3.count, masked.asr.count) == (20, 20, 5)
    assert masked.asr3 is None
    assert plain.versus.first_only == 40
    assert masked.versus.first_only == 60
    assert not any("170" in word for row in columns(make_tables()[0])[1] for word in row)
    assert "85.0% [79.4%, 89.3%] of 200" in in_print(make_tables(), "text")


def test_each_lattice_of_the_present_weights_is_listed_once() -> None:
    vanilla, plus = add_model("vanilla", 9500), add_model("apr-plus", 9000)
    add_certificates(vanilla, 190, 120, 200, 4)
    add_certificates(vanilla, 90, 80, 100, 4)
    add_certificates(vanilla, 140, 81, 150, 3)
    add_certificates(replace(plus, sha256="b" * 64), 90, 82, 100, 3)
    found = lattices_of(load_certificates()[0], [vanilla, plus])
    places = [(record.setting.model, record.setting.spacing) for record in found]
    assert places == [(vanilla.name, 3), (vanilla.name, 4)]
    assert [record.certified for record in found] == [rate_of(81, 150), rate_of(120, 150)]
    assert [record.clean for record in found] == [rate_of(140, 150), rate_of(150, 150)]


def test_certificates_against_patches_are_taken_for_no_others() -> None:
    """Neither in a claim nor in a cell, whatever spacing stands in the record."""
    vanilla, plus = add_model("vanilla", 9500), add_model("apr-plus", 9000)
    add_certificates(vanilla, 190, 120, 200, SPACING)
    before = make_tables()
    for card in (vanilla, plus):
        certify_each(card, ["certified"] * 300, SPACING, patch=2)
    certify_each(replace(vanilla, name="torchvision:resnet50"), ["certified"], 4, 5, "nips2017")
    assert lattices_of(load_certificates()[0], [vanilla, plus])[0].certified == rate_of(120, 200)
    assert len(lattices_of(load_certificates()[0], [vanilla, plus])) == 1
    *others, patches = make_tables()
    assert others == before
    assert patches.number == 6
    found = {(row.label, row.subject): (row.patch, row.certified) for row in patches.rows}
    assert found == {
        ("No defence", "resnet18"): (2, rate_of(300, 300)),
        ("APR+", "resnet18"): (2, rate_of(300, 300)),
        ("No defence", "torchvision:resnet50 on nips2017"): (5, rate_of(1, 1)),
    }


def test_of_patches_the_present_weights_and_the_most_images_count() -> None:
    vanilla = add_model("vanilla", 9500)
    certify_each(vanilla, ["certified", "wrong"], 0, patch=2)
    certify_each(vanilla, ["certified", "not certified", "wrong"], 0, patch=2)
    certify_each(vanilla, ["not certified"], 0, patch=3)
    certify_each(replace(vanilla, sha256="b" * 64), ["wrong"] * 9, 0, patch=2)
    table = make_tables()[-1]
    assert [(row.patch, row.masks, row.clean, row.certified) for row in table.rows] == [
        (2, 36, rate_of(2, 3), rate_of(1, 3)),
        (3, 36, rate_of(1, 1), rate_of(0, 1)),
    ]
    printed = in_print([table], "text")
    assert printed.startswith("Table 6. Certificates against patches")
    assert "33.3% [6.1%, 79.2%] of 3" in printed
    assert all(in_print([table], style) for style in STYLES)


def test_a_record_of_weights_that_a_model_had_before_is_told() -> None:
    vanilla = add_model("vanilla", 9500)
    before, now = (
        add_record(card, {1}, 3) for card in (replace(vanilla, sha256="b" * 64), vanilla)
    )
    models = {vanilla.name: vanilla}
    assert is_past(before, models)
    assert not is_past(now, models)
    assert not is_past(before, {})  # a model of one's own, which has no card


def test_a_damaged_record_of_certificates_is_left_out_and_named(capsys) -> None:
    card = add_model("vanilla", 9500)
    add_certificates(card, 190, 120, 200, SPACING)
    (results_folder() / "certificates" / "x.json").write_text('{"setting": {}}')
    records, damaged = load_certificates()
    assert [record.certified.count for record in records] == [120]
    assert damaged[0].startswith("x.json: This is no record of certificates")
    assert main(["tables"]) == 0
    assert capsys.readouterr().err.strip() == damaged[0]


def test_a_defence_that_trains_nothing_has_the_epochs_of_what_is_beneath() -> None:
    vanilla = add_model("vanilla", 9500)
    write_card(replace(vanilla, epochs=7))
    write_card(replace(add_model("it", 9000), epochs=0, base=vanilla.name))
    rows = {row.label: row.cells for row in make_tables()[0].rows}
    assert rows["IT"][0].epochs == 7


def test_overheads_stand_beside_the_papers() -> None:
    results_folder().mkdir()
    record = {
        "hardware": "a GPU",
        "training": [
            {"defence": "vanilla", "overhead": 0.0, "interval": [0.0, 0.0]},
            {"defence": "apr", "overhead": 0.2, "interval": [0.19, 0.22]},
            {"defence": "apr-exact", "overhead": 0.8, "interval": [0.7, 0.9]},
            {"defence": "apr-plus", "overhead": 0.3, "interval": [0.2, 0.4]},
        ],
        "inference": [
            {"form": "loaded", "defence": "vanilla", "overhead": 0.0, "interval": [0.0, 0.0]},
            {"form": "loaded", "defence": "apr", "overhead": 0.1, "interval": [0.09, 0.11]},
            {"form": "searched", "defence": "apr-plus", "overhead": 0.4, "interval": [0.3, 0.5]},
            {"form": "loaded", "defence": "apr-plus", "overhead": 0.05, "interval": [0.0, 0.08]},
        ],
    }
    (results_folder() / "overhead-resnet18.json").write_text(json.dumps(record))
    table = make_tables()[3]
    rows = [(row.architecture, row.form, row.training, row.inference) for row in table.rows]
    assert rows[:3] == [
        ("resnet18", "apr", 0.2, 0.1),
        ("resnet18", "apr-exact", 0.8, None),
        ("resnet18", "apr-plus", 0.3, 0.05),
    ]
    assert [row.paper_training for row in table.rows] == [0.273, 0.273, 0.273, 0.315, None]
    verdicts = [claim.holds for claim in table.claims]
    assert verdicts == [Holds.YES, Holds.NO, Holds.NO, Holds.OPEN, Holds.YES]
    assert len({claim.text for claim in table.claims}) == 5
    assert table.claims[1].text.endswith(
        "8.6% longer with APR, its penalty as a finite difference."
    )
    assert table.claims[2].found == "By +80.0% (+70.0% to +90.0%), on a GPU."
    (results_folder() / "overhead-vgg16.json").write_text("{}")
    with pytest.raises(InputError, match=r"overhead-vgg16\.json is no record of an overhead"):
        make_tables()


def test_several_seeds_have_a_mean_and_its_interval() -> None:
    card = add_model("apr", 9300)
    add_record(card, set(range(10)), 100)
    runs = [{"name": card.name, "sha256": SHA, "clean_accuracy": 0.93}]
    for seed, broken in ((1, 12), (2, 17)):
        sha256 = str(seed) * 64
        name = f"{card.name}-seed{seed}"
        add_record(replace(card, name=name, sha256=sha256), set(range(broken)), 100)
        runs.append({"name": name, "sha256": sha256, "clean_accuracy": 0.93 - 0.01 * seed})
    path = results_folder() / f"seeds-{card.name}.json"
    path.write_text(json.dumps({"runs": runs}))
    cell = make_tables()[0].rows[4].cells[0]
    assert (cell.clean_runs.mean, cell.clean_runs.runs) == (pytest.approx(0.92), 3)
    assert cell.asr_runs.mean == pytest.approx(0.13)
    assert cell.asr_runs.low < 0.13 < cell.asr_runs.high
    assert "13.0% [4.0%, 22.0%] over 3 runs" in in_print(make_tables(), "text")
    path.write_text(json.dumps({"runs": runs[1:]}))  # of other weights than the shipped
    assert make_tables()[0].rows[4].cells[0].clean_runs is None
    path.write_text("[]")
    with pytest.raises(InputError, match="no record of several seeds"):
        make_tables()


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_every_style_has_every_figure(style: str, capsys) -> None:
    add_record(add_model("vanilla", 9500), set(range(60)), 200)
    add_record(add_model("apr", 9400), set(range(6)), 200)
    assert main(["tables", "--style", style]) == 0
    printed = capsys.readouterr().out.replace("\\%", "%")
    rate = "30.0% & 24.1 to 36.7 & 200" if style == "latex" else "30.0% [24.1%, 36.7%] of 200"
    for figure in ("70.97%", "21.43%", "95.0%", rate, "63.25%", "28.76%",
                   "+27.3%", "holds", "not measured"):  # fmt: skip
        assert figure in printed, figure
    for number in (1, 2, 3, 4):
        assert f"Table {number}." in printed


def test_json_has_the_measured_rows(capsys) -> None:
    add_record(add_model("vanilla", 9500), set(range(60)), 200)
    assert main(["tables", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    cell = tables[0]["rows"][0]["cells"][0]
    assert cell["model"] == "cifar10-resnet18-vanilla"
    assert cell["asr"]["count"] == 60
    assert tables[0]["rows"][0]["paper"]["asr"] == 0.7097


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(
        InputError, match="no style 'word'; the known ones are: text, markdown, latex\\."
    ):
        in_print(make_tables(), "word")


def test_the_shipped_models_have_their_rows(monkeypatch) -> None:
    monkeypatch.delenv("APR_CHECKPOINTS")
    rows = [row for row in make_tables()[0].rows if not row.lattice]
    cells = [cell for row in rows for cell in row.cells]
    for cell in cells:
        card = load_card(cell.model)
        assert (cell.clean.count, cell.clean.total) == (card.correct, card.tested)
    assert torch.tensor([cell.architecture == "resnet20" for cell in cells]).any()


# The certificate put to the test

PROOF = (
    "No edit of one pixel turns a certified image of cifar10-resnet18-apr-plus behind a lattice "
    f"of {SPACING}."
)


def test_a_certified_image_that_no_attack_turned() -> None:
    card = add_model("apr-plus", 9100)
    certify_each(card, ["certified", "not certified", "certified", "wrong", "certified"])
    assert PROOF not in claims(1)
    add_record(card, {0}, 5)  # on the bare model, of which the certificate says nothing
    assert PROOF not in claims(1)
    add_record(card, {1}, 4, "corners", SPACING)
    holds, found = claims(1)[PROOF]
    assert holds is Holds.STANDS
    assert "corners turned 0. Without a certificate, 1 of the 1 that" in found


def test_where_all_tried_are_certified_nothing_is_said_of_others() -> None:
    card = add_model("apr-plus", 9100)
    certify_each(card, ["certified", "certified"])
    add_record(card, set(), 2, "corners", SPACING)
    assert claims(1)[PROOF] == (Holds.STANDS, "Of 2 certified images, corners turned 0.")


def test_a_certified_image_that_was_turned_breaks_the_proof() -> None:
    card = add_model("apr-plus", 9100)
    certify_each(card, ["certified", "not certified", "certified"])
    add_record(card, set(), 3, "corners", SPACING)
    assert claims(1)[PROOF][0] is Holds.STANDS
    add_record(card, {2}, 3, "de", SPACING)
    holds, found = claims(1)[PROOF]
    assert holds is Holds.NO
    assert "Of 2 certified images, corners and de turned 1." in found
    assert "Test images 2: the proof is broken." in found


def test_a_trial_without_a_certified_image_says_nothing() -> None:
    card = add_model("apr-plus", 9100)
    certify_each(card, ["wrong", "not certified"])
    add_record(card, {1}, 2, "corners", SPACING)
    assert claims(1)[PROOF][0] is Holds.UNMEASURED
