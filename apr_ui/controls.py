"""Forms: a person's choices become a picture, a model and a frozen config."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, TypeVar

import streamlit as st

from apr_core.attacks.config import METHOD_RANGES, RANGES, OnePixelConfig
from apr_core.attacks.patch import SIDES
from apr_core.attacks.shift import RANGES as SHIFT_RANGES
from apr_core.attacks.shift import ShiftConfig
from apr_core.base.types import Fitness, InputError, Method, Stop, Strategy
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.model_summary import find_record
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.offered import offered
from apr_core.serving.requests import (
    BEHIND_LATTICE,
    AttackRequest,
    check_served,
    data_behind,
    served,
)
from apr_ui.choose_picture import Choice, begin_gallery, place_of
from apr_ui.dataset import CHOICES, CHOSEN, is_small, shown_data
from apr_ui.errors import errors_on_page
from apr_ui.model_names import main_first, model_labels, model_line
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.resources import (
    cards,
    evaluations,
    known_cards,
    probabilities,
    show_caution,
)
from apr_ui.searches import PAPERS, choose_method, choose_search, default_search, follow_data
from apr_ui.warming import warm_up
from apr_ui.words import count_text

ANY = "any other class"
FIRST_MODEL = "cifar10-resnet20-vanilla"
MOST_REACH = 64
"""Shades of 255 by which every pixel may change, at most."""
HELP = {
    "target": "The class that the model should end up with. “Any other class” is easier to reach.",
    "pixels": "How many pixels an edit changes.",
    "steps": "One step is FGSM, more are PGD.",
    "side": "The patch is a square of so many pixels a side.",
    "population": "Edits that the search keeps, and tries in each generation.",
    "generations": "Rounds of the search; in each, it mixes its edits into new ones.",
    "seed": "Start of the random numbers: the same seed gives the same search.",
    "strategy": "How a new edit is mixed: from random edits, or with the best edit.",
    "fitness": "What the search lowers: the probability of the true class, or its lead over "
    "the next class (margin).",
    "stop": "When to end: at the first flip, once the model is confidently wrong, or after all "
    "generations.",
    "l2_penalty": "A penalty on strong changes of colour; 0 for none.",
}
OPTIONS: dict[str, dict[Any, str]] = {
    "strategy": {Strategy.SU2019: "Random edits", Strategy.BEST1BIN: "Best edit"},
    "fitness": {Fitness.PROBABILITY: "Probability", Fitness.MARGIN: "Margin"},
    "stop": {
        Stop.FIRST_FLIP: "First flip",
        Stop.SU2019: "Confidently wrong",
        Stop.BUDGET: "All generations",
    },
}
"""What a person reads in place of the codes, by setting."""
Kind = TypeVar("Kind", Strategy, Fitness, Stop)


def usual_config(pixels: int = 1) -> OnePixelConfig:
    """The search by default, on the page's data set."""
    return OnePixelConfig(**default_search()._replace(pixels=pixels)._asdict())


def choose_data() -> None:
    """The data set chooser; the model and the settings follow it."""
    st.pills(
        "Kind of picture",
        list(CHOICES),
        format_func=CHOICES.__getitem__,
        required=True,
        wrap=True,
        on_change=_follow_data,
        **persistent(CHOSEN, DEFAULT),
    )


def _follow_data() -> None:
    follow_data()
    begin_gallery()


def choose_model() -> str:
    """The model picker."""
    known = known_cards()
    if not known:
        raise InputError(
            "There are no trained models; restore checkpoints/, or make one with "
            "`python -m apr_core train`."
        )
    listed, more = main_first(known)
    first = FIRST_MODEL if FIRST_MODEL in known else (listed or more)[0]
    keep_among("attack.model", [first, *known])  # the one chosen may be of other data
    chosen = st.session_state.get("attack.model", first)
    if not listed or chosen in more or st.session_state.get("attack.more-models"):
        listed += more
    name: str = st.selectbox(
        "Model under attack",
        listed,
        format_func=model_labels().__getitem__,
        **persistent("attack.model", first),
        help=f"“Clean” is the accuracy on the test images of {shown_data().title}. “Yours” was "
        "trained here, on the Train page or by the command line.",
    )
    if name in offered():
        warm_up(name)
    st.caption(model_line(name))
    show_caution(name)
    if more and listed != more:
        st.checkbox(
            f"List {count_text(len(more), 'more model', 'more models')}",
            **persistent("attack.more-models"),
            help="Other networks, your own models, and defences with a part left out.",
        )
    if not is_small(shown_data()):
        _say_odds(name)
        return name  # behind lattice masking, each query would take sixteen of a large picture
    masked = st.checkbox(
        "Behind lattice masking",
        **persistent("attack.masked"),
        help="The model predicts from sixteen or more masked pictures instead of one. A single "
        "pixel can hardly fool it, and the search takes about twenty times as long.",
    )
    return name + (BEHIND_LATTICE if masked else "")


def _say_odds(model: str) -> None:
    """How often one pixel sufficed where it was measured."""
    record = find_record(evaluations()[0], cards()[0][model])
    level = record.level(1) if record else None
    if level is not None and level.asr.total:
        rate = level.asr
        st.caption(
            f"One pixel seldom suffices on a photograph: where we measured it, {rate.count} of "
            f"{rate.total} gave way ({rate.rate:.0%}; {rate.low:.0%} to {rate.high:.0%}). Choose "
            "more pixels below."
        )


