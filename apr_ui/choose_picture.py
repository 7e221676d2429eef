"""The picture chooser: from the gallery, a data set's test images, a file or the camera."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from apr_core.data.dataset import DataSet, Sample, with_article
from apr_core.data.images import OWN_PICTURE, Picture, to_pil, to_png
from apr_core.data.registry import DEFAULT
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.gallery import GalleryEntry
from apr_core.serving.requests import AttackRequest, data_behind
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.dataset import class_name, shown_data
from apr_ui.model_names import model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import gallery, until_changed
from apr_ui.upload import choose_own, show_own
from apr_ui.words import plain

GALLERY, TESTS, UPLOAD, CAMERA = "Gallery", "Test images", "Your picture", "Camera"
SHOWN_TESTS = 60
"""Test images to choose from, of a data set that is here whole."""
THUMBNAILS_HEIGHT = 300
"""Screen pixels for the test images of a class, which scroll."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The picture to attack.

    Attributes:
        image: what the model sees, uint8 (C, H, W).
        label: its true class, None for what the model says of it.
        index: of the test image, or OWN_PICTURE.
        caption: a line beneath it.
        named: the model that the caption names; "" for none.
        original: a person's own picture before it was reduced.
    """

    image: Tensor
    label: int | None
    index: int
    caption: str
    named: str = ""
    original: Image.Image | None = None

    @property
    def key(self) -> str:
        """Equal for equal pictures."""
        return f"{self.index}-{hash(self.image.numpy().tobytes())}"


def choose_picture() -> Choice | None:
    """The picture chooser; None while there is nothing to attack."""
    choosers: dict[str, Callable[[], Choice | None]] = {
        UPLOAD: _from_upload,
        CAMERA: partial(_from_upload, camera=True),
    }
    if shown_data().name == DEFAULT:
        choosers = {GALLERY: _from_gallery, TESTS: _from_class, **choosers}
    else:
        choosers = {TESTS: _from_tests, **choosers}
    keep_among("attack.source", list(choosers))
    source = st.segmented_control(
        "Picture",
        list(choosers),
        required=True,
        wrap=True,
        **persistent("attack.source", next(iter(choosers))),
    )
    return choosers[source]()


def _from_gallery() -> Choice:
    entries = gallery()
    chosen = min(st.session_state.setdefault("attack.entry", 0), len(entries) - 1)
    st.caption("Hand-picked examples. Most pictures survive a one-pixel attack.")
    picker("Gallery", _gallery_items(), chosen, "attack.gallery", _choose_entry)
    entry = entries[chosen]
    image, label = shown_data().test_image(entry.index)
    caption = f"{model_title(entry.model)}: {entry.story}"
    return Choice(image, label, entry.index, caption, entry.model)


@until_changed(zoo_fingerprint)
def _gallery_items() -> list[PickerItem]:
    """The gallery for the picker; titles say how each example ends, and for which defence."""
    return [
        _item(
            _gallery_title(entry),
            f"{entry.story} Model: {model_title(entry.model)}.",
            shown_data().test_image(entry.index)[0],
        )
        for entry in gallery()
    ]


def _item(title: str, note: str, image: Tensor) -> PickerItem:
    return {"title": title, "note": note, "png": base64.b64encode(to_png(image)).decode()}


def _gallery_title(entry: GalleryEntry) -> str:
    true, model = class_name(entry.outcome.label), model_title(entry.model)
    if entry.kind == "survives":
        return f"{true}: attack fails"
    if entry.kind == "holds":
        return f"{true}: {model} resists"
    after = f"{true} → {class_name(entry.outcome.label_after)}"
    return f"{after}, {model}" if entry.kind == "breaks" else after


def _choose_entry(number: int) -> None:
    st.session_state["attack.entry"] = number
    st.session_state["attack.model"] = gallery()[number].model


def _from_class() -> Choice:
    name = st.selectbox("Class", shown_data().classes, **persistent("attack.class", "cat"))
    shipped = shown_data().shipped_sample()
    label = shown_data().classes.index(name)
    rows = (shipped.labels == label).nonzero()[:, 0]
    number = min(int(st.session_state.setdefault("attack.number", 1)), len(rows))
    with st.container(height=THUMBNAILS_HEIGHT):
        picker(name, _class_items(label), number - 1, "attack.test-images", _choose_number)
    row = int(rows[number - 1])
    index = int(shipped.indices[row])
    caption = f"CIFAR-10 test image {index}, {with_article(name)}."
    return Choice(shipped.images[row], label, index, caption)


@lru_cache(maxsize=2)
def _class_items(label: int) -> list[PickerItem]:
    """The sample's images of a class, for the picker."""
    shipped = shown_data().shipped_sample()
    rows = (shipped.labels == label).nonzero()[:, 0].tolist()
    return [
        _item(f"{number}", f"CIFAR-10 test image {shipped.indices[row]}.", shipped.images[row])
        for number, row in enumerate(rows, 1)
    ]


