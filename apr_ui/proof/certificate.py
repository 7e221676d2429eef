"""The certificate on the page: a seal, and the masked pictures with what the model says of each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from apr_core.attacks.scoring import as_input
from apr_core.data.cifar10 import CLASSES
from apr_core.defences.inpainting import mask_groups
from apr_core.defences.lattice_masking import (
    Certificate,
    LatticeMasking,
    Verdict,
    are_sure,
    behind_lattice,
    certify,
)
from apr_core.runs import BEHIND_LATTICE
from apr_core.types import InputError
from apr_ui.looking import alone
from apr_ui.pictures import enlarge
from apr_ui.proof.words import ICONS, seal_words
from apr_ui.resources import scorer
from apr_ui.words import plain

TONES = {Verdict.CERTIFIED: "success", Verdict.UNCERTIFIED: "warning", Verdict.WRONG: "info"}
MASK_SCALE = 3
MOST_DOUBTS = 8
"""Pictures with two parts masked that are shown, of those that are not for sure the class."""
LIGHT = 1_000_000
"""Parameters below which a processor makes a certificate in a fraction of a second, unasked."""


@dataclass(frozen=True, eq=False)
class Vote:
    """What the model says of one masked picture.

    Attributes:
        picture: what it sees, uint8 (3, H, W).
        parts: that are masked, from 1.
        answer, confidence: its class, and how sure it is, in [0, 1].
        sure: whether that is the true class, by a lead that counts.
    """

    picture: Tensor
    parts: tuple[int, ...]
    answer: int
    confidence: float
    sure: bool


@dataclass(frozen=True, eq=False)
class Proof:
    """What was found of one picture.

    Attributes:
        votes: with each part masked, in order.
        doubts: with two parts masked, where that is not for sure the true class; none was looked at
            unless all votes are sure.
    """

    found: Certificate
    votes: tuple[Vote, ...]
    doubts: tuple[Vote, ...]


@functools.cache
def wrapper(model: str) -> LatticeMasking:
    """A model behind lattice masking, made once."""
    return behind_lattice(scorer(model).model)


def offer_certificate(
    attacked: str, image: Tensor, label: int, ended: bool, place: DeltaGenerator
) -> None:
    """Whether any pixel at all could turn this picture: a seal where none can, and why.

    With a light model it is found out unasked, once the run has ended; else for those who ask.

    Args:
        attacked: the model of the run that the page shows, behind lattice masking or not.
        image: uint8 (3, 32, 32).
        label: its true class.
        ended: whether the run came to its end.
        place: a container for the seal.
    """
    model = attacked.removesuffix(BEHIND_LATTICE)
    asked = (model, image.numpy().tobytes(), label)
    with st.expander("Could any pixel do it? The proof, mask by mask", icon=":material/verified:"):
        st.markdown(
            "Behind **lattice masking**, the model is asked with one part in sixteen of the "
            "picture masked, and with two. If all 136 answers agree, no single pixel, of any "
            "colour, can change the answer that they give together: whatever pixel it is, some "
            "masks hide it."
        )
        wanted = st.session_state.get("attack.certificate") == asked
        if not (wanted or (ended and is_light(model))):
            if not st.button("Certify this picture", key="attack.certify"):
                return
            st.session_state["attack.certificate"] = asked
        try:
            with st.spinner("Asking with one part masked, and with two", show_time=True):
                proof = find_proof(model, image, label)
        except InputError as error:
            st.error(plain(error), icon=":material/error:")
            return
        if proof.found.verdict is not Verdict.CERTIFIED:
            place = st.container()
        show_seal(f"{seal_words(proof.found)} {_whose(attacked, proof.found)}", proof.found, place)
        show_votes(proof)


def is_light(model: str) -> bool:
    """Whether a certificate of this model is a matter of a fraction of a second."""
    asked = scorer(model)
    count = sum(parameter.numel() for parameter in asked.model.parameters())
    return count < LIGHT or asked.device.type != "cpu"


def _whose(attacked: str, found: Certificate) -> str:
    """Which model the seal is of, and whether that is the one attacked on the page."""
    model = attacked.removesuffix(BEHIND_LATTICE)
    this = f"This is `{model}` behind lattice masking"
    if model != attacked:
        return f"{this}, the model that is attacked above."
    if found.verdict is not Verdict.CERTIFIED:
        return f"{this}; the model that is attacked above is the bare one."
    return (
        f"{this}. The bare one, which is attacked above, may fall all the same; to see the masked "
        "one attacked, tick **Behind lattice masking** and hunt for the pixel."
    )


def find_proof(model: str, image: Tensor, label: int) -> Proof:
    """A picture's certificate, with what was asked for it.

    Args:
        model: its bare name.
        image: uint8 (3, 32, 32).
        label: its true class.

    Raises:
        InputError: there is no such model.
    """
    asked = (model, image.numpy().tobytes(), label)
    return alone(_prove, *asked) if is_light(model) else _prove(*asked)


@functools.lru_cache(maxsize=256)
@torch.inference_mode()
def _prove(model: str, picture: bytes, label: int) -> Proof:
    """See `find_proof`; found once, whoever asks. The picture is its bytes."""
    image = torch.frombuffer(bytearray(picture), dtype=torch.uint8).view(3, 32, 32)
    behind, device = wrapper(model), scorer(model).device
    seen, labels = as_input(image[None].to(device)), torch.tensor([label], device=device)
    (found,) = certify(behind, seen, labels)
    votes = _ask(behind, seen, labels, [(group,) for group in range(behind.groups)])
    doubts: list[Vote] = []
    if found.verdict is Verdict.UNCERTIFIED and found.predictions > behind.groups:
        doubts = [vote for vote in _ask(behind, seen, labels, behind.pairs) if not vote.sure]
    return Proof(found, tuple(votes), tuple(doubts))


def _ask(
    behind: LatticeMasking, seen: Tensor, labels: Tensor, sets: Sequence[tuple[int, ...]]
) -> list[Vote]:
    """What the model says with each of some sets of groups masked."""
    groups = torch.tensor(sets, device=seen.device)
    logits = behind.masked_logits(seen, groups)
    sure = are_sure(logits, labels)[0].tolist()
    masked = mask_groups(seen.expand(len(sets), -1, -1, -1), groups, behind.spacing)
    pictures = (masked * 255).round().to(torch.uint8).cpu()
    confidences, answers = logits[0].softmax(1).max(1)
    return [
        Vote(picture, tuple(group + 1 for group in chosen), answer, confidence, certain)
        for picture, chosen, answer, confidence, certain in zip(
            pictures, sets, answers.tolist(), confidences.tolist(), sure, strict=True
        )
    ]


def show_seal(words: str, found: Certificate, place: DeltaGenerator | None = None) -> None:
    """What is proven, in the colour that it has; `place` is a container, or the page itself."""
    tell = getattr(place or st, TONES[found.verdict])
    tell(words, icon=ICONS[found.verdict])


def show_votes(proof: Proof) -> None:
    """The masked pictures, and what the model says of each."""
    name = CLASSES[proof.found.label]
    _pictures(proof.votes)
    st.caption(
        f"The {len(proof.votes)} pictures with one part masked and filled in from around. ✗: not "
        f"{name} for sure."
    )
    if proof.doubts:
        shown = proof.doubts[:MOST_DOUBTS]
        _pictures(shown)
        count = len(proof.doubts)
        which = f"{count} of them are" if count > 1 else "one of them is"
        first = f"; these are the first {len(shown)}" if len(shown) < count else ""
        st.caption(
            f"With two parts masked there are {proof.found.predictions - len(proof.votes)} more, "
            f"and {which} not {name} for sure{first}."
        )


def _pictures(votes: Sequence[Vote]) -> None:
    with st.container(horizontal=True):
        for vote in votes:
            said = CLASSES[vote.answer]
            parts = " and ".join(map(str, vote.parts))
            st.image(
                enlarge(vote.picture, MASK_SCALE),
                width=32 * MASK_SCALE,
                caption=f"{'' if vote.sure else '✗ '}{said} {vote.confidence:.0%}",
                alt=f"The picture with part {parts} of 16 masked, read as {said}",
            )
