# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: who gets it, when it may be taken, and how the one who lost it finds out."""

from __future__ import annotations

import math
from unittest.mock import Mock

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core import lease as module
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Fenced, Interrupted, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import Busy, Session, acquire, read
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def clock():
    return FakeClock()


def hold(store, clock, holder="run-1", who="ann", **more):
    lease = acquire(store, clock, holder, who=who, release="r1", **more)
    return Session(store, clock, holder, lease.fence)


def keep_renewing(session, clock, every=15.0, until=math.inf):
    def renew():
        if clock.now() <= until:
            session.renew()
            clock.after(every, renew)

    clock.after(every, renew)


# --- taking it -------------------------------------------------------------------------------------------------------


def test_an_empty_lease_is_taken_at_once(store, clock):
    lease = acquire(store, clock, "run-1", who="ann", release="r1")
    assert (lease.holder, lease.who, lease.release, lease.fence, lease.ttl) == ("run-1", "ann", "r1", 1, 90.0)
    assert read(store) == lease
    assert clock.now() == 0


def test_a_held_lease_is_busy_at_once_without_a_wait(store, clock):
    hold(store, clock)
    with pytest.raises(Busy, match=r"held by ann \(run run-1, release r1\), last renewed 2027-.*abort playbook") as caught:
        acquire(store, FakeClock(), "run-2", who="bob")
    assert isinstance(caught.value, Conflict)
    assert (caught.value.holder, caught.value.who, caught.value.release, caught.value.seen_for) == ("run-1", "ann", "r1", 0)


def test_the_same_holder_comes_back_with_its_fence(store, clock):
    session = hold(store, clock)
    clock.sleep(30)
    again = acquire(store, clock, "run-1", who="ann", release="r1")
    assert again.fence == session.fence
    session.check()


def test_the_same_holder_rises_above_a_marker_seen_elsewhere(store, clock):
    hold(store, clock)
    assert acquire(store, clock, "run-1", who="ann", floor_fence=7).fence == 8


@pytest.mark.parametrize("stored, floor, expected", [(0, 0, 1), (4, 0, 5), (4, 9, 10), (9, 4, 10), (4, 4, 5)])
def test_the_fence_rises_above_everything_seen(store, clock, stored, floor, expected):
    store.save("lease", {"fence": stored}, None)
    assert acquire(store, clock, "run-1", who="ann", floor_fence=floor).fence == expected


def test_a_lease_given_back_is_emptied_and_keeps_its_fence(store, clock):
    session = hold(store, clock)
    session.release()
    assert (read(store).holder, read(store).fence) == ("", 1)
    assert acquire(store, clock, "run-2", who="bob").fence == 2
    with pytest.raises(Fenced):
        session.check()


def test_a_run_without_a_name_is_refused(store, clock):
    with pytest.raises(ConfigError):
        acquire(store, clock, "", who="ann")


def test_a_holder_that_died_is_replaced_after_the_term(store, clock):
    hold(store, clock)
    lines = []
    lease = acquire(store, clock, "run-2", who="bob", wait=105, say=lines.append)
    assert lease.fence == 2
    assert clock.now() == pytest.approx(90)
    assert len(lines) == 3
    assert "held by ann (run run-1" in lines[0]
    assert "1:30 more of silence" in lines[0]
    assert "30 s more of silence" in lines[2]


def test_a_wait_that_is_too_short_never_takes_it(store, clock):
    hold(store, clock)
    with pytest.raises(Busy) as caught:
        acquire(store, clock, "run-2", who="bob", wait=89)
    assert caught.value.seen_for == pytest.approx(89, abs=0.1)
    assert read(store).holder == "run-1"


def test_a_living_holder_is_never_replaced(store, clock):
    keep_renewing(hold(store, clock), clock)
    with pytest.raises(Busy) as caught:
        acquire(store, clock, "run-2", who="bob", wait=3600)
    assert caught.value.seen_for < 20
    assert clock.now() >= 3600


def test_the_count_starts_anew_with_every_sign_of_life(store, clock):
    keep_renewing(hold(store, clock), clock, until=45)
    acquire(store, clock, "run-2", who="bob", wait=300)
    assert 45 + 90 <= clock.now() <= 45 + 90 + module.LOOK_EVERY + 0.1