def _choose_number(number: int) -> None:
    st.session_state["attack.number"] = number + 1


def _from_tests() -> Choice | None:
    """Of a data set with few pictures, all that are here."""
    data = shown_data()
    shown = _tests(data)
    if shown is None:
        st.info(
            f"No pictures of {data.title} come with this project; choose one of your own, or fetch "
            f"them with `python -m apr_core data {data.name}`."
        )
        return None
    row = min(int(st.session_state.setdefault("attack.row", 0)), len(shown.labels) - 1)
    with st.container(height=THUMBNAILS_HEIGHT):
        picker(TESTS, _test_items(data), row, "attack.rows", _choose_row)
    if shown.credits:
        st.caption(f"The picture is by {plain(shown.credits[row])}.")
    label, index = int(shown.labels[row]), int(shown.indices[row])
    caption = f"{data.title}, test image {index}: {with_article(data.class_name(label))}."
    return Choice(shown.images[row], label, index, caption)


@lru_cache(maxsize=4)
def _tests(data: DataSet) -> Sample | None:
    """The shipped test images, or some of those that were fetched; None where there are none."""
    if data.sample:
        return data.sample()
    if not data.here():
        return None
    test = data.load("test")
    firsts = [(test.labels == label).nonzero()[:2, 0] for label in range(len(data.classes))]
    places = torch.cat(firsts).sort().values[:SHOWN_TESTS]
    return Sample(test.take(places), test.labels[places], places)


@lru_cache(maxsize=4)
def _test_items(data: DataSet) -> list[PickerItem]:
    shown = _tests(data)
    assert shown is not None
    return [
        _item(data.class_name(int(label)), f"{data.title}, test image {index}.", image)
        for image, label, index in zip(shown.images, shown.labels, shown.indices, strict=True)
    ]


def _choose_row(number: int) -> None:
    st.session_state["attack.row"] = number


def _from_upload(camera: bool = False) -> Choice | None:
    chosen = choose_own(camera)
    if chosen is None:
        return None
    picture, label = chosen
    return Choice(picture.image, label, OWN_PICTURE, "Your picture.", original=picture.original)


def place_of(request: AttackRequest | Head, with_gallery: bool = True) -> dict[str, object]:
    """Where the chooser finds a picture: in the gallery, in its class, among all test images, or,
    where it lists no such picture, as a person's own."""
    data = data_behind(request.model)
    if data.name != DEFAULT:
        shown = _tests(data)
        row = shown.row(request.index) if shown else None
        return _as_own(request) if row is None else {"source": TESTS, "row": row}
    for number, entry in enumerate(gallery() if with_gallery else ()):
        if entry.index == request.index and entry.model == request.model:
            return {"source": GALLERY, "entry": number}
    shipped = data.shipped_sample()
    row = shipped.row(request.index)
    if row is None:
        return _as_own(request)
    number = int((shipped.labels[: row + 1] == request.label).sum())
    return {"source": TESTS, "class": class_name(request.label), "number": number}


def _as_own(request: AttackRequest | Head) -> dict[str, object]:
    if isinstance(request, Head):  # without its picture
        return {}
    picture = Picture(request.image, to_pil(request.image), "the picture", ())
    show_own(picture, request.label)
    return {"source": UPLOAD}
