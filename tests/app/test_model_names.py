"""Models are called by what they are."""

from __future__ import annotations

import pytest

from apr_core.serving.requests import BEHIND_LATTICE
from apr_ui.model_names import MAIN, main_first, model_line, model_title
from apr_ui.resources import cards


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("cifar10-resnet20-vanilla", "Undefended ResNet-20"),
        ("cifar10-resnet20-apr", "APR"),
        ("cifar10-resnet18-apr-plus", "APR+ (ResNet-18)"),
        ("cifar10-resnet20-apr-plus" + BEHIND_LATTICE, "APR+, masked"),
        ("one-that-is-gone", "one-that-is-gone"),
    ],
)
def test_a_model_is_called_by_what_it_is(name: str, title: str) -> None:
    assert model_title(name) == title


def test_no_two_models_have_one_title_and_each_has_a_line() -> None:
    names = list(cards()[0])
    assert len({model_title(name) for name in names}) == len(names)
    assert all(model_line(name) for name in names)


def test_the_five_defences_come_first_and_nothing_is_lost() -> None:
    names = list(cards()[0])
    main, more = main_first(names)
    assert [cards()[0][name].defence for name in main] == list(MAIN)
    assert sorted(main + more) == sorted(names)
