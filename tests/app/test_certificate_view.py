"""The seal, the masked pictures and their votes: what is shown is what the certificate found."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torchvision.transforms.functional import pil_to_tensor

from apr_core import InputError, OnePixelConfig, Stop
from apr_core.base.types import Status
from apr_core.certification.lattice_masking import (
    Certificate,
    LatticeMasking,
    Verdict,
    are_sure,
    behind_lattice,
    certify,
)
from apr_core.data.registry import find_dataset
from apr_core.models.outputs import logit_margin
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest
from apr_core.zoo.checkpoints import load_model
from apr_core.zoo.library import LITE0
from apr_ui.permalink import to_params
from apr_ui.pictures import MASK, with_mask
from apr_ui.proof.certificate import _whose, seal_words
from apr_ui.proof.finding import MOST_DOUBTS, find_proof
from apr_ui.resources import service
from tests.app.pages import VANILLA, ended, go, open_page, run, seals
from tests.conftest import figures

PLUS = "cifar10-resnet20-apr-plus"
CERTIFIED, DOUBTFUL, WRONG = 0, 354, 61
"""Test images: all 136 answers agree; 135 of them; they agree on another class."""
MANY_DOUBTS = 156
"""Of the undefended model: one mask leaves no doubt, and ten of two do."""


def request(index: int, model: str = PLUS, **changes: int) -> AttackRequest:
    image, label = find_dataset().test_image(index)
    config = OnePixelConfig(population=8, generations=1, stop=Stop.BUDGET, seed=91)
    return AttackRequest(model, image, label, index, replace(config, **changes))


def open_run(asked: AttackRequest) -> AppTest:
    """The Attack page with a run that has ended."""
    return open_page("attack", to_params(ended(asked)))


@functools.cache
def shown(index: int) -> AppTest:
    """The same on a test image, for tests that only read it."""
    return open_run(request(index))


def captions(app: AppTest) -> list[str]:
    """Of the pictures, in order."""
    every = [image.captions[0] for image in app.get("image")]
    return [one for one in every if one.endswith("%")]


VERDICTS = {
    CERTIFIED: Verdict.CERTIFIED,
    DOUBTFUL: Verdict.UNCERTIFIED,
    WRONG: Verdict.WRONG,
}


@pytest.mark.parametrize("index", VERDICTS)
def test_the_page_says_of_a_picture_what_the_certificate_says(index: int) -> None:
    """Unasked, for the model is a light one."""
    app, verdict = shown(index), VERDICTS[index]
    assert "attack.certify" not in {button.key for button in app.button}
    image, label = find_dataset().test_image(index)
    wrapper = LatticeMasking(load_model(PLUS)).eval()
    (found,) = certify(wrapper, image[None].float() / 255, torch.tensor([label]))
    assert found.verdict is verdict
    (seal,) = seals(app)
    assert seal_words(found) in seal
    whose = seal.partition("about APR+ **behind lattice masking**, not about the model")[2]
    assert whose
    assert ("tick **Behind lattice masking**" in whose) == (verdict is Verdict.CERTIFIED)


@pytest.mark.parametrize("index", VERDICTS)
def test_every_masked_picture_stands_over_its_own_vote(index: int) -> None:
    image, label = find_dataset().test_image(index)
    wrapper = LatticeMasking(load_model(PLUS)).eval()
    with torch.inference_mode():
        logits = wrapper.one_mask_logits(image[None].float() / 255)
    sure = are_sure(logits, torch.tensor([label]))[0].tolist()
    shares, answers = logits[0].softmax(1).max(1)
    wanted = [
        f"{'' if certain else '✗ '}{find_dataset().classes[answer]} {share:.0%}"
        for certain, answer, share in zip(sure, answers.tolist(), shares.tolist(), strict=True)
    ]
    assert captions(shown(index))[:16] == wanted
    assert set(sure) == {index != WRONG}


def test_a_vote_is_of_the_picture_that_it_stands_under() -> None:
    image, label = find_dataset().test_image(DOUBTFUL)
    proof = find_proof(PLUS, image, label)
    inner = load_model(PLUS).eval()
    for number, vote in enumerate(proof.votes, start=1):
        assert vote.parts == (number,)
        with torch.inference_mode():
            answer = inner(vote.picture[None].float() / 255).softmax(1)[0]
        assert int(answer.argmax()) == vote.answer
        assert float(answer.max()) == pytest.approx(vote.confidence, abs=0.02)
        masked = torch.zeros(4, 4, dtype=torch.bool)
        masked[(number - 1) // 4, (number - 1) % 4] = True
        assert torch.equal(proof.hidden(vote), masked.repeat(8, 8))
        differs = (vote.picture != image).any(0)
        assert not (differs & ~proof.hidden(vote)).any()


def test_doubts_under_two_masks_are_shown() -> None:
    image, label = find_dataset().test_image(DOUBTFUL)
    proof = find_proof(PLUS, image, label)
    assert len(proof.doubts) == proof.found.predictions - proof.found.agreeing == 1
    assert all(len(vote.parts) == 2 and not vote.sure for vote in proof.doubts)
    app = shown(DOUBTFUL)
    assert len(captions(app)) == 16 + min(len(proof.doubts), MOST_DOUBTS)
    assert captions(app)[-1].startswith("✗ ")
    assert ["120"] in [figures(caption.value) for caption in app.caption]


@pytest.mark.parametrize("index", VERDICTS)
def test_the_closest_call_is_the_prediction_with_the_least_margin(index: int) -> None:
    image, label = find_dataset().test_image(index)
    proof = find_proof(PLUS, image, label)
    wrapper = behind_lattice(load_model(PLUS))
    sets = [(part, part) for part in range(16)]
    sets += wrapper.pairs if proof.looked_at_pairs else []
    with torch.inference_mode():
        logits = wrapper.masked_logits(image[None].float() / 255, torch.tensor(sets))[0]
    margins = logit_margin(logits, torch.tensor(label))
    least = sets[int(margins.argmin())]
    assert {part - 1 for part in proof.closest.parts} == set(least)
    shares = logits.softmax(1)
    answer = shares[int(margins.argmin())].topk(2)
    assert [proof.closest.answer, proof.closest.rival] == answer.indices.tolist()
    said = [proof.closest.confidence, proof.closest.rival_confidence]
    assert said == pytest.approx(answer.values.tolist(), abs=1e-4)
    assert int(proof.shares.isfinite().sum()) == proof.found.predictions
    assert int(proof.sure.sum()) == proof.found.agreeing
    for (first, second), share in zip(sets, shares[:, label].tolist(), strict=True):
        assert float(proof.shares[first, second]) == pytest.approx(share, abs=1e-4)
    assert proof.closest.where in " ".join(one.value for one in shown(index).markdown)


def test_masked_pixels_are_marked_and_the_others_are_the_pictures() -> None:
    image, label = find_dataset().test_image(DOUBTFUL)
    proof = find_proof(PLUS, image, label)
    hidden = proof.hidden(proof.closest)
    assert int(hidden.sum()) == 2 * 64
    drawn = pil_to_tensor(with_mask(image, hidden, 1))
    assert torch.equal(drawn[:, ~hidden], image[:, ~hidden])
    assert {tuple(colour) for colour in drawn[:, hidden].T.tolist()} == {MASK}


def test_of_many_doubts_the_first_are_shown_and_all_are_counted() -> None:
    image, label = find_dataset().test_image(MANY_DOUBTS)
    proof = find_proof(VANILLA, image, label)
    assert (proof.found.agreeing, proof.doubtful, len(proof.doubts)) == (126, 10, MOST_DOUBTS)
    wrapper = behind_lattice(load_model(VANILLA))
    with torch.inference_mode():
        logits = wrapper.masked_logits(image[None].float() / 255, torch.tensor(wrapper.pairs))
    sure = are_sure(logits, torch.tensor([label]))[0].tolist()
    doubtful = [
        (a + 1, b + 1) for (a, b), certain in zip(wrapper.pairs, sure, strict=True) if not certain
    ]
    assert [vote.parts for vote in proof.doubts] == doubtful[:MOST_DOUBTS]
    app = open_run(request(MANY_DOUBTS, VANILLA))
    assert len(captions(app)) == 16 + MOST_DOUBTS
    assert ["120", "10", str(MOST_DOUBTS)] in [figures(one.value) for one in app.caption]


def test_a_proof_that_is_kept_is_small() -> None:
    image, label = find_dataset().test_image(MANY_DOUBTS)
    proof = find_proof(VANILLA, image, label)
    pictures = {
        vote.picture.untyped_storage().data_ptr(): vote for vote in (*proof.votes, *proof.doubts)
    }
    kept = sum(vote.picture.untyped_storage().nbytes() for vote in pictures.values())
    assert kept == (16 + MOST_DOUBTS) * 3 * 32 * 32


def test_where_one_mask_suffices_for_doubt_two_are_not_looked_at() -> None:
    image, label = find_dataset().test_image(CERTIFIED)
    proof = find_proof(VANILLA, image, (label + 1) % 10)
    assert (proof.found.verdict, proof.found.predictions) == (Verdict.WRONG, 16)
    assert proof.doubts == ()


def test_a_certificate_is_kept_and_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_run(request(CERTIFIED))
    monkeypatch.setattr("apr_ui.proof.finding.weigh", lambda *_: pytest.fail("made again"))
    go(app, "start", "attack")
    assert any("**Certified: cat.**" in one for one in seals(app))


def test_while_the_search_goes_on_a_certificate_is_for_those_who_ask() -> None:
    asked = request(CERTIFIED, population=400, generations=1000)
    ticket = service().submit(asked)
    app = open_page("attack", to_params(asked))
    assert not seals(app)
    run(app.button(key="attack.certify").click())
    assert service().view(asked.run_id).live
    assert any("**Certified: cat.**" in one for one in seals(app))
    service().cancel(ticket.run_id, ticket.token)


def test_a_certificate_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise InputError("The weights are damaged; restore them.")

    monkeypatch.setattr("apr_ui.proof.certificate.find_proof", broken)
    app = open_run(request(CERTIFIED))
    assert not seals(app)
    assert "The weights are damaged" in app.error[0].value


@pytest.mark.parametrize(
    ("status", "words"), [("flipped", "was fooled"), ("survived", "survived this search")]
)
def test_a_seal_agrees_with_how_the_attack_on_the_bare_model_ended(status: str, words: str) -> None:
    asked = request(CERTIFIED)
    outcome = service().view(ended(asked).run_id).outcome
    told = _whose(asked, replace(outcome, status=Status(status)), SEALS["certified"])
    assert words in told
    assert _whose(asked, None, SEALS["certified"]).count(":") == 0
    photograph = replace(asked, model=LITE0)
    assert "tick" not in _whose(photograph, outcome, SEALS["certified"])  # it is not to be had


def test_so_it_is_with_a_model_that_is_not_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apr_ui.proof.finding.LIGHT", 1000)
    app = open_run(request(CERTIFIED))
    assert not seals(app)
    run(app.button(key="attack.certify").click())
    assert any("**Certified: cat.**" in one for one in seals(app))
    run(app)
    assert any("**Certified: cat.**" in one for one in seals(app))  # it was asked for


@pytest.mark.parametrize("index", [CERTIFIED, DOUBTFUL])
def test_a_seal_stands_with_the_news_and_a_doubt_with_its_votes(index: int) -> None:
    (inside,) = [one for one in shown(index).expander if one.label.startswith("Certificate")]
    assert any("ertified" in one for one in seals(inside)) == (index == DOUBTFUL)


def test_a_masked_model_that_was_attacked_is_not_called_the_bare_one() -> None:
    app = open_run(request(CERTIFIED, f"{PLUS}{BEHIND_LATTICE}"))
    assert any("Attacking APR+, masked" in c.value for c in app.caption)
    (seal,) = seals(app)
    assert "the model that is attacked above" in seal
    assert "different" not in seal


def test_the_map_that_was_chosen_is_still_chosen_on_the_way_back() -> None:
    app = open_run(request(CERTIFIED))
    run(app.segmented_control(key="attack.map-of").set_value("behind lattice masking"))
    go(app, "start", "attack")
    assert app.segmented_control(key="attack.map-of").value == "behind lattice masking"


SEALS = {
    "certified": Certificate(Verdict.CERTIFIED, 3, 3, 136, 136),
    "not certified": Certificate(Verdict.UNCERTIFIED, 3, 3, 16, 15),
    "wrong": Certificate(Verdict.WRONG, 3, 5, 16, 0),
    "wrong, with a vowel": Certificate(Verdict.WRONG, 8, 0, 16, 0),
}
"""Worded in tests/golden."""


def test_a_seal_has_the_numbers_and_the_classes() -> None:
    words = {name: seal_words(found) for name, found in SEALS.items()}
    numbers = [["136"], ["15", "16"], [], []]
    assert [figures(one) for one in words.values()] == numbers
    assert "an airplane" in words["wrong, with a vowel"]
    assert words["wrong"].index("cat") < words["wrong"].index("a dog")
