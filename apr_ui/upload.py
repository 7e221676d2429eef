"""An uploaded picture, or one from a link; it is removed together with its file."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile

from apr_core.base.types import InputError
from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import Picture, read_picture
from apr_core.data.picture_file import READ
from apr_ui.dataset import class_name, shown_data
from apr_ui.persistent_widget import persistent
from apr_ui.words import plain

ASK = "the model's prediction"
ENDINGS = {"JPEG": ("jpg", "jpeg", "jpe", "jfif")}
"""File endings of a format, if they are not its name."""
_FILE, _PICTURE, _TRUTH = "attack.file", "attack.picture", "attack.truth"
_REFUSAL = "attack.refusal"


def choose_own() -> tuple[Picture, int | None] | None:
    """The uploader; the picture and its true class, None for the model's prediction.

    None while there is no readable picture.
    """
    st.file_uploader(
        f"A picture, up to {MAX_BYTES // 2**20} MB",
        type=[ending for kind in READ for ending in ENDINGS.get(kind, (kind.lower(),))],
        key=_FILE,
        on_change=_take_file,
        help="It is scaled to the 32 × 32 pixels that the model sees. It stays in memory for this "
        "run only, and is never written to disk.",
    )
    if refusal := st.session_state.get(_REFUSAL):
        st.error(plain(refusal), icon=":material/broken_image:")
    picture: Picture | None = st.session_state.get(_PICTURE)
    known = ", ".join(shown_data().classes)
    if picture is None:
        st.info(f"Choose a picture of one of the ten things that the models know: {known}.")
        return None
    if st.session_state.get(_FILE) is None:  # from a link, or uploaded on another page
        st.button("Remove the picture", on_click=forget_own, icon=":material/close:")
    for warning in picture.warnings:
        st.warning(warning, icon=":material/info:")
    st.caption(f"The models know ten classes and call every picture one of them: {known}.")
    truth = st.selectbox(
        "True class",
        [ASK, *shown_data().classes],
        **persistent(_TRUTH),
        help="What the picture shows. The attack makes the model less sure of this class.",
    )
    return picture, None if truth == ASK else shown_data().classes.index(truth)


def own_class_is_named() -> bool:
    """Whether a person said what their own picture shows."""
    return bool(st.session_state.get(_TRUTH, ASK) != ASK)


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
    try:
        st.session_state[_PICTURE] = read_picture(file.getvalue(), file.name)
    except InputError as error:
        st.session_state[_REFUSAL] = str(error)
    _release(file)


def _release(file: UploadedFile) -> None:
    """Free the file's memory; Streamlit would keep it as long as the tab is open."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
