# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core import drain
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Fenced
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_pods import is_running
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Asked


class Pods:
    """``answers``: what each says at one look after the other; the last for ever."""

    drains = True

    def __init__(self, **answers: list[Asked]) -> None:
        self.answers, self.lefts = answers, list[float]()

    def ask_to_finish(self, track: str, left: float) -> Iterator[tuple[str, Asked]]:
        self.lefts.append(left)
        for name, told in self.answers.items():
            yield name, told.pop(0) if len(told) > 1 else told[0]


def drained(timeout: float = 30, **answers: list[Asked]) -> tuple[drain.Drained, Pods]:
    pods = Pods(**answers)
    return drain.wait(pods, "stable", FakeClock(), timeout), pods


def test_it_is_over_when_nothing_is_open() -> None:
    done, pods = drained(a=[Asked(3), Asked(1), Asked(0)], b=[Asked(0)])
    assert (done.left, done.seconds, done.why) == (0, 2, "")
    assert pods.lefts == [30, 29, 28], "each look says how long there is"
    assert str(done) == "no connection left after 2 s"


def test_what_is_left_when_the_time_is_over_is_counted_and_the_last_look_says_so() -> None:
    done, pods = drained(2.5, a=[Asked(3)], b=[Asked(2)])
    assert (done.left, done.seconds) == (5, 2.5)
    assert pods.lefts[-1] == 0
    assert str(done) == "5 connections still open after 2.5 s"


def test_whoever_does_not_count_gets_the_whole_time_and_whoever_cannot_be_asked_none() -> None:
    done, _pods = drained(4, a=[Asked()], b=[Asked(error="POST /drain is answered with 404")])
    assert done.seconds == 4
    assert str(done) == "b: POST /drain is answered with 404; 1 of 2 do not count their connections and had the whole 4 s"
    done, _pods = drained(4, b=[Asked(error="no")], c=[Asked(error="no")])
    assert done.seconds == 0 and str(done) == "b: no (and 1 more)"


def test_nothing_runs() -> None:
    done, _pods = drained()
    assert done.seconds == 0 and str(done) == "nothing to drain"


def test_the_lease_is_looked_after_before_each_replica_and_may_end_it() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks > 3:
            raise Fenced("another run has it")

    pods = Pods(a=[Asked(1)], b=[Asked(1)])
    with pytest.raises(Fenced):
        drain.wait(pods, "stable", FakeClock(), 30, tick)
    assert len(pods.lefts) == 1


def test_a_pod_that_is_not_ready_any_more_still_runs_and_one_that_ends_is_gone() -> None:
    pod = {"metadata": {"name": "a"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}
    assert is_running(pod)
    assert not is_running({**pod, "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert not is_running({"metadata": {"name": "a"}, "status": {"phase": "Pending"}})
