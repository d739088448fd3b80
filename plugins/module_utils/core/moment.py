# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The many ways in which systems write a time, and how old a value may be. Pure."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

from .errors import Stale, Unavailable
from .units import iso, show_duration

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE)
_DECIMAL = re.compile(r"\d{1,20}(?:\.\d+)?(?:[eE]\+?\d{1,2})?", re.ASCII)
_SCALES = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on it counts nanoseconds, microseconds, milliseconds: as seconds it would be a time after the year 5000."""


def moment(value: Any, where: str = "") -> float:
    """Seconds since the epoch of a time written as seconds, milliseconds, microseconds or nanoseconds, or in ISO 8601 with its zone.

    Raises Unavailable for anything else: a time without a zone could be an hour away and look fresh.
    """
    if isinstance(value, str):
        text = value.strip()
        match = _ISO.fullmatch(text)
        if match:
            return _from_iso(match, text, where)
        if _DECIMAL.fullmatch(text):
            value = float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e20:
        raise Unavailable(f"{str(value)[:40]!r} is not a time", where=where, do="Wanted: seconds or milliseconds since 1970, or 2026-01-31T12:00:00Z.")
    return float(value) / next((scale for least, scale in _SCALES if value >= least), 1.0)


def _from_iso(match: re.Match[str], text: str, where: str) -> float:
    day, clock, fraction, zone = match.groups()
    if not zone:
        raise Unavailable(f"{text[:40]!r} does not say in which time zone it is", where=where, do="Have the source write Z, or an offset.")
    zone = "+0000" if zone.upper() == "Z" else zone.replace(":", "")
    try:
        whole = datetime.datetime.strptime(f"{day}T{clock}{zone}", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (ValueError, OverflowError):
        raise Unavailable(f"{text[:40]!r} is not a time", where=where) from None
    return whole + float(fraction or 0)


def fresh(time: float, now: float, max_age: float, where: str = "") -> None:
    """Raise Stale for a value of ``time`` that is more than ``max_age`` seconds old, or as far ahead."""
    if not math.isfinite(time) or time < now - max_age:
        raise Stale(f"the newest value is of {iso(time)}, {show_duration(now - time)} old: more than {show_duration(max_age)}", where=where)
    if time > now + max_age:
        raise Stale(f"the newest value is of {iso(time)}, {show_duration(time - now)} ahead of the server's clock", where=where)
