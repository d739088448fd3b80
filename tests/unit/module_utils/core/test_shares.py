# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.shares import Group, reached, shares, whole_weights


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 10**6), min_size=1, max_size=5).filter(lambda found: any(found.values())))
def test_shares_sum_to_exactly_100_and_none_is_lost(found):
    result = shares(found)
    assert sum(result.values()) == 100
    assert all((share > 0) == (found[track] > 0) for track, share in result.items())


def test_no_weight_is_no_share():
    assert shares({"stable": 0, "canary": 0}) == {}


@given(st.integers(1, 99), st.integers(1, 30), st.integers(1, 30))
def test_weights_lie_in_range_and_say_how_far_they_miss(wanted, stable, canary):
    groups = [Group("stable", Fraction(100 - wanted), 1, stable), Group("canary", Fraction(wanted), 1, canary)]
    weights, error = whole_weights(groups, 256)
    assert all(1 <= weight <= 256 for weight in weights)
    live = shares({"stable": weights[0] * stable, "canary": weights[1] * canary})
    assert abs(abs(live["canary"] - wanted) - error) <= Fraction(1, 100)


def test_servers_that_take_no_traffic_get_a_weight_and_do_not_count():
    groups = [Group("a", Fraction(50), 1, 1), Group("a", Fraction(50), 2, 0), Group("b", Fraction(50), 1, 1)]
    weights, error = whole_weights(groups, 256)
    assert (weights[1], error) == (256, 0)
    assert weights[0] == weights[2] == 128


@pytest.mark.parametrize("wanted, live, good", [(5, "5.5", True), (5, "5.51", False), (0, 0, True), (0, "0.01", False), (1, 0, False), ("0.3", 0, False)])
def test_reached(wanted, live, good):
    assert reached(Fraction(wanted), Fraction(live)) is good
