"""The picture chooser: from the gallery, the pictures that are here, a file or the camera."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from apr_core.data.dataset import DataSet, Sample
from apr_core.data.images import OWN_PICTURE, to_pil, to_png
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.gallery import GalleryEntry
from apr_core.serving.requests import AttackRequest, data_behind
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.dataset import shown_data
from apr_ui.model_names import model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import gallery
from apr_ui.upload import choose_own, show_own
from apr_ui.words import plain

GALLERY, TESTS, UPLOAD, CAMERA = "Gallery", "Pictures", "Your picture", "Camera"
ALL = "All classes"
MOST_AT_ONCE = 200
"""Pictures up to which those of all classes are shown together."""
SHOWN_TESTS = 60
"""Test images to choose from, of a data set that is here whole."""
THUMBNAILS_HEIGHT = 300
"""Screen pixels for the pictures to choose from, which scroll."""
THUMBNAIL = 112
"""Pixels of a side of a photograph's thumbnail."""


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


def choose_picture(attacked: bool = True) -> Choice | None:
    """The picture chooser; None while there is no picture.

    Args:
        attacked: whether it is for a one-pixel attack, of which the gallery and the questions tell.
    """
    choosers: dict[str, Callable[[], Choice | None]] = {
        UPLOAD: partial(_from_upload, False, attacked),
        CAMERA: partial(_from_upload, True, attacked),
    }
    choosers = {TESTS: _from_pictures, **choosers}
    if gallery(shown_data().name):
        choosers = {GALLERY: partial(_from_gallery, attacked), **choosers}
    keep_among("attack.source", list(choosers))
    source = st.segmented_control(
        "Picture",
        list(choosers),
        required=True,
        wrap=True,
        **persistent("attack.source", next(iter(choosers))),
    )
    return choosers[source]()


def _from_gallery(attacked: bool) -> Choice:
    data = shown_data()
    entries = gallery(data.name)
    chosen = min(st.session_state.setdefault("attack.entry", 0), len(entries) - 1)
    if attacked:
        st.caption("Hand-picked examples. They do not show how often an attack succeeds.")
    items = _gallery_items(data, zoo_fingerprint()) if attacked else _plain_gallery_items(data)
    picker(GALLERY, items, chosen, "attack.gallery", _choose_entry)
    entry = entries[chosen]
    image, label = data.test_image(entry.index)
    show_credit(data, entry.index)
    caption = f"{model_title(entry.model)}: {entry.story}"
    return Choice(image, label, entry.index, caption, entry.model)


@lru_cache(maxsize=4)
def _gallery_items(data: DataSet, _zoo: object) -> list[PickerItem]:
    """The gallery for the picker; titles say how each example ends, and for which defence."""
    return [
        _item(
            _gallery_title(entry),
            f"{entry.story} Model: {model_title(entry.model)}.",
            data.test_image(entry.index)[0],
        )
        for entry in gallery(data.name)
    ]


@lru_cache(maxsize=4)
def _plain_gallery_items(data: DataSet) -> list[PickerItem]:
    """The gallery for the picker, with nothing but what the pictures show."""
    pictures = [(entry.index, *data.test_image(entry.index)) for entry in gallery(data.name)]
    return [
        _item(data.class_name(label), f"{_described(data, index, label)}.", image)
        for index, image, label in pictures
    ]


def _item(title: str, note: str, image: Tensor) -> PickerItem:
    return {"title": title, "note": note, "png": base64.b64encode(_thumbnail(image)).decode()}