@pytest.mark.parametrize("years", [-1, 1, 20])
def test_a_wall_clock_that_is_years_off_changes_nothing(store, years):
    holder_clock = FakeClock(now=5000.0)
    hold(store, holder_clock)
    contender = FakeClock(now=3.0, epoch=1_800_000_000.0 + years * 31_557_600)
    with pytest.raises(Busy):
        acquire(store, contender, "run-2", who="bob", wait=80)
    assert read(store).holder == "run-1"
    assert acquire(store, contender, "run-2", who="bob", wait=95).fence == 2
    assert contender.now() == pytest.approx(3 + 80 + 90, abs=1)


def test_a_step_of_the_wall_clock_while_waiting_changes_nothing(store, clock):
    hold(store, clock)
    clock.at(10, lambda: clock.step(86400))
    with pytest.raises(Busy):
        acquire(store, clock, "run-2", who="bob", wait=60)


def test_silence_counts_only_between_two_answers(store, clock):
    """A load that takes 80 s proves nothing about what happened before it was answered."""
    session = hold(store, clock)
    store.before = lambda operation, key: clock.advance(80) if operation == "load" else None
    with pytest.raises(Busy) as caught:
        acquire(store, clock, "run-2", who="bob", wait=100)
    assert caught.value.seen_for < 90
    store.before = lambda operation, key: None
    session.renew()


def test_a_stretch_is_waited_for(store, clock):
    session = hold(store, clock)
    session.stretch(900, "deploy")
    with pytest.raises(Busy, match=r"in its phase 'deploy' of up to 15:00"):
        acquire(store, clock, "run-2", who="bob", wait=899)
    session.unstretch()
    assert (read(store).stretch, read(store).phase) == (0, "")
    start = clock.now()
    acquire(store, clock, "run-2", who="bob", wait=95)
    assert clock.now() - start == pytest.approx(90)


def test_a_stretch_that_ended_in_silence_is_over(store, clock):
    hold(store, clock).stretch(900, "deploy")
    assert acquire(store, clock, "run-2", who="bob", wait=1000).fence == 2
    assert clock.now() == pytest.approx(900)


def test_force_waits_for_the_term_but_not_for_the_stretch(store, clock):
    session = hold(store, clock)
    session.stretch(900, "deploy")
    acquire(store, clock, "run-2", who="bob", wait=105, force=True)
    assert clock.now() == pytest.approx(90)
    with pytest.raises(Fenced):
        session.unstretch()


def test_a_short_stretch_does_not_shorten_the_term(store, clock):
    hold(store, clock).stretch(5, "hook")
    assert read(store).patience == 90


def test_of_two_who_waited_one_gets_it(store, clock):
    hold(store, clock)
    other = FakeClock(now=77.0)

    def other_comes_first(operation, key):
        if operation == "save":
            store.before = lambda operation, key: None
            store.save("lease", {"holder": "run-3", "who": "eve", "release": "r3", "fence": 2, "beat": 9}, store.load("lease").token)

    def arm():
        store.before = other_comes_first

    other.at(77 + 89, arm)
    with pytest.raises(Busy, match="eve"):
        acquire(store, other, "run-2", who="bob", wait=91)


def test_a_taken_lease_whose_answer_was_lost_is_ours(store, clock):
    """The store stored it and answered Conflict to its own second try."""

    def lost(operation, key):
        if operation == "save":
            store.after = lambda operation, key: None
            raise Conflict("409")

    store.after = lost
    assert acquire(store, clock, "run-1", who="ann").fence == 1


def test_a_store_that_only_says_conflict_is_given_up(store, clock):
    def conflict(operation, key):
        if operation == "save":
            raise Conflict("409")

    store.before = conflict
    with pytest.raises(Conflict):
        acquire(store, clock, "run-1", who="ann")
    assert len(clock.slept) < 60


def test_a_wait_can_be_interrupted(store, clock):
    hold(store, clock)
    clock.at(10, clock.interrupt)
    with pytest.raises(Interrupted):
        acquire(store, clock, "run-2", who="bob", wait=3600)
    assert clock.now() < 15


