"""An uploaded picture, or one from a link; it is removed together with its file."""

from __future__ import annotations

import streamlit as st
import torch
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import Picture, picture_of, read_picture, refit
from apr_core.data.picture_file import READ
from apr_ui.dataset import class_name, shown_data
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.words import plain

ASK, NONE = "the model's prediction", "none of these"
"""Answers to the question for the true class that name none."""
ENDINGS = {"JPEG": ("jpg", "jpeg", "jpe", "jfif")}
"""File endings of a format, if they are not its name."""
_FILE, _PICTURE, _TRUTH = "attack.file", "attack.picture", "attack.truth"
_PHOTO, _REFUSAL = "attack.photo", "attack.refusal"
MOST_NAMED = 12
"""Of a data set's classes, those that are named in a sentence."""


def choose_own(camera: bool = False, attacked: bool = True) -> tuple[Picture, int | None] | None:
    """The uploader; the picture and its true class, None for the model's prediction.

    None while there is no readable picture.

    Args:
        camera: take the picture with the device's camera instead.
        attacked: ask for the true class, which an attack needs.
    """
    data = shown_data()
    if camera:
        _photograph()
    else:
        _upload(data)
    held = st.session_state.get(_PHOTO if camera else _FILE) is not None
    refusal = st.session_state.get(_REFUSAL) if held else None
    if refusal:
        st.error(plain(refusal), icon=":material/broken_image:")
    picture = _own_for(data)
    if picture is None:
        act = "Take" if camera else "Choose"
        st.info(f"{act} a picture of one of the things that the models know: {_known(data)}.")
        return None
    st.session_state[_PICTURE] = picture
    if not held:  # it came before, by another way or on another page
        st.button("Remove the picture", on_click=forget_own, icon=":material/close:")
    for warning in picture.warnings:
        st.warning(warning, icon=":material/info:")
    st.caption(
        f"The models know {len(data.classes):,} classes and call every picture one of them: "
        f"{_known(data)}."
    )
    if attacked:
        _ask_truth(data)
    return picture, own_class()


def _ask_truth(data: DataSet) -> None:
    keep_among(_TRUTH, options := [ASK, *data.classes, NONE])
    truth = st.selectbox(
        "True class",
        options,
        **persistent(_TRUTH),
        help="What the picture shows. The attack makes the model less sure of this class.",
    )
    if truth == NONE:
        st.caption(
            "No answer of the model can be right for this picture. The attack changes the answer "
            "that it gives."
        )


def _own_for(data: DataSet) -> Picture | None:
    """The picture, for the models of a data set."""
    kept: Picture | None = st.session_state.get(_PICTURE)
    if kept is None or kept.image.shape == (data.channels, *data.size):
        return kept
    return refit(kept, data)


def _photograph() -> None:
    photo = st.camera_input("A picture with your camera", key=_PHOTO, on_change=_take_photo)
    if photo is None:  # the browser alone knows whether there is a camera
        st.caption(
            "If no camera picture appears, allow the camera in the browser's address bar, or "
            "choose **Your picture** to upload a file."
        )


def _upload(data: DataSet) -> None:
    height, width = data.size
    st.file_uploader(
        f"A picture, up to {MAX_BYTES // 2**20} MB",
        type=[ending for kind in READ for ending in ENDINGS.get(kind, (kind.lower(),))],
        key=_FILE,
        on_change=_take_file,
        help=f"It is scaled to the {width} × {height} pixels that the model sees. It stays in "
        "memory for this run only, and is never written to disk.",
    )


def _known(data: DataSet) -> str:
    """The classes in words; of many, some, to give an idea."""
    count = len(data.classes)
    named = data.classes[:: -(-count // MOST_NAMED)]
    return ", ".join(named) + (f", and {count - len(named):,} more" if count > len(named) else "")


def own_class() -> int | None:
    """What a person said that their own picture shows; None where they named no class."""
    named: str = st.session_state.get(_TRUTH, ASK)
    classes = shown_data().classes
    return classes.index(named) if named in classes else None


def is_of_no_class() -> bool:
    """Whether a person said that their own picture shows none of the classes."""
    return bool(st.session_state.get(_TRUTH) == NONE)


def show_own(image: Tensor, label: int | None) -> None:
    """Set the controls to a picture; call before they are drawn. What is known of it stays.

    Args:
        image: as the model sees it, uint8 (C, H, W).
        label: its true class, None where nobody gave it.
    """
    kept = _own_for(shown_data())
    if kept is None or not torch.equal(kept.image, image):
        forget_own()
        st.session_state[_PICTURE] = picture_of(image)
    if label is not None:
        st.session_state[_TRUTH] = class_name(label)
    elif own_class() is not None:
        st.session_state[_TRUTH] = ASK


def await_own(label: int | None) -> None:
    """Set the controls for a picture to be uploaded; its class is None where nobody gave it."""
    forget_own()
    st.session_state[_TRUTH] = ASK if label is None else class_name(label)


def forget_own() -> None:
    """Remove the picture, its true class and the error of its file."""
    st.session_state.pop(_REFUSAL, None)
    if st.session_state.pop(_PICTURE, None) is not None:
        st.session_state[_TRUTH] = ASK


def _take_file() -> None:
    """Read the chosen file once; called whenever the uploader has changed."""
    file = st.session_state[_FILE]
    if file is not None and not isinstance(file, UploadedFile):
        return  # it was read, and released
    _take(file, file.name if file else "")
    if file is not None:
        _release(file)


def _take_photo() -> None:
    """Read what the camera took; called whenever it took or removed a picture."""
    _take(st.session_state[_PHOTO], "the photograph")


def _take(file: UploadedFile | None, name: str) -> None:
    """Put a file in the place of the picture; none, or one that cannot be read, only removes it.

    Nobody is left with a picture armed that the uploader no longer shows.
    """
    forget_own()
    if file is None:
        return
    try:
        st.session_state[_PICTURE] = read_picture(file.getvalue(), name, shown_data())
    except InputError as error:
        st.session_state[_REFUSAL] = str(error)


def _release(file: UploadedFile) -> None:
    """Free the file's memory; Streamlit would keep it as long as the tab is open."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
