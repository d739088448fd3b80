# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Conflict, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet, merge
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, MemberView, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter

TRACKS = {"stable": ("web1",), "canary": ("web2",)}


def split(canary):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)})


@pytest.fixture
def planes():
    return {name: MemoryRouter(TRACKS) for name in ("lb1", "lb2", "lb3")}


def weights(planes):
    return [plane.read().weight("canary") for plane in planes.values()]


def test_it_can_what_all_can():
    few = MemoryRouter(TRACKS, capabilities=frozenset({Capability.WEIGHT}))
    few.resolution = 100
    fleet = Fleet({"lb1": MemoryRouter(TRACKS), "lb2": few})
    assert fleet.capabilities == {Capability.WEIGHT}
    assert fleet.resolution == 100


def test_what_all_of_them_cut_is_counted_and_each_warning_is_said_once(planes):
    for sessions, plane in enumerate(planes.values()):
        plane.read()
        plane.world["in_flight"]["web1"] = sessions
    fleet = Fleet(planes)
    assert fleet.cut(host for host in ["web1"]) == 3
    assert all(plane.observe(split(0)).members["web1"].in_flight == 0 for plane in planes.values())
    assert fleet.warnings() == []
    for name in ("lb1", "lb3"):
        planes[name].warnings = lambda: ["open"]
    assert fleet.warnings() == ["open"]


def test_all_take_a_step(planes):
    fleet = Fleet(planes)
    fleet.write(split(5))
    assert weights(planes) == [5, 5, 5]
    assert fleet.read().weight("canary") == 5
    assert fleet.observe(split(5)).applied


def test_one_that_does_not_answer_stops_the_step_before_any_is_touched(planes):
    planes["lb3"].world["faults"] = {"unreachable": True}
    with pytest.raises(Unavailable, match="lb3.*no load balancer was changed"):
        Fleet(planes).write(split(5))
    assert [plane.world["history"] for plane in (planes["lb1"], planes["lb2"])] == [[], []]


def test_a_refusal_puts_back_those_that_took_it(planes):
    fleet = Fleet(planes)
    fleet.write(split(5))
    planes["lb2"].world["faults"]["refuse"] = 1
    with pytest.raises(Unavailable, match="put back") as caught:
        fleet.write(split(20))
    assert "lb2" in str(caught.value)
    assert weights(planes) == [5, 5, 5]
    assert len(planes["lb1"].world["history"]) == 3
    assert len(planes["lb3"].world["history"]) == 1


def test_the_kind_of_a_refusal_is_kept(planes):
    def refuse(_want):
        raise Unsupported("not that", do="Do this.")

    planes["lb2"].write = refuse
    with pytest.raises(Unsupported, match=r"lb2: not that.*Do this"):
        Fleet(planes).write(split(20))


def test_what_cannot_be_put_back_is_named(planes):
    write = planes["lb1"].write

    def once(want):
        write(want)
        planes["lb1"].world["faults"]["refuse"] = 1

    planes["lb1"].write = once
    planes["lb2"].read()
    planes["lb2"].world["faults"]["refuse"] = 1
    with pytest.raises(Unavailable, match="not put back: lb1"):
        Fleet(planes).write(split(20))


def test_skew_is_named_and_can_be_read(planes):
    planes["lb2"].write(split(20))
    fleet = Fleet(planes)
    with pytest.raises(Conflict, match="lb2: .*lb1.*stable has 80 % instead of 100 %"):
        fleet.read()
    assert fleet.read_each()["lb2"].weight("canary") == 20
    fleet.write(split(20))
    assert fleet.read().weight("canary") == 20
    assert len(planes["lb2"].world["history"]) == 1


def test_a_rollback_goes_to_those_that_answer(planes):
    Fleet(planes).write(split(50))
    planes["lb1"].world["faults"]["unreachable"] = True
    failed = Fleet(planes).write_reachable(split(0))
    assert list(failed) == ["lb1"]
    planes["lb1"].world["faults"]["unreachable"] = False
    assert weights(planes) == [50, 0, 0]


def test_a_rollback_that_reaches_nobody_is_an_error(planes):
    for plane in planes.values():
        plane.world["faults"] = {"unreachable": True}
    with pytest.raises(Unavailable, match="lb1.*lb2.*lb3"):
        Fleet(planes).write_reachable(split(0))


def test_one_that_lags_is_waited_for_and_counters_are_summed(planes):
    for plane in planes.values():
        plane._traffic = 100
    planes["lb2"].read()
    planes["lb2"].world["faults"]["lag"] = 1
    fleet = Fleet(planes)
    fleet.write(split(20))
    first = fleet.observe(split(20))
    assert not first.applied
    assert first.why == "lb2: not in force yet"
    second = fleet.observe(split(20))
    assert second.applied
    assert second.requests == {"stable": 480, "canary": 120}
    planes["lb3"].restart()
    assert fleet.observe(split(20)).epoch != second.epoch


@pytest.mark.parametrize("states, merged", [
    (("up", "up"), "up"), (("drain", "drain"), "drain"), (("up", "drain"), "unknown"), (("up", "down"), "unknown"),
    (("drain", "down"), "down"), (("maint", "drain"), "maint"), (("unknown", "drain"), "unknown"),
])
def test_a_server_is_what_all_say(states, merged):
    assert merge([MemberView(state, in_flight=2) for state in states]) == MemberView(merged, in_flight=4)


def test_release_reaches_all(planes):
    Fleet(planes).release()
    assert weights(planes) == [0, 0, 0]
