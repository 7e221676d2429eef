"""An uploaded picture, or one from a link; it is removed together with its file."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import Picture, read_picture, refit
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


def choose_own(camera: bool = False) -> tuple[Picture, int | None] | None:
    """The uploader; the picture and its true class, None for the model's prediction.

    None while there is no readable picture.

    Args:
        camera: take the picture with the device's camera instead.
    """
    data = shown_data()
    if camera:
        st.camera_input("A picture with your camera", key=_PHOTO, on_change=_take_photo)
    else:
        _upload(data)
    if refusal := st.session_state.get(_REFUSAL):
        st.error(plain(refusal), icon=":material/broken_image:")
    picture: Picture | None = st.session_state.get(_PICTURE)
    if picture is None:
        act = "Take" if camera else "Choose"
        st.info(f"{act} a picture of one of the things that the models know: {_known(data)}.")
        return None
    if picture.image.shape != (data.channels, *data.size):  # it was for other data
        picture = st.session_state[_PICTURE] = refit(picture, data)
    if st.session_state.get(_FILE) is None and not camera:  # from a link, or another page
        st.button("Remove the picture", on_click=forget_own, icon=":material/close:")
    for warning in picture.warnings:
        st.warning(warning, icon=":material/info:")
    st.caption(
        f"The models know {len(data.classes):,} classes and call every picture one of them: "
        f"{_known(data)}."
    )
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
    return picture, data.classes.index(truth) if own_class_is_named() else None


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


def own_class_is_named() -> bool:
    """Whether a person said what their own picture shows."""
    return st.session_state.get(_TRUTH, ASK) not in (ASK, NONE)


def show_own(picture: Picture, label: int) -> None:
    """Set the controls to a picture of this true class; call before they are drawn."""
    forget_own()
    st.session_state[_PICTURE] = picture
    st.session_state[_TRUTH] = class_name(label)


def await_own(label: int) -> None:
    """Set the controls for a picture of this true class to be uploaded."""
    forget_own()
    st.session_state[_TRUTH] = class_name(label)


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
    forget_own()
    if file is None:
        return
    _read(file.getvalue(), file.name)
    _release(file)


def _take_photo() -> None:
    """Read what the camera took; called whenever it took or removed a picture."""
    photo = st.session_state[_PHOTO]
    forget_own()
    if photo is not None:
        _read(photo.getvalue(), "the photograph")


def _read(content: bytes, name: str) -> None:
    try:
        st.session_state[_PICTURE] = read_picture(content, name, shown_data())
    except InputError as error:
        st.session_state[_REFUSAL] = str(error)


def _release(file: UploadedFile) -> None:
    """Free the file's memory; Streamlit would keep it as long as the tab is open."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
