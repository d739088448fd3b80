# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen dataclasses to plain JSON values and back, by their type hints. Fractions become plain numbers, enums their values."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import typing
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeVar

from .errors import ConfigError
from .units import plain

T = TypeVar("T")


def encode(value: Any) -> Any:
    """A JSON value. Fields that hold their default are left out, so that records stay small and readable."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if default is dataclasses.MISSING or item != default:
                result[field.name] = encode(item)
        return result
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Fraction):
        return plain(value) if Fraction(str(float(value))) == value or value.denominator == 1 else str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], value: Any, where: str = "") -> T:
    """An instance of the dataclass ``kind``. Raises ConfigError naming the path when the shape does not fit."""
    return typing.cast(T, _decode(kind, value, where or kind.__name__))


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    """The fields' types. To find them out costs far more than to use them, and a record of some steps asks a hundred times."""
    return typing.get_type_hints(kind)


def _plain(kind: type, value: Any) -> Any:
    """A JSON scalar of that very kind; a whole number may stand for a float."""
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{kind.__name__} is wanted")
    return kind(value)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is typing.Union:
        if value is None:
            return None
        return _decode(next(arg for arg in args if arg is not type(None)), value, where)
    try:
        if dataclasses.is_dataclass(kind):
            hints = _hints(typing.cast(Any, kind))
            unknown = set(value) - set(hints)
            if unknown:
                raise ConfigError(f"unknown field {sorted(unknown)[0]!r}", where=where)
            return typing.cast(Any, kind)(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in value.items()})
        if origin is tuple:
            if not isinstance(value, (list, tuple)):
                raise TypeError("a list is wanted")
            inner = args[0] if args else Any
            return tuple(_decode(inner, item, f"{where}[{index}]") for index, item in enumerate(value))
        if origin in (dict, collections.abc.Mapping):
            return {key: _decode(args[1], item, f"{where}.{key}") for key, item in value.items()}
        if kind is Fraction:
            return Fraction(str(value))
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return kind(value)
        if kind in (str, int, float, bool):
            return _plain(kind, value)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{value!r} does not fit here ({error})", where=where) from None
    return value
