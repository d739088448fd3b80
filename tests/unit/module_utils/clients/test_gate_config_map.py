# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate in a key of a ConfigMap: only a change of the key decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_config_map import ConfigMapGate
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import CONFIGMAPS
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import Gate, StandingSource, open_gate, wait_for_gate
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

GATE = Gate("half", "r1", "a" * 64, "2027-01-15T08:00:00.000Z")


class World:
    """An open gate, and the ConfigMap that may decide it."""

    def __init__(self) -> None:
        self.kube, self.store, self.clock, self.said = FakeKube(), MemoryStore(), FakeClock(), list[str]()
        self.source = ConfigMapGate(self.kube, "decisions", "half", self.clock.time)  # type: ignore[arg-type]

    def open(self, digest: str = GATE.digest, **options: Any) -> None:
        open_gate(self.store, self.clock, "half", release="r1", digest=digest, **options)

    def holds(self, **data: str) -> None:
        managed = [{"manager": "kubectl-create", "time": "2027-01-15T08:00:00Z", "fieldsV1": {"f:data": {"f:half": {}, "f:other": {}}}},
                   {"manager": "kubectl-patch", "time": "2027-01-15T08:01:00Z", "fieldsV1": {"f:data": {"f:half": {}}}},
                   {"manager": "argocd", "time": "2027-01-15T08:02:00Z", "fieldsV1": {"f:metadata": {}, "f:data": {"f:other": {}}}}]
        self.kube.put(CONFIGMAPS, {"metadata": {"name": "decisions", "managedFields": managed}, "data": data})

    def look(self) -> Any:
        return wait_for_gate(self.store, self.clock, "half", [self.source], timeout=0.0, say=self.said.append).decision


def test_it_is_a_source_that_stands() -> None:
    assert isinstance(World().source, StandingSource)


@pytest.mark.parametrize("value, what, who", [
    ("promote ann", "promote", "ann"), ("Abort  Ann Lee\nthe pager rang", "abort", "Ann Lee"), ("promote", "promote", "kubectl-patch"),
])
def test_a_value_that_comes_after_the_gate_decides(value: str, what: str, who: str) -> None:
    world = World()
    world.open()
    assert world.look() is None
    world.holds(half=value)
    decision = world.look()
    assert (decision.what, decision.who, decision.channel, decision.digest) == (what, who, "config_map", GATE.digest)


def test_what_stood_there_before_the_gate_decides_nothing_until_it_was_taken_away() -> None:
    world = World()
    world.holds(half="promote ann")
    world.open()
    assert world.look() is None
    world.holds(half="promote ann", other="promote bob")  # another key was decided, by the same manager
    assert world.look() is None and "stood there before the gate did. Take it away, then decide." in world.said[-1]
    world.holds(half="")
    assert world.look() is None
    world.holds(half="promote ann")
    assert world.look().who == "ann"


def test_another_value_than_the_one_before_decides_as_well() -> None:
    world = World()
    world.holds(half="promote ann")
    world.open()
    world.look()
    world.holds(half="promote bob")
    assert world.look().who == "bob"


def test_the_gate_of_the_next_candidate_starts_anew() -> None:
    world = World()
    world.open()
    world.look()
    world.holds(half="promote ann")
    assert world.look().what == "promote"
    world.open(digest="b" * 64)
    assert world.look() is None
    assert world.look() is None


def test_one_that_was_away_when_the_gate_opened_is_looked_at_first() -> None:
    world = World()
    world.open()

    def away(*_asked: Any) -> None:
        raise Unavailable("is away", where="the cluster")

    world.kube.before = away
    assert world.look() is None and "stays closed: the cluster: is away" in world.said[-1]
    world.kube.before = lambda *_asked: None
    world.holds(half="promote ann")
    assert world.look() is None  # nobody knows since when
    world.holds(half="abort ann")
    assert world.look().what == "abort"


def test_a_tool_is_not_another_person() -> None:
    world = World()
    world.open(require_other=True, starter="bob")
    world.look()
    world.holds(half="promote")
    assert world.look() is None and "without a name" in world.said[-1]
    world.holds(half="promote ann")
    assert world.look().who == "ann"


@pytest.mark.parametrize("value", ["yes", "promoted", "{}"])
def test_anything_else_is_said(value: str) -> None:
    world = World()
    world.open()
    world.look()
    world.holds(half=value)
    assert world.look() is None and "Write promote or abort" in world.said[-1]


def test_who_may_not_read_it_is_told() -> None:
    world = World()
    world.kube.forbid("get", "configmaps")
    with pytest.raises(ConfigError, match="configmaps"):
        world.source.poll(replace(GATE))
