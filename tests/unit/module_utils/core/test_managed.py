# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of workloads that have replicas: a share is only ever given to pods that are there, and taken before they go."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import needed, pods_by_ratio
from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, MatchRoute
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan, Step, apply, routes_at
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief, Scale, StepSpec
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan, lost, way_back

from .plans import bounded

SPLIT = frozenset({Capability.WEIGHT, Capability.HEADER})
PODS = frozenset({Capability.WEIGHT, Capability.PODS})
SWITCH = frozenset({Capability.PREVIEW})


def brief(strategy="canary", **more) -> Brief:
    given = {"version": "2", "previous": "1", "capabilities": SPLIT, "replicas": {"stable": 4, "canary": 0}, **more}
    return Brief(strategy=strategy, home={"stable": (), "canary": ()}, by_hosts=False, **given)


def weights(*levels) -> tuple[StepSpec, ...]:
    return tuple(StepSpec(weight=Fraction(str(level)), where=f"rollout_steps[{index}]") for index, level in enumerate(levels))


def names(plan) -> list[str]:
    return [step.name for step in plan.steps]


class World:
    """The pods of each track while steps are carried out; whatever is told to be ready is, once asked about."""

    def __init__(self, plan: Plan, replicas) -> None:
        self.plan = plan
        self.routes = plan.start
        self.replicas = dict(replicas)
        self.ready = dict(replicas)
        self.version = {plan.stable: plan.previous, plan.candidate: ""} if plan.candidate != plan.stable else {plan.stable: plan.previous}
        self.check("start")

    def do(self, step: Step, *, asked=True) -> None:
        if step.kind is Kind.DEPLOY:
            assert self.routes.weight(step.track) == 0 or self.plan.candidate == self.plan.stable, f"{step.name}: users are on {step.track}"
            self.version[step.track] = step.version
            self.ready[step.track] = 0
        if step.replicas is not None:
            self.replicas[step.track] = step.replicas
            self.ready[step.track] = min(self.ready[step.track], step.replicas)
        if step.kind is Kind.HEALTH:
            self.ready[step.track] = self.replicas[step.track]
        if step.kind is Kind.RETIRE:
            self.replicas[step.track] = self.ready[step.track] = 0
        self.routes = apply(self.routes, step, self.plan)
        for track, count in self.routes.pods.items():
            if step.kind in (Kind.WEIGHT, Kind.CLEAN):
                assert count <= self.ready[track], f"{step.name}: {track} was not scaled up first"
                self.replicas[track] = self.ready[track] = count
        self.check(step.name)

    def check(self, told: str) -> None:
        if self.plan.candidate == self.plan.stable:
            return
        for track, share in self.routes.weights.items():
            if self.routes.pods:
                assert share == 0 or self.ready[track] > 0, f"{told}: nobody serves {track}"
            else:
                assert self.ready[track] >= needed(share, self.plan.full_load), f"{told}: {track} has {self.ready[track]} pods for {share} %"


managed_briefs = st.builds(
    lambda strategy, full, spare, capabilities, levels, options: brief(
        strategy, capabilities=capabilities, replicas={"stable": full, "canary": spare}, steps=weights(*sorted(levels)) if strategy == "canary" else (),
        options=options),
    st.sampled_from(["canary", "canary", "blue_green"]), st.integers(1, 40), st.integers(0, 3), st.sampled_from([SPLIT, PODS]),
    st.lists(st.integers(0, 100), max_size=5), st.sampled_from([{}, {"promotion": "swap"}, {"preview_replica_count": 1}, {"post_promotion_seconds": 30.0}]),
)


