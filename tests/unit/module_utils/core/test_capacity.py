# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import batches, carries, needed, unavailable_and_surge
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded


@bounded(300)
@given(st.integers(0, 100).map(Fraction) | st.fractions(0, 100), st.integers(1, 500))
def test_needed_hosts_are_just_enough(share, full):
    count = needed(share, full)
    assert carries(count, full) >= share
    assert count == 0 or carries(count - 1, full) < share


def test_nothing_carries_nothing():
    assert (carries(0, 5), carries(5, 5), carries(9, 5), carries(1, 0), carries(0, 0)) == (0, 100, 100, 100, 0)


@pytest.mark.parametrize("unavailable, surge, total, wanted", [
    ("25%", "25%", 10, (2, 3)), ("25%", "25%", 3, (0, 1)), ("1%", "0%", 3, (1, 0)), (0, 1, 5, (0, 1)), (2, 0, 5, (2, 0)), ("50%", "50%", 4, (2, 2)),
])
def test_unavailable_rounds_down_and_surge_up(unavailable, surge, total, wanted):
    assert unavailable_and_surge(unavailable, surge, total) == wanted


@pytest.mark.parametrize("unavailable, surge", [(0, 0), ("0%", 0), ("0", "0%")])
def test_both_0_could_never_move(unavailable, surge):
    with pytest.raises(ConfigError, match="both 0"):
        unavailable_and_surge(unavailable, surge, 10, "here")


sizes = st.lists(st.one_of(st.integers(0, 20), st.integers(0, 100).map(lambda share: f"{share}%")), max_size=5)


@bounded(300)
@given(st.lists(st.lists(st.integers(), max_size=12), max_size=5), sizes, st.integers(1, 30))
def test_batches_hold_every_host_once_in_order_never_too_many_and_of_one_zone(zones, wanted, most):
    hosts = [[f"{number}-{index}" for index, _host in enumerate(zone)] for number, zone in enumerate(zones)]
    made = batches(hosts, wanted, most)
    assert [host for batch in made for host in batch] == [host for zone in hosts for host in zone]
    assert all(0 < len(batch) <= most for batch in made)
    assert all(len({host.split("-")[0] for host in batch}) == 1 for batch in made)


def test_sizes_go_on_from_zone_to_zone():
    assert batches(["abc", "def"], [1, "50%"], 6) == [("a",), ("b", "c"), ("d", "e", "f")]
