# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Polling: cadence, streaks, holding, and what is known at the end."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Fenced, Interrupted
from ansible_collections.progressive.delivery.plugins.module_utils.core.poll import Attempt, poll


class World:
    """Targets whose answers are written as ``+`` and ``-``, one a look; the last one stays."""

    def __init__(self, clock, takes=0.0, **answers):
        self.clock, self.takes, self.answers, self.asked_at = clock, takes, answers, []

    def __call__(self):
        look = len(self.asked_at)
        self.asked_at.append(self.clock.now())
        self.clock.advance(self.takes)
        signs = {name: signs[min(look, len(signs) - 1)] for name, signs in self.answers.items()}
        return {name: Attempt(sign == "+", "200 OK" if sign == "+" else "503", 0.01 * (look + 1) if sign == "+" else None) for name, sign in signs.items()}


@pytest.fixture
def clock():
    return FakeClock()


def test_healthy_at_once(clock):
    world = World(clock, a="+", b="+")
    result = poll(world, clock, interval=10, retries=30)
    assert (result.healthy, result.looks, result.seconds, result.unhealthy) == (True, 1, 0, ())
    assert world.asked_at == [0]


def test_waits_for_the_last_at_a_fixed_cadence(clock):
    world = World(clock, takes=3, a="+", b="---+")
    result = poll(world, clock, interval=10, retries=30)
    assert result.healthy
    assert world.asked_at == [0, 10, 20, 30]
    b = result.targets["b"]
    assert (b.attempts, b.streak, b.last, b.last_error, b.latencies) == (4, 1, "200 OK", "503", (0.04,))
    assert result.targets["a"].attempts == 4  # all are asked in every look, or one that fell over would not be seen


def test_a_slow_look_delays_the_next_and_none_is_made_up_for(clock):
    world = World(clock, takes=25, a="---+")
    poll(world, clock, interval=10, retries=30)
    assert world.asked_at == [0, 25, 50, 75]


def test_retries_are_the_number_of_looks(clock):
    world = World(clock, a="+", b="-")
    result = poll(world, clock, interval=10, retries=3)
    assert (result.healthy, result.looks, result.unhealthy, result.held) == (False, 3, ("b",), None)
    assert clock.now() == 20  # no wait after the last


def test_successes_must_follow_each_other(clock):
    world = World(clock, a="++-+++-")
    result = poll(world, clock, interval=1, retries=30, success_threshold=3)
    assert (result.healthy, result.looks) == (True, 6)


def test_one_that_falls_over_while_others_start_is_seen(clock):
    world = World(clock, a="+-", b="-+")
    result = poll(world, clock, interval=1, retries=5)
    assert (result.healthy, result.unhealthy) == (False, ("a",))


def test_some_may_fail_but_only_after_all_had_their_chance(clock):
    world = World(clock, a="+", b="--+")
    assert poll(world, clock, interval=1, retries=5, max_failed=1).looks == 3
    result = poll(World(clock, a="+", b="-"), clock, interval=1, retries=5, max_failed=1)
    assert (result.healthy, result.looks, result.unhealthy) == (True, 5, ("b",))
    assert not poll(World(clock, a="-", b="-"), clock, interval=1, retries=5, max_failed=1).healthy


def test_held_to_the_end(clock):
    world = World(clock, a="-+")
    result = poll(world, clock, interval=10, retries=3, hold=25)
    assert (result.healthy, result.held) == (True, 25)
    assert world.asked_at == [0, 10, 20, 30, 35]  # looks of the hold are no retries, and its end is looked at


def test_one_failure_in_the_hold_ends_it(clock):
    result = poll(World(clock, a="+++-+", b="+"), clock, interval=10, retries=30, hold=300)
    assert (result.healthy, result.looks, result.held, result.unhealthy) == (False, 4, 30, ("a",))


def test_failures_that_are_allowed_do_not_end_a_hold(clock):
    result = poll(World(clock, a="++-", b="+"), clock, interval=10, retries=30, hold=40, max_failed=1)
    assert (result.healthy, result.unhealthy) == (True, ("a",))


def test_whoever_watches_sees_every_look_and_may_end_it(clock):
    seen = []
    poll(World(clock, a="--+"), clock, interval=1, retries=9, on_attempt=lambda result: seen.append((result.looks, result.healthy, len(result.unhealthy))))
    assert seen == [(1, False, 1), (2, False, 1), (3, True, 0)]

    def fenced(result):
        raise Fenced("gone")

    with pytest.raises(Fenced):
        poll(World(clock, a="-"), clock, interval=1, retries=9, on_attempt=fenced)


def test_it_can_be_interrupted(clock):
    clock.at(15, clock.interrupt)
    with pytest.raises(Interrupted):
        poll(World(clock, a="-"), clock, interval=10, retries=30)
