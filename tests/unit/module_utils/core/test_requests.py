# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the holder of a release, and the loop that swaps them in."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.core.requests import KEPT, answer, ask, find, pending
from ansible_collections.progressive.delivery.plugins.module_utils.core.swap import swap
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def clock():
    return FakeClock()


def asked(store, clock, id="q1", kind="abort", release="r1", who="bob", reason=""):
    return ask(store, clock, id=id, kind=kind, release=release, who=who, reason=reason)


def test_a_request_waits_until_it_is_answered(store, clock):
    assert pending(store, "r1") is None
    request = asked(store, clock, reason="pager")
    assert pending(store, "r1") == request
    assert (request.kind, request.who, request.reason, request.at) == ("abort", "bob", "pager", "2027-01-15T08:00:00.000Z")
    clock.sleep(5)
    done = answer(store, clock, "q1", "stable carries 100 % again")
    assert (done.answer, done.answered) == ("stable carries 100 % again", "2027-01-15T08:00:05.000Z")
    assert pending(store, "r1") is None
    assert find(store, "q1") == done
    assert find(store, "q2") is None


def test_a_request_for_an_earlier_release_does_not_touch_the_next(store, clock):
    asked(store, clock, release="r1")
    assert pending(store, "r2") is None
    assert asked(store, clock, id="q2", kind="promote", release="r2").kind == "promote"


def test_asking_again_finds_the_request_that_is_there(store, clock):
    first = asked(store, clock)
    assert asked(store, clock) == first
    assert asked(store, clock, id="q2", who="eve") == first
    done = answer(store, clock, "q1", "done")
    assert asked(store, clock) == done


def test_an_abort_overtakes_a_promote_and_tells_it(store, clock):
    asked(store, clock, id="q1", kind="promote", who="ann")
    abort = asked(store, clock, id="q2", kind="abort", who="bob")
    assert pending(store, "r1") == abort
    assert find(store, "q1").answer == "overtaken by the abort that bob asked for"


def test_a_promote_does_not_overtake_an_abort(store, clock):
    asked(store, clock, id="q1", kind="abort", who="bob")
    with pytest.raises(Conflict, match="bob asked to abort"):
        asked(store, clock, id="q2", kind="promote", who="ann")
    assert pending(store, "r1").id == "q1"


@pytest.mark.parametrize("order", [("abort", "promote"), ("promote", "abort")])
def test_abort_and_promote_at_the_same_moment_abort_wins(store, clock, order):
    """Both have read the empty list; the one saves, the other's swap is lost and it looks again."""
    first, second = order

    def slip_in(operation, key):
        if operation == "save":
            store.before = lambda operation, key: None
            asked(store, clock, id=first, kind=first)

    store.before = slip_in
    if second == "abort":
        asked(store, clock, id=second, kind=second)
    else:
        with pytest.raises(Conflict):
            asked(store, clock, id=second, kind=second)
    assert pending(store, "r1").kind == "abort"


def test_the_first_answer_stays(store, clock):
    asked(store, clock)
    answer(store, clock, "q1", "first")
    assert answer(store, clock, "q1", "second").answer == "first"
    with pytest.raises(ConfigError, match="no request"):
        answer(store, clock, "q9", "x")


def test_only_the_last_answered_are_kept(store, clock):
    asked(store, clock, id="open", release="other")
    for number in range(KEPT + 10):
        asked(store, clock, id=f"q{number}")
        answer(store, clock, f"q{number}", "done")
    assert len(store.load("requests").value["requests"]) == KEPT + 1
    assert pending(store, "other").id == "open"
    assert find(store, "q0") is None


def test_an_unknown_kind_and_a_broken_list_are_refused(store, clock):
    with pytest.raises(ConfigError, match="not a request"):
        asked(store, clock, kind="pause")
    store.save("requests", {"requests": {}}, None)
    with pytest.raises(ConfigError, match="not a list"):
        pending(store, "r1")


def test_a_swap_is_tried_again_and_given_up_in_the_end(store, clock):
    lost = []

    def others_first(operation, key):
        if operation == "save" and len(lost) < 3:
            lost.append(1)
            raise Conflict("409")

    store.before = others_first
    assert swap(store, clock, "requests", lambda value: {"n": value.get("n", 0) + 1}) == {"n": 1}

    def always(operation, key):
        if operation == "save":
            raise Conflict("409")

    store.before = always
    with pytest.raises(Conflict, match="50 times"):
        swap(store, clock, "requests", lambda value: {"n": 2})


def test_a_swap_that_wants_nothing_saves_nothing(store, clock):
    assert swap(store, clock, "gates", lambda value: None) == {}
    assert store.load("gates") is None
