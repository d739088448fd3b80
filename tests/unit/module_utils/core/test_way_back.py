# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Member
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import TRAFFIC, Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import lost, way_back
from ansible_collections.progressive.delivery.tests.unit.module_utils.core import plans
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import MATCH, MIRROR, bounded, brief, briefs, compiled, weights


def turning_points(plan):
    """Every position from which a release may still go back."""
    return range(next(index for index, step in enumerate(plan.steps) if step.kind is Kind.PROMOTE) + 1)


def goes_back(given, plan, position, *, half, immediate):
    steps = way_back(plan, position, immediate=immediate)
    unknown = lost(plan, position)
    world = plans.way_back_world(given, plan, position, half=half, overload=immediate or bool(unknown))
    for step in steps:
        world.do(step)
    begun = plan.steps[: position + 1]
    touched = {host for step in begun if step.kind is Kind.DEPLOY for host in step.hosts}
    assert world.routes.weight(plan.stable) == 100
    assert not world.routes.matches and world.routes.mirror is None
    stable = set(plan.home[plan.stable])
    if unknown:
        assert not world.deployed
        return world
    assert sorted(world.deployed) == sorted(touched & stable), "each changed stable host gets its version back exactly once, and no other host"
    assert {world.version[host] for host in stable} <= {"1"}
    if world.routes.members:
        assert world.routes.members == {track: tuple(Member(host) for host in hosts) for track, hosts in plan.home.items()}
    return world


@bounded(150)
@given(briefs(), st.data(), st.booleans(), st.booleans())
def test_the_way_back_from_any_position_ends_on_stable(given, data, half, immediate):
    plan = compiled(given)
    if plan is not None:
        position = data.draw(st.sampled_from(turning_points(plan)))
        goes_back(given, plan, position, half=half, immediate=immediate)


@bounded(150)
@given(briefs(members=True, known=True), st.data(), st.booleans(), st.booleans())
def test_the_way_back_of_plans_that_move_hosts(given, data, half, immediate):
    plan = compiled(given)
    if plan is not None:
        position = data.draw(st.sampled_from(turning_points(plan)))
        goes_back(given, plan, position, half=half, immediate=immediate)


@pytest.mark.parametrize("canary", range(5))
@pytest.mark.parametrize("stable", range(2, 7))
def test_every_small_pool_goes_back_from_everywhere(stable, canary):
    given = brief(stable=stable, canary=canary, steps=weights(5, 33.3, 80))
    plan = compiled(given)
    for position in turning_points(plan):
        for half in (False, True):
            for immediate in (False, True):
                goes_back(given, plan, position, half=half, immediate=immediate)


def test_before_anything_changed_there_is_nothing_to_take_back():
    plan = compiled(brief(hooks={"before_rollout": (plans.HookSpec("tidy", tasks="x.yml"),)}))
    assert way_back(plan, 0) == ()
    assert way_back(plan, 1) != ()


def test_hosts_whose_version_nobody_knows_stay_out_of_rotation():
    given = brief(stable=4, canary=1, previous="")
    plan = compiled(given)
    position = next(index for index, step in enumerate(plan.steps) if step.weight == 50)
    world = goes_back(given, plan, position, half=True, immediate=False)
    gone = lost(plan, position)
    assert gone and {member.name for member in world.routes.members["stable"] if member.ramp == 0} == set(gone)
    assert {member.ramp for member in world.routes.members["stable"] if member.name not in gone} == {FULL}


def test_a_host_that_was_only_drained_serves_again_before_stable_takes_more():
    plan = compiled(brief(stable=4, canary=1))
    position = next(index for index, step in enumerate(plan.steps) if step.kind is Kind.DRAIN)
    steps = way_back(plan, position)
    assert [step.kind for step in steps] == [Kind.JOIN, Kind.HEALTH, Kind.WEIGHT, Kind.CLEAN]
    assert steps[0].hosts == plan.steps[position].hosts


def test_a_rolling_update_of_unknown_hosts_puts_back_what_it_only_drained():
    plan = compiled(brief("rolling", stable=4, previous="", options={"preset": "conservative"}))
    drains = [index for index, step in enumerate(plan.steps) if step.kind is Kind.DRAIN]
    assert [step.kind for step in way_back(plan, drains[1])] == [Kind.JOIN]
    assert way_back(plan, drains[1] + 1) == ()


@pytest.mark.parametrize("extra", [MATCH, MIRROR])
def test_nobody_is_sent_by_name_to_a_candidate_that_is_taken_apart(extra):
    given = brief(stable=3, canary=0, steps=(*weights(30), plans.StepSpec(step=extra), *weights(100)))
    plan = compiled(given)
    for position in turning_points(plan):
        goes_back(given, plan, position, half=True, immediate=False)


def test_all_traffic_goes_first_when_asked_for():
    plan = compiled(brief(stable=4, canary=1))
    position = next(index for index, step in enumerate(plan.steps) if step.weight == 50)
    kinds = [step.kind for step in way_back(plan, position, immediate=True) if step.kind in TRAFFIC or step.kind is Kind.DEPLOY]
    assert kinds == [Kind.WEIGHT, Kind.DRAIN, Kind.DEPLOY, Kind.JOIN, Kind.CLEAN]


def test_all_traffic_goes_before_stable_is_looked_at_when_asked_for():
    plan = compiled(brief(stable=4, canary=4))
    position = next(index for index, step in enumerate(plan.steps) if step.kind is Kind.WEIGHT)
    assert [step.kind for step in way_back(plan, position)] == [Kind.HEALTH, Kind.WEIGHT, Kind.CLEAN]
    assert [step.kind for step in way_back(plan, position, immediate=True)] == [Kind.WEIGHT, Kind.HEALTH, Kind.CLEAN]
