# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large is the difference, and were visitors split as they should have been? Both may be asked at every look.

The interval is an asymptotic confidence sequence, Robbins' normal mixture with the variance as it is seen: Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics 2024). It holds for all looks together once
there are some dozens of conversions; what decides is the test of :mod:`.trial`, which is exact.

The split is held against the wanted one by the chi-square test. One that is looked at again and again finds something in the end, so the sequential
form of it must agree: Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022), a Dirichlet mixture over the split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evidence import Counts

MISMATCH = 0.001
"""Below this p a split is called wrong."""
FIRM = 1000.0
"""How firmly the mixture over splits believes in the wanted one, in visitors: for small mismatches of large tests."""


@dataclass(frozen=True)
class Effect:
    """The difference of the shares, candidate minus stable, with bounds that hold at all looks together."""

    difference: float
    low: float
    high: float


def effect(total: Counts, alpha: float, mde: float) -> Effect:
    """The difference and its bounds; both variants have visitors. Narrowest for the number of visitors that ``mde`` takes to find."""
    difference = total.bad / total.requests - total.base_bad / total.base_requests
    variance = _variance(total.bad, total.requests) + _variance(total.base_bad, total.base_requests)
    prior = mde * mde
    reach = math.sqrt(variance * (1 + variance / prior) * (2 * math.log(1 / alpha) + math.log1p(prior / variance)))
    return Effect(difference, max(-1.0, difference - reach), min(1.0, difference + reach))


def _variance(good: int, visitors: int) -> float:
    share = (good + 0.5) / (visitors + 1)
    return share * (1 - share) / visitors


@dataclass(frozen=True)
class Split:
    """How likely a split at least as far off is: ``p`` at one look, ``always`` at any of many."""

    p: float
    always: float

    @property
    def wrong(self) -> bool:
        return max(self.p, self.always) < MISMATCH


def split(total: Counts, part: float) -> Split:
    """Whether ``part`` of all visitors, as wanted, came to the candidate."""
    ours, theirs = total.requests, total.base_requests
    visitors = ours + theirs
    if not visitors:
        return Split(1.0, 1.0)
    square = (ours - part * visitors) ** 2 / (part * (1 - part) * visitors)
    mine, other = FIRM * part, FIRM * (1 - part)
    log = (math.lgamma(mine + ours) - math.lgamma(mine) + math.lgamma(other + theirs) - math.lgamma(other)
           - math.lgamma(FIRM + visitors) + math.lgamma(FIRM) - ours * math.log(part) - theirs * math.log1p(-part))
    return Split(math.erfc(math.sqrt(square / 2)), math.exp(-max(0.0, log)))
