# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release over two load balancers that do not say the same: a run was killed between them, or one was reloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.guard import EVERY, Guard
from ansible_collections.progressive.delivery.plugins.module_utils.entry.run import Run
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import traffic
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

BEGINNING = Routes({"stable": Fraction(100), "canary": Fraction(0)})


class Pair(Service):
    """Both load balancers, each with a world of its own."""

    def __init__(self, folder: Path, **file: Any) -> None:
        super().__init__(folder, **file)
        self.worlds: dict[str, dict[str, Any]] = {"lb1": {}, "lb2": {}}

    def fleet(self, tracks: Mapping[str, tuple[str, ...]]) -> Fleet:
        return Fleet({name: MemoryRouter(tracks, world) for name, world in self.worlds.items()})

    def context(self, **more: Any) -> Context:
        return replace(super().context(**more), routers=lambda options, tracks: self.fleet(tracks))

    whole = staticmethod(MemoryRouter.read)

    def weights(self) -> list[Fraction]:
        return [MemoryRouter(world=world).read().weight("canary") for world in self.worlds.values()]

    def walk_to(self, begun: Mapping[str, Any], kind: Kind, weight: int) -> None:
        while not (self.next is not None and self.next.kind is kind and self.next.weight == weight):
            self.traffic(begun)

    def traffic(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        """The next step, with its traffic really moved, and its checkpoint. What the step reported."""
        assert self.next is not None
        if self.next.kind not in (Kind.WEIGHT, Kind.CLEAN, Kind.DRAIN, Kind.JOIN):
            self.step(begun)
            return {}
        seen: dict[str, Any] = traffic.run({"release": begun["release"]}, self.context())["seen"]
        self.step(begun, {self.next.name: seen})
        return seen


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, rollout_propagation_timeout="5s", rollout_steps=[{"set_weight": 20}, {"set_weight": 50}])


def test_a_run_that_was_killed_between_two_load_balancers_goes_on(pair: Pair) -> None:
    begun = pair.begin("rollout", "2")
    pair.walk_to(begun, Kind.WEIGHT, 50)
    MemoryRouter(world=pair.worlds["lb1"]).write(Routes({"stable": Fraction(50), "canary": Fraction(50)}))
    assert pair.weights() == [50, 20]
    assert pair.traffic(begun)["result"] == "done"
    assert pair.weights() == [50, 50] and not pair.record.back


def test_the_way_back_takes_both_home_whatever_each_says(pair: Pair) -> None:
    begun = pair.begin("rollout", "2")
    pair.walk_to(begun, Kind.WEIGHT, 50)
    MemoryRouter(world=pair.worlds["lb2"]).write(BEGINNING)
    pair.step(begun, {"50 %": {"result": "failed", "reason": "it hurts"}})
    assert pair.record.back
    while pair.next is not None:
        pair.traffic(begun)
    assert pair.record.outcome is not None and pair.record.outcome.value == "rolled_back", pair.record.reason
    assert pair.weights() == [0, 0]


def test_one_that_was_reloaded_gets_its_routes_again_while_a_step_waits(pair: Pair) -> None:
    begun = pair.begin("rollout", "2")
    pair.walk_to(begun, Kind.WEIGHT, 50)
    guard = Guard(Run.open(begun["release"], pair.context()))
    for lose in (False, True):
        if lose:
            MemoryRouter(world=pair.worlds["lb2"]).restart()
            MemoryRouter(world=pair.worlds["lb2"]).write(BEGINNING)
        pair.clock.advance(EVERY)
        assert guard.check() is None
    assert pair.weights() == [20, 20]


def test_one_that_refuses_keeps_nobody_else_from_going_back(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one whose configuration lacks a server since somebody reloaded it. The outcome says so."""
    begun = pair.begin("rollout", "2")
    pair.walk_to(begun, Kind.WEIGHT, 50)
    pair.step(begun, {"50 %": {"result": "failed", "reason": "it hurts"}})

    def lacking(self: MemoryRouter) -> Routes:
        if self.world is pair.worlds["lb1"]:
            raise ConfigError("no server c1", where="lb1")
        return pair.whole(self)

    monkeypatch.setattr(MemoryRouter, "read", lacking)
    while pair.next is not None:
        pair.traffic(begun)
    monkeypatch.undo()
    assert pair.record.outcome is not None and pair.record.outcome.value == "partial"
    assert "no server c1" in pair.record.reason and "the others have what this step wants" in pair.record.reason
    assert pair.weights()[1] == 0
