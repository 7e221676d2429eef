"""What all sessions share: the attack service, models, the gallery."""

from __future__ import annotations

import atexit
import functools
import gc
import os
from collections.abc import Callable
from typing import Any

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.result import Outcome
from apr_core.attacks.scoring import Scorer, Scoring
from apr_core.base.hardware import default_device
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.classroom.board import Classrooms
from apr_core.data.cifar10 import CLASSES, with_article
from apr_core.evaluation.attribution.agreement import AgreementRecord, load_agreements
from apr_core.evaluation.cells import Records
from apr_core.evaluation.certificates import CertRecord, load_certificates
from apr_core.evaluation.record import Record, load_records, records_fingerprint
from apr_core.report.tables import Table, make_tables
from apr_core.serving.archive.store import Archive
from apr_core.serving.gallery import GalleryEntry, load_gallery
from apr_core.serving.model_loader import load_scorer
from apr_core.serving.ray.start import Replicas, score_on
from apr_core.serving.run_export import START_RUN, load_recording
from apr_core.serving.service import AttackService
from apr_core.training.service import TrainingService
from apr_core.zoo.checkpoints import (
    CAUTION,
    Card,
    caution_of,
    is_own,
    load_card,
    model_names,
    zoo_fingerprint,
)
from apr_ui.limits import SessionService


@st.cache_resource(show_spinner=False)
def service() -> AttackService:
    """The one service that owns the device."""
    gc.freeze()  # what was imported stays: collections need not look at it again
    made = SessionService(_scoring(), archive=Archive())
    atexit.register(made.close)  # else its thread, inside torch, takes the process with it
    return made


def _scoring() -> Callable[[str], Scoring]:
    """Where the service's candidates are scored: here, or on the cluster that `APR_RAY` names."""
    address = os.environ.get("APR_RAY", "")
    if not address:
        return scorer
    return score_on(address, Replicas.read(os.environ.get("APR_REPLICAS", "1")))


@st.cache_resource(show_spinner=False)
def training() -> TrainingService:
    """The one service that trains."""
    return TrainingService()


@st.cache_resource(show_spinner=False)
def classrooms() -> Classrooms:
    """Every class, with its seats and its board."""
    return Classrooms()


@functools.cache
def scorer(name: str) -> Scorer:
    """A model, loaded once, for the service and for looking at single pictures.

    Streamlit's own cache will not do: the service's thread belongs to no session.
    """
    return load_scorer(name, default_device())


def probabilities(model: str, images: list[Tensor]) -> Tensor:
    """Class probabilities (n, K) of uint8 images (3, H, W)."""
    looking = scorer(model)
    return looking.confirm(torch.stack(images).to(looking.device)).softmax(dim=-1).cpu()


def cards() -> tuple[dict[str, Card], list[str]]:
    """The trained models' cards by name, and a sentence for each that is damaged."""
    return _cards(zoo_fingerprint())


@st.cache_data(show_spinner=False, max_entries=2)
def _cards(fingerprint: tuple[tuple[str, int], ...]) -> tuple[dict[str, Card], list[str]]:
    known, damaged = {}, []
    for name in model_names():
        try:
            known[name] = load_card(name)
        except InputError as error:
            damaged.append(str(error))
    return known, damaged


def check_known(model: str) -> None:
    """Raise InputError where a link names a model that there is not."""
    known = tuple(cards()[0])
    if model not in known:
        raise InputError(unknown_name("model", model[:60], known))


def model_labels() -> dict[str, str]:
    """How a picker lists each trained model; looked up once a page run, not once a name."""
    return _labels(zoo_fingerprint())


@st.cache_data(show_spinner=False, max_entries=2)
def _labels(fingerprint: tuple[tuple[str, int], ...]) -> dict[str, str]:
    return {
        name: f"{name} · {card.clean_accuracy:.1%} clean"
        + (" · yours" if is_own(name) else "")
        + (f" · {CAUTION}" if caution_of(card) else "")
        for name, card in _cards(fingerprint)[0].items()
    }


def show_caution(model: str) -> None:
    """A line under a picker about what is wrong with the weights of a model, where anything is."""
    if caution := caution_of(cards()[0][model]):
        st.caption(f":material/warning: These weights were {caution}.")


@st.cache_resource(show_spinner=False)
def gallery() -> tuple[GalleryEntry, ...]:
    """The verified runs."""
    return load_gallery()


def evaluations() -> tuple[list[Record], list[str]]:
    """Every record of an evaluation, and a sentence for each that is damaged."""
    return _evaluations(records_fingerprint())


@st.cache_resource(show_spinner=False, max_entries=2)
def _evaluations(fingerprint: tuple[tuple[str, int], ...]) -> tuple[list[Record], list[str]]:
    return load_records()


def certificates() -> tuple[list[CertRecord], list[str]]:
    """Every record of certificates, and a sentence for each that is damaged."""
    return _certificates(records_fingerprint())


@st.cache_resource(show_spinner=False, max_entries=2)
def _certificates(fingerprint: tuple[tuple[str, int], ...]) -> tuple[list[CertRecord], list[str]]:
    return load_certificates()


def agreements() -> tuple[list[AgreementRecord], list[str]]:
    """Every record of agreement, and a sentence for each that is damaged."""
    return _agreements(records_fingerprint())


@st.cache_resource(show_spinner=False, max_entries=2)
def _agreements(
    fingerprint: tuple[tuple[str, int], ...],
) -> tuple[list[AgreementRecord], list[str]]:
    return load_agreements()


def tables() -> list[Table]:
    """The paper's tables beside ours."""
    return _tables(records_fingerprint(), zoo_fingerprint())


@st.cache_resource(show_spinner=False, max_entries=2)
def _tables(records: tuple[tuple[str, int], ...], zoo: tuple[tuple[str, int], ...]) -> list[Table]:
    return make_tables(Records(evaluations()[0], certificates()[0]))


@st.cache_data(show_spinner=False)
def start_run_recording() -> dict[str, Any]:
    """The Start page's run: what the player draws, a title and a sentence."""
    recording = load_recording(START_RUN)
    outcome = Outcome.from_dict(recording["outcome"])
    before, after = CLASSES[outcome.label], CLASSES[outcome.label_after]
    edit = outcome.edits[0]
    return {
        "player": {**recording, "autoplay": True},
        "title": f"{before.capitalize()} → {after}",
        "story": f"`{recording['model']}` was {outcome.confidence_before:.0%} sure of this "
        f"{before}. With the pixel at ({edit.x}, {edit.y}) set to rgb{edit.rgb}, it is "
        f"{outcome.confidence_after:.0%} sure of {with_article(after)}. The search took "
        f"{outcome.queries:,} queries.",
    }
