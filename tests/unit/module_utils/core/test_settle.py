# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Member, MemberView, Observation, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import difference, drained, settle


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def look(stable=0, canary=0, **more):
    return Observation(**{"applied": True, "epoch": "1", "requests": {"stable": stable, "canary": canary}, **more})


def test_a_share_within_the_tolerance_is_settled():
    found = settle(split(5), look(100, 100), look(1050, 150))
    assert found.settled
    assert found.measured == {"stable": 95, "canary": 5}
    assert found.requests == 1000
    assert "canary 5 % of 1000 requests" in found.why.replace("measured stable 95 %, ", "")


def test_a_share_far_off_is_not():
    found = settle(split(5), look(), look(700, 300))
    assert not found.settled
    assert "instead of" in found.why


@pytest.mark.parametrize("after, text", [
    (look(0, 0, applied=False, why="web3 is down"), "web3 is down"),
    (look(900, 100, epoch="2"), "restarted"),
    (look(5, 5), "fell"),
])
def test_what_cannot_be_compared_is_not_settled(after, text):
    found = settle(split(5), look(10, 10), after)
    assert not found.settled
    assert text in found.why
    assert found.measured is None


def test_few_requests_are_settled_by_the_read_back_and_said_so():
    found = settle(split(5), look(), look(60, 40))
    assert found.settled
    assert "only 100 requests" in found.why
    assert (found.requests, found.measured) == (100, {"stable": 60, "canary": 40})
    assert settle(split(5), look(), look()).requests == 0
    assert settle(split(5), Observation(True), Observation(True)).settled


TESTERS = MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),))


@pytest.mark.parametrize(("canary", "requests", "settled"), [
    (5, (950, 50), True), (5, (600, 400), True), (50, (900, 100), False), (100, (950, 50), False), (0, (500, 500), True), (0, (1000, 0), True),
])
def test_requests_of_match_routes_come_on_top(canary, requests, settled):
    assert settle(split(canary, matches=(TESTERS,)), look(), look(*requests)).settled is settled


def test_a_third_track_that_gets_more_is_seen_with_match_routes_too():
    want = Routes({"stable": Fraction(80), "canary": Fraction(10), "other": Fraction(10)}, matches=(TESTERS,))
    after = Observation(True, epoch="1", requests={"stable": 500, "canary": 100, "other": 400})
    assert not settle(want, Observation(True, epoch="1", requests={"stable": 0, "canary": 0, "other": 0}), after).settled


def test_traffic_of_a_track_that_shall_have_none_counts():
    assert not settle(split(0), look(), look(950, 50)).settled
    assert not settle(Routes({"stable": Fraction(100)}), look(), look(950, 50)).settled


def test_random_splits_are_rarely_taken_for_wrong_ones():
    source = random.Random(7)
    wrong = 0
    for _round in range(300):
        canary = sum(source.random() < 0.2 for _request in range(400))
        wrong += not settle(split(20), look(), look(400 - canary, canary), tolerance=Fraction(0)).settled
    assert wrong <= 3


def test_drained():
    seen = Observation(True, members={"a": MemberView("drain", 0), "b": MemberView("drain", 2), "c": MemberView("up", 0), "d": MemberView("maint", 0)})
    assert drained(seen, ["a", "d"]) == (True, 0)
    assert drained(seen, ["a", "b"]) == (False, 2)
    assert drained(seen, ["c"]) == (False, 0)
    assert drained(seen, ["nobody"]) == (False, 0)


def test_difference():
    assert difference(split("33.3"), split("33.33")) == ""
    assert difference(split(0), split("0.3")) == "stable has 99.7 % instead of 100 %" or difference(split(0), split("0.3")).startswith("canary")
    assert difference(split(5), split(6)) == "stable has 94 % instead of 95 %"
    out = {"canary": (Member("web3", Fraction(0)),)}
    full = {"canary": (Member("web3"),)}
    assert difference(split(5, members=full), split(5, members=out)) == "web3 is out of rotation"
    assert difference(split(5, members=out), split(5, members=full)) == "web3 is still in rotation"
