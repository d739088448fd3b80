# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given

from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import PRESETS, unavailable_and_surge
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import count_or_percent
from ansible_collections.progressive.delivery.tests.unit.module_utils.core import plans
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import (
    ALL,
    MATCH,
    SPLITS,
    SWITCHES,
    World,
    bounded,
    brief,
    briefs,
    compiled,
    weights,
)


@bounded(200)
@given(briefs(strategies=("rolling",), members=True, known=True))
def test_rolling_never_takes_out_more_hosts_than_allowed(given):
    plan = compiled(given)
    if plan is None:
        return
    total, options = len(given.home[given.live]), given.options
    preset = PRESETS[options.get("preset", "balanced")]
    unavailable, surge = unavailable_and_surge(options.get("max_unavailable", preset[0]), options.get("max_surge", preset[1]), total)
    most = total - 1 if options.get("batches") else min(total - 1, max(unavailable, 1 if surge else 0))
    if options.get("min_healthy") is not None:
        most = min(most, total - count_or_percent(options["min_healthy"], total, round_up=True))
    world = World(given, plan)
    for step in plan.steps:
        world.do(step)
        assert world.away <= most


def kinds(plan):
    return [step.kind.value for step in plan.steps]


def test_a_full_size_canary_swaps_roles_and_deploys_nothing_twice():
    plan = compile_plan(brief(stable=2, canary=2, steps=weights(50), watch=False))
    assert kinds(plan) == ["deploy", "health", "weight", "weight", "promote", "clean", "retire"]
    assert (plan.after, plan.steps[-1].track) == ("canary", "stable")


def test_a_small_canary_hands_back_to_stable():
    plan = compile_plan(brief(stable=3, canary=1))
    assert plan.after == "stable"
    assert sorted(host for step in plan.steps if step.kind is Kind.DEPLOY for host in step.hosts) == ["c1", "s1", "s2", "s3"]


def test_blue_green_is_one_switch():
    plan = compile_plan(brief("blue_green", stable=2, canary=2, options={"auto_promotion_enabled": False, "post_promotion_seconds": 60.0}))
    assert kinds(plan) == ["deploy", "health", "gate", "weight", "bake", "promote", "clean", "retire"]


def test_the_first_deploy_has_no_steps():
    plan = compile_plan(brief(first=True, previous="", steps=weights(5, 50)))
    assert kinds(plan) == ["deploy", "health", "clean", "promote"] and "first deploy" in plan.notes[0]


def test_hooks_stand_where_they_belong():
    hooks = {point: (plans.HookSpec(point, tasks="x.yml"),) for point in plans.HOOK_POINTS}
    plan = compile_plan(brief(stable=2, canary=2, steps=weights(100), hooks=hooks))
    names = [step.hook.name if step.hook else step.kind.value for step in plan.steps]
    assert names == [
        "before_rollout",
        "deploy",
        "health",
        "after_scale_up",
        "before_step",
        "weight",
        "after_step",
        "before_promotion",
        "promote",
        "after_promotion",
        "clean",
        "retire",
        "after_rollout",
    ]


@pytest.mark.parametrize(
    "given, words",
    [
        (brief("canry"), "Did you mean canary?"),
        (brief(stable=0), "has no hosts"),
        (brief(live="blue"), "not a slot"),
        (brief(routed=False), "no rollout_router"),
        (brief(stable=1, canary=0), "single host"),
        (brief(canary=0, steps=(plans.StepSpec(step=MATCH, where="here"),)), "here: no host runs the new version"),
        (brief(canary=3, capabilities=SWITCHES), "only switches"),
        (brief(stable=3, canary=1, capabilities=SPLITS), "cannot carry"),
        (brief(stable=3, canary=1, capabilities=SPLITS, steps=weights(50)), "needs 2 canary hosts"),
        (brief("rolling", capabilities=SPLITS), "out of rotation"),
        (brief("rolling", stable=1), "one host"),
        (brief("rolling", stable=0, canary=0, by_hosts=False, options={"zones": {"a": ["s1"]}}), "zones are made of hosts"),
        (brief("rolling", options={"zones": {"a": ["s1", "s2"]}}), "s3 is in none of the zones"),
        (brief("rolling", options={"zones": {"a": ["s1", "s2"], "b": ["s2", "s3"]}}), "s2 is in the zones a and b"),
        (brief("rolling", options={"zones": {"a": ["s1", "s2", "s3"], "b": ["x"]}}), "zone b has no host"),
        (brief("blue_green", stable=3, canary=1), "cannot carry everything"),
        (brief("blue_green", canary=0), "no hosts"),
        (brief(steps=weights(50, 20)), "weights never fall"),
        (brief(capabilities=ALL - {plans.Capability.HEADER}, steps=(plans.StepSpec(step=MATCH),)), "header"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(given, words):
    with pytest.raises(ConfigError, match=words.replace("?", r"\\?")):
        compile_plan(given)


def test_zones_come_one_after_the_other_and_the_first_is_looked_at_longer():
    options = {"zones": {"b": ["s3", "s4", "x"], "a": ["s2", "s1"]}, "preset": "fast", "batches": [1, 4], "bake_first": 60.0, "bake_between": 10.0}
    plan = compile_plan(brief("rolling", stable=4, canary=0, options=options))
    assert [step.hosts for step in plan.steps if step.kind is Kind.DEPLOY] == [("s3",), ("s4",), ("s1", "s2")]
    assert [step.duration for step in plan.steps if step.kind is Kind.BAKE] == [60, 10]
    assert [plan.steps[index - 1].name for index, step in enumerate(plan.steps) if step.duration == 60] == ["join s4"]
    assert "zones in this order: b, a" in plan.notes


def test_overload_is_taken_as_asked_and_somebody_takes_it():
    plan = compile_plan(brief(stable=4, canary=0, allow_overload=True, steps=weights(33.3, 100)))
    assert [step.weight for step in plan.steps if step.kind is Kind.WEIGHT] == [Fraction("33.3"), 100]
    assert kinds(plan)[:3] == ["drain", "deploy", "health"]
