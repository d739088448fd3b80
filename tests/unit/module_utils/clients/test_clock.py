# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clocks: how the real one is interrupted, and how the fake one passes time."""

from __future__ import annotations

import time

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import clock as module
from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SLICE, FakeClock, SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Interrupted


class Machine:
    """The machine's clock, stood in for: sleeping moves it."""

    def __init__(self, monkeypatch):
        self.current, self.slept = 100.0, []
        monkeypatch.setattr(SystemClock, "now", lambda _clock: self.current)
        monkeypatch.setattr(module.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.current += seconds


def test_a_long_sleep_is_cut_into_slices(monkeypatch):
    machine = Machine(monkeypatch)
    SystemClock().sleep(1.1)
    assert machine.current == pytest.approx(101.1)
    assert max(machine.slept) <= SLICE


def test_a_request_to_end_is_noticed_within_a_slice(monkeypatch):
    machine = Machine(monkeypatch)
    clock = SystemClock(cancelled=lambda: machine.current > 100.5)
    with pytest.raises(Interrupted):
        clock.sleep(3600)
    assert machine.current <= 100.5 + 2 * SLICE


def test_even_no_sleep_notices_it():
    with pytest.raises(Interrupted):
        SystemClock(cancelled=lambda: True).sleep(0)


def test_the_system_clock_goes_forward():
    clock = SystemClock()
    assert clock.now() <= clock.now()
    assert abs(clock.time() - time.time()) < 60


def test_the_fake_clock_moves_only_when_told():
    clock = FakeClock(epoch=1000.0)
    assert (clock.now(), clock.time()) == (0.0, 1000.0)
    clock.sleep(90)
    assert (clock.now(), clock.time(), clock.slept) == (90.0, 1090.0, [90])
    clock.step(-600)
    assert (clock.now(), clock.time()) == (90.0, 490.0)


def test_the_world_changes_while_the_fake_clock_sleeps():
    clock, seen = FakeClock(), []
    clock.at(20, lambda: seen.append(("second", clock.now())))
    clock.after(10, lambda: seen.append(("first", clock.now())))
    clock.at(20, lambda: seen.append(("third", clock.now())))
    clock.sleep(15)
    assert seen == [("first", 10)]
    clock.sleep(15)
    assert seen[1:] == [("second", 20), ("third", 20)]
    assert clock.now() == 30


def test_what_happens_may_schedule_what_follows():
    clock, seen = FakeClock(), []

    def renew():
        seen.append(clock.now())
        clock.after(15, renew)

    renew()
    clock.sleep(60)
    assert seen == [0, 15, 30, 45, 60]


def test_the_fake_clock_can_be_interrupted_in_its_sleep():
    clock = FakeClock()
    clock.at(5, clock.interrupt)
    with pytest.raises(Interrupted):
        clock.sleep(10)
