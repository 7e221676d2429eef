"""The data set that a page shows: the chosen one on some pages, CIFAR-10 on the others."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apr_core.data.dataset import DataSet
from apr_core.data.registry import DATASETS, DEFAULT, find_dataset
from apr_core.serving.requests import PHOTOGRAPHS
from apr_ui.persistent_widget import page_now

CHOSEN, LESSON_DATA = "attack.data", "classroom.data"
CHOICES = {
    DEFAULT: "CIFAR-10",
    PHOTOGRAPHS: "Photographs",
    "gtsrb": "Traffic signs",
    "breastmnist": "Ultrasound",
}
"""Data sets to choose from, as people call them."""
PAGES = dict.fromkeys(
    ("attack", "attention", "classes", "compare", "hand", "safety", "stickers"), CHOSEN
)
PAGES["classroom"] = LESSON_DATA
"""Pages with other data sets than CIFAR-10, and where each keeps which."""
SMALL = 64
"""Pixels of a side up to which each of a picture's pixels is seen without a lens."""


def shown_data() -> DataSet:
    """What the page's pictures and class names are of."""
    if get_script_run_ctx() is None or page_now() not in PAGES:
        return find_dataset()
    return find_dataset(st.session_state.get(PAGES[page_now()], DEFAULT))


def data_words(name: str) -> str:
    """A data set within a sentence, such as "CIFAR-10" or "traffic signs"."""
    if name in CHOICES:
        return CHOICES[name] if name == DEFAULT else CHOICES[name].lower()
    return DATASETS.get(name).title if name in DATASETS else name  # a person's own may be gone


def kind_title(data: DataSet) -> str:
    """What the choice of data sets calls it, quoted; the name of one that is not among them."""
    return f"“{CHOICES[data.name]}”" if data.name in CHOICES else data.title


def is_small(data: DataSet) -> bool:
    """Whether each pixel of its pictures is seen without a lens."""
    return max(data.size) <= SMALL


def class_name(label: int) -> str:
    """A class of it in words."""
    return shown_data().class_name(label)


def one_of(label: int) -> str:
    """One of a class in a sentence, as "an airplane"."""
    return shown_data().one_of(label)
