"""The certificate on the page: the verdict, and the masked pictures with their predictions."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status
from apr_core.certification.lattice_masking import Certificate, Verdict
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest
from apr_ui.changing_text import changing_container
from apr_ui.chart_view import show_chart
from apr_ui.charts import mask_votes
from apr_ui.dataset import class_name, is_small, one_of, shown_data
from apr_ui.errors import errors_on_page
from apr_ui.model_names import model_title
from apr_ui.pictures import enlarge, scale_to, with_mask
from apr_ui.proof.finding import Proof, Vote, find_proof, is_light
from apr_ui.upload import is_of_no_class, own_class

EXPLANATION = (
    "**Lattice masking** asks the model 136 times: 16 times with one part in sixteen of the "
    "picture masked, and 120 times with two parts masked. If all 136 predictions agree, no single "
    "pixel of any colour can change the answer that they give together."
)
NEEDS_CLASS = (
    "A certificate proves that the right answer stays: for one, say under **True class** what your "
    "picture shows."
)
NO_RIGHT_ANSWER = (
    "A certificate proves that the right answer stays, and for a picture of none of the classes no "
    "answer is right."
)
ICONS = {
    Verdict.CERTIFIED: ":material/verified:",
    Verdict.UNCERTIFIED: ":material/gpp_maybe:",
    Verdict.WRONG: ":material/help:",
}
_KNOWN = {
    Status.FLIPPED: "that one was fooled",
    Status.SURVIVED: "that one survived this search, but another edit may still fool it",
}
"""Of an attacked model without masks, by how the attack ended."""
MASK_SIDE, CLOSEST_SIDE = 96, 128


def offer_certificate(
    request: AttackRequest, outcome: Outcome | None, place: DeltaGenerator
) -> None:
    """The picture's certificate: at once for a light model whose run has ended, else by a button.

    Args:
        request: of the run that the page shows.
        outcome: of the run, None before its end.
        place: a container for the verdict if the picture is certified.
    """
    image, label = request.image, true_class(request)
    if label is None:
        st.caption(f":material/verified: {why_no_certificate()}")
        return
    model = request.model.removesuffix(BEHIND_LATTICE)
    with st.expander("Certificate: the proof, mask by mask", icon=":material/verified:"):
        st.markdown(f"{EXPLANATION} Whichever pixel it is, some of the masks cover it.")
        proof = None
        with errors_on_page():
            proof = _wanted(model, image, label, outcome is not None)
        if proof is None:
            return
        if proof.found.verdict is not Verdict.CERTIFIED:
            place = st.container()
        words = f"{seal_words(proof.found)}\n\n{_whose(request, outcome, proof.found)}"
        show_seal(words, proof.found, place)
        show_votes(proof, image)


def why_no_certificate() -> str:
    """Why a picture whose class nobody named has none, and what would help."""
    return NO_RIGHT_ANSWER if is_of_no_class() else NEEDS_CLASS


def true_class(request: AttackRequest) -> int | None:
    """The picture's class; of one whose class nobody had named, that which was named since."""
    return request.label if request.named else own_class()


def _wanted(model: str, image: Tensor, label: int, ended: bool) -> Proof | None:
    """The proof; None if it takes a while, or the search is running, and nobody asked for it."""
    asked = (model, image.numpy().tobytes(), label)
    if st.session_state.get("attack.certificate") != asked and not (ended and is_light(model)):
        if not st.button("Certify this picture", key="attack.certify"):
            return None
        st.session_state["attack.certificate"] = asked
    with st.spinner("Asking the model with one part masked, and with two", show_time=True):
        return find_proof(model, image, label)