@bounded(200)
@given(managed_briefs)
def test_every_prefix_keeps_the_rules(given):
    plan = compile_plan(given)
    world = World(plan, given.replicas)
    for position, step in enumerate(plan.steps):
        assert world.routes == routes_at(plan, position)
        if step.kind is Kind.PROMOTE:
            assert world.routes.weight(plan.candidate) == 100
            assert world.version[plan.after] == "2" and world.ready[plan.after] >= 1
        world.do(step)
    assert world.routes.weight(plan.after) == 100
    assert world.version[plan.after] == "2"
    assert world.replicas == {plan.after: plan.full_load, next(track for track in plan.home if track != plan.after): 0}


@bounded(200)
@given(managed_briefs, st.data())
def test_the_way_back_from_anywhere_ends_on_stable(given, data):
    plan = compile_plan(given)
    last = next(index for index, step in enumerate(plan.steps) if step.kind is Kind.PROMOTE)
    position = data.draw(st.integers(0, last))
    world = World(plan, given.replicas)
    for step in plan.steps[:position]:
        world.do(step)
    if data.draw(st.booleans()):
        world.do(plan.steps[position])
    for step in way_back(plan, position):
        world.do(step)
    assert world.routes.weight(plan.stable) == 100
    assert world.version[plan.stable] == "1"
    assert world.ready[plan.stable] >= plan.full_load
    if any(step.kind is Kind.DEPLOY for step in plan.steps[: position + 1]):
        assert world.replicas[plan.candidate] == 0


@bounded(50)
@given(managed_briefs)
def test_a_plan_survives_json(given):
    plan = compile_plan(given)
    assert decode(Plan, encode(plan), "plan") == plan


def test_a_canary_is_scaled_before_each_share_and_stable_gets_the_version_at_the_end():
    plan = compile_plan(brief(steps=weights(25, 50), options={"scale_down_delay": 5.0}))
    assert names(plan) == [
        "deploy 2 to canary", "canary is ready", "25 %", "scale canary to 2", "canary is ready", "50 %", "scale canary to 4", "canary is ready", "100 %",
        "deploy 2 to stable", "stable is ready", "promote", "clean up", "retire canary",
    ]
    assert plan.steps[0].replicas == 1
    assert plan.after == "stable"
    assert plan.steps[-1].duration == 5.0


def test_with_swap_the_slots_change_roles():
    plan = compile_plan(brief(steps=weights(100), options={"promotion": "swap"}))
    assert names(plan)[-3:] == ["promote", "clean up", "retire stable"]
    assert plan.after == "canary"


def test_blue_green_tests_a_small_preview_and_switches_to_a_full_one():
    plan = compile_plan(brief("blue_green", capabilities=SWITCH, options={"preview_replica_count": 1}))
    assert names(plan) == [
        "deploy 2 to canary", "canary is ready", "preview", "scale canary to 4", "canary is ready", "switch", "promote", "clean up", "retire stable",
    ]
    assert plan.steps[0].replicas == 1


def test_what_is_still_there_is_scaled_not_deployed():
    plan = compile_plan(brief("blue_green", capabilities=SWITCH, present=True))
    assert names(plan)[:2] == ["scale canary to 4", "canary is ready"]


def test_rolling_and_recreate_change_the_live_track():
    for strategy in ("rolling", "recreate"):
        plan = compile_plan(brief(strategy, routed=False))
        assert names(plan) == ["deploy 2 to stable", "stable is ready", "promote"]
        assert [step.name for step in way_back(plan, 1)] == ["deploy 1 to stable", "stable is ready"]


def test_a_former_template_of_the_same_version_is_put_back_by_its_name():
    plan = replace(compile_plan(brief("rolling", previous="2")), former="shop-7d9f")
    assert [(step.kind, step.revision) for step in way_back(plan, 1)] == [(Kind.DEPLOY, "shop-7d9f"), (Kind.HEALTH, "")]
    canary = replace(compile_plan(brief(previous="2")), former="shop-7d9f")
    last = max(index for index, step in enumerate(canary.steps) if step.kind is Kind.DEPLOY)
    assert [step.revision for step in way_back(canary, last) if step.kind is Kind.DEPLOY] == ["shop-7d9f"]
    pods = replace(compile_plan(brief(previous="2", capabilities=PODS)), former="shop-7d9f")
    last = max(index for index, step in enumerate(pods.steps) if step.kind is Kind.DEPLOY)
    assert [(step.kind, step.replicas) for step in way_back(pods, last)][:3] == [(Kind.DEPLOY, 4), (Kind.SCALE, 4), (Kind.HEALTH, None)]


