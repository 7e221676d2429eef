"""A race as query parameters, and back.

A race is one picture, label and config on several models: a run's link with `models` in place of
`model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from apr_core.base.types import InputError
from apr_core.serving.requests import AttackRequest, data_behind
from apr_ui.permalink import from_params, to_params

MOST_MODELS = 6
"""Models side by side in one race."""


def race_to_params(requests: Sequence[AttackRequest]) -> dict[str, str]:
    """The query parameters that make this race again.

    Args:
        requests: one a model, the first model's first; alike in everything else.
    """
    params = to_params(requests[0])
    del params["model"]
    return {"models": ",".join(request.model for request in requests), **params}


def race_from_params(params: Mapping[str, str]) -> tuple[AttackRequest, ...] | None:
    """The requests that a link stands for, one a model; None if it stands for none.

    Raises:
        InputError: the link names a setting, an image or a class that cannot be, no model, too
            many models, or models of different data sets.
    """
    if "models" not in params:
        return None
    models = split_names(params["models"])
    kinds = {data_behind(model).title for model in models}
    if len(kinds) > 1:
        raise InputError(
            f"The link's models are for different pictures, {' and '.join(sorted(kinds))}; race "
            "models of one kind."
        )
    first = from_params({**params, "model": models[0]})
    return tuple(replace(first, model=model) for model in models) if first else None


def split_names(text: str) -> tuple[str, ...]:
    """The names in a link's list, each once.

    Raises:
        InputError: there are none, or too many for a race.
    """
    names = tuple(dict.fromkeys(filter(None, text.split(","))))
    if not 1 <= len(names) <= MOST_MODELS:
        raise InputError(
            f"The link names {len(names)} models; a race has 1 to {MOST_MODELS}, with commas "
            "between them."
        )
    return names
