"""Schema validation: JSON from files and links as values of known types.

Whoever reads a file or a link with these two gets what the types promise, or a ValueError of a few
words. Nothing that a text says is run, and none of it is believed before it is held to its type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

MOST_BYTES = 8 * 2**20
"""Of a file: no card or record of this project comes near it. As Python's own values such a text
may take twenty-five times that."""
DEEPEST = 20
"""Lists within lists."""
BIGGEST = 2**63
"""A whole number stays below it, and so fits whatever counts."""

_TOO_DEEP = f"it has lists within lists, deeper than {DEEPEST}"

Kind = TypeVar("Kind")


def text(path: Path, most: int = MOST_BYTES) -> str:
    """The text in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more than `most` bytes, or is no UTF-8 text.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None


def read(path: Path, most: int = MOST_BYTES) -> Any:
    """The JSON values in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: as `text` and `parse`.
    """
    return parse(text(path, most))


def parse(given: str | bytes, finite: bool = True) -> Any:
    """The JSON values of a text.

    Args:
        finite: refuse numbers that are infinite, or none; a log of what was measured may hold them.

    Raises:
        ValueError: it is no JSON, or holds a number that is not finite, a list too deep, or half
            of a character.
    """
    try:
        hooks: Any = {"parse_constant": _refuse, "parse_float": _finite} if finite else {}
        values = json.loads(given, parse_int=_whole, **hooks)
        _check(values)
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a character") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return values


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(f"{digits:.20}")


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) < 20 else BIGGEST
    return value if abs(value) < BIGGEST else _refuse(f"{digits:.20}...")


def _check(values: Any) -> None:
    """Hold values, a layer of lists at a time, against what can be taken on."""
    layer: list[Any] = [[values]]
    for _ in range(DEEPEST):
        inner = [value for outer in layer for value in _inner(outer)]
        for value in inner:
            if isinstance(value, str):
                value.encode()
        layer = [value for value in inner if isinstance(value, dict | list)]
        if not layer:
            return
    raise ValueError(_TOO_DEEP)


def _inner(value: Any) -> Iterable[Any]:
    return chain(value, value.values()) if isinstance(value, dict) else value


def build(kind: type[Kind], value: Any, where: str = "") -> Kind:
    """A value of a type, of JSON values.

    Dataclasses are built of objects that have their fields, and no others; a field with a default
    may be missing. Tuples come of lists, enums of their values. A whole number does for a float,
    and stays one; a bool is no number.

    Args:
        where: what the value is called in errors.

    Raises:
        ValueError: the values are not of this type, or the type's own checks refuse them.
    """
    found: Kind = _build(kind, value, where)
    return found


def _build(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return _any_of(get_args(kind), value, where)
    if origin in (list, tuple, dict):
        return _container(origin, get_args(kind), value, where)
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, _build(str, value, where), where)
    plain = (float, int) if kind is float else kind
    if not isinstance(value, plain) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where or 'it'} is {value!r:.40}, which is no {_word(kind)}")
    return value


def _member(kind: type[Enum], value: str, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{where} is {value!r:.40}, which is no {kind.__name__}") from None


def _word(kind: Any) -> str:
    words = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _any_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first of several types that fits; null where it may be."""
    if value is None and NoneType in kinds:
        return None
    for kind in (last for last in kinds if last is not NoneType):
        try:
            return _build(kind, value, where)
        except ValueError as error:
            found = error
    raise found


def _container(origin: Any, kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    wanted = dict if origin is dict else list
    if not isinstance(value, wanted):
        raise ValueError(f"{where or 'it'} is {value!r:.40}, which is no {_word(origin)}")
    if isinstance(value, dict):
        of = kinds[1]
        return {key: _build(of, inner, f"{where}.{key!r:.40}") for key, inner in value.items()}
    inner_kinds: Iterable[Any] = kinds
    if origin is list or kinds[1:] == (...,):
        inner_kinds = [kinds[0]] * len(value)
    elif len(kinds) != len(value):
        raise ValueError(f"{where or 'it'} has {len(value)} entries and not {len(kinds)}")
    pairs = zip(inner_kinds, value, strict=True)
    return origin(_build(kind, inner, f"{where}[{n}]") for n, (kind, inner) in enumerate(pairs))


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, Field[Any]]]:
    hints = get_type_hints(kind)
    return {field.name: (hints[field.name], field) for field in fields(kind) if field.init}


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'it'} is {value!r:.40}, and no {kind.__name__}")
    known = _fields(kind)
    for key in value.keys() - known.keys():
        raise ValueError(f"{where or 'it'} has a stray field {key!r:.40}")
    for name, (_, field) in known.items():
        if name not in value and field.default is field.default_factory is MISSING:
            raise ValueError(f"{where or 'it'} lacks the field '{name}'")
    dot = f"{where}." if where else ""
    return kind(**{key: _build(known[key][0], inner, dot + key) for key, inner in value.items()})
