# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rank-sum test against scipy and R, at every scale."""

from __future__ import annotations

import sys

import numpy
import pytest
from scipy import stats

from ansible_collections.progressive.delivery.plugins.module_utils.clients.rank_sum import compare
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import MissingDependency
from ansible_collections.progressive.delivery.tests.analysis.wilcox_by_r import VECTORS


@pytest.mark.parametrize(("name", "ours", "theirs", "p", "estimate", "low", "high"), VECTORS, ids=[vector[0] for vector in VECTORS])
def test_as_r(name: str, ours: list[float], theirs: list[float], p: float, estimate: float, low: float, high: float) -> None:
    found = compare(ours, theirs, 0.98)
    assert found.p == pytest.approx(p, abs=1e-9)
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, low, high), rel=1e-12, abs=1e-4)


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e6, 1e12])
@pytest.mark.parametrize("vector", [each for each in VECTORS if each[0].startswith(("normal", "latency", "negative", "three"))], ids=lambda each: each[0])
def test_at_every_scale(vector: tuple, scale: float) -> None:  # type: ignore[type-arg]
    """R's own root is only good to 1e-4 whatever the data: what lies within less is found as if it were larger."""
    found = compare([scale * value for value in vector[1]], [scale * value for value in vector[2]], 0.98)
    near = 1e-4 * (max(*vector[1], *vector[2]) - min(*vector[1], *vector[2]))
    assert found.p == pytest.approx(vector[3], abs=1e-6)
    assert (found.low / scale, found.high / scale) == pytest.approx(vector[5:], abs=2 * near)


@pytest.mark.parametrize("seed", range(20))
def test_p_as_scipys(seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    ours, theirs = rng.poisson(3, rng.integers(2, 60)), rng.poisson(4, rng.integers(2, 60))
    found = compare(ours.tolist(), theirs.tolist())
    assert found.p == pytest.approx(stats.mannwhitneyu(ours, theirs, method="asymptotic").pvalue, abs=1e-12)
    assert found.low <= found.estimate <= found.high
    assert found.larger == pytest.approx((ours[:, None] > theirs).mean() + 0.5 * (ours[:, None] == theirs).mean())


@pytest.mark.parametrize("seed", range(10))
def test_the_interval_is_the_tests_own_inversion(seed: int) -> None:
    """A shift inside of the interval is not refused by the test of the shifted sample, one well outside is."""
    rng = numpy.random.default_rng(100 + seed)
    ours, theirs = rng.lognormal(3, 0.4, 40), rng.lognormal(2.8, 0.4, 50)
    found = compare(ours.tolist(), theirs.tolist(), 0.98)
    wide = found.high - found.low
    for shift, inside in ((found.low + 0.02 * wide, True), (found.high - 0.02 * wide, True), (found.low - 0.1 * wide, False), (found.high + 0.1 * wide, False)):
        assert (stats.mannwhitneyu(ours - shift, theirs, method="asymptotic").pvalue > 0.02) == inside


def test_constants_and_turned_round() -> None:
    assert (compare([5, 5], [3, 3]).low, compare([5, 5], [3, 3]).high, compare([5], [3, 3, 3]).estimate) == (2, 2, 2)
    one, other = compare([1, 4, 6, 9, 3.5], [2, 2.5, 7, 1.5]), compare([2, 2.5, 7, 1.5], [1, 4, 6, 9, 3.5])
    assert one.p == pytest.approx(other.p) and one.low == pytest.approx(-other.high, abs=1e-3) and one.larger == pytest.approx(1 - other.larger)


def test_a_missing_scipy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingDependency, match="pip install scipy"):
        compare([1.0], [2.0])
