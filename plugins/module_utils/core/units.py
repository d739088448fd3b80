# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, percentages, numbers or percentages, and times: read once, exact ever after.

Durations are float seconds, percentages are :class:`fractions.Fraction` (0..100, no float drift), times are UTC ISO strings.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from fractions import Fraction
from typing import Any

from .errors import ConfigError

_DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$", re.ASCII)
LONGEST = 30 * 86400.0
"""The longest duration accepted, in seconds: 30 days. A longer one is a typo."""


def shown(value: Any) -> str:
    """``value`` as a message quotes it: never long, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return "something far too large"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _text(value: Any, where: str) -> str:
    try:
        return str(value).strip()
    except (RecursionError, ValueError):
        raise ConfigError(f"{shown(value)} does not fit here", where=where) from None


def duration(value: Any, where: str = "") -> float:
    """Seconds from ``30``, ``30s``, ``5m``, ``1h``, ``1h30m`` or ``250ms``.

    Raises ConfigError for anything else, for a negative one and for one above :data:`LONGEST`.
    """
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < 1e12 else math.inf
    elif isinstance(value, str) and value.strip():
        text = value.strip()
        try:
            seconds = float(text) if re.match(r"^-?\d+(\.\d+)?$", text, re.ASCII) else None
        except ValueError:
            seconds = None
        if seconds is None:
            match = _DURATION.match(text)
            if match and any(match.groups()):
                hours, minutes, secs, millis = (float(part or 0) for part in match.groups())
                seconds = hours * 3600 + minutes * 60 + secs + millis / 1000
    if seconds is None or not math.isfinite(seconds):
        raise ConfigError(f"{shown(value)} is not a duration", where=where, do="Write 30, 30s, 5m or 1h (a bare number is seconds).")
    if seconds < 0 or seconds > LONGEST:
        raise ConfigError(f"{shown(value)} is out of range", where=where, do="A duration lies between 0 and 30 days.")
    return seconds


def percent(value: Any, where: str = "") -> Fraction:
    """An exact percentage 0..100 from ``5``, ``33.3`` or ``"5%"``. Raises ConfigError."""
    text = _text(value, where)
    if isinstance(value, str) and text.endswith("%"):
        text = text[:-1].strip()
    if isinstance(value, float) and math.isfinite(value):
        text = format(decimal.Decimal(text), "f")
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,30}(\.\d{1,60}|/[1-9]\d{0,30})?", text, re.ASCII):
        raise ConfigError(f"{shown(value)} is not a percentage", where=where, do="Write a number from 0 to 100, such as 5 or 33.3.")
    number = Fraction(text)
    if not 0 <= number <= 100:
        raise ConfigError(f"{shown(value)} is not between 0 and 100", where=where, do="A weight is a percentage of all requests.")
    return number


def count_or_percent(value: Any, total: int, *, round_up: bool, where: str = "") -> int:
    """``3`` or ``"25%"`` of ``total`` as a whole number."""
    text = _text(value, where)
    if text.endswith("%"):
        share = percent(text, where) * total / 100
        return math.ceil(share) if round_up else math.floor(share)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ConfigError(f"{shown(value)} is neither a whole number nor a percentage", where=where, do='Write 2 or "25%".')
    return int(text)


def plain(number: Fraction) -> int | float:
    """A fraction as the JSON number a person would write: 5, 33.3."""
    return int(number) if number.denominator == 1 else float(number)


def show_percent(number: Fraction | float) -> str:
    """``5 %``, ``33.3 %``: at most two digits behind the point."""
    return f"{float(number):.2f}".rstrip("0").rstrip(".") + " %"


def show_duration(seconds: float) -> str:
    """``850 ms``, ``12 s``, ``2:10``, ``1:02:10``: as short as a person reads it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def iso(timestamp: float) -> str:
    """Seconds since the epoch as a UTC ISO string with milliseconds."""
    stamp = datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03}Z"


def from_iso(text: str) -> float:
    """The inverse of :func:`iso`."""
    return datetime.datetime.strptime(text + "+0000", "%Y-%m-%dT%H:%M:%S.%fZ%z").timestamp()