@pytest.mark.parametrize("broken", [{"ttl": 0}, {"ttl": -5}, {"stretch": -1}, {"fence": -1}, {"fence": "x"}, {"owner": "me"}])
def test_a_lease_that_makes_no_sense_is_not_taken(store, clock, broken):
    store.save("lease", {"holder": "run-1", "fence": 3, **broken}, None)
    with pytest.raises(ConfigError):
        acquire(store, clock, "run-2", who="bob", wait=500)


# --- keeping it ------------------------------------------------------------------------------------------------------


def test_renewing_changes_the_beat_and_the_time(store, clock):
    session = hold(store, clock)
    before = read(store)
    clock.sleep(15)
    session.renew()
    after = read(store)
    assert (after.beat, after.fence) == (before.beat + 1, before.fence)
    assert after.renewed > before.renewed


def test_renewing_only_when_due(store, clock):
    session = hold(store, clock)
    assert session.renew_if_due()  # a new process proves once that the lease is its own
    clock.sleep(14)
    assert not session.renew_if_due()
    clock.sleep(1)
    assert session.renew_if_due()


def test_a_paused_holder_that_comes_back_is_fenced(store, clock):
    session = hold(store, clock)
    session.check()
    acquire(store, clock, "run-2", who="bob", wait=120)
    for act in (session.check, session.renew, session.renew_if_due, session.release, lambda: session.stretch(9, "x"), lambda: session.save_record({})):
        with pytest.raises(Fenced, match="fence 2"):
            act()
    assert read(store).holder == "run-2"


def test_a_holder_whose_lease_was_given_back_by_another_is_fenced(store, clock):
    session = hold(store, clock)
    Session(store, clock, "run-1", session.fence).release()
    with pytest.raises(Fenced, match="nobody"):
        session.check()


def test_the_same_name_with_an_older_fence_is_fenced(store, clock):
    session = hold(store, clock)
    acquire(store, clock, "run-1", who="ann", floor_fence=5)
    with pytest.raises(Fenced):
        session.renew()


def test_a_holder_that_cannot_renew_stops_by_itself_before_anybody_may_take_over(store, clock):
    session = hold(store, clock)
    session.check()

    def down(operation, key):
        raise Unavailable("connection refused")

    store.before = down
    stopped_at = None
    while stopped_at is None:
        clock.sleep(1)
        try:
            session.check()
        except Fenced:
            stopped_at = clock.now()
    assert 50 < stopped_at <= 52
    assert stopped_at + 30 < 90
    store.before = lambda operation, key: None
    with pytest.raises(Fenced):  # back again, and nobody took it: still only a new acquire starts anew
        session.check()
    assert acquire(store, clock, "run-1", who="ann").fence == session.fence


def test_a_short_outage_is_borne(store, clock):
    session = hold(store, clock)
    session.check()

    def down(operation, key):
        raise Unavailable("connection refused")

    clock.at(10, lambda: setattr(store, "before", down))
    clock.at(45, lambda: setattr(store, "before", lambda operation, key: None))
    for _second in range(100):
        clock.sleep(1)
        session.check()


def test_an_explicit_renewal_says_that_the_store_is_away(store, clock):
    session = hold(store, clock)
    session.renew()
    store.before = Mock(side_effect=Unavailable("down"))
    clock.sleep(20)
    with pytest.raises(Unavailable):
        session.renew()


def test_a_new_process_writes_nothing_before_it_proved_the_lease(store, clock):
    fence = hold(store, clock).fence
    store.before = Mock(side_effect=Unavailable("down"))
    session = Session(store, clock, "run-1", fence)
    for act in (session.check, session.renew_if_due):
        with pytest.raises(Unavailable):
            act()


def test_the_deadline_grows_with_a_stretch(store, clock):
    session = hold(store, clock)
    session.stretch(900, "deploy")
    store.before = Mock(side_effect=Unavailable("down"))
    clock.sleep(850)
    session.check()
    clock.sleep(20)
    with pytest.raises(Fenced):
        session.check()


def test_a_renewal_whose_answer_was_lost_is_repeated(store, clock):
    session = hold(store, clock)

    def lost(operation, key):
        if operation == "save":
            store.after = lambda operation, key: None
            raise Conflict("409")

    store.after = lost
    session.renew()
    assert read(store).beat == 3


