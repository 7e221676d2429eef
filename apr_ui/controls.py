"""Forms: a person's choices become a picture, a model and a frozen config."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TypeVar

import streamlit as st
from PIL import Image
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import Fitness, InputError, Stop, Strategy
from apr_core.data.dataset import with_article
from apr_core.data.images import OWN_PICTURE, Picture, to_pil, to_png
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.gallery import GalleryEntry
from apr_core.serving.requests import BEHIND_LATTICE, SERVED, AttackRequest
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.dataset import class_name, shown_data
from apr_ui.model_names import main_first, model_labels, model_line, model_title
from apr_ui.persistent_widget import persistent
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import (
    gallery,
    known_cards,
    probabilities,
    show_caution,
    until_changed,
)
from apr_ui.upload import choose_own, show_own
from apr_ui.words import count_text

GALLERY, CLASS, UPLOAD = "Gallery", "CIFAR-10", "Your picture"
ANY = "any other class"
FIRST_MODEL = "cifar10-resnet20-vanilla"
HELP = {
    "target": "The class that the model should end up with. “Any other class” is easier to reach.",
    "pixels": "How many pixels an edit changes.",
    "population": "Edits that the search keeps, and tries in each generation.",
    "generations": "Rounds of the search; in each, it mixes its edits into new ones.",
    "seed": "Start of the random numbers: the same seed gives the same search.",
    "strategy": "How a new edit is mixed: from random ones (rand), or with the best one (best).",
    "fitness": "What the search lowers: the probability of the true class, or its lead over "
    "the next class (margin).",
    "stop": "When to end: at the first flip, once the model is confidently wrong, or after all "
    "generations.",
    "l2_penalty": "A penalty on strong changes of colour; 0 for none.",
}
Kind = TypeVar("Kind", Strategy, Fitness, Stop)
THUMBNAILS_HEIGHT = 300
"""Screen pixels for the test images of a class, which scroll."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The picture to attack.

    Attributes:
        image: what the model sees, uint8 (3, 32, 32).
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
    choosers = {GALLERY: _from_gallery, CLASS: _from_class, UPLOAD: _from_upload}
    source = st.segmented_control(
        "Picture", list(choosers), required=True, **persistent("attack.source", GALLERY)
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
    items: list[PickerItem] = []
    for entry in gallery():
        items.append(
            {
                "title": _gallery_title(entry),
                "note": f"{entry.story} Model: {model_title(entry.model)}.",
                "png": base64.b64encode(to_png(shown_data().test_image(entry.index)[0])).decode(),
            }
        )
    return items


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
        {
            "title": f"{number}",
            "note": f"CIFAR-10 test image {int(shipped.indices[row])}.",
            "png": base64.b64encode(to_png(shipped.images[row])).decode(),
        }
        for number, row in enumerate(rows, 1)
    ]


def _choose_number(number: int) -> None:
    st.session_state["attack.number"] = number + 1


def _from_upload() -> Choice | None:
    chosen = choose_own()
    if chosen is None:
        return None
    picture, label = chosen
    return Choice(picture.image, label, OWN_PICTURE, "Your picture.", original=picture.original)


def choose_model() -> str:
    """The model picker."""
    known = known_cards()
    if not known:
        raise InputError(
            "There are no trained models; restore checkpoints/, or make one with "
            "`python -m apr_core train`."
        )
    first = FIRST_MODEL if FIRST_MODEL in known else None
    listed, more = main_first(known)
    chosen = st.session_state.get("attack.model", first)
    if not listed or chosen in more or st.session_state.get("attack.more-models"):
        listed += more
    name: str = st.selectbox(
        "Model under attack",
        listed,
        format_func=model_labels().__getitem__,
        **persistent("attack.model", first),
        help="“Clean” is the accuracy on the 10,000 CIFAR-10 test images. “Yours” was trained "
        "here, on the Train page or by the command line.",
    )
    st.caption(model_line(name))
    show_caution(name)
    if more:
        st.checkbox(
            f"List {count_text(len(more), 'more model', 'more models')}",
            **persistent("attack.more-models"),
            help="Other networks, your own models, and defences with a part left out.",
        )
    masked = st.checkbox(
        "Behind lattice masking",
        **persistent("attack.masked"),
        help="The model predicts from sixteen or more masked pictures instead of one. A single "
        "pixel can hardly fool it, and the search takes about twenty times as long.",
    )
    return name + (BEHIND_LATTICE if masked else "")


