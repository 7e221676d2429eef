"""The seal, the masked pictures and their votes: what is shown is what the certificate found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core import OnePixelConfig, Stop
from apr_core.certification.lattice_masking import (
    Certificate,
    LatticeMasking,
    Verdict,
    are_sure,
    behind_lattice,
    certify,
)
from apr_core.data.cifar10 import CLASSES
from apr_core.data.sample import load_test_image
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest
from apr_core.zoo.checkpoints import load_model
from apr_ui.permalink import to_params
from apr_ui.proof.finding import MOST_DOUBTS, find_proof
from apr_ui.proof.words import seal_words
from apr_ui.resources import service
from tests.conftest import PATIENCE, ROOT, wait_until

PLUS, VANILLA = "cifar10-resnet20-apr-plus", "cifar10-resnet20-vanilla"
CERTIFIED, DOUBTFUL, WRONG = 0, 354, 61
"""Test images: all 136 answers agree; 135 of them; they agree on another class."""
MANY_DOUBTS = 156
"""Of the undefended model: one mask leaves no doubt, and ten of two do."""


def request(index: int, model: str = PLUS, **changes: int) -> AttackRequest:
    image, label = load_test_image(index)
    config = OnePixelConfig(population=8, generations=1, stop=Stop.BUDGET, seed=91)
    return AttackRequest(model, image, label, index, replace(config, **changes))


def open_run(asked: AttackRequest) -> AppTest:
    """The Attack page with a run that has ended."""
    service().submit(asked)
    wait_until(lambda: not service().view(asked.run_id).live)
    return open_page(asked)


def open_page(asked: AttackRequest) -> AppTest:
    """The Attack page at a run's link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE).run()
    app.switch_page("pages/attack.py")
    for name, value in to_params(asked).items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> list[str]:
    return [one.value for one in (*app.success, *app.warning, *app.info)]


def captions(app: AppTest) -> list[str]:
    """Of the pictures, in order."""
    shown = [image.captions[0] for image in app.get("image")]
    return [one for one in shown if one.endswith("%")]


@pytest.mark.parametrize(
    ("index", "verdict"),
    [
        (CERTIFIED, Verdict.CERTIFIED),
        (DOUBTFUL, Verdict.UNCERTIFIED),
        (WRONG, Verdict.WRONG),
    ],
)
def test_the_page_says_of_a_picture_what_the_certificate_says(index: int, verdict: Verdict) -> None:
    """Unasked, for the model is a light one."""
    app = open_run(request(index))
    assert "attack.certify" not in {button.key for button in app.button}
    image, label = load_test_image(index)
    wrapper = LatticeMasking(load_model(PLUS)).eval()
    (found,) = certify(wrapper, image[None].float() / 255, torch.tensor([label]))
    assert found.verdict is verdict
    tone = {
        Verdict.CERTIFIED: app.success,
        Verdict.UNCERTIFIED: app.warning,
        Verdict.WRONG: app.info,
    }
    (seal,) = [one.value for one in tone[verdict] if seal_words(found) in one.value]
    whose = seal.partition(f"This is `{PLUS}` behind lattice masking")[2]
    assert "bare one" in whose
    assert ("may fall" in whose) == (verdict is Verdict.CERTIFIED)


@pytest.mark.parametrize("index", [CERTIFIED, DOUBTFUL, WRONG])
def test_every_masked_picture_stands_over_its_own_vote(index: int) -> None:
    app = open_run(request(index))
    image, label = load_test_image(index)
    wrapper = LatticeMasking(load_model(PLUS)).eval()
    with torch.inference_mode():
        logits = wrapper.one_mask_logits(image[None].float() / 255)
    sure = are_sure(logits, torch.tensor([label]))[0].tolist()
    shares, answers = logits[0].softmax(1).max(1)
    wanted = [
        f"{'' if certain else '✗ '}{CLASSES[answer]} {share:.0%}"
        for certain, answer, share in zip(sure, answers.tolist(), shares.tolist(), strict=True)
    ]
    assert captions(app)[:16] == wanted
    assert len(set(sure)) == 1
    assert sure[0] == (index != WRONG)


