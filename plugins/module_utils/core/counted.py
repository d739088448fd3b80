# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests a value was made from, as a source says it. Pure."""

from __future__ import annotations

import math

from .errors import NoData, Unavailable


def whole(count: float, where: str) -> int:
    """The number of requests; sources that extrapolate give fractions.

    Raises Unavailable for what is no number of requests. NoData for none at all: a value made from no requests is none, whatever 0 / 0 is there.
    """
    if not math.isfinite(count) or count < 0:
        raise Unavailable(f"{count:g} is no number of requests", where=where)
    if count < 0.5:
        raise NoData("made from no requests at all", where=where)
    return int(count + 0.5)
