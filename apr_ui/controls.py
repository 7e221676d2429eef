"""Forms: what a person chooses becomes a picture, a model and a frozen config."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import streamlit as st
from PIL import Image
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import Fitness, InputError, Stop, Strategy
from apr_core.data.cifar10 import CLASSES, with_article
from apr_core.data.images import OWN_PICTURE, Picture, to_pil, to_png
from apr_core.data.sample import PER_CLASS, load_sample, load_test_image
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.gallery import GalleryEntry
from apr_core.serving.requests import BEHIND_LATTICE, SERVED, AttackRequest
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.persistent_widget import persistent
from apr_ui.picker import PickerItem, picker
from apr_ui.resources import cards, gallery, model_labels, probabilities, show_caution
from apr_ui.upload import choose_own, show_own
from apr_ui.words import plain

GALLERY, CLASS, UPLOAD = "Gallery", "CIFAR-10", "Your picture"
ANY = "any other class"
FIRST_MODEL = "cifar10-resnet20-vanilla"


@dataclass(frozen=True, eq=False)
class Choice:
    """The picture to attack.

    Attributes:
        image: what the model sees, uint8 (3, 32, 32).
        label: its true class, None for what the model says of it.
        index: of the test image, or OWN_PICTURE.
        caption: a line beneath it.
        original: a person's own picture before it was reduced.
    """

    image: Tensor
    label: int | None
    index: int
    caption: str
    original: Image.Image | None = None

    @property
    def key(self) -> str:
        """Equal for equal pictures."""
        return f"{self.index}-{hash(self.image.numpy().tobytes())}"


def choose_picture() -> Choice | None:
    """The picture chooser; None while there is nothing to attack."""
    source = st.segmented_control(
        "Picture",
        [GALLERY, CLASS, UPLOAD],
        required=True,
        **persistent("attack.source", GALLERY),
    )
    choosers = {GALLERY: _from_gallery, CLASS: _from_class, UPLOAD: _from_upload}
    return choosers[source]()


def _from_gallery() -> Choice:
    entries = gallery()
    chosen = min(st.session_state.setdefault("attack.entry", 0), len(entries) - 1)
    st.caption("Runs that were made and verified. A random picture usually survives one pixel.")
    picker("Gallery", _gallery_items(zoo_fingerprint()), chosen, "attack.gallery", _choose_entry)
    entry = entries[chosen]
    image, label = load_test_image(entry.index)
    return Choice(image, label, entry.index, f"On {entry.model}: {entry.story}")


@st.cache_data(show_spinner=False, max_entries=2)
def _gallery_items(fingerprint: tuple[tuple[str, int], ...]) -> list[PickerItem]:
    """The gallery as the picker takes it, made once for the models that there are."""
    known = cards()[0]
    defences = {name: card.defence for name, card in known.items()}
    return [
        {
            "title": _with_defence(entry, defences.get(entry.model, "")),
            "note": f"{entry.story} Model: {entry.model}.",
            "png": base64.b64encode(to_png(load_test_image(entry.index)[0])).decode(),
        }
        for entry in gallery()
    ]


def _with_defence(entry: GalleryEntry, defence: str) -> str:
    """The title, and the defence where there is one: some pictures stand here twice."""
    return entry.title if defence in ("", "vanilla") else f"{entry.title} ({defence})"


def _choose_entry(number: int) -> None:
    st.session_state["attack.entry"] = number
    st.session_state["attack.model"] = gallery()[number].model


def _from_class() -> Choice:
    name = st.selectbox("Class", CLASSES, **persistent("attack.class", "cat"))
    number = st.slider(
        "Which of its test images",
        1,
        PER_CLASS,
        **persistent("attack.number"),
    )
    shipped = load_sample()
    label = CLASSES.index(name)
    row = int((shipped.labels == label).nonzero()[number - 1, 0])
    index = int(shipped.indices[row])
    caption = f"CIFAR-10 test image {index}, {with_article(name)}."
    return Choice(shipped.images[row], label, index, caption)


def _from_upload() -> Choice | None:
    chosen = choose_own()
    if chosen is None:
        return None
    picture, label = chosen
    return Choice(picture.image, label, OWN_PICTURE, "Your picture.", picture.original)


def choose_model() -> str:
    """The model picker."""
    known, damaged = cards()
    for sentence in damaged:
        st.warning(plain(sentence), icon=":material/broken_image:")
    if not known:
        raise InputError(
            "There are no trained models; restore checkpoints/, or make one with "
            "`python -m apr_core train`."
        )
    first = FIRST_MODEL if FIRST_MODEL in known else None
    name: str = st.selectbox(
        "Model under attack",
        list(known),
        format_func=model_labels().__getitem__,
        **persistent("attack.model", first),
        help="“Clean” is the share of the 10,000 CIFAR-10 test images that it gets right. “Yours” "
        "was trained here, on the Train page or by the command line.",
    )
    show_caution(name)
    masked = st.checkbox(
        "Behind lattice masking",
        **persistent("attack.masked"),
        help="The model answers from sixteen or more masked pictures instead of one, which a "
        "single pixel can hardly fool: the search takes some twenty times as long.",
    )
    return name + (BEHIND_LATTICE if masked else "")


def choose_config() -> OnePixelConfig:
    """Every setting of the attack, folded away: the defaults are the published attack's."""
    with st.expander("Settings of the search", icon=":material/tune:"):
        goal = st.selectbox("Turn it into", [ANY, *CLASSES], **persistent("attack.target"))
        left, right = st.columns(2)
        with left:
            pixels = _number("Pixels", "pixels", 1, 16)
            population = _number("Population", "population", *SERVED["population"])
            generations = _number("Generations", "generations", *SERVED["generations"])
            seed = _number("Seed", "seed", 0, 2**31 - 1)
        with right:
            strategy = st.selectbox("Strategy", list(Strategy), **persistent("attack.strategy"))
            fitness = st.selectbox("Fitness", list(Fitness), **persistent("attack.fitness"))
            stop = st.selectbox("Stop", list(Stop), **persistent("attack.stop"))
            penalty = st.number_input(
                "Penalty λ", 0.0, 100.0, step=0.1, **persistent("attack.l2_penalty")
            )
        st.caption(
            f"At most {population * (generations + 1):,} queries. The defaults are those of "
            "Su, Vargas and Sakurai (2019)."
        )
    return OnePixelConfig(
        pixels=pixels,
        population=population,
        generations=generations,
        strategy=strategy,
        fitness=fitness,
        stop=stop,
        target=None if goal == ANY else CLASSES.index(goal),
        l2_penalty=penalty,
        seed=seed,
    )