def test_a_vote_is_of_the_picture_that_it_stands_under() -> None:
    image, label = load_test_image(DOUBTFUL)
    proof = find_proof(PLUS, image, label)
    inner = load_model(PLUS).eval()
    for number, vote in enumerate(proof.votes, start=1):
        assert vote.parts == (number,)
        with torch.inference_mode():
            answer = inner(vote.picture[None].float() / 255).softmax(1)[0]
        assert int(answer.argmax()) == vote.answer
        assert float(answer.max()) == pytest.approx(vote.confidence, abs=0.02)
        differs = (vote.picture != image).any(0)
        masked = torch.zeros(4, 4, dtype=torch.bool)
        masked[(number - 1) // 4, (number - 1) % 4] = True
        assert not (differs & ~masked.repeat(8, 8)).any()


def test_doubts_under_two_masks_are_shown() -> None:
    image, label = load_test_image(DOUBTFUL)
    proof = find_proof(PLUS, image, label)
    assert len(proof.doubts) == proof.found.predictions - proof.found.agreeing == 1
    assert all(len(vote.parts) == 2 and not vote.sure for vote in proof.doubts)
    app = open_run(request(DOUBTFUL))
    assert len(captions(app)) == 16 + min(len(proof.doubts), MOST_DOUBTS)
    assert captions(app)[-1].startswith("✗ ")
    told = "With two parts masked there are 120 more, and one of them is not"
    assert any(caption.value.startswith(told) for caption in app.caption)


def test_of_many_doubts_the_first_are_shown_and_all_are_counted() -> None:
    image, label = load_test_image(MANY_DOUBTS)
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
    told = "With two parts masked there are 120 more, and 10 of them are not"
    (caption,) = [one.value for one in app.caption if one.value.startswith(told)]
    assert caption.endswith(f"for sure; these are the first {MOST_DOUBTS}.")


def test_a_proof_that_is_kept_is_small() -> None:
    image, label = load_test_image(MANY_DOUBTS)
    proof = find_proof(VANILLA, image, label)
    pictures = {
        vote.picture.untyped_storage().data_ptr(): vote for vote in (*proof.votes, *proof.doubts)
    }
    kept = sum(vote.picture.untyped_storage().nbytes() for vote in pictures.values())
    assert kept == (16 + MOST_DOUBTS) * 3 * 32 * 32


def test_where_one_mask_suffices_for_doubt_two_are_not_looked_at() -> None:
    image, label = load_test_image(CERTIFIED)
    proof = find_proof(VANILLA, image, (label + 1) % 10)
    assert (proof.found.verdict, proof.found.predictions) == (Verdict.WRONG, 16)
    assert proof.doubts == ()


def test_a_certificate_is_kept_and_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_run(request(CERTIFIED))
    monkeypatch.setattr("apr_ui.proof.finding.weigh", lambda *_: pytest.fail("made again"))
    app.switch_page("pages/start.py")
    app.run()
    app.switch_page("pages/attack.py")
    app.run()
    assert not app.exception
    assert any("**Certified: cat.**" in one for one in said(app))


def test_while_the_search_goes_on_a_certificate_is_for_those_who_ask() -> None:
    asked = request(CERTIFIED, population=400, generations=1000)
    ticket = service().submit(asked)
    app = open_page(asked)
    assert not any("ertif" in one for one in said(app))
    app.button(key="attack.certify").click().run()
    assert not app.exception
    assert service().view(asked.run_id).live
    assert any("**Certified: cat.**" in one for one in said(app))
    service().cancel(ticket.run_id, ticket.token)


def test_of_a_model_that_there_is_not_nothing_is_asked_and_that_is_said() -> None:
    asked = request(CERTIFIED, "cifar10-no-such")
    app = open_run(asked)
    assert not any("ertif" in one for one in said(app))
    app.button(key="attack.certify").click().run()
    assert not app.exception
    assert any("There is no model 'cifar10-no-such'" in one.value for one in app.error)


def test_so_it_is_with_a_model_that_is_not_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apr_ui.proof.finding.LIGHT", 1000)
    app = open_run(request(CERTIFIED))
    assert not any("ertif" in one for one in said(app))
    app.button(key="attack.certify").click().run()
    assert any("**Certified: cat.**" in one for one in said(app))
    app.run()
    assert any("**Certified: cat.**" in one for one in said(app))  # it was asked for


@pytest.mark.parametrize(("index", "place"), [(CERTIFIED, "main"), (DOUBTFUL, "expander")])
def test_a_seal_stands_with_the_news_and_a_doubt_with_its_votes(index: int, place: str) -> None:
    app = open_run(request(index))
    inside = [one for one in app.expander if one.label.startswith("Could any pixel do it?")]
    assert len(inside) == 1
    words = [one.value for one in (*inside[0].success, *inside[0].warning)]
    assert any("ertified" in one for one in words) == (place == "expander")


def test_a_masked_model_that_was_attacked_is_not_called_the_bare_one() -> None:
    app = open_run(request(CERTIFIED, f"{PLUS}{BEHIND_LATTICE}"))
    assert any(f"On `{PLUS}`, behind lattice masking, 1 pixel:" in c.value for c in app.caption)
    (seal,) = [one.value for one in app.success if "Certified" in one.value]
    assert "lattice masking" in seal
    assert "bare" not in seal


def test_the_map_that_was_chosen_is_still_chosen_on_the_way_back() -> None:
    app = open_run(request(CERTIFIED))
    app.segmented_control(key="attack.map-of").set_value("behind lattice masking").run()
    app.switch_page("pages/start.py")
    app.run()
    app.switch_page("pages/attack.py")
    app.run()
    assert app.segmented_control(key="attack.map-of").value == "behind lattice masking"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Certificate(Verdict.CERTIFIED, 3, 3, 136, 136),
            "**Certified: cat.** All 136 predictions agree, so no single pixel, of any colour, "
            "changes this answer.",
        ),
        (
            Certificate(Verdict.UNCERTIFIED, 3, 3, 16, 15),
            "**Not certified.** 15 of 16 predictions say cat for sure; a proof needs them all. "
            "Some pixel may turn it, or none may: nothing is proven.",
        ),
        (
            Certificate(Verdict.WRONG, 3, 5, 16, 0),
            "**Nothing to certify.** Behind the masks, the model takes this cat for a dog already.",
        ),
        (
            Certificate(Verdict.WRONG, 8, 0, 16, 0),
            "**Nothing to certify.** Behind the masks, the model takes this ship for an airplane "
            "already.",
        ),
    ],
    ids=["certified", "not certified", "wrong", "wrong, with a vowel"],
)
def test_a_seal_says_what_was_proven(found: Certificate, words: str) -> None:
    assert seal_words(found) == words
