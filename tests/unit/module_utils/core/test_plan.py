# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

from hypothesis import given

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Member
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan, describe, next_deploy, routes_at
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import IN_PLACE, peak
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import World, bounded, brief, briefs, compiled


@bounded(250)
@given(briefs())
def test_every_prefix_of_every_plan_keeps_the_rules(given):
    plan = compiled(given)
    if plan is None:
        return
    world = World(given, plan)
    for position, step in enumerate(plan.steps):
        assert world.routes == routes_at(plan, position)
        if step.kind is Kind.PROMOTE and plan.candidate != plan.stable and given.routed:
            assert world.routes.weight(plan.candidate) == 100, "promoted before it carried everything"
        world.do(step)
    ends_on_the_new_version(given, plan, world)


@bounded(250)
@given(briefs(members=True, known=True))
def test_every_prefix_of_plans_that_move_hosts_keeps_the_rules(given):
    plan = compiled(given)
    if plan is None:
        return
    world = World(given, plan)
    for step in plan.steps:
        world.do(step)
    ends_on_the_new_version(given, plan, world)


def ends_on_the_new_version(given, plan, world):
    assert world.routes.weights[plan.after] == 100
    assert not world.routes.matches and world.routes.mirror is None or plan.strategy in IN_PLACE
    if world.routes.members:
        assert world.routes.members == {track: tuple(Member(host) for host in hosts) for track, hosts in plan.home.items()}
    assert len(world.deployed) == len(set(world.deployed)), "a host got the version twice"
    if given.by_hosts:
        assert {world.version[host] for host in plan.home[plan.after]} == {"2"}
        assert {world.version[host] for host in world.deployed} == {"2"}


@bounded(150)
@given(briefs())
def test_a_plan_survives_json_and_keeps_its_digest(given):
    plan = compiled(given)
    if plan is not None:
        again = decode(Plan, encode(plan), "plan")
        assert again == plan
        assert again.digest == plan.digest


@bounded(120)
@given(briefs(members=True))
def test_peak_counts_hosts_out_of_rotation(given):
    plan = compiled(given)
    if plan is None:
        return
    world, most = World(given, plan), 0
    for step in plan.steps:
        world.do(step)
        most = max(most, world.away)
    assert peak(plan) == most


@bounded(120)
@given(briefs())
def test_every_deploy_is_checked_before_anything_else_happens_to_its_hosts(given):
    plan = compiled(given)
    if plan is None or not given.health:
        return
    for index, step in enumerate(plan.steps):
        if step.kind is Kind.DEPLOY and step.hosts:
            following = next(item for item in plan.steps[index + 1:] if item.kind is not Kind.HOOK)
            assert following.kind is Kind.HEALTH and following.hosts == step.hosts


def test_next_deploy_and_rows():
    plan = compiled(brief(stable=4, canary=1))
    first = next_deploy(plan.steps, 0)
    assert plan.steps[first].kind is Kind.DEPLOY
    assert next_deploy(plan.steps, len(plan.steps)) == len(plan.steps)
    rows = [describe(plan, step) for step in plan.steps]
    assert {"name", "kind", "weight", "hosts", "seconds"} == set(rows[0])
    assert [row["weight"] for row in rows if row["weight"] is not None][-1] == 100


def test_a_host_that_joins_at_a_ramp_stays_in_one_track():
    plan = compiled(brief("rolling", stable=3, options={"ramp": [25, 100], "preset": "conservative"}))
    levels = [step.ramp for step in plan.steps if step.kind is Kind.JOIN]
    assert levels == [Fraction(25), FULL] * 3
