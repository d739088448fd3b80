# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small part of JSONPath: ``{$.data.rates[0]}``, ``$.a['b c']``, ``{$.items[*].value}``. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

from .errors import ConfigError, NoData, Unavailable

_STEP = re.compile(r"\.(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>\d+)\]|\[(?P<all>\*)\]|\[(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\]", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
LONGEST = 500


def steps(path: str, where: str = "") -> list[str | int | None]:
    """The path as keys, indexes and None for ``[*]``. Raises ConfigError."""
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if not text.startswith("$") or len(text) > LONGEST:
        raise ConfigError(f"{path[:80]!r} is not a JSON path", where=where, do="Write {$.data.rate} or {$.items[0].value}.")
    found: list[str | int | None] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if not match:
            raise ConfigError(f"{text[at:][:40]!r} is not understood in the JSON path {path[:80]!r}", where=where)
        if match["index"] is not None:
            found.append(int(match["index"]))
        elif match["all"]:
            found.append(None)
        else:
            found.append(next(part for part in (match["name"], match["single"], match["double"]) if part is not None))
        at = match.end()
    return found


def numbers(document: Any, path: str, where: str = "") -> list[float]:
    """The numbers at ``path``: one, or one for each element of ``[*]`` and of a list at its end.

    A number may be a string in decimal spelling, as many APIs write it; true and false are 1 and 0. Raises NoData for null and for an empty
    list, Unavailable for a path that does not exist and for what is not a number.
    """
    places = [document]
    for step in steps(path, where):
        places = [found for place in places for found in _next(place, step, path, where)]
    if len(places) == 1 and isinstance(places[0], list):
        places = places[0]
    if not places:
        raise NoData(f"{path} is an empty list", where=where)
    return [_number(place, path, where) for place in places]


def _next(place: Any, step: str | int | None, path: str, where: str) -> list[Any]:
    if step is None and isinstance(place, list):
        return place
    if isinstance(step, int) and isinstance(place, list) and step < len(place):
        return [place[step]]
    if isinstance(step, str) and isinstance(place, dict) and step in place:
        return [place[step]]
    if place is None:
        raise NoData(f"{path}: null on the way", where=where)
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