def test_giving_back_twice_is_fine_when_the_answer_was_lost(store, clock):
    session = hold(store, clock)

    def lost(operation, key):
        if operation == "save":
            store.after = lambda operation, key: None
            raise Conflict("409")

    store.after = lost
    session.release()
    assert read(store).holder == ""


# --- the record ------------------------------------------------------------------------------------------------------


def test_the_record_carries_the_fence_and_is_swapped(store, clock):
    session = hold(store, clock)
    assert session.load_record() is None
    session.save_record({"position": 1})
    session.save_record({"position": 2})
    assert session.load_record() == {"position": 2, "fence": 1}


def test_a_later_run_shuts_out_the_saves_of_the_earlier(store, clock):
    old = hold(store, clock)
    old.save_record({"position": 1})
    lease = acquire(store, clock, "run-2", who="bob", wait=120)
    new = Session(store, clock, "run-2", lease.fence)
    assert new.load_record() == {"position": 1, "fence": 1}
    new.save_record({"position": 1})
    late = Session(store, clock, "run-1", 1)
    with pytest.raises(Fenced, match="a later run wrote the record"):
        late.load_record()
    with pytest.raises(Fenced):
        old.save_record({"position": 2})
    assert new.load_record()["fence"] == 2


def test_a_save_that_was_under_way_at_the_takeover_is_refused(store, clock):
    old = hold(store, clock)
    old.save_record({"position": 1})

    def taken_over(operation, key):
        if (operation, key) == ("save", "record"):
            store.before = lambda operation, key: None
            lease = acquire(store, FakeClock(), "run-1", who="bob", floor_fence=8)
            new = Session(store, clock, "run-1", lease.fence)
            new.load_record()
            new.save_record({"position": 1})

    store.before = taken_over
    with pytest.raises(Fenced, match="later run"):
        old.save_record({"position": 2})
    assert store.load("record").value == {"position": 1, "fence": 9}


def test_another_process_of_the_same_run_is_a_conflict(store, clock):
    one = hold(store, clock)
    one.save_record({"position": 1})
    two = Session(store, clock, "run-1", one.fence)
    two.load_record()
    two.save_record({"position": 2})
    with pytest.raises(Conflict):
        one.save_record({"position": 3})


def test_a_saved_record_whose_answer_was_lost_is_saved(store, clock):
    session = hold(store, clock)

    def lost(operation, key):
        if (operation, key) == ("save", "record"):
            store.after = lambda operation, key: None
            raise Conflict("409")

    store.after = lost
    session.save_record({"position": 1})
    session.save_record({"position": 2})
    assert session.load_record()["position"] == 2


def test_a_record_that_others_only_touched_is_saved_all_the_same(store, clock):
    """Somebody labels the object that it lies in: it has another token, and says the same."""
    session = hold(store, clock)
    session.save_record({"position": 1})
    touched = 3

    def touch(operation, key):
        nonlocal touched
        if (operation, key) == ("save", "record") and touched:
            touched -= 1
            stored = store.load("record")
            before, store.before = store.before, lambda operation, key: None
            store.save("record", stored.value, stored.token)
            store.before = before

    store.before = touch
    session.save_record({"position": 2})
    assert touched == 0 and store.load("record").value == {"position": 2, "fence": 1}


def test_a_record_that_others_touch_all_the_time_is_given_up(store, clock):
    session = hold(store, clock)
    session.load_record()
    session.save_record({"position": 1})

    def never(operation, key):
        if (operation, key) == ("save", "record"):
            raise Conflict("409")

    store.before = never
    with pytest.raises(Conflict):
        session.save_record({"position": 2})


def test_a_record_with_a_broken_fence_is_said_so(store, clock):
    session = hold(store, clock)
    store.save("record", {"fence": "high"}, None)
    with pytest.raises(ConfigError, match="not a fence"):
        session.load_record()


def test_a_short_term_is_renewed_in_time(store, clock):
    session = hold(store, clock, ttl=6.0)
    session.renew()
    for _look in range(40):
        clock.sleep(0.5)
        session.renew_if_due()
        session.check()
