"""How far the maps agree, on the page: for one picture, and over many as a record has it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.data.cifar10 import CLASSES
from apr_core.evaluation.attribution.agreement import NOISE, AgreementRecord, find_agreement
from apr_core.explain.agreement import (
    TOP,
    rank_correlation,
    standing,
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
from apr_ui.downloads import offer_files
from apr_ui.fresh import fresh_markdown
from apr_ui.proof.truth import ask_for_map
from apr_ui.resources import agreements, cards, scorer

ONE_WORDS = (
    "“With” are rank correlations, Spearman's, from -1 to 1, of what weight each pixel has. “Top "
    f"{TOP:.0%} shared”: of the map's weightiest pixels, the share that are among attention's; "
    f"{TOP:.0%} is chance. “Outweighs”: the share of pixels that the attacked one outweighs; half "
    "is chance. Deletion blackens the weightiest pixels first, insertion brings them first into a "
    "blurred picture (Petsiuk, Das and Saenko, 2018), and the number is the area under the class's "
    "probability: small is good for the first, large for the second. Read both beside the noise, "
    "since scattered black pixels upset a network wherever they are."
)
EVERY = "every class"
RECORD_WORDS = (
    "“With truth map” is the rank correlation of the pixels' weights with how nearly the worst of "
    "the eight corner colours breaks the model there: an interval wholly within 0.1 of 0 is called "
    "no prediction, one above 0.3 a prediction, one between 0 and there a weak one. “Over the "
    "middle” is by how much that is above what the mere nearness to the middle of the picture "
    "has, which asks no model: what a picture is of stands there. “Outweighs” is of the surest of "
    "the pixels that break the model; half is chance. A gain is by how much the area under "
    "deletion or insertion is better than noise's."
)


@st.fragment
def offer_agreement(
    model: str,
    scenes: Sequence[Scene],
    target: int,
    maps: dict[str, list[Map]],
    request: MapRequest,
) -> None:
    """How far the maps of this picture agree, worked out once it is asked for.

    Args:
        request: of the picture's truth map.
    """
    with st.expander(
        "How far do they agree?",
        key="attention.agree",
        on_change="rerun",
        icon=":material/compare_arrows:",
    ) as box:
        if not box.open:
            return
        view = ask_for_map(request, "attention", "Hold them against the truth map")
        truth = view.outcome if view else None
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
        st.caption(ONE_WORDS)


def agreement(
    model: str,
    scenes: Sequence[Scene],
    target: int,
    maps: dict[str, list[Map]],
    truth: TruthMap | None,
) -> pd.DataFrame:
    """How the maps of the first scene agree with attention, with the model and with what breaks it.

    Signs are left out where maps are held against each other: only how much a pixel weighs counts.
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
            row[OUTWEIGHS] = standing(weight[0], edit.x, edit.y)
        rows.append(row | _areas(model, image, target, one.values))
    noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(0))
    rows.append({"method": NAMES[NOISE], **_areas(model, image, target, noise)})
    return pd.DataFrame(rows)


def _areas(model: str, image: Tensor, target: int, heat: Tensor) -> dict[str, float]:
    asked = (scorer(model).model, as_input(image[None]), torch.tensor([target]), heat[None])
    return {
        "deletion": float(deletion_curve(*asked).areas[0]),
        "insertion": float(insertion_curve(*asked).areas[0]),
    }


@st.fragment
def offer_overall(page: str, model: str, label: int) -> None:
    """What the record says of a model's maps over many pictures, and over those of one class.

    Args:
        page: what the keys begin with.
        label: the class that may be looked at alone.
    """
    with st.expander(
        "Over many pictures: does any map tell where one pixel breaks the model?",
        key=f"{page}.overall",
        on_change="rerun",
        icon=":material/query_stats:",
    ) as box:
        if not box.open:
            return
        record = find_agreement(agreements()[0], cards()[0][model])
        if record is None:
            st.info(
                f"Nobody has measured it for {model}: `python -m apr_core agreement --model "
                f"{model}` makes the record."
            )
            return
        name = CLASSES[label]
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
            [("CSV", lambda: in_rows(record).to_csv(index=False), "text/csv", "A line a map")],
        )


def show_overall(record: AgreementRecord, label: int | None) -> None:
    """A verdict for each method, and the means it rests on; over a class, or over all of them."""
    found = record.summaries(label)
    if not found:
        st.info("The model gets none of this class's pictures right.")
        return
    for method, summary in found.items():
        if method != NOISE:
            fresh_markdown(f"agreement.{method}", f"- {sentence(method, summary)}")
    st.dataframe(means_table(found), hide_index=True, key=f"agreement.means-{label}")
    st.caption(
        f"{record.setting.images} pictures of the sample, of which {record.setting.model} gets "
        f"{record.right.count} right, each explained for its true class; means with Student's 95 % "
        f"interval. {RECORD_WORDS} {record.hardware}, {record.date[:10]}: `{record.command}`."
    )
