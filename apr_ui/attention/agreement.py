"""Agreement of the maps on the page: for one picture, and over many pictures from a record."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.evaluation.attribution.agreement import NOISE, AgreementRecord, find_agreement
from apr_core.explain.agreement import (
    TOP,
    percentile_rank,
    rank_correlation,
    top_overlap,
    vulnerability_correlation,
)
from apr_core.explain.curves import deletion_curve, insertion_curve
from apr_core.models.inputs import as_input
from apr_core.serving.requests import MapRequest
from apr_ui.attention.agreement_words import (
    NAMES,
    OUTWEIGHS,
    SHARED,
    WITH_ATTENTION,
    WITH_TRUTH,
    in_rows,
    means_table,
    sentence,
)
from apr_ui.attention.view import ATTENTION, Map, Scene
from apr_ui.changing_text import changing_markdown
from apr_ui.dataset import class_name
from apr_ui.downloads import offer_files
from apr_ui.model_names import model_title
from apr_ui.proof.truth import ask_for_map
from apr_ui.resources import agreements, cards, scorer

CORRELATIONS = (
    "Correlations are Spearman's rank correlations, from -1 to 1, of the pixels' weights."
)
COLUMN_WORDS = {
    WITH_ATTENTION: CORRELATIONS,
    WITH_TRUTH: CORRELATIONS,
    SHARED: f"“Top {TOP:.0%} shared”: the share of the map's heaviest pixels that are also among "
    f"attention's; {TOP:.0%} is chance.",
    OUTWEIGHS: "“Percentile rank”: the share of pixels that the attacked pixel ranks above; 0.5 is "
    "chance.",
}
"""What a column of the table of one picture means; it has those that its maps allow."""
AREA_WORDS = (
    "Deletion blackens the heaviest pixels first; insertion shows them first, in a blurred picture "
    "(Petsiuk, Das and Saenko, 2018). Their number is the area under the class's probability: "
    "small is good for deletion, large for insertion. Compare both with the noise row, because "
    "scattered black pixels disturb a network wherever they are."
)
EVERY = "every class"
RECORD_WORDS = (
    "“Truth map correlation” is the rank correlation of the pixels' weights with how close the "
    "worst of the eight corner colours comes to fooling the model there. An interval within 0.1 "
    "of 0 counts as no prediction, one above 0.3 as a prediction, one between them as a weak one. "
    "“Gain over the centre” is the difference to a baseline that needs no model, nearness to the "
    "centre of the picture, where the object usually is. “Percentile rank” is that of the pixel "
    "that fools the model most surely; 0.5 is chance. The deletion and insertion gains are "
    "differences to noise."
)


@st.fragment
def offer_agreement(
    model: str,
    scenes: Sequence[Scene],
    target: int,
    maps: dict[str, list[Map]],
    request: MapRequest,
) -> None:
    """Agreement of this picture's maps, computed when the expander is opened.

    Args:
        request: of the picture's truth map.
    """
    with st.expander(
        "Agreement: how similar are the maps?",
        key="attention.agree",
        on_change="rerun",
        icon=":material/compare_arrows:",
    ) as box:
        if not box.open:
            return
        view = ask_for_map(request, "attention", "Compare with the truth map")
        truth = view.outcome if view else None
        if truth is not None and truth.sampled:
            st.caption(
                f"The truth map is a sample: of {truth.margins.numel():,} pixels, the "
                f"{truth.sampled:,} that the gradient names first. The correlation is over these."
            )
        with st.spinner("Comparing the maps…"):
            table = agreement(model, scenes, target, maps, truth)
        st.dataframe(
            table,
            hide_index=True,
            key="attention.agreement",
            placeholder="",
            column_config={
                name: st.column_config.NumberColumn(format="%.2f")
                for name in table.columns
                if name != "method"
            },
        )
        explained = dict.fromkeys(COLUMN_WORDS[name] for name in table if name in COLUMN_WORDS)
        st.caption(" ".join((*explained, AREA_WORDS)))


def agreement(
    model: str,
    scenes: Sequence[Scene],
    target: int,
    maps: dict[str, list[Map]],
    truth: TruthMap | None,
) -> pd.DataFrame:
    """How the first scene's maps agree with attention, with the model and with its truth map.

    Maps are compared by absolute values: only the weight of a pixel counts.
    """
    image, edits = scenes[0].image, scenes[-1].edits
    rows: list[dict[str, object]] = []
    own = maps.get(ATTENTION)
    for method, (one, *_) in maps.items():
        weight = one.values.abs()[None]
        row: dict[str, object] = {"method": NAMES[method]}
        if own is not None and method != ATTENTION:
            gate = own[0].values[None]
            row[WITH_ATTENTION] = rank_correlation(weight, gate)[0]
            row[SHARED] = top_overlap(weight, gate)[0].shared
        if truth is not None:
            row[WITH_TRUTH] = vulnerability_correlation(weight, truth)[0]
        for edit in edits[:1]:
            row[OUTWEIGHS] = percentile_rank(weight[0], edit.x, edit.y)
        rows.append(row | _areas(model, image, target, one.values))
    noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(0))
    rows.append({"method": NAMES[NOISE], **_areas(model, image, target, noise)})
    return pd.DataFrame(rows)


@st.cache_data(
    show_spinner=False, max_entries=200, hash_funcs={Tensor: lambda one: one.numpy().tobytes()}
)
def _areas(model: str, image: Tensor, target: int, heat: Tensor) -> dict[str, float]:
    asked = (scorer(model).model, as_input(image[None]), torch.tensor([target]), heat[None])
    return {
        "deletion": float(deletion_curve(*asked).areas[0]),
        "insertion": float(insertion_curve(*asked).areas[0]),
    }


@st.fragment
def offer_overall(page: str, model: str, label: int) -> None:
    """The record of a model's maps over many pictures, and over those of one class.

    Args:
        page: what the keys begin with.
        label: the class that can be shown alone.
    """
    with st.expander(
        "Over many pictures: does a map predict where one pixel fools the model?",
        key=f"{page}.overall",
        on_change="rerun",
        icon=":material/query_stats:",
    ) as box:
        if not box.open:
            return
        record = find_agreement(agreements()[0], cards()[0][model])
        if record is None:
            st.info(
                f"There is no record for {model_title(model)}: "
                f"`python -m apr_core agreement --model {model}` makes it."
            )
            return
        name = class_name(label)
        whose = st.segmented_control(
            "Over",
            [EVERY, name],
            default=EVERY if page == "attention" else name,
            required=True,
            key=f"{page}.overall-of",
        )
        show_overall(record, None if whose == EVERY else label)
        offer_files(
            f"{page}.overall",
            f"agreement-{model}",
            [("CSV", lambda: in_rows(record).to_csv(index=False), "One row a map")],
        )


def show_overall(record: AgreementRecord, label: int | None) -> None:
    """A verdict for each method, and the means behind it, for one class or for all."""
    found = record.summaries(label)
    if not found:
        st.info("The model misclassifies every picture of this class.")
        return
    for method, summary in found.items():
        if method != NOISE:
            changing_markdown(f"agreement.{method}", f"- {sentence(method, summary)}")
    st.dataframe(means_table(found), hide_index=True, key=f"agreement.means-{label}")
    st.caption(
        f"{record.setting.images} pictures of the sample. {model_title(record.setting.model)} gets "
        f"{record.right.count} right; each of these is explained for its true class. Means have "
        f"Student's 95 % interval. {RECORD_WORDS} {record.hardware}, {record.date[:10]}: "
        f"`{record.command}`."
    )
