"""What a certificate says, in words."""

from __future__ import annotations

from apr_core.certification.lattice_masking import Certificate, Verdict
from apr_core.data.cifar10 import CLASSES, with_article

ICONS = {
    Verdict.CERTIFIED: ":material/verified:",
    Verdict.UNCERTIFIED: ":material/gpp_maybe:",
    Verdict.WRONG: ":material/help:",
}


def seal_words(found: Certificate) -> str:
    """What is proven of a picture, and what is not."""
    name = CLASSES[found.label]
    if found.verdict is Verdict.CERTIFIED:
        return (
            f"**Certified: {name}.** All {found.predictions} predictions agree, so no single "
            "pixel, of any colour, changes this answer."
        )
    if found.verdict is Verdict.WRONG:
        return (
            f"**Nothing to certify.** Behind the masks, the model takes this {name} for "
            f"{with_article(CLASSES[found.answer])} already."
        )
    return (
        f"**Not certified.** {found.agreeing} of {found.predictions} predictions say {name} for "
        "sure; a proof needs them all. Some pixel may turn it, or none may: nothing is proven."
    )
