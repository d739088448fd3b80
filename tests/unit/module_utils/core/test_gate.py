# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates: the first fitting decision wins, time decides where nobody did, and waiting bears what it must."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Fenced, Interrupted, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import (
    Decision,
    check,
    decide,
    open_gate,
    prompt_text,
    settle,
    wait_for_gate,
    waiting,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import iso
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore

A, B = "a" * 64, "b" * 64


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def clock():
    return FakeClock()


def opened(store, clock, name="half", release="r1", digest=A, **more):
    return open_gate(store, clock, name, release=release, digest=digest, **more)


def by(who="ann", what="promote", digest=A, channel="playbook", when="2027-01-15T08:00:01.000Z"):
    return Decision(what, who, when, channel, digest)


class Source:
    """Decides what it is told, from the look it is told."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def poll(self, gate):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_stored_document(store, clock):
    opened(store, clock, timeout=7200, on_timeout="hold")
    decide(store, clock, "half", by())
    assert store.load("gates").value == {
        "half": {
            "release": "r1",
            "digest": A,
            "opened": "2027-01-15T08:00:00.000Z",
            "expires": "2027-01-15T10:00:00.000Z",
            "on_timeout": "hold",
            "decision": {"what": "promote", "who": "ann", "when": "2027-01-15T08:00:01.000Z", "channel": "playbook", "digest": A},
        }
    }


def test_the_first_decision_wins_and_the_second_is_told(store, clock):
    opened(store, clock)
    assert decide(store, clock, "half", by("ann")).decision == by("ann")
    with pytest.raises(Conflict, match=r"gate half: already decided: promote by ann at .* \(playbook\)"):
        decide(store, clock, "half", by("bob", "abort"))
    assert settle(store, clock, "half").decision.who == "ann"


def test_the_very_same_decision_again_is_the_answer_that_was_lost(store, clock):
    opened(store, clock)

    def lost(operation, key):
        if operation == "save":
            store.after = lambda operation, key: None
            raise Conflict("409")

    store.after = lost
    assert decide(store, clock, "half", by()).decision == by()


def test_two_decisions_at_the_same_moment(store, clock):
    opened(store, clock)

    def slip_in(operation, key):
        if operation == "save":
            store.before = lambda operation, key: None
            decide(store, clock, "half", by("bob", "abort"))

    store.before = slip_in
    with pytest.raises(Conflict, match="abort by bob"):
        decide(store, clock, "half", by("ann"))


def test_a_decision_for_another_candidate_opens_nothing(store, clock):
    opened(store, clock, digest=A)
    for digest in (B, ""):
        with pytest.raises(ConfigError, match="this gate is for aaaaaaaaaaaa"):
            decide(store, clock, "half", by(digest=digest))
    assert settle(store, clock, "half").decision is None


def test_a_new_candidate_under_the_same_name_begins_undecided(store, clock):
    opened(store, clock, digest=A)
    decide(store, clock, "half", by())
    assert opened(store, clock, digest=B).decision is None


def test_a_resumed_wait_finds_its_gate_as_it_was(store, clock):
    first = opened(store, clock, timeout=600)
    clock.sleep(300)
    assert opened(store, clock, timeout=600) == first
    decide(store, clock, "half", by())
    assert opened(store, clock).decision == by()


def test_gates_of_other_releases_are_dropped(store, clock):
    opened(store, clock, name="old", release="r0")
    opened(store, clock, name="half", release="r1")
    opened(store, clock, name="last", release="r1")
    assert sorted(store.load("gates").value) == ["half", "last"]
    decide(store, clock, "half", by())
    assert [gate.name for gate in waiting(store, "r1")] == ["last"]
    assert waiting(store, "r0") == ()


def test_no_gate_at_all(store, clock):
    assert waiting(store, "r1") == ()
    with pytest.raises(ConfigError, match="unknown gate 'half'"):
        decide(store, clock, "half", by())
    opened(store, clock)
    with pytest.raises(ConfigError, match="Did you mean half"):
        decide(store, clock, "halv", by())


@pytest.mark.parametrize("what", ["", "yes", "hold", "PROMOTE"])
def test_only_promote_and_abort_are_decisions(store, clock, what):
    opened(store, clock)
    with pytest.raises(ConfigError, match="unknown decision"):
        decide(store, clock, "half", by(what=what))


@pytest.mark.parametrize("who", ["ann", "Ann ", ""])
def test_require_other_refuses_the_starter_and_nobody(store, clock, who):
    opened(store, clock, require_other=True, starter="ann")
    with pytest.raises(ConfigError, match="require_other"):
        decide(store, clock, "half", by(who))
    assert decide(store, clock, "half", by("bob")).decision.who == "bob"


@pytest.mark.parametrize("who", ["ann", ""])
def test_an_abort_is_taken_from_everybody(store, clock, who):
    opened(store, clock, require_other=True, starter="ann")
    assert decide(store, clock, "half", by(who, "abort")).decision.what == "abort"


@pytest.mark.parametrize("on_timeout", ["abort", "promote"])
def test_an_expired_gate_takes_its_on_timeout(store, clock, on_timeout):
    opened(store, clock, timeout=600, on_timeout=on_timeout)
    clock.sleep(599)
    assert settle(store, clock, "half").decision is None
    clock.sleep(86_400)
    decision = settle(store, clock, "half").decision
    assert (decision.what, decision.channel, decision.when) == (on_timeout, "timeout", "2027-01-15T08:10:00.000Z")


def test_a_decision_after_the_end_is_too_late_even_if_nobody_looked(store, clock):
    opened(store, clock, timeout=600)
    clock.sleep(601)
    with pytest.raises(Conflict, match="too late: it expired at 2027-01-15T08:10:00.000Z and took its on_timeout, abort"):
        decide(store, clock, "half", by())
    assert store.load("gates").value["half"]["decision"]["what"] == "abort"


def test_who_decides_as_the_time_did_is_not_late(store, clock):
    opened(store, clock, timeout=600, on_timeout="promote", require_other=True, starter="ann")
    clock.sleep(601)
    decision = decide(store, clock, "half", by()).decision
    assert (decision.what, decision.channel) == ("promote", "timeout")
    with pytest.raises(Conflict, match="took its on_timeout, promote"):
        decide(store, clock, "half", by("bob", "abort"))


def test_what_is_decided_already_is_decided(store, clock):
    opened(store, clock)
    decide(store, clock, "half", by("ann"))
    assert decide(store, clock, "half", by("bob")).decision.who == "ann"
    check(settle(store, clock, "half"), by("bob"), clock.time())
    with pytest.raises(Conflict, match="already decided: promote by ann"):
        check(settle(store, clock, "half"), by("bob", "abort"), clock.time())


def test_a_check_stores_nothing(store, clock):
    opened(store, clock, timeout=600)
    before = store.load("gates")
    check(settle(store, clock, "half"), by(), clock.time())
    with pytest.raises(Conflict, match="too late"):
        check(settle(store, clock, "half"), by(), clock.time() + 601)
    assert store.load("gates") == before


def test_a_gate_that_holds_waits_for_a_late_decision(store, clock):
    opened(store, clock, timeout=600, on_timeout="hold")
    clock.sleep(86_400)
    assert settle(store, clock, "half").decision is None
    assert decide(store, clock, "half", by()).decision == by()


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_waiting_ends_with_a_decision_written_into_the_store(store, clock):
    opened(store, clock)
    clock.at(35, lambda: decide(store, clock, "half", by("bob")))
    assert wait_for_gate(store, clock, "half").decision.who == "bob"
    assert clock.now() == 40


def test_waiting_ends_with_a_source(store, clock):
    opened(store, clock)
    gate = wait_for_gate(store, clock, "half", [Source(None), Source(None, None, by(channel="gitlab"))])
    assert gate.decision.channel == "gitlab"
    assert settle(store, clock, "half") == gate
    assert clock.now() == 20


def test_the_wait_of_a_process_is_bounded_and_the_gate_stays_open(store, clock):
    opened(store, clock, timeout=7200)
    assert wait_for_gate(store, clock, "half", timeout=25).decision is None
    assert clock.now() == 25
    assert [gate.name for gate in waiting(store, "r1")] == ["half"]


def test_a_wait_of_zero_is_one_look(store, clock):
    opened(store, clock)
    assert wait_for_gate(store, clock, "half", [Source(by())], timeout=0).decision == by()
    opened(store, clock, name="last")
    assert wait_for_gate(store, clock, "last", timeout=0).decision is None
    assert clock.now() == 0


def test_waiting_ends_with_the_timeout_of_the_gate(store, clock):
    opened(store, clock, timeout=60)
    assert wait_for_gate(store, clock, "half").decision.what == "abort"
    assert clock.now() == 60


def test_the_analysis_goes_on_and_can_abort(store, clock):
    opened(store, clock)
    ticks = []

    def bad_at_last(gate):
        ticks.append(clock.now())
        return by("analysis", "abort", channel="analysis") if len(ticks) == 4 else None

    assert wait_for_gate(store, clock, "half", on_tick=bad_at_last).decision.who == "analysis"
    assert ticks == [0, 10, 20, 30]


def test_an_abort_comes_before_a_promote_of_the_same_look(store, clock):
    opened(store, clock)
    gate = wait_for_gate(store, clock, "half", [Source(by("ann")), Source(by("bob", "abort"))])
    assert gate.decision.who == "bob"


def test_what_is_not_taken_is_said_once_and_waited_on(store, clock):
    opened(store, clock, require_other=True, starter="ann")
    lines = []
    gate = wait_for_gate(store, clock, "half", [Source(by("ann")), Source(None, None, None, by("bob"))], say=lines.append)
    assert gate.decision.who == "bob"
    assert len(lines) == 1
    assert "promote by ann (playbook) is not taken" in lines[0]


def test_a_source_that_is_away_keeps_the_gate_closed(store, clock):
    opened(store, clock)
    lines = []
    gate = wait_for_gate(store, clock, "half", [Source(Unavailable("gitlab: 502"), Unavailable("gitlab: 502"), by())], say=lines.append)
    assert gate.decision == by()
    assert lines == ["gate half stays closed: gitlab: 502"]


def test_a_store_that_is_away_for_a_moment_is_borne(store, clock):
    opened(store, clock)

    def down(operation, key):
        raise Unavailable("down")

    clock.at(15, lambda: setattr(store, "before", down))
    clock.at(45, lambda: setattr(store, "before", lambda operation, key: None))
    clock.at(75, lambda: decide(store, clock, "half", by()))
    lines = []
    assert wait_for_gate(store, clock, "half", say=lines.append).decision == by()
    assert lines == ["down"]


def test_a_store_that_stays_away_ends_the_wait(store, clock):
    opened(store, clock)
    clock.at(15, lambda: setattr(store, "before", Mock(side_effect=Unavailable("down"))))
    with pytest.raises(Unavailable):
        wait_for_gate(store, clock, "half")
    assert clock.now() < 90


def test_a_fenced_holder_stops_waiting(store, clock):
    opened(store, clock)

    def fenced(gate):
        raise Fenced("the lease is another's")

    with pytest.raises(Fenced):
        wait_for_gate(store, clock, "half", on_tick=fenced)


def test_a_loser_at_the_store_takes_the_winners_decision(store, clock):
    opened(store, clock)

    class Slow:
        def poll(self, gate):
            decide(store, clock, "half", by("bob", "abort"))
            return by("ann")

    lines = []
    assert wait_for_gate(store, clock, "half", [Slow()], say=lines.append).decision.who == "bob"
    assert "already decided: abort by bob" in lines[0]


def test_a_wait_can_be_interrupted(store, clock):
    opened(store, clock)
    clock.at(5, clock.interrupt)
    with pytest.raises(Interrupted):
        wait_for_gate(store, clock, "half")


def test_prompt_text(store, clock):
    gate = opened(store, clock, timeout=7200)
    assert prompt_text(gate, clock.time()) == "Gate 'half' for candidate aaaaaaaaaaaa: promote or abort; in 2:00:00: abort by itself"
    assert prompt_text(replace(gate, on_timeout="hold"), clock.time()).endswith("in 2:00:00: it stays open")
    assert prompt_text(replace(gate, expires=""), clock.time()).endswith("promote or abort")
    assert prompt_text(replace(gate, expires=iso(clock.time() - 1)), clock.time()).endswith("promote or abort")
