"""What all sessions share: the services, models, records, the gallery."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import re
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle, QueryOracle
from apr_core.base.hardware import default_device
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.classroom.board import Classrooms
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.attribution.agreement import AgreementRecord, load_agreements
from apr_core.evaluation.certificates import CertRecord, load_certificates
from apr_core.evaluation.model_summary import Records
from apr_core.evaluation.record import Record, load_records, records_fingerprint
from apr_core.report.tables import Table, make_tables
from apr_core.safety.record import GuardRecord, load_guards
from apr_core.serving.archive.store import Archive
from apr_core.serving.gallery import GalleryEntry, gallery_file, load_gallery
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.offered import offered
from apr_core.serving.ray.start import Replicas, score_on
from apr_core.serving.requests import PHOTOGRAPHS
from apr_core.serving.service import AttackService
from apr_core.training.service import TrainingService
from apr_core.zoo.checkpoints import (
    Card,
    caution_of,
    load_card,
    missing_weights,
    model_names,
    zoo_fingerprint,
)
from apr_ui.dataset import shown_data
from apr_ui.limits import SessionService
from apr_ui.words import plain

T = TypeVar("T")
Loader: TypeAlias = Callable[[], T]


@st.cache_resource(show_spinner=False)
def service() -> AttackService:
    """The one service that owns the device."""
    gc.freeze()  # imported modules stay: garbage collections need not visit them again
    made = SessionService(_scoring(), archive=Archive())
    atexit.register(made.close)  # else its thread, inside torch, takes the process with it
    return made


def _scoring() -> Callable[[str], QueryOracle]:
    """Scores the service's candidates: here, or on the cluster that `APR_RAY` names."""
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
def scorer(name: str) -> ModelOracle:
    """A model, loaded once, for the service and for predictions of single pictures.

    Streamlit's own cache does not work here: the service's thread belongs to no session.
    """
    return load_oracle(name, default_device())


def probabilities(model: str, images: list[Tensor]) -> Tensor:
    """Class probabilities (n, K) of uint8 images (3, H, W)."""
    found = scorer(model)
    return found.verify_float32(torch.stack(images).to(found.device)).softmax(dim=-1).cpu()


Fingerprint = tuple[tuple[str, int], ...]


def until_changed(*fingerprints: Callable[[], Fingerprint]) -> Callable[[Loader[T]], Loader[T]]:
    """Keep what a function loads until a fingerprint of the files that it reads has changed."""

    def keep(load: Loader[T]) -> Loader[T]:
        kept = functools.lru_cache(maxsize=2)(lambda *known: load())
        return functools.wraps(load)(lambda: kept(*(take() for take in fingerprints)))

    return keep


def cards() -> tuple[dict[str, Card], list[str]]:
    """Cards by name of the models of the pages' data set, and a sentence for each damaged card."""
    known, damaged = all_cards()
    shown = shown_data().name
    return {name: card for name, card in known.items() if card.dataset == shown}, damaged


def all_cards() -> tuple[dict[str, Card], list[str]]:
    """Every model's card by name, and a sentence for each that is damaged."""
    known, damaged = _trained_cards()
    return known | {
        name: _library_card(name, sha256) for name, sha256 in offered().items()
    }, damaged


@until_changed(zoo_fingerprint)
def _trained_cards() -> tuple[dict[str, Card], list[str]]:
    known, damaged = {}, []
    for name in model_names():
        try:
            known[name] = load_card(name)
        except InputError as error:
            damaged.append(str(error))
    return known, damaged


def _library_card(name: str, sha256: str) -> Card:
    """Of a library's network: nobody here trained it, or counted its accuracy."""
    _, colon, what = name.partition(":")
    return Card(
        name=name,
        dataset=PHOTOGRAPHS,
        architecture=re.split("[.:]", what)[0] if colon else "efficientnet-lite0",
        defence="vanilla",
        recipe={},
        seed=0,
        epochs=0,
        data_sha256="",
        clean_accuracy=0.0,
        correct=0,
        tested=0,
        hardware="",
        wall_time=0.0,
        versions={},
        sha256=sha256,
    )


def why_missing(card: Card) -> str:
    """How to get a model's weights; "" where they are here, or come as a package."""
    return "" if card.name in offered() else missing_weights(card)


def known_cards() -> dict[str, Card]:
    """The trained models' cards by name, with a warning on the page for each that is damaged."""
    known, damaged = cards()
    for sentence in damaged:
        st.warning(plain(sentence), icon=":material/broken_image:")
    return known


def check_known(model: str) -> None:
    """Raise InputError where a link names an unknown model."""
    known = tuple(all_cards()[0])
    if model not in known:
        raise InputError(unknown_name("model", model[:60], known))


def show_caution(model: str) -> None:
    """Lines under a picker about missing weights and known faults of a model, if there are any."""
    card = cards()[0][model]
    if missing := why_missing(card):
        st.caption(f":material/warning: {plain(missing)}")
    if caution := caution_of(card):
        st.caption(f":material/warning: These weights were {caution}.")


@st.cache_resource(show_spinner=False)
def gallery(data: str = DEFAULT) -> tuple[GalleryEntry, ...]:
    """The verified runs on a data set; none where none are shipped."""
    path = gallery_file(data)
    return load_gallery(path) if path.exists() or data == DEFAULT else ()


@until_changed(records_fingerprint)
def evaluations() -> tuple[list[Record], list[str]]:
    """Every record of an evaluation, and a sentence for each that is damaged."""
    return load_records()


@until_changed(records_fingerprint)
def certificates() -> tuple[list[CertRecord], list[str]]:
    """Every record of certificates, and a sentence for each that is damaged."""
    return load_certificates()


@until_changed(records_fingerprint)
def agreements() -> tuple[list[AgreementRecord], list[str]]:
    """Every record of agreement, and a sentence for each that is damaged."""
    return load_agreements()


@until_changed(records_fingerprint)
def guards() -> tuple[list[GuardRecord], list[str]]:
    """Every record of a pipeline, and a sentence for each that is damaged."""
    return load_guards()


@until_changed(records_fingerprint, zoo_fingerprint)
def tables() -> list[Table]:
    """The paper's tables beside ours."""
    return make_tables(Records(evaluations()[0], certificates()[0]))
