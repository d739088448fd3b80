# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and assignments of users in plans, and what of them can be measured."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import (
    CANARY,
    STABLE,
    Assignment,
    Capability,
    Condition,
    MatchRoute,
    Observation,
    Routes,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan, routes_at
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import difference, settle
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan, way_back
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import ALL, brief

VIP = MatchRoute("vip", ((Condition("header", "user-tier", "exact", "vip"),),), STABLE)
NEW = MatchRoute("new", ((Condition("header", "user-type", "exact", "new"),),), CANARY)
USERS = Assignment("cookie", "uid", "shop")


def pool(**options) -> Plan:
    given = {"share": Fraction(40), "rules": (VIP, NEW), "assignment": USERS, **options}
    return compile_plan(brief("ab_test", stable=2, canary=2, options=given))


def managed(live=STABLE, **options) -> Plan:
    given = {"share": Fraction(40), "rules": (VIP, NEW), "assignment": USERS, **options}
    made = brief("ab_test", stable=0, canary=0, options=given, by_hosts=False, replicas={"stable": 5, "canary": 5}, live=live)
    return compile_plan(replace(made, capabilities=ALL - {Capability.PODS}))


def at(plan: Plan, name: str) -> Routes:
    return routes_at(plan, next(index for index, step in enumerate(plan.steps) if step.name == name) + 1)


@pytest.mark.parametrize("make", [pool, managed])
def test_rules_and_buckets_are_there_before_there_is_a_share(make):
    names = [step.name for step in make().steps if step.kind in (Kind.MATCH, Kind.ASSIGN, Kind.WEIGHT)]
    assert names[:4] == ["vip sees A", "new sees B", "users split by cookie uid", "40 %"]


@pytest.mark.parametrize("live", [STABLE, CANARY])
def test_a_is_what_serves_when_the_release_begins_whichever_slot_that_is(live):
    routes = at(managed(live), "40 %")
    spare = CANARY if live == STABLE else STABLE
    assert [match.track for match in routes.matches] == [live, spare]
    assert routes.assignment == replace(USERS, track=spare, others=live)
    assert routes.weights == {live: 60, spare: 40}


@pytest.mark.parametrize("make", [pool, managed])
def test_everybody_is_everybody(make):
    plan = make()
    routes = at(plan, "100 %")
    assert [match.name for match in routes.matches] == ["new"]
    assert routes.assignment is None
    for position, step in enumerate(plan.steps):
        if step.kind is Kind.DEPLOY and step.track == plan.stable:
            assert not any(match.track == plan.stable for match in routes_at(plan, position).matches), "users are sent to what is being changed"
    end = routes_at(plan, len(plan.steps))
    assert (end.matches, end.assignment) == ((), None)


@pytest.mark.parametrize("make", [pool, managed])
def test_the_way_back_leaves_no_rule_and_no_assignment(make):
    plan = make()
    for position in range(len(plan.steps)):
        back = way_back(plan, position)
        if any(step.kind is Kind.CLEAN for step in back):
            end = routes_at(plan, position, back)
            assert (end.matches, end.assignment, end.weight(plan.candidate)) == ((), None, 0)


def test_named_users_only_leave_the_weights_alone_and_have_pods_all_the_same():
    named = tuple(MatchRoute(name, ((Condition("header", "g", "exact", value),),), track) for name, value, track in (("a", "A", STABLE), ("b", "B", CANARY)))
    plan = managed(rules=named, assignment=None, named_only=True)
    assert [step.replicas for step in plan.steps if step.kind is Kind.DEPLOY][0] == 2, "40 % of 5 pods"
    weights = [step.weight for step in plan.steps if step.kind is Kind.WEIGHT]
    assert weights == [100]
    with pytest.raises(ConfigError, match="needs 3 hosts in the canary group, there are 1"):
        compile_plan(brief("ab_test", stable=5, canary=1, options={"share": Fraction(60), "rules": named, "named_only": True}))


def test_a_router_that_cannot_split_users_is_refused_with_the_way_out():
    made = brief("ab_test", stable=2, canary=2, options={"share": Fraction(40), "assignment": USERS}, capabilities=ALL - {Capability.STICKY})
    with pytest.raises(ConfigError, match=r"cannot split users by a hash.*assignment: \{header: ab-test-group\}"):
        compile_plan(made)


@pytest.mark.parametrize("make", [pool, managed])
def test_a_plan_with_users_outlives_the_record(make):
    plan = make()
    assert decode(Plan, encode(plan)) == plan


def look(**requests) -> Observation:
    return Observation(True, requests=requests)


def test_what_users_do_is_told_and_not_held_against_the_weights():
    weights = {STABLE: Fraction(60), CANARY: Fraction(40)}
    before, after = look(stable=0, canary=0), look(stable=900, canary=100)
    assert not settle(Routes(weights), before, after).settled
    for want in (Routes(weights, assignment=USERS), Routes(weights, matches=(VIP, NEW))):
        told = settle(want, before, after)
        assert told.settled
        assert told.measured == {STABLE: 90, CANARY: 10}
        assert "for the users to say" in told.why
    assert not settle(Routes(weights, matches=(VIP,)), before, look(stable=100, canary=900)).settled, "a rule to A brings B no requests"


def test_another_assignment_is_a_difference():
    weights = {STABLE: Fraction(60), CANARY: Fraction(40)}
    assert difference(Routes(weights, assignment=USERS), Routes(weights)) == "the assignment of users differs"
    assert difference(Routes(weights, assignment=USERS), Routes(weights, assignment=replace(USERS, salt="other")))
    assert difference(Routes(weights, assignment=USERS), Routes(weights, assignment=USERS)) == ""
