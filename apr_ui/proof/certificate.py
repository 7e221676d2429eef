"""The certificate on the page: a seal, and the masked pictures with what the model says of each."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import Certificate, Verdict
from apr_core.data.cifar10 import CLASSES
from apr_core.serving.requests import BEHIND_LATTICE
from apr_ui.fresh import fresh
from apr_ui.pictures import enlarge
from apr_ui.proof.finding import Proof, Vote, find_proof, is_light
from apr_ui.proof.words import ICONS, seal_words
from apr_ui.words import plain

TONES = {Verdict.CERTIFIED: "success", Verdict.UNCERTIFIED: "warning", Verdict.WRONG: "info"}
MASK_SCALE = 3


def offer_certificate(
    attacked: str, image: Tensor, label: int, ended: bool, place: DeltaGenerator
) -> None:
    """Whether any pixel at all could turn this picture: a seal where none can, and why.

    With a light model it is found out unasked, once the run has ended; else for those who ask.

    Args:
        attacked: the model of the run that the page shows, behind lattice masking or not.
        image: uint8 (3, 32, 32).
        label: its true class.
        ended: whether the run has an outcome.
        place: a container for the seal.
    """
    model = attacked.removesuffix(BEHIND_LATTICE)
    with st.expander("Could any pixel do it? The proof, mask by mask", icon=":material/verified:"):
        st.markdown(
            "Behind **lattice masking**, the model is asked with one part in sixteen of the "
            "picture masked, and with two. If all 136 answers agree, no single pixel, of any "
            "colour, can change the answer that they give together: whatever pixel it is, some "
            "masks hide it."
        )
        try:
            proof = _wanted(model, image, label, ended)
        except InputError as error:
            st.error(plain(error), icon=":material/error:")
            return
        if proof is None:
            return
        if proof.found.verdict is not Verdict.CERTIFIED:
            place = st.container()
        show_seal(f"{seal_words(proof.found)} {_whose(attacked, proof.found)}", proof.found, place)
        show_votes(proof)


def _wanted(model: str, image: Tensor, label: int, ended: bool) -> Proof | None:
    """The proof; None where it takes a while, or the search has the machine, and nobody asked."""
    asked = (model, image.numpy().tobytes(), label)
    if st.session_state.get("attack.certificate") != asked and not (ended and is_light(model)):
        if not st.button("Certify this picture", key="attack.certify"):
            return None
        st.session_state["attack.certificate"] = asked
    with st.spinner("Asking with one part masked, and with two", show_time=True):
        return find_proof(model, image, label)


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


def show_seal(words: str, found: Certificate, place: DeltaGenerator | None = None) -> None:
    """What is proven, in the colour that it has; `place` is a container, or the page itself."""
    tell = getattr(fresh("app.seal", words, place), TONES[found.verdict])
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
        _pictures(proof.doubts)
        count, shown = proof.doubtful, len(proof.doubts)
        which = f"{count} of them are" if count > 1 else "one of them is"
        first = f"; these are the first {shown}" if shown < count else ""
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
