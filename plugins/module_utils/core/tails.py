# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact tests and bounds on counts, by the standard library alone.

Fisher's exact test is the tail of a hypergeometric distribution. Two Poisson counts, given their sum, are a binomial one (Przyborowski and
Wilenski 1940). Bounds of one share are Clopper and Pearson's (1934), of one Poisson mean Garwood's (1936).
"""

from __future__ import annotations

import math
from collections.abc import Callable

TINY = 1e-300


def fisher(bad: int, n: int, base_bad: int, base_n: int, *, two_sided: bool = False) -> float:
    """The chance of so many bad ones among the ``n``, or more, given all the sums; two-sided: of anything as unlikely."""
    drawn, whole = bad + base_bad, n + base_n
    lowest, highest = max(0, drawn - base_n), min(drawn, n)

    def ratio(at: int) -> float:
        """The chance of ``at`` + 1 over that of ``at``."""
        return (n - at) * (drawn - at) / ((at + 1) * (base_n - drawn + at + 1))

    here = math.exp(_choose(n, bad) + _choose(base_n, base_bad) - _choose(whole, drawn))
    if here == 0.0:  # beyond every float: no more can be said
        return 0.0 if bad * whole > n * drawn or two_sided else 1.0
    above, below = _sum(here, bad, highest, ratio), _sum(here, bad, lowest, lambda at: 1 / ratio(at - 1), -1)
    if not two_sided:
        return min(1.0, here + above[0])
    # what lies on the other side, and is no more likely than what was seen
    limit = here * (1 + 1e-7)
    return min(1.0, here + sum(sum(term for term in side if term <= limit) for side in (above[1], below[1])))


def poisson(events: int, n: float, base_events: int, base_n: float, *, two_sided: bool = False) -> float:
    """The chance of so many events in ``n``, or more, given the sum of both, when the rates are equal; two-sided: twice the smaller tail."""
    drawn, part = events + base_events, n / (n + base_n)
    upper = 1.0 if not events else beta_tail(events, base_events + 1, part)
    if not two_sided:
        return upper
    lower = 1.0 if events == drawn else 1.0 - beta_tail(events + 1, drawn - events, part)
    return min(1.0, 2 * min(upper, lower))


def share_interval(bad: int, n: int, alpha: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share."""
    low = 0.0 if not bad else _solve(lambda share: beta_tail(bad, n - bad + 1, share), alpha / 2, 0.0, bad / n)
    high = 1.0 if bad == n else _solve(lambda share: beta_tail(bad + 1, n - bad, share), 1 - alpha / 2, bad / n, 1.0)
    return low, high


def rate_interval(events: int, n: float, alpha: float) -> tuple[float, float]:
    """Garwood's bounds of events per one of ``n``."""
    most = events + 12 * math.sqrt(events + 25.0) + 60
    low = 0.0 if not events else _solve(lambda mean: gamma_tail(events, mean), alpha / 2, 0.0, float(events))
    return low / n, _solve(lambda mean: gamma_tail(events + 1, mean), 1 - alpha / 2, float(events), most) / n


def beta_tail(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function I_x(a, b): the chance of ``a`` or more in a + b - 1 tries of chance ``x``."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, evaluated from the front (Lentz)."""
    result, upper, lower = 1.0, 1.0, _kept(1 - (a + b) * x / (a + 1))
    lower = result = 1 / lower
    for turn in range(1, 100_000):
        for term in (turn * (b - turn) * x / ((a + 2 * turn - 1) * (a + 2 * turn)), -(a + turn) * (a + b + turn) * x / ((a + 2 * turn) * (a + 2 * turn + 1))):
            lower, upper = 1 / _kept(1 + term * lower), _kept(1 + term / upper)
            result *= lower * upper
        if abs(lower * upper - 1) < 1e-15:
            break
    return result


def gamma_tail(a: float, x: float) -> float:
    """The regularized incomplete gamma function P(a, x): the chance of ``a`` or more events where ``x`` are expected."""
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        at = a
        while term > total * 1e-17:
            at += 1
            term *= x / at
            total += term
        return min(1.0, front * total)
    below = x + 1 - a
    upper, lower = 1 / TINY, 1 / below
    result = lower
    for turn in range(1, 100_000):
        term = -turn * (turn - a)
        below += 2
        lower, upper = 1 / _kept(term * lower + below), _kept(below + term / upper)
        result *= lower * upper
        if abs(lower * upper - 1) < 1e-15:
            break
    return 1.0 - front * result


def _kept(value: float) -> float:
    return value if abs(value) > TINY else TINY


def _solve(tail: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a rising ``tail`` is ``wanted``, by bisection."""
    for _turn in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if tail(middle) < wanted else (low, middle)
    return (low + high) / 2


def _sum(first: float, start: int, end: int, ratio: Callable[[int], float], step: int = 1) -> tuple[float, list[float]]:
    """(sum, terms) of what follows ``first`` up to ``end``; it stops where terms no longer count."""
    terms: list[float] = []
    term, total, at = first, 0.0, start
    while at != end:
        factor = ratio(at)
        term *= factor
        at += step
        terms.append(term)
        total += term
        if factor < 1 and term < 1e-18 * (first + total):
            break
    return total, terms


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
