# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Wilcoxon rank-sum test of Mann and Whitney with its interval, on numpy and scipy, which are loaded when it is used.

The p-value is scipy's, by the normal approximation at every n, with correction for continuity and ties. Neither scipy nor numpy have the interval of
the shift and its Hodges-Lehmann estimate: those are found as R's ``wilcox.test(conf.int = TRUE, exact = FALSE)`` documents it, by inverting
the test: a root of the standardized rank sum of the shifted sample, between the smallest and the largest difference that there is.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import MissingDependency

TOLERANCE = 1e-4
"""Of a root, as R has it; of data that lies within less than 1, as a part of its range."""


@dataclass(frozen=True)
class RankSum:
    """``estimate`` is how far the candidate is shifted against the baseline, ``low`` and ``high`` are its bounds.

    ``larger`` is the chance that a value of the candidate exceeds one of the baseline, ties counted half.
    """

    p: float
    estimate: float
    low: float
    high: float
    larger: float


def check_libraries() -> None:
    """Raise MissingDependency where :func:`libraries` would, without the time that loading takes."""
    if any(importlib.util.find_spec(name) is None for name in ("numpy", "scipy")):
        raise MissingDependency("scipy", needed_for="the judges mann_whitney and kayenta")


def libraries() -> tuple[Any, Any]:
    """(numpy, scipy.stats). Raises MissingDependency."""
    try:
        import numpy
        from scipy import stats
    except ImportError:
        raise MissingDependency("scipy", needed_for="the judges mann_whitney and kayenta") from None
    return numpy, stats


def compare(candidate: Sequence[float], baseline: Sequence[float], confidence: float = 0.98) -> RankSum:
    """The test and its two-sided interval; both samples hold finite values, one at least. Raises MissingDependency."""
    numpy, stats = libraries()
    ours, theirs = numpy.sort(numpy.asarray(candidate, dtype=float)), numpy.sort(numpy.asarray(baseline, dtype=float))
    larger = _above(numpy, ours, theirs) / (len(ours) * len(theirs))
    if ours[0] == ours[-1] and theirs[0] == theirs[-1]:
        shift = float(ours[0] - theirs[0])  # two constants: there is no spread to test with, and nothing to doubt
        return RankSum(1.0 if shift == 0 else 0.0, shift, shift, shift, larger)
    p = float(stats.mannwhitneyu(ours, theirs, use_continuity=True, alternative="two-sided", method="asymptotic").pvalue)
    shifted = _Shifted(numpy, ours, theirs)
    z = float(stats.norm.isf((1 - confidence) / 2))
    return RankSum(p, shifted.root(0.0, 0.0), shifted.root(z, 0.5), shifted.root(-z, -0.5), larger)


def _above(numpy: Any, ours: Any, theirs: Any) -> float:
    """In how many pairs ours is larger, ties counted half."""
    return float(numpy.searchsorted(theirs, ours, "left").sum() + numpy.searchsorted(theirs, ours, "right").sum()) / 2


class _Shifted:
    """The standardized rank sum of the candidate, less a shift. It falls as the shift grows."""

    def __init__(self, numpy: Any, ours: Any, theirs: Any) -> None:
        self.numpy, self.ours, self.theirs = numpy, ours, theirs
        self.smallest, self.largest = float(ours[0] - theirs[-1]), float(ours[-1] - theirs[0])

    def z(self, shift: float, correction: float) -> float:
        numpy, moved = self.numpy, self.ours - shift
        n, m = len(moved), len(self.theirs)
        _values, ties = numpy.unique(numpy.concatenate((moved, self.theirs)), return_counts=True)
        ties = ties.astype(float)
        variance = n * m / 12 * (n + m + 1 - float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1)))
        off = _above(numpy, moved, self.theirs) - n * m / 2 - correction
        if variance <= 0:
            return math.copysign(math.inf, off) if off else 0.0
        return off / math.sqrt(variance)

    def root(self, wanted: float, correction: float) -> float:
        """The shift at which the rank sum is ``wanted``; the end of what is possible where it is not reached."""

        def missing(shift: float) -> float:
            return self.z(shift, correction) - wanted

        at_smallest, at_largest = missing(self.smallest), missing(self.largest)
        if at_smallest <= 0:
            return self.smallest
        if at_largest >= 0:
            return self.largest
        return brent(missing, self.smallest, self.largest, at_smallest, at_largest, TOLERANCE * min(1.0, self.largest - self.smallest))


def brent(f: Callable[[float], float], a: float, b: float, fa: float, fb: float, tolerance: float) -> float:
    """A root between ``a`` and ``b`` by Brent's method (Algorithms for Minimization Without Derivatives, 1973, chapter 4).

    ``f`` is a step function here, and may be 0 on a whole stretch: which point of it is found depends on the way there, so the
    way is the book's, bisections, secants and inverse parabolas by its rules.
    """
    c, fc = a, fa
    for _turn in range(1000):
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        least = 2 * 2.220446049250313e-16 * abs(b) + tolerance / 2
        step, before = (c - b) / 2, b - a
        if abs(step) <= least or fb == 0:
            break
        if abs(before) >= least and abs(fa) > abs(fb) and math.isfinite(fa) and math.isfinite(fc):
            p, q = _interpolated(a, b, c, fa, fb, fc)
            if p < 0.75 * (c - b) * q - abs(least * q) / 2 and p < abs(before * q / 2):
                step = p / q
        if abs(step) < least:
            step = least if step > 0 else -least
        a, fa = b, fb
        b += step
        fb = f(b)
        if (fb > 0) == (fc > 0) and fb != 0 and fc != 0:
            c, fc = a, fa
    return b


def _interpolated(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> tuple[float, float]:
    """The next step as a fraction with a numerator that is not negative: linear with two points, else inverse quadratic."""
    wide = c - b
    if a == c:
        s = fb / fa
        p, q = wide * s, 1 - s
    else:
        q, s, t = fa / fc, fb / fc, fb / fa
        p = t * (wide * q * (q - s) - (b - a) * (s - 1))
        q = (q - 1) * (s - 1) * (t - 1)
    return (p, -q) if p > 0 else (-p, q)