def choose_config() -> OnePixelConfig:
    """Every setting of the attack, in an expander; the defaults are those of the paper."""
    with st.expander("Settings of the search", icon=":material/tune:"):
        goal = st.selectbox(
            "Target class",
            [ANY, *shown_data().classes],
            **persistent("attack.target"),
            help=HELP["target"],
        )
        left, right = st.columns(2)
        with left:
            pixels = _number("Pixels", "pixels", *SERVED["pixels"])
            population = _number("Population", "population", *SERVED["population"])
            generations = _number("Generations", "generations", *SERVED["generations"])
            seed = _number("Seed", "seed", 0, 2**31 - 1)
        with right:
            strategy = _option("Strategy", list(Strategy), "strategy")
            fitness = _option("Fitness", list(Fitness), "fitness")
            stop = _option("Stop", list(Stop), "stop")
            penalty = st.number_input(
                "Penalty λ", 0.0, 100.0, step=0.1, help=HELP["l2_penalty"],
                **persistent("attack.l2_penalty"),
            )  # fmt: skip
        st.caption(
            f"At most {population * (generations + 1):,} queries. The defaults are those of Su, "
            "Vargas and Sakurai (2019)."
        )
    return OnePixelConfig(
        pixels=pixels,
        population=population,
        generations=generations,
        strategy=strategy,
        fitness=fitness,
        stop=stop,
        target=None if goal == ANY else shown_data().classes.index(goal),
        l2_penalty=penalty,
        seed=seed,
    )


def _option(label: str, options: list[Kind], name: str) -> Kind:
    chosen: Kind = st.selectbox(label, options, help=HELP[name], **persistent(f"attack.{name}"))
    return chosen


def _number(label: str, name: str, low: int, high: int) -> int:
    kept = persistent(f"attack.{name}", getattr(OnePixelConfig(), name))
    return int(st.number_input(label, low, high, step=1, help=HELP[name], **kept))


def make_request(choice: Choice, model: str, config: OnePixelConfig) -> AttackRequest:
    """The choice as a request; a picture without a true class gets the model's prediction."""
    label = choice.label
    if label is None:
        label = int(probabilities(model, [choice.image])[0].argmax())
    return AttackRequest(model, choice.image, label, choice.index, config)


def show_request(request: AttackRequest | Head) -> None:
    """Set the controls to what a link asked for; call before they are drawn.

    A `Head` on a person's own picture has the settings alone.
    """
    target = request.config.target
    values: dict[str, object] = asdict(request.config) | {
        "model": request.model.removesuffix(BEHIND_LATTICE),
        "masked": request.model.endswith(BEHIND_LATTICE),
        "target": ANY if target is None else class_name(target),
    }
    if request.index != OWN_PICTURE:
        values |= _place(request)
    elif isinstance(request, AttackRequest):
        values["source"] = UPLOAD
        picture = Picture(request.image, to_pil(request.image), "the picture", ())
        show_own(picture, request.label)
    for name, value in values.items():
        st.session_state[f"attack.{name}"] = value


def _place(request: AttackRequest | Head) -> dict[str, object]:
    """Where the chooser finds a test image: in the gallery, or in its class."""
    for number, entry in enumerate(gallery()):
        if entry.index == request.index and entry.model == request.model:
            return {"source": GALLERY, "entry": number}
    shipped = shown_data().shipped_sample()
    row = shipped.row(request.index)
    if row is None:
        return {}
    number = int((shipped.labels[: row + 1] == request.label).sum())
    return {"source": CLASS, "class": class_name(request.label), "number": number}
