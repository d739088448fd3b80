# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Third stage of the judge ``kayenta``: one metric's values to one label.

A metric is high when the whole interval of the shift lies above a quarter of its estimate, and the effect is at least what is allowed; low mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..clients.rank_sum import RankSum, compare

PASS, HIGH, LOW, NODATA, NODATA_FAIL, ERROR = "pass", "high", "low", "nodata", "nodata_fail", "error"
MEAN_RATIO, CLES = "mean_ratio", "cles"


@dataclass(frozen=True)
class Effect:
    """How large a shift must be. ``size``: mean_ratio or cles; without bounds of its own a ratio is held against 1, a cles against a half."""

    size: str = MEAN_RATIO
    allowed_increase: Optional[float] = None
    allowed_decrease: Optional[float] = None
    critical_increase: Optional[float] = None
    critical_decrease: Optional[float] = None

    @property
    def neutral(self) -> float:
        return 1.0 if self.size == MEAN_RATIO else 0.5


@dataclass(frozen=True)
class Label:
    """The state of one metric, why, and whether it is bad enough to decide alone."""

    state: str
    reason: str
    critical: bool = False
    test: Optional[RankSum] = None
    effect: Optional[float] = None


def classify(
    candidate: Sequence[float], baseline: Sequence[float], *, direction: str = "either", effect: Effect = Effect(), tolerance: float = 0.25,
    confidence: float = 0.98, must_have_data: bool = False, replaced: bool = False,
) -> Label:
    """The label of two cleaned sides. ``replaced``: values that are no number became 0, so that nothing left is no missing data."""
    if not candidate or not baseline:
        if replaced:
            return Label(PASS, "nothing on a side")
        empty = " and ".join(name for name, values in (("canary", candidate), ("baseline", baseline)) if not values)
        return Label(NODATA_FAIL if must_have_data else NODATA, f"no data of the {empty}")
    if sorted(candidate) == sorted(baseline):
        return Label(PASS, "both sides are the same")
    if len({*candidate, *baseline}) == 1:
        return Label(PASS, "one and the same value on both sides")
    found = compare(candidate, baseline, confidence)
    beyond = tolerance * abs(found.estimate)
    size = effect_size(candidate, baseline, effect.size, found)
    up, down = direction in ("increase", "either"), direction in ("decrease", "either")
    if up and found.low > beyond and _at_least(size, effect.allowed_increase, effect.neutral):
        critical = size is not None and effect.critical_increase is not None and size >= effect.critical_increase
        return Label(HIGH, _words("higher", found, size, effect), critical, found, size)
    if down and found.high < -beyond and _at_most(size, effect.allowed_decrease, effect.neutral):
        critical = size is not None and effect.critical_decrease is not None and size <= effect.critical_decrease
        return Label(LOW, _words("lower", found, size, effect), critical, found, size)
    return Label(PASS, _words("no shift beyond doubt", found, size, effect), False, found, size)


def effect_size(candidate: Sequence[float], baseline: Sequence[float], kind: str, found: RankSum) -> Optional[float]:
    """The effect; None where a mean of 0 makes no ratio."""
    if kind == CLES:
        return found.larger
    mean, base_mean = sum(candidate) / len(candidate), sum(baseline) / len(baseline)
    return mean / base_mean if mean and base_mean else None


def _at_least(size: Optional[float], allowed: Optional[float], neutral: float) -> bool:
    return size is None or size >= (neutral if allowed is None else allowed)


def _at_most(size: Optional[float], allowed: Optional[float], neutral: float) -> bool:
    return size is None or size <= (neutral if allowed is None else allowed)


def _words(what: str, found: RankSum, size: Optional[float], effect: Effect) -> str:
    shown = "" if size is None else f", {effect.size.replace('_', ' ')} {size:.3g}"
    return f"{what}, {found.low:.4g} to {found.high:.4g}, p {found.p:.2g}{shown}"
