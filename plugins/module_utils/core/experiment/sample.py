# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many visitors an A/B test takes: for one look at the end, and for a test that may be looked at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..sequential import normal_quantile
from .trial import GUESSES

NEIGHBOURS = 2.6
"""About so many of the guesses speak for a difference together: found by simulation, and only for how much evidence is planned."""


@dataclass(frozen=True)
class Needed:
    """Visitors of both variants together. ``once``: for one look at the end; ``always``: for as many looks as one likes."""

    once: int
    always: int

    @property
    def inflation(self) -> float:
        """How many times as many visitors the freedom to look costs at most. Where the difference is larger than planned it ends earlier."""
        return self.always / self.once


def needed(share: float, mde: float, *, alpha: float = 0.05, power: float = 0.8, part: float = 0.5) -> Needed:
    """To find that ``share`` became ``share + mde`` with chance ``power``, when ``part`` of the visitors see the candidate; two-sided ``alpha``."""
    share = min(max(share, 1e-9), 1 - 1e-9)
    theirs, ours = (share, share + mde) if share + mde < 1 else (share, share - mde)
    apart = abs(ours - theirs)
    ours = min(max(ours, 1e-9), 1 - 1e-9)
    return Needed(_once(theirs, ours, apart, alpha, power, part), _always(theirs, ours, apart, alpha, power, part))


def _once(theirs: float, ours: float, apart: float, alpha: float, power: float, part: float) -> int:
    """Two proportions, normal approximation, pooled variance where they are equal (Fleiss, Levin and Paik 2003, without their correction)."""
    ratio = part / (1 - part)  # the candidate's visitors for each of stable's
    pooled = (theirs + ratio * ours) / (1 + ratio)
    equal = math.sqrt((1 + 1 / ratio) * pooled * (1 - pooled))
    apart_by = math.sqrt(theirs * (1 - theirs) + ours * (1 - ours) / ratio)
    of_stable = ((-normal_quantile(alpha / 2) * equal - normal_quantile(1 - power) * apart_by) / apart) ** 2
    return math.ceil(of_stable) + math.ceil(of_stable * ratio)


def _always(theirs: float, ours: float, apart: float, alpha: float, power: float, part: float) -> int:
    """The evidence of a guess grows by a mean and a variance with each visitor; it must have crossed the border in ``power`` of the tests."""
    border, z = math.log(2 * len(GUESSES) / NEIGHBOURS / alpha), -normal_quantile(1 - power)
    best = min(((z * guess + math.sqrt((z * guess) ** 2 + 4 * mean * border)) / (2 * mean)) ** 2
               for guess in GUESSES for mean in [guess - guess * guess / 2] if mean > 0)
    information = best / apart**2
    return math.ceil(information * (ours * (1 - ours) / part + theirs * (1 - theirs) / (1 - part)))
