# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small part of JSONPath: ``{$.data.rates[0]}``, ``$.a['b c']``, ``{$.items[*].value}``, ``{$.points[-1][1]}``, ``{$.rows[?(@.name=='a')].v}``. Pure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Union

from .errors import ConfigError, NoData, Unavailable

_NAME = r"\.[A-Za-z_][\w-]*|\['[^']*'\]|\[\"[^\"]*\"\]"
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>-?\d{1,9})\]|\[(?P<all>\*)\]|\[(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\]"
    rf"|\[\?\(\s*@(?P<inner>(?:{_NAME}|\[-?\d{{1,9}}\])*)\s*(?P<is>==|!=)\s*"
    r"(?P<literal>'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*\)\]",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
LONGEST = 500


@dataclass(frozen=True)
class Filter:
    """The elements of a list in which ``steps`` lead to ``value``, or (``equal`` is false) to something else. An element without that place has neither."""

    steps: tuple[Union[str, int], ...]
    equal: bool
    value: Any

    def takes(self, element: Any) -> bool:
        for step in self.steps:
            inside = _next(element, step)
            if not inside:
                return False
            [element] = inside
        return same(element, self.value) is self.equal


Step = Union[str, int, None, Filter]
"""A key, an index (from the end when negative), None for ``[*]``, or a filter."""


def steps(path: str, where: str = "") -> list[Step]:
    """The path taken apart. Raises ConfigError."""
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if not text.startswith("$") or len(text) > LONGEST:
        raise ConfigError(f"{path[:80]!r} is not a JSON path", where=where, do="Write {$.data.rate} or {$.items[0].value}.")
    return _parsed(text[1:], path, where)


def _parsed(text: str, path: str, where: str) -> list[Step]:
    found: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if not match:
            raise ConfigError(f"{text[at:][:40]!r} is not understood in the JSON path {path[:80]!r}", where=where)
        if match["index"] is not None:
            found.append(int(match["index"]))
        elif match["all"]:
            found.append(None)
        elif match["is"]:
            literal = match["literal"]
            value = literal[1:-1] if literal[0] in "'\"" else json.loads(literal)
            inner = tuple(step for step in _parsed(match["inner"], path, where) if isinstance(step, (str, int)))
            found.append(Filter(inner, match["is"] == "==", value))
        else:
            found.append(next(part for part in (match["name"], match["single"], match["double"]) if part is not None))
        at = match.end()
    return found


def same(value: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and neither is true."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(same(one, two) for one, two in zip(value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
    return bool(value == other)


def places(document: Any, path: str, where: str = "") -> list[Any]:
    """What stands at ``path``: one thing, or one for each element of ``[*]`` or of a filter.

    Raises Unavailable for a path that does not exist; NoData where null is on the way, a list is empty, or no element passes a filter.
    """
    found = [document]
    for step in steps(path, where):
        found = [inside for place in found for inside in _demanded(place, step, path, where)]
    if not found:
        raise NoData(f"{path} is an empty list", where=where)
    return found


def there(document: Any, path: str, where: str = "") -> list[Any]:
    """Whatever is to be found at ``path``, and nothing where there is nothing."""
    found = [document]
    for step in steps(path, where):
        found = [inside for place in found for inside in _next(place, step) or []]
    return found


def numbers(document: Any, path: str, where: str = "") -> list[float]:
    """The numbers at ``path``: one, or one for each element of ``[*]``, of a filter, and of a list at its end.

    A number may be a string in decimal spelling, as many APIs write it; true and false are 1 and 0. Raises NoData for null and for an empty
    list, Unavailable for a path that does not exist and for what is not a number.
    """
    found = places(document, path, where)
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    if not found:
        raise NoData(f"{path} is an empty list", where=where)
    return [_number(place, path, where) for place in found]


def _next(place: Any, step: Step) -> list[Any] | None:
    """Where ``step`` leads from ``place``; None where it cannot be taken."""
    if isinstance(place, list):
        if step is None:
            return place
        if isinstance(step, Filter):
            return [element for element in place if step.takes(element)]
        if isinstance(step, int) and -len(place) <= step < len(place):
            return [place[step]]
    elif isinstance(place, dict) and isinstance(step, str) and step in place:
        return [place[step]]
    return None


def _demanded(place: Any, step: Step, path: str, where: str) -> list[Any]:
    found = _next(place, step)
    if isinstance(step, Filter) and found == [] and place:
        raise NoData(f"{path}: no element is the one that is asked for", where=where)
    if found is not None:
        return found
    if place is None:
        raise NoData(f"{path}: null on the way", where=where)
    if place == [] and isinstance(step, int):
        raise NoData(f"{path}: an empty list on the way", where=where)
    raise Unavailable(f"{path} does not exist in the answer", where=where)


def _number(value: Any, path: str, where: str) -> float:
    if value is None:
        raise NoData(f"{path} is null", where=where)
    if isinstance(value, (bool, int, float)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif isinstance(value, str) and _NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    elif isinstance(value, str) and value.lower() == "nan":
        return math.nan
    raise Unavailable(f"{path} is {str(value)[:40]!r}, not a number", where=where)
