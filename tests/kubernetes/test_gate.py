# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate in a ConfigMap against a real Kubernetes API: kubectl decides."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_config_map import OPTIONS, ConfigMapGate
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import open_gate, wait_for_gate
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace


class World:
    def __init__(self, space: Namespace) -> None:
        self.space, self.store, self.clock, self.said = space, MemoryStore(), FakeClock(), list[str]()
        self.source = self.over(str(space.cluster.kubeconfig))

    def over(self, kubeconfig: str) -> ConfigMapGate:
        given = {"name": "decisions", "key": "half", "kubeconfig": kubeconfig, "namespace": self.space.name}
        return ConfigMapGate.from_options(validate(given, OPTIONS, "gate.config_map"))

    def open(self, digest: str = "a" * 64) -> None:
        open_gate(self.store, self.clock, "half", release="r1", digest=digest)

    def look(self) -> Any:
        return wait_for_gate(self.store, self.clock, "half", [self.source], timeout=0.0, say=self.said.append).decision

    def patch(self, value: str) -> None:
        self.space.kubectl("patch", "configmap", "decisions", "--type", "merge", "-p", f'{{"data": {{"half": {value}}}}}')


@pytest.fixture
def world(namespace: Namespace) -> World:
    return World(namespace)


def test_a_config_map_that_comes_to_be_decides(world: World) -> None:
    world.open()
    assert world.look() is None
    world.space.kubectl("create", "configmap", "decisions", "--from-literal=half=promote")
    decision = world.look()
    assert (decision.what, decision.who, decision.channel) == ("promote", "kubectl-create", "config_map")


def test_the_last_writer_of_the_key_is_named(world: World) -> None:
    world.space.kubectl("create", "configmap", "decisions", "--from-literal=half=", "--from-literal=other=x")
    world.open()
    assert world.look() is None
    world.patch('"abort"')
    decision = world.look()
    assert (decision.what, decision.who) == ("abort", "kubectl-patch")


def test_a_decision_of_before_opens_nothing_until_it_is_taken_away_and_made_again(world: World) -> None:
    world.space.kubectl("create", "configmap", "decisions", "--from-literal=half=promote ann")
    world.open()
    assert world.look() is None
    world.patch('"promote ann"')
    assert world.look() is None and "stood there before the gate did" in world.said[-1]
    world.patch("null")
    assert world.look() is None
    world.patch('"promote ann"')
    assert world.look().who == "ann"
    world.open("b" * 64)
    assert world.look() is None and world.look() is None


def test_who_may_not_read_it_is_told_which_rule_is_missing(world: World) -> None:
    world.source = world.over(str(world.space.kubeconfig("nobody", [])))
    world.open()
    assert world.look() is None
    assert "configmaps" in world.said[-1] and world.space.name in world.said[-1]