def seal_words(found: Certificate) -> str:
    """What is proven of a picture, and what is not."""
    name = class_name(found.label)
    if found.verdict is Verdict.CERTIFIED:
        return (
            f"**Certified: {name}.** All {found.predictions} predictions for masked copies of the "
            "picture agree, so no single pixel of any colour changes the answer that they give "
            "together. The certificate covers one pixel; it says nothing of several, or of a patch."
        )
    if found.verdict is Verdict.WRONG:
        return (
            "**Nothing to certify.** The masked model already mistakes "
            f"{shown_data().this_one(found.label)} for {one_of(found.answer)}."
        )
    return (
        f"**Not certified.** {found.agreeing} of {found.predictions} predictions are {name} with a "
        "sufficient margin; a certificate needs all of them. This is no proof that some pixel can "
        "change the masked model's answer."
    )


def _whose(request: AttackRequest, outcome: Outcome | None, found: Certificate) -> str:
    """Which model the certificate is for, and what is known of the one attacked on the page."""
    model = request.model.removesuffix(BEHIND_LATTICE)
    masked = f"This is about {model_title(model)} **behind lattice masking**"
    if model != request.model:
        return f"{masked}, the model that is attacked above."
    words = f"{masked}, not about the model that is attacked above, which has no masks"
    if outcome is not None and outcome.status in _KNOWN:
        words += f": {_KNOWN[outcome.status]}"
    if found.verdict is Verdict.CERTIFIED and is_small(request.data):
        words += ". To attack the masked one, tick **Behind lattice masking** and hunt again"
    return f"{words}."


def show_seal(words: str, found: Certificate, place: DeltaGenerator | None = None) -> None:
    """The verdict in a card; `place` is a container, or None for the page itself."""
    with changing_container("app.seal", words, place).container(border=True):
        st.markdown(f"{ICONS[found.verdict]} {words}")


def show_votes(proof: Proof, image: Tensor) -> None:
    """What each mask hides, the model's prediction under each, and the closest of them."""
    name, masks = class_name(proof.found.label), len(proof.votes)
    _show_closest(proof, image)
    _pictures(proof, proof.votes, image)
    st.caption(
        f"The {masks} masks: each hides the marked pixels, one part in {masks} of the picture, and "
        f"they are filled in from their surroundings. ✗: not {name}, or {name} without a "
        "sufficient margin."
    )
    if proof.looked_at_pairs:
        st.markdown(f"**All {proof.found.predictions} predictions**")
        show_chart(
            mask_votes(proof.shares, proof.sure, name),
            "attack.votes",
            f"How sure the model is of {name} with every one and every two of {masks} parts masked",
        )
    if proof.doubts:
        _pictures(proof, proof.doubts, image)
        count, shown = proof.doubtful, len(proof.doubts)
        which = f"{count} of them are" if count > 1 else "one of them is"
        first = f"; these are the first {shown}" if shown < count else ""
        st.caption(
            f"With two parts masked there are {proof.found.predictions - masks} more pictures, and "
            f"{which} not {name} with a sufficient margin{first}."
        )


def _show_closest(proof: Proof, image: Tensor) -> None:
    """The prediction that came nearest to another class: what was hidden, and what was seen."""
    vote = proof.closest
    with st.container(horizontal=True, vertical_alignment="center"):
        scale = scale_to(image, CLOSEST_SIDE)
        hidden = with_mask(image, proof.hidden(vote), scale)
        st.image(hidden, width=hidden.width, alt=f"The picture with {vote.where} marked")
        seen = enlarge(vote.picture, scale)
        st.image(seen, width=seen.width, alt="The same with the marked pixels filled in")
        st.markdown(
            f"**The closest call** of {proof.found.predictions}: {vote.where} masked. First what "
            f"is hidden, then what the model sees: {class_name(vote.answer)} "
            f"{vote.confidence:.0%}, {class_name(vote.rival)} {vote.rival_confidence:.0%}."
        )


def _pictures(proof: Proof, votes: Sequence[Vote], image: Tensor) -> None:
    with st.container(horizontal=True):
        for vote in votes:
            said = class_name(vote.answer)
            picture = with_mask(image, proof.hidden(vote), scale_to(image, MASK_SIDE))
            st.image(
                picture,
                width=picture.width,
                caption=f"{'' if vote.sure else '✗ '}{said} {vote.confidence:.0%}",
                alt=f"The picture with {vote.where} masked, predicted as {said}",
            )