def _thumbnail(image: Tensor) -> bytes:
    """A picture as a PNG; a photograph smaller, and in 256 colours."""
    if max(image.shape[1:]) <= THUMBNAIL:
        return to_png(image)
    file = io.BytesIO()
    small = to_pil(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    small.quantize().save(file, "PNG", optimize=True)
    return file.getvalue()


def _gallery_title(entry: GalleryEntry) -> str:
    if entry.kind == "holds":
        true = find_dataset(entry.data).class_name(entry.outcome.label)
        return f"{true}: {model_title(entry.model)} resists"
    return f"{entry.title}, {model_title(entry.model)}" if entry.kind == "breaks" else entry.title


def begin_gallery() -> None:
    """Choose the first entry of newly chosen data, where the gallery is shown."""
    if st.session_state.get("attack.source", GALLERY) == GALLERY and gallery(shown_data().name):
        _choose_entry(0)


def _choose_entry(number: int) -> None:
    st.session_state["attack.entry"] = number
    st.session_state["attack.model"] = gallery(shown_data().name)[number].model


def _from_pictures() -> Choice | None:
    """Of the pictures that are here, those of a class, or all where they are few."""
    data = shown_data()
    shown = _pictures(data)
    if shown is None:
        st.info(
            f"No pictures of {data.title} come with this project; choose one of your own, or fetch "
            f"them with `python -m apr_core data {data.name}`."
        )
        return None
    classes = [data.class_name(label) for label in sorted(set(shown.labels.tolist()))]
    options = [ALL, *classes] if len(shown.labels) <= MOST_AT_ONCE else classes
    keep_among("attack.class", options)
    first = "cat" if data.name == DEFAULT else options[0]
    name = st.selectbox("Class", options, **persistent("attack.class", first))
    rows = _rows(data, shown, name)
    number = min(int(st.session_state.setdefault("attack.number", 1)), len(rows))
    with st.container(height=THUMBNAILS_HEIGHT):
        items = _items(data, name)
        picker(name, items, number - 1, "attack.test-images", _choose_number)
    row = rows[number - 1]
    label, index = int(shown.labels[row]), int(shown.indices[row])
    show_credit(data, index)
    return Choice(shown.images[row], label, index, f"{_described(data, index, label)}.")


def _choose_number(number: int) -> None:
    st.session_state["attack.number"] = number + 1


@lru_cache(maxsize=4)
def _pictures(data: DataSet) -> Sample | None:
    """The pictures that come with the project, or some of those that were fetched; None where there
    are none."""
    shipped = data.sample() if data.sample else None
    if (shipped and not shipped.drawn) or not data.here():
        return shipped
    test = data.load("test")
    firsts = [(test.labels == label).nonzero()[:2, 0] for label in range(len(data.classes))]
    places = torch.cat(firsts).sort().values[:SHOWN_TESTS]
    images, labels = test.take(places), test.labels[places]
    if shipped is None:
        return Sample(images, labels, places)
    return Sample(
        torch.cat((shipped.images, images)),
        torch.cat((shipped.labels, labels)),
        torch.cat((shipped.indices, places)),
    )


def _rows(data: DataSet, shown: Sample, name: str) -> list[int]:
    """Where the pictures of a class are."""
    names = [data.class_name(label) for label in shown.labels.tolist()]
    return [row for row, one in enumerate(names) if name in (one, ALL)]


@lru_cache(maxsize=4)
def _items(data: DataSet, name: str) -> list[PickerItem]:
    """The pictures of a class, for the picker."""
    shown = _pictures(data)
    assert shown is not None
    items = []
    for number, row in enumerate(_rows(data, shown, name), 1):
        label, index = int(shown.labels[row]), int(shown.indices[row])
        title = data.class_name(label) if name == ALL else f"{number}"
        items.append(_item(title, f"{_described(data, index, label)}.", shown.images[row]))
    return items


def _described(data: DataSet, index: int, label: int) -> str:
    """A picture in words."""
    return f"{data.title} {data.picture_name(index)}: {data.class_name(label)}"


def show_credit(data: DataSet, index: int) -> None:
    """Whose the chosen picture is, where each has its own author."""
    if data.is_drawn(index):
        st.caption(
            f"Drawn for this project, since the pictures of {data.title} may not be passed on "
            f"(`python -m apr_core data {data.name}` fetches them). The model never saw drawings, "
            "so they are easier to flip."
        )
        return
    shipped = data.shipped_sample() if data.sample else None
    row = shipped.row(index) if shipped else None
    if shipped and shipped.credits and row is not None:
        credit = shipped.credits[row]
        st.caption(
            f"Picture: [{plain(credit.author)}]({credit.link}), "
            f"[{credit.licence}]({credit.licence_url}), {credit.changes}."
        )


def _from_upload(camera: bool, attacked: bool) -> Choice | None:
    chosen = choose_own(camera, attacked)
    if chosen is None:
        return None
    picture, label = chosen
    return Choice(picture.image, label, OWN_PICTURE, "Your picture.", original=picture.original)


def place_of(request: AttackRequest | Head, with_gallery: bool = True) -> dict[str, object]:
    """Where the chooser finds a picture: in the gallery, in its class, or, where it lists no such
    picture, as a person's own."""
    data = data_behind(request.model)
    for number, entry in enumerate(gallery(data.name) if with_gallery else ()):
        if entry.index == request.index and entry.model == request.model:
            return {"source": GALLERY, "entry": number}
    shown = _pictures(data)
    row = shown.row(request.index) if shown else None
    if shown is None or row is None:
        return _as_own(request)
    name = data.class_name(int(shown.labels[row]))
    return {"source": TESTS, "class": name, "number": _rows(data, shown, name).index(row) + 1}


def _as_own(request: AttackRequest | Head) -> dict[str, object]:
    if isinstance(request, Head):  # without its picture
        return {}
    show_own(request.image, request.label if request.named else None)
    return {"source": UPLOAD}