def _number(label: str, name: str, low: int, high: int) -> int:
    kept = persistent(f"attack.{name}", getattr(OnePixelConfig(), name))
    return int(st.number_input(label, low, high, step=1, **kept))


def make_request(choice: Choice, model: str, config: OnePixelConfig) -> AttackRequest:
    """The choice as a request; the model is asked for the class of a picture that has none."""
    label = choice.label
    if label is None:
        label = int(probabilities(model, [choice.image])[0].argmax())
    return AttackRequest(model, choice.image, label, choice.index, config)


def show_request(request: AttackRequest | Head) -> None:
    """Set the controls to what a link asked for; call before they are drawn.

    Of a `Head` a person's own picture is not known any more.
    """
    config = request.config
    values: dict[str, object] = {
        "model": request.model.removesuffix(BEHIND_LATTICE),
        "masked": request.model.endswith(BEHIND_LATTICE),
        "target": ANY if config.target is None else CLASSES[config.target],
    }
    for name in (
        "pixels", "population", "generations", "seed", "strategy", "fitness", "stop", "l2_penalty",
    ):  # fmt: skip
        values[name] = getattr(config, name)
    if request.index != OWN_PICTURE:
        values |= _place(request)
    elif isinstance(request, AttackRequest):
        show_own_picture(request.image, request.label)
    for name, value in values.items():
        st.session_state[f"attack.{name}"] = value


def show_own_picture(image: Tensor, label: int) -> None:
    """Set the controls to a person's own picture that a link brought; call before they are drawn.

    Args:
        image: uint8 (3, 32, 32).
        label: its true class.
    """
    st.session_state["attack.source"] = UPLOAD
    show_own(Picture(image, to_pil(image), "the picture", ()), label)


def _place(request: AttackRequest | Head) -> dict[str, object]:
    """Where the chooser finds a test image: in the gallery, else among its class."""
    for number, entry in enumerate(gallery()):
        if entry.index == request.index and entry.model == request.model:
            return {"source": GALLERY, "entry": number}
    shipped = load_sample()
    row = shipped.row(request.index)
    if row is None:
        return {}
    number = int((shipped.labels[: row + 1] == request.label).sum())
    return {"source": CLASS, "class": CLASSES[request.label], "number": number}
