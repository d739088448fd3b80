# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes are held while a step waits: a restart is forgiven, a second change by somebody else is not."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Observation, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.entry.guard import EVERY, Guard
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter

WANT = Routes({"stable": Fraction(80), "canary": Fraction(20)})
OTHER = Routes({"stable": Fraction(100), "canary": Fraction(0)})


class Bench:
    """A guard over a memory router that another object can change behind its back."""

    def __init__(self) -> None:
        self.world: dict[str, Any] = {}
        self.clock, self.said, self.events = FakeClock(), [], []
        self.router = MemoryRouter({"stable": (), "canary": ()}, self.world)
        self.router.write(WANT)
        context = SimpleNamespace(clock=self.clock, say=self.said.append)
        self.guard = Guard(SimpleNamespace(  # type: ignore[arg-type]
            context=context, spec={"router": {"memory": {}}}, router=lambda: self.router, routes=WANT, index=3, label="shop 20 %",
            session=SimpleNamespace(check=lambda: None, fence=7), event=lambda kind, **fields: self.events.append(kind)))

    def look(self) -> str | None:
        self.clock.advance(EVERY)
        return self.guard.check()

    def live(self) -> Routes:
        return self.router.read()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_done_while_all_is_well_and_nothing_before_its_time(bench: Bench) -> None:
    assert bench.guard.check() is None
    assert bench.look() is None
    assert (bench.said, bench.events) == ([], [])


def test_what_somebody_else_changed_is_put_back_once(bench: Bench) -> None:
    bench.look()
    bench.router.write(OTHER)
    assert bench.look() is None
    assert bench.live().weights == WANT.weights
    assert "put back" in bench.said[0] and bench.events == ["write"]
    bench.router.write(OTHER)
    reason = bench.look()
    assert reason is not None and reason.startswith("somebody else changes the traffic")
    assert bench.guard.dispute == reason
    assert bench.live().weights == OTHER.weights


def test_a_restart_is_put_back_as_often_as_it_happens(bench: Bench) -> None:
    bench.look()
    for _time in range(3):
        bench.router.restart(lose=True)
        assert bench.look() is None
        assert bench.live().weights == WANT.weights
    assert len(bench.said) == 3 and "it restarted" in bench.said[0]


def test_what_stands_and_is_only_not_followed_yet_is_nobodys_doing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pod of the new version restarts during a bake: the endpoints are fewer for a moment, again and again."""
    monkeypatch.setattr(bench.router, "observe", lambda want: Observation(False, "1 of 2 Pods ready", standing=True))
    for _time in range(3):
        assert bench.look() is None
    assert (bench.said, bench.events, bench.guard.dispute) == ([], [], "")


def test_routes_that_nobody_can_read_are_put_back_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> Routes:
        raise ConfigError("the selector means neither slot")

    bench.look()
    bench.router.write(OTHER)
    with monkeypatch.context() as patched:
        patched.setattr(bench.router, "read", unreadable)
        assert bench.look() is None
    assert bench.live().weights == WANT.weights


def test_a_silent_load_balancer_is_looked_at_again_later(bench: Bench) -> None:
    bench.look()
    bench.world.setdefault("faults", {})["unreachable"] = True
    assert bench.look() is None
    bench.world["faults"]["unreachable"] = False
    assert bench.look() is None
    assert bench.said == []
