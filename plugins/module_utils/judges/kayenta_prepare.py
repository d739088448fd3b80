# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First and second stage of the judge ``kayenta``: values that are no numbers, and outliers. Each side by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence


def clean(values: Sequence[float], nan: str) -> list[float]:
    """``nan``: remove the values that are no number, or replace them by 0."""
    if nan == "replace":
        return [0.0 if math.isnan(value) else value for value in values]
    return [value for value in values if not math.isnan(value)]


def without_outliers(values: Sequence[float], factor: float) -> list[float]:
    """The values within the wider of two fences: the quartiles and ``factor`` times what lies between them, and the 1st and 99th percentile."""
    if not values:
        return []
    ordered = sorted(values)
    first, third = quantile(ordered, 0.25), quantile(ordered, 0.75)
    low = min(first - factor * (third - first), quantile(ordered, 0.01))
    high = max(third + factor * (third - first), quantile(ordered, 0.99))
    return [value for value in values if low <= value <= high]


def quantile(ordered: Sequence[float], part: float) -> float:
    """By linear interpolation, R's type 7."""
    at = (len(ordered) - 1) * part
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)
