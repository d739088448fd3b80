# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A foreign document that knows which of its fields were carried over, so that none of them is lost without a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import ConfigError
from ..units import duration, shown

NO_COUNTERPART = "has no counterpart in a release file"


@dataclass(frozen=True)
class Left:
    """A field that was not carried over. ``path``: where it stands, such as ``Rollout/shop.spec.selector``."""

    path: str
    why: str


@dataclass
class Converted:
    """A release file (or a part of one) made of documents of another tool. ``to_do``: what a person has to do before it can be used."""

    release: dict[str, Any] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)


class Source:
    """A mapping of the document. What is not read with :meth:`take`, :meth:`child`, :meth:`children` or :meth:`leave` is left, and :meth:`end` says so."""

    def __init__(self, value: Any, path: str, left: list[Left]) -> None:
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise ConfigError(f"expected a mapping, got {shown(value)}", where=path)
        self.path = path
        self._value = value
        self._left = left
        self._read: set[str] = set()
        self._inner: list[Source] = []

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def __bool__(self) -> bool:
        return bool(self._value)

    def names(self) -> tuple[str, ...]:
        """The fields that hold something."""
        return tuple(name for name in self._value if name in self)

    def take(self, name: str, default: Any = None) -> Any:
        """The field's value, as it is."""
        self._read.add(name)
        found = self._value.get(name)
        return default if found is None else found

    def text(self, name: str, default: str = "") -> str:
        found = self.take(name, default)
        if isinstance(found, (Mapping, list)):
            raise ConfigError(f"expected a text, got {shown(found)}", where=f"{self.path}.{name}")
        return str(found)

    def number(self, name: str) -> Optional[float]:
        """A number, or None where there is none. Numbers within quotes count."""
        found = self.take(name)
        if found is None:
            return None
        try:
            if isinstance(found, bool):
                raise ValueError
            number = float(found)
        except (TypeError, ValueError):
            raise ConfigError(f"expected a number, got {shown(found)}", where=f"{self.path}.{name}") from None
        return int(number) if number.is_integer() else number

    def seconds(self, name: str) -> str:
        """A duration as we write it, or nothing. Go's spelling (1h30m) and plain seconds are read."""
        found = self.take(name)
        if found is None:
            return ""
        where = f"{self.path}.{name}"
        if isinstance(found, (int, float)) or re.fullmatch(r"\d+", str(found)):
            return f"{found}s"
        duration(str(found), where)
        return str(found)

    def child(self, name: str) -> Source:
        self._read.add(name)
        made = Source(self._value.get(name), f"{self.path}.{name}", self._left)
        self._inner.append(made)
        return made

    def children(self, name: str) -> list[Source]:
        self._read.add(name)
        found = self._value.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise ConfigError(f"expected a list, got {shown(found)}", where=f"{self.path}.{name}")
        made = [Source(item, f"{self.path}.{name}[{index}]", self._left) for index, item in enumerate(found)]
        self._inner.extend(made)
        return made

    def leave(self, name: str, why: str) -> None:
        """Name a field as not carried over, with the reason, if it is there."""
        self._read.add(name)
        if name in self and self._value[name] not in ({}, [], ""):
            self._left.append(Left(f"{self.path}.{name}", why))

    def lost(self, place: str, why: str) -> None:
        """Name something below this mapping as not carried over."""
        self._left.append(Left(f"{self.path}.{place}", why))

    def ignore(self, *names: str) -> None:
        """Fields that mean nothing to a release: what a server adds to its objects."""
        self._read.update(names)

    def end(self) -> None:
        """Name all that nobody read."""
        for name in self.names():
            if name not in self._read:
                self._left.append(Left(f"{self.path}.{name}", NO_COUNTERPART))
        for inner in self._inner:
            inner.end()


def spelled(seconds: float) -> str:
    """A duration as a person writes it: 10m, 90s, 2h."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"


def tidy(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields that say nothing: None, empty texts, lists and mappings."""
    return {name: value for name, value in found.items() if value is not None and value != "" and value != [] and value != {}}


def analysis(metrics: list[dict[str, Any]], **common: Any) -> dict[str, Any]:
    """``rollout_analysis`` of the metrics; the provider that most of them have is said once."""
    providers = [metric["provider"] for metric in metrics if "provider" in metric]
    if not providers:
        return {**common, "metrics": metrics}
    usual = max(providers, key=providers.count)
    short = [{name: value for name, value in metric.items() if name != "provider" or value != usual} for metric in metrics]
    return {**common, "provider": usual, "metrics": short}


def filled(text: str, told: Callable[[str], Optional[str]]) -> str:
    """The text with every ``{{ name }}`` replaced by what ``told`` says of the name; None leaves it."""

    def one(found: re.Match[str]) -> str:
        value = told(found.group(1))
        return found.group(0) if value is None else value

    return re.sub(r"\{\{-?\s*([A-Za-z_][\w.-]*)\s*-?\}\}", one, text)


def unique(name: str, taken: Mapping[str, Any]) -> str:
    """The name, made one of ours (letters, digits, dashes), and numbered where it is taken."""
    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "metric"
    made, number = base, 2
    while made in taken:
        made, number = f"{base}-{number}", number + 1
    return made
