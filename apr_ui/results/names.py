"""Names on the Results page: models and evaluations as people call them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.record import Record
from apr_core.serving.requests import BEHIND_LATTICE
from apr_ui.dataset import data_words
from apr_ui.model_names import main_first, model_title
from apr_ui.resources import all_cards


def with_titles(text: str) -> str:
    """A sentence with the titles of models in place of their file names."""
    names = sorted(all_cards()[0], key=len, reverse=True)
    return re.sub(rf"(?<![\w-])({'|'.join(map(re.escape, names))})(?![\w-])", _title, text)


def _title(found: re.Match[str]) -> str:
    return model_title(found[1])


def subject_title(record: Record) -> str:
    """The model of a record, masked or not, and its data where they are not CIFAR-10, its own."""
    setting = record.setting
    title = model_title(setting.model + (BEHIND_LATTICE if setting.lattice else ""))
    card = all_cards()[0].get(setting.model)
    own = card is not None and card.dataset == setting.data == DEFAULT
    return title if own or setting.data in title else f"{title} on {data_words(setting.data)}"


def record_titles(records: Iterable[Record]) -> dict[str, str]:
    """How a list names each record, by the name of its file, CIFAR-10's main models first.

    Records that differ in something else have that name behind their title.
    """
    known = {record.setting.name: record for record in records}
    main, others = main_first([record.setting.model for record in known.values()])
    order = list(dict.fromkeys([*main, *others]))

    def place(name: str) -> tuple[bool, int]:
        setting = known[name].setting
        return setting.data != DEFAULT, order.index(setting.model)

    titles = {name: _record_title(known[name]) for name in sorted(known, key=place)}
    times = Counter(titles.values())
    return {
        name: title if times[title] == 1 else f"{title} ({name})" for name, title in titles.items()
    }


def _record_title(record: Record) -> str:
    setting = record.setting
    pixels = " and ".join(map(str, setting.pixels))
    reach = f"{pixels} pixel{'' if pixels == '1' else 's'}"
    return f"{subject_title(record)}: {setting.attack}, {reach}, {setting.images} images"


def in_a_word(record: Record) -> str:
    """A record's model and its rate at its fewest pixels."""
    rate = record.levels[0].asr
    share = "no rate" if rate.rate is None else f"{rate.rate:.1%}"
    return f"{subject_title(record)} {share} of {rate.total}"


def success_text(rate: Rate) -> str:
    """A success rate in words."""
    if rate.rate is None:
        return "no image was attacked, because the model got none right"
    return f"success {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total}"
