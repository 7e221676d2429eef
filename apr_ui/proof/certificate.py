"""The certificate on the page: a seal, and the masked pictures with what the model says of each."""

from __future__ import annotations

import functools

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.scoring import as_input
from apr_core.data.cifar10 import CLASSES
from apr_core.defences.inpainting import mask_groups
from apr_core.defences.lattice_masking import (
    Certificate,
    LatticeMasking,
    Verdict,
    behind_lattice,
    certify,
)
from apr_ui.pictures import enlarge
from apr_ui.resources import scorer

MASK_SCALE = 3


@functools.cache
def wrapper(model: str) -> LatticeMasking:
    """A model behind lattice masking, made once."""
    return behind_lattice(scorer(model).model)


def offer_certificate(model: str, image: Tensor, label: int) -> None:
    """Whether any pixel at all could turn this picture, for those who ask.

    Args:
        image: uint8 (3, 32, 32).
        label: its true class.
    """
    with st.expander("Could any pixel do it? Ask for a proof", icon=":material/verified:"):
        st.markdown(
            "Behind **lattice masking**, the model is asked with one part in sixteen of the "
            "picture masked, and with two. If all 136 answers agree, no single pixel, of any "
            "colour, can change the answer that they give together: whatever pixel it is, some "
            "masks hide it."
        )
        asked = (model, hash(image.numpy().tobytes()), label)
        if st.button("Certify this picture", key="attack.certify"):
            st.session_state["attack.certificate"] = asked
        if st.session_state.get("attack.certificate") == asked:
            show_certificate(model, image, label)
            st.caption(
                "To see it attacked all the same, tick **Behind lattice masking** and hunt for the "
                "pixel."
            )


def show_certificate(model: str, image: Tensor, label: int) -> None:
    """The seal and the votes."""
    behind, device = wrapper(model), scorer(model).device
    seen = as_input(image[None].to(device))
    (found,) = certify(behind, seen, torch.tensor([label], device=device))
    _seal(found, behind)
    with torch.inference_mode():
        votes = behind.one_mask_logits(seen)[0].softmax(1).cpu()
        groups = torch.arange(behind.groups, device=device)[:, None]
        masked = mask_groups(seen.expand(behind.groups, -1, -1, -1), groups, behind.spacing)
    pictures = (masked * 255).round().to(torch.uint8).cpu()
    with st.container(horizontal=True):
        for picture, vote in zip(pictures, votes, strict=True):
            said = CLASSES[int(vote.argmax())]
            mark = "" if int(vote.argmax()) == label else "✗ "
            st.image(
                enlarge(picture, MASK_SCALE),
                width=32 * MASK_SCALE,
                caption=f"{mark}{said} {float(vote.max()):.0%}",
                alt=f"The picture with one group of pixels masked, read as {said}",
            )


def _seal(found: Certificate, behind: LatticeMasking) -> None:
    name = CLASSES[found.label]
    if found.verdict is Verdict.CERTIFIED:
        st.success(
            f"**Certified: {name}.** {found.predictions} predictions agree, so no single pixel, of "
            "any colour, changes this answer. The promise is the masked model's: the bare one, "
            "which is attacked above, may fall all the same.",
            icon=":material/verified:",
        )
        return
    first = found.predictions == behind.groups
    st.warning(
        f"**Not certified.** {found.agreeing} of {found.predictions} predictions with "
        f"{'one part' if first else 'one or two parts'} masked say {name} for sure; a proof needs "
        "them all. Some pixel may turn it, or none may: nothing is proven.",
        icon=":material/gpp_maybe:",
    )
