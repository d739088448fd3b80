# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose server is away: it waits, says so now and then, takes the release up anew, and gives up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import Forbidden
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Away, Fenced, Interrupted, Lapsed, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import acquire
from ansible_collections.progressive.delivery.plugins.module_utils.entry import holding
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.holding import AGAIN, HOLD, held
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


class Work:
    """Fails as told, then works."""

    def __init__(self, *failures: Exception) -> None:
        self._left: Iterator[Exception] = iter(failures)
        self.lasts: list[bool] = []

    def __call__(self, last: bool) -> dict[str, Any]:
        self.lasts.append(last)
        failure = next(self._left, None)
        if failure is not None:
            raise failure
        return {"changed": False}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def said() -> list[str]:
    return []


def test_it_goes_on_once_the_server_is_back(clock: FakeClock, said: list[str]) -> None:
    work = Work(Away("no answer"), Lapsed("not renewed for 51 s"), Away("no answer"))
    assert held(work, Context(clock, said.append), "shop") == {"changed": False}
    assert clock.slept == [AGAIN] * 3 and work.lasts == [False] * 4
    assert said == ["shop: nothing moves: no answer. Looking again for 10:00"]


def test_a_server_that_has_just_come_back_may_not_know_its_rules_yet(clock: FakeClock, said: list[str]) -> None:
    assert held(Work(Away("no answer"), Forbidden("may not get leases"), Forbidden("may not get leases")), Context(clock, said.append), "shop")
    assert clock.slept == [AGAIN] * 3
    with pytest.raises(Forbidden):
        held(Work(Forbidden("may not get leases")), Context(clock, said.append), "shop")
    with pytest.raises(Forbidden):
        held(Work(Away("no answer"), *[Forbidden("may not get leases")] * 100), Context(clock, said.append), "shop")


def test_it_waits_for_as_long_as_the_server_asks(clock: FakeClock, said: list[str]) -> None:
    held(Work(Away("busy", wait=30)), Context(clock, said.append), "shop")
    assert clock.slept == [30]


def test_what_waiting_does_not_mend_ends_it(clock: FakeClock, said: list[str]) -> None:
    for error in (Fenced("another run holds it"), Interrupted("told to end"), Unavailable("a load balancer is down")):
        with pytest.raises(type(error)):
            held(Work(error), Context(clock, said.append), "shop")
    with pytest.raises(Away):
        held(Work(Away("busy", wait=HOLD + 1)), Context(clock, said.append), "shop")
    assert clock.slept == [] and said == []


def test_it_gives_up_and_said_so_now_and_then(clock: FakeClock, said: list[str]) -> None:
    work = Work(*[Away("no answer")] * 1000)
    with pytest.raises(Away):
        held(work, Context(clock, said.append), "shop")
    assert HOLD <= clock.now() <= HOLD + AGAIN and work.lasts.count(True) == 1 and work.lasts[-1]
    assert 5 <= len(said) <= 11 and "Looking again for 5:00" in said[5]


def test_a_step_is_begun_anew_and_fails_only_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record is still to be had, a server that stays away is a failure of the step, and the release goes back."""
    service = Service(tmp_path)
    begun = service.begin("rollout", "2")
    service.step(begun)
    weight = service.next
    assert weight is not None and weight.weight == 5
    tries = 0

    def away(current: Any, context: Any) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        raise Away("no answer")

    monkeypatch.setattr(release, "CARRIED_OUT_BY", {weight.kind: away})
    monkeypatch.setattr(holding, "HOLD", 30.0)
    position = service.record.position
    done = release.run({"operation": "step", "release": begun["release"], "step": position, "back": False}, service.context())
    assert tries > 10 and done["back"] and service.record.back and "no answer" in service.record.reason


def test_a_run_that_waited_too_long_finds_its_lease_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(tmp_path)
    begun = service.begin("rollout", "2")
    service.step(begun)

    def away(current: Any, context: Any) -> dict[str, Any]:
        acquire(service.store, service.clock, "another", who="bob", wait=200)
        raise Away("no answer")

    assert service.next is not None
    monkeypatch.setattr(release, "CARRIED_OUT_BY", {service.next.kind: away})
    position = service.record.position
    with pytest.raises(Fenced, match="another"):
        release.run({"operation": "step", "release": begun["release"], "step": position, "back": False}, service.context())
    assert service.record.position == position
