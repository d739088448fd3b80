# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter

TRACKS = {"stable": ("web1",), "canary": ("web2",)}


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def made(**options):
    return MemoryRouter.from_options(validate(options, MemoryRouter.OPTIONS, "memory"), TRACKS)


def test_processes_share_the_file(tmp_path):
    path = str(tmp_path / "world.json")
    made(path=path).write(split(20))
    assert made(path=path).read().weight("canary") == 20
    assert len(json.loads((tmp_path / "world.json").read_text())["history"]) == 1


def test_a_file_that_is_not_readable_is_unavailable(tmp_path):
    path = tmp_path / "world.json"
    path.write_text("{")
    with pytest.raises(Unavailable, match="world.json"):
        made(path=str(path)).read()


def test_traffic_follows_the_weights():
    router = made(traffic=1000)
    router.write(split(20))
    router.observe(split(20))
    assert router.observe(split(20)).requests == {"stable": 1600, "canary": 400}


def test_a_restart_begins_counting_anew_and_may_lose_the_routes():
    router = made(traffic=10)
    router.write(split(20))
    first = router.observe(split(20))
    router.restart()
    again = router.observe(split(20))
    assert again.epoch != first.epoch
    assert again.requests["stable"] == 8
    assert again.applied
    router.restart(lose=True)
    assert not router.observe(split(20)).applied


def test_a_refused_write_changes_nothing():
    router = made()
    router.read()
    router.world["faults"]["refuse"] = 1
    with pytest.raises(Unavailable):
        router.write(split(20))
    assert router.world["history"] == []
    router.write(split(20))
    assert len(router.world["history"]) == 1


def test_states_and_sessions_are_the_tests_to_set():
    router = made()
    router.read()
    router.world["states"]["web2"] = "down"
    router.world["in_flight"]["web1"] = 3
    seen = router.observe(split(0))
    assert seen.members["web2"].state == "down"
    assert seen.members["web1"].in_flight == 3


def test_release_drops_what_only_a_release_makes():
    router = made()
    match = MatchRoute("beta", ((Condition("header", "x-beta", "exact", "1"),),))
    router.write(split(20, matches=(match,), mirror=Mirror(Fraction(10))))
    assert router.read().matches == (match,)
    router.release()
    assert (router.read().matches, router.read().mirror, router.read().weight("canary")) == ((), None, 20)


def test_a_server_stands_in_one_track():
    with pytest.raises(ConfigError, match="two tracks"):
        made().write(split(20, members={"canary": (Member("web1"), Member("web2"))}))


def test_capabilities_can_be_narrowed():
    assert made(capabilities=["weight"]).capabilities == {Capability.WEIGHT}
    assert made().capabilities == frozenset(Capability) - {Capability.PODS}
    with pytest.raises(ConfigError, match="Did you mean weight"):
        made(capabilities=["wieght"])