def test_a_first_deploy_has_no_steps():
    plan = compile_plan(brief(first=True, previous=""))
    assert names(plan) == ["deploy 2 to stable", "stable is ready", "clean up", "promote"]
    assert lost(plan, 1) == ("stable",)


def test_immediate_moves_traffic_before_it_looks_at_stable():
    plan = compile_plan(brief(steps=weights(50)))
    steps = way_back(plan, 2, immediate=True)
    assert [step.name for step in steps] == ["all traffic to stable", "stable is ready", "clean up", "retire canary"]
    assert [step.name for step in way_back(plan, 2)][:2] == ["stable is ready", "all traffic to stable"]


@pytest.mark.parametrize("spec", [*weights(5), StepSpec(step=Step("vip", Kind.MATCH, match=MatchRoute("vip", ())))])
def test_a_candidate_that_had_requests_stays_for_the_delay_on_the_way_back_too(spec):
    plan = compile_plan(brief(steps=(spec, *weights(50)), options={"scale_down_delay": 9.0}))
    first = next(index for index, step in enumerate(plan.steps) if step.kind in (Kind.WEIGHT, Kind.MATCH))
    assert [step.duration for step in way_back(plan, first - 1) if step.kind is Kind.RETIRE] == [0.0], "nobody has heard of it yet"
    for position in range(first, len(plan.steps) - 3):
        assert [step.duration for step in way_back(plan, position) if step.kind is Kind.RETIRE] == [9.0], plan.steps[position].name


def test_nothing_begun_needs_no_way_back():
    plan = compile_plan(brief(steps=(StepSpec(step=Step("look", Kind.BAKE, duration=1.0)), *weights(50))))
    gate_first = replace(plan, steps=(Step("look", Kind.BAKE, duration=1.0), *plan.steps))
    assert way_back(gate_first, 0) == ()


def test_a_fixed_scale_is_kept_and_must_carry_the_share():
    fixed = StepSpec(scale=Scale(replicas=2), where="rollout_steps[0]")
    plan = compile_plan(brief(steps=(fixed, *weights(25, 50))))
    assert plan.steps[0].replicas == 2
    assert names(plan)[2:4] == ["25 %", "50 %"]
    with pytest.raises(ConfigError, match="needs 3 canary pods, set_canary_scale keeps 2"):
        compile_plan(brief(steps=(fixed, *weights(75))))
    compile_plan(brief(steps=(fixed, *weights(75)), allow_overload=True))


@pytest.mark.parametrize(("replicas", "share", "wanted"), [
    (3, 33, (1, 2)), (3, 5, (1, 3)), (10, 5, (1, 10)), (10, 50, (5, 5)), (1, 50, (1, 1)), (1, 10, (1, 1)), (2, 50, (1, 1)), (4, 100, (4, 0)), (4, 0, (0, 4)),
    (3, 50, (2, 2)), (10, 99, (10, 1)),
])
def test_the_nearest_whole_pods(replicas, share, wanted):
    assert pods_by_ratio(replicas, Fraction(share)) == wanted


@bounded(300)
@given(st.integers(1, 300), st.fractions(0, 100, max_denominator=100))
def test_pods_by_ratio_never_empties_a_side_that_has_a_share(replicas, share):
    candidate, stable = pods_by_ratio(replicas, share)
    assert replicas <= candidate + stable <= replicas + 1
    if 0 < share < 100:
        assert candidate >= 1 and stable >= 1