def choose_shift() -> ShiftConfig:
    """How far every pixel may be moved, and in how many steps."""
    usual = ShiftConfig()
    with st.expander("Settings of the attack", icon=":material/tune:", expanded=True):
        reach = st.slider(
            "Reach ε, of 255",
            0,
            MOST_REACH,
            **persistent("attack.reach", usual.reach),
            help="No value of a pixel changes by more than this.",
        )
        most = int(SHIFT_RANGES["steps"][1])
        steps = _number("Steps", "steps", 1, most, usual.steps)
        seed = _number("Seed", "seed", 0, 2**31 - 1)
        st.caption(
            "One step is FGSM (Goodfellow et al., 2015); more are PGD (Madry et al., 2018), which "
            "starts at random within the reach."
        )
    return ShiftConfig(reach, steps, seed)


def choose_config() -> OnePixelConfig:
    """How many pixels, and, in an expander, every setting of the attack."""
    choose_search()
    return _choose_search_config()


def choose_attack() -> OnePixelConfig | ShiftConfig:
    """`choose_config`, and the attacks that change every pixel."""
    return choose_shift() if choose_search(every=True) else _choose_search_config()


def _choose_search_config() -> OnePixelConfig:
    with st.expander("Settings of the search", icon=":material/tune:"):
        keep_among("attack.target", goals := [ANY, *shown_data().classes])
        goal = st.selectbox(
            "Target class",
            goals,
            **persistent("attack.target"),
            help=HELP["target"],
        )
        method = choose_method()
        limits = served(method, shown_data())
        most = RANGES | METHOD_RANGES[method]
        left, right = st.columns(2)
        with left:
            if method is Method.PATCH:
                pixels = _number("Side of the patch", "side", 1, SIDES[1]) ** 2
            else:
                pixels = _number("Pixels", "pixels", 1, int(most["pixels"][1]))
            population = _number("Population", "population", *limits["population"])
            generations = _number("Generations", "generations", *limits["generations"])
            seed = _number("Seed", "seed", 0, 2**31 - 1)
        with right:
            strategy, fitness = Strategy.SU2019, Fitness.PROBABILITY
            if method is Method.DE:
                strategy = _option("Strategy", list(Strategy), "strategy")
                fitness = _option("Fitness", list(Fitness), "fitness")
            stop = _option("Stop", list(Stop), "stop")
            penalty = st.number_input(
                "Penalty λ", 0.0, 100.0, step=0.1, help=HELP["l2_penalty"],
                **persistent("attack.l2_penalty"),
            )  # fmt: skip
        st.caption(f"At most {population * (generations + 1):,} queries. {_source(method)}")
    config = OnePixelConfig(
        pixels=pixels,
        method=method,
        population=population,
        generations=generations,
        strategy=strategy,
        fitness=fitness,
        stop=stop,
        target=None if goal == ANY else shown_data().classes.index(goal),
        l2_penalty=penalty,
        seed=seed,
    )
    with errors_on_page("warning"):
        check_served(config, shown_data())
    return config


def _source(method: Method) -> str:
    """Where the defaults come from."""
    if method is not Method.DE:
        return "Sparse-RS is by Croce et al. (2022), who allow 10,000."
    if default_search() == PAPERS:
        return "The defaults are those of Su, Vargas and Sakurai (2019)."
    paper = f"{PAPERS.population * (PAPERS.generations + 1):,}"
    return f"Su, Vargas and Sakurai (2019) allow {paper}; here fewer give a quick answer."


def _option(label: str, options: list[Kind], name: str) -> Kind:
    chosen: Kind = st.selectbox(
        label,
        options,
        format_func=OPTIONS[name].__getitem__,
        help=HELP[name],
        **persistent(f"attack.{name}"),
    )
    return chosen


def _number(label: str, name: str, low: int, high: int, usual: int | None = None) -> int:
    if usual is None:
        usual = int(getattr(default_search(), name, getattr(OnePixelConfig(), name)))
    key = f"attack.{name}"
    if not low <= (now := st.session_state.get(key, usual)) <= high:
        st.session_state[key] = min(max(now, low), high)
    kept = persistent(key, usual)
    return int(st.number_input(label, low, high, step=1, help=HELP[name], **kept))


def make_request(choice: Choice, model: str, config: OnePixelConfig) -> AttackRequest:
    """The choice as a request; a picture without a true class gets the model's prediction.

    Raises:
        InputError: the picture does not suit so many pixels by this method.
    """
    check_served(config, data_behind(model))
    label, named = choice.label or 0, choice.label is not None
    return predicted(AttackRequest(model, choice.image, label, choice.index, config, named))


def predicted(request: AttackRequest) -> AttackRequest:
    """A request for a picture whose class nobody gave, with the model's prediction as its label;
    any other as it is."""
    if request.named:
        return request
    answer = probabilities(request.model, [request.image])[0]
    return replace(request, label=int(answer.argmax()))


def show_request(request: AttackRequest | Head) -> None:
    """Set the controls to what a link asked for; call before they are drawn.

    A `Head` on a person's own picture has the settings alone.
    """
    target, data = request.config.target, data_behind(request.model)
    st.session_state[CHOSEN] = data.name
    values: dict[str, object] = asdict(request.config) | {
        "model": request.model.removesuffix(BEHIND_LATTICE),
        "masked": request.model.endswith(BEHIND_LATTICE),
        "target": ANY if target is None else data.class_name(target),
        "side": request.config.side,
        "every": False,
    }
    values |= place_of(request)
    for name, value in values.items():
        st.session_state[f"attack.{name}"] = value
