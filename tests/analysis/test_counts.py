# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact tests and bounds on counts against scipy."""

from __future__ import annotations

import random

import pytest
from scipy import special, stats

from ansible_collections.progressive.delivery.plugins.module_utils.core.sequential import share_bounds
from ansible_collections.progressive.delivery.plugins.module_utils.core.tails import beta_tail, fisher, gamma_tail, poisson, rate_interval, share_interval


def tables(seed: int, count: int) -> list[tuple[int, int, int, int]]:
    rng = random.Random(seed)
    made = []
    for _turn in range(count):
        largest = rng.choice((10, 100, 10_000, 1_000_000))
        n, base_n = rng.randint(1, largest), rng.randint(1, largest)
        made.append((rng.randint(0, min(n, rng.choice((5, 300)))), n, rng.randint(0, min(base_n, rng.choice((5, 300)))), base_n))
    return made


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= 1e-7 * theirs + 1e-14


@pytest.mark.parametrize("seed", range(4))
def test_fisher(seed: int) -> None:
    for bad, n, base_bad, base_n in tables(seed, 100):
        table = [[bad, n - bad], [base_bad, base_n - base_bad]]
        assert close(fisher(bad, n, base_bad, base_n), stats.fisher_exact(table, alternative="greater").pvalue), table
        assert close(fisher(bad, n, base_bad, base_n, two_sided=True), stats.fisher_exact(table).pvalue), table


@pytest.mark.parametrize("seed", range(2))
def test_poisson_and_both_intervals(seed: int) -> None:
    for events, n, base_events, base_n in tables(10 + seed, 100):
        if events + base_events:
            part = n / (n + base_n)
            assert close(poisson(events, n, base_events, base_n), stats.binomtest(events, events + base_events, part, alternative="greater").pvalue)
            less = stats.binomtest(events, events + base_events, part, alternative="less").pvalue
            assert close(poisson(events, n, base_events, base_n, two_sided=True), min(1.0, 2 * min(poisson(events, n, base_events, base_n), less)))
        exact = stats.binomtest(events, n).proportion_ci(0.95, method="exact")
        assert share_interval(events, n, 0.05) == pytest.approx((exact.low, exact.high), rel=1e-7, abs=1e-12)
        low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
        assert rate_interval(events, 1, 0.05) == pytest.approx((low, stats.chi2.ppf(0.975, 2 * events + 2) / 2), rel=1e-7)


def test_the_functions_behind_them() -> None:
    rng = random.Random(5)
    for _turn in range(500):
        a, b, x = rng.choice((0.5, 1, 3, 40, 5000)) * rng.random() + 0.1, rng.choice((1, 30, 9000)) * rng.random() + 0.1, rng.random()
        assert beta_tail(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-14)
        mean = rng.choice((0.1, 5, 500)) * rng.random() + 1e-6
        assert gamma_tail(a, mean) == pytest.approx(special.gammainc(a, mean), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize(("bad", "n"), [(0, 10), (3, 40), (10, 10), (7, 100_000)])
def test_always_valid_bounds_are_where_the_mixture_reaches_the_limit(bad: int, n: int) -> None:
    mixed = special.betaln(bad + 0.5, n - bad + 0.5) - special.betaln(0.5, 0.5)
    for bound in share_bounds(bad, n, 0.05):
        if 0 < bound < 1:
            assert mixed - special.xlogy(bad, bound) - special.xlog1py(n - bad, -bound) == pytest.approx(-special.log1p(0.05 - 1), rel=1e-4)


def test_always_valid_bounds_are_wider_than_those_of_one_look() -> None:
    for bad, n in ((0, 10), (3, 40), (10, 10), (7, 100_000)):
        low, high = share_bounds(bad, n, 0.05)
        once = share_interval(bad, n, 0.05)
        assert low <= once[0] and once[1] <= high
