# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients import haproxy_pool as pool
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import Server
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Member, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.shares import REACHED, shares


def server(name, weight=100, initial=100, operation=2, admin=0):
    return Server(name, operation, admin, weight, initial)


def split(canary, members=None):
    return Routes({"stable": FULL - Fraction(canary), "canary": Fraction(canary)}, members or {})


def farm(stable=2, canary=2, **options):
    tracks = {"stable": tuple(f"s{index}" for index in range(stable)), "canary": tuple(f"c{index}" for index in range(canary))}
    return tracks, {host: server(host, **options) for hosts in tracks.values() for host in hosts}


def share(tracks, servers, track="canary"):
    return shares(pool.sums(tracks, servers)).get(track, Fraction(0))


def became(servers, targets, hosts):
    """The servers after the commands of these hosts."""
    result = dict(servers)
    for host in hosts:
        old, target = result[host], targets[host]
        admin = {"ready": 0, "drain": 8, "maint": 1, None: old.admin}[target.state]
        result[host] = Server(old.name, old.operation, admin, old.weight if target.weight is None else target.weight, old.initial)
    return result


@pytest.mark.parametrize("canary", ["1", "5", "10", "20", "33", "50", "97"])
def test_whole_per_cents_of_equal_servers_are_exact(canary):
    tracks, servers = farm(1, 1)
    targets, error = pool.plan(split(canary), tracks, servers)
    assert error == 0
    assert share(tracks, became(servers, targets, targets)) == int(canary)


def test_the_ends_are_the_configured_weights():
    tracks, servers = farm(2, 1, weight=13, initial=40)
    targets, _error = pool.plan(split(0), tracks, servers)
    assert [targets[host].weight for host in ("s0", "s1", "c0")] == [40, 40, 0]


def test_servers_share_by_their_configured_weight_and_0_counts_as_the_largest():
    tracks = {"stable": ("big", "small"), "canary": ("new",)}
    servers = {"big": server("big", initial=100), "small": server("small", initial=50), "new": server("new", 0, 0)}
    targets, _error = pool.plan(split(50), tracks, servers)
    assert targets["big"].weight == 2 * targets["small"].weight
    assert targets["new"].weight == targets["big"].weight + targets["small"].weight


def test_a_share_too_small_for_whole_weights_is_seen():
    tracks, servers = farm(1, 10)
    _targets, error = pool.plan(split(1), tracks, servers)
    assert error > REACHED


def test_servers_that_are_down_do_not_count_and_get_the_weight_of_their_kind():
    tracks, servers = farm(2, 2)
    servers["c1"] = server("c1", operation=0)
    targets, _error = pool.plan(split(50), tracks, servers)
    assert targets["c0"].weight == targets["c1"].weight == 2 * targets["s0"].weight


def test_without_members_states_are_left_alone_and_drained_servers_stay_out():
    tracks, servers = farm(2, 2)
    servers["s1"] = server("s1", admin=8)
    targets, _error = pool.plan(split(50), tracks, servers)
    assert targets["s1"] == pool.Target(None, None)
    assert 2 * targets["c0"].weight == targets["s0"].weight


def test_a_drained_server_comes_back_with_the_right_weight_before_it_is_ready():
    tracks, servers = farm(1, 1)
    servers["c0"] = server("c0", weight=256, admin=8)
    targets, _error = pool.plan(split(20, {"canary": (Member("c0"),)}), tracks, servers)
    assert pool.commands("shop", servers["c0"], targets["c0"]) == [f"set weight shop/c0 {targets['c0'].weight}", "set server shop/c0 state ready"]


def test_what_is_in_maintenance_is_drained_enough():
    tracks, servers = farm(2, 1)
    servers["s1"] = server("s1", admin=1)
    targets, _error = pool.plan(split(0, {"stable": (Member("s0"), Member("s1", Fraction(0)))}), tracks, servers)
    assert pool.commands("shop", servers["s1"], targets["s1"]) == []


def test_traffic_for_servers_that_are_all_out_is_refused():
    tracks, servers = farm(1, 1)
    with pytest.raises(ConfigError, match="out of rotation"):
        pool.plan(split(20, {"canary": (Member("c0", Fraction(0)),)}), tracks, servers)


def test_a_server_belongs_to_one_track():
    with pytest.raises(ConfigError, match="in stable and in canary"):
        pool.tracks_of(split(20, {"canary": (Member("web1"),)}), {"stable": ("web1",), "canary": ()}, {})


weights = st.integers(0, 256)
sizes = st.integers(1, 5)
percent = st.one_of(st.integers(0, 100).map(Fraction), st.integers(0, 1000).map(lambda number: Fraction(number, 10)))


@given(st.tuples(weights, sizes), st.tuples(weights, sizes), percent)
def test_on_the_way_nothing_is_starved_and_no_track_gets_more_than_it_shall(stable, canary, wanted):
    tracks, _servers = farm(stable[1], canary[1])
    live = {host: weight for track, weight in (("stable", stable[0]), ("canary", canary[0])) for host in tracks[track]}
    servers = {host: server(host, weight) for host, weight in live.items()}
    targets, error = pool.plan(split(wanted), tracks, servers)
    if error > REACHED:
        return
    rises, falls = pool.order(tracks, servers, targets)
    assert sorted(rises + falls) == sorted(live)
    before, final = share(tracks, servers), share(tracks, became(servers, targets, targets))
    assert abs(final - wanted) <= REACHED
    assert (final == 0) == (wanted == 0)
    for step in range(1, len(live) + 1):
        now = became(servers, targets, (rises + falls)[:step])
        if any(live.values()):
            assert sum(pool.sums(tracks, now).values()) > 0
            gaining, top = ("canary", max(before, final)) if final >= before else ("stable", FULL - min(before, final))
            assert share(tracks, now, gaining) <= top + Fraction(1, 50)  # shares are rounded to a hundredth
    assert pool.lacking(split(wanted), tracks, became(servers, targets, targets)) == ""
    again, _error = pool.plan(split(wanted), tracks, became(servers, targets, targets))
    assert again == targets


@given(st.lists(st.sampled_from([0, 10, 25, 50, 100]), min_size=1, max_size=4).filter(any), st.integers(1, 99))
def test_ramps_are_read_back(ramps, wanted):
    tracks = {"stable": ("s0", "s1"), "canary": tuple(f"c{index}" for index in range(len(ramps)))}
    servers = {host: server(host) for hosts in tracks.values() for host in hosts}
    members = tuple(Member(host, Fraction(ramp)) for host, ramp in zip(tracks["canary"], ramps))
    want = split(wanted, {"canary": members})
    targets, error = pool.plan(want, tracks, servers)
    if error > REACHED:
        return
    servers = became(servers, targets, targets)
    assert pool.lacking(want, tracks, servers) == ""
    found = pool.members(tracks["canary"], servers)
    assert [bool(member.ramp) for member in found] == [bool(ramp) for ramp in ramps]


def test_lacking_is_words_even_when_a_whole_track_is_out():
    tracks, servers = farm(1, 1)
    servers["c0"] = server("c0", admin=8)
    assert pool.lacking(split(50), tracks, servers) == "stable has 100 % instead of 50 % (c0 drain)"


def test_lacking_names_what_is_down():
    tracks, servers = farm(1, 2)
    targets, _error = pool.plan(split(50), tracks, servers)
    servers = became(servers, targets, targets)
    servers["c1"] = server("c1", servers["c1"].weight, operation=0)
    assert pool.lacking(split(50), tracks, servers) == "stable has 66.67 % instead of 50 % (c1 down)"
