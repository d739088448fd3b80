# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a brief to a plan, and from a plan that went wrong to the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from ..errors import ConfigError, unknown
from ..model import FULL, Capability, Member
from ..plan import TRAFFIC, GateSpec, Kind, Plan, Step, apply, routes_at
from ..shares import part
from ..units import show_duration
from . import ab_test, blue_green, canary, managed, recreate, rolling
from .brief import Brief
from .transfer import Sides, move, short, transfer

Compiler = Callable[[Brief], "tuple[str, list[Step]]"]

STRATEGIES: dict[str, Compiler] = {
    "ab_test": ab_test.steps,
    "blue_green": blue_green.steps,
    "canary": canary.steps,
    "recreate": recreate.steps,
    "rolling": rolling.steps,
}

MANAGED: dict[str, Compiler] = {
    "ab_test": lambda brief: managed.canary(ab_test.as_canary(brief)),
    "blue_green": managed.blue_green,
    "canary": managed.canary,
    "recreate": managed.in_place,
    "rolling": managed.in_place,
}
"""The same strategies for workloads that are changed through an API."""

HOOK_POINTS = ("before_rollout", "after_scale_up", "before_step", "after_step", "before_promotion", "after_promotion", "after_rollout")
"""Points that are places in the plan. (on_abort and on_pause are answers to an event; the executor calls those.)"""

MOST_STEPS = 2000
"""A longer plan is a typo, or could not be stored together with its way back."""

BEFORE_ROLLBACK = "rollback"
"""The gate that a safe rollback waits at before anything changes."""

IN_PLACE = frozenset({"rolling", "recreate"})
"""Strategies that change the live slot itself."""


def compile_plan(brief: Brief) -> Plan:
    """The plan for ``brief``. Raises ConfigError for one that could not work."""
    if brief.strategy not in STRATEGIES:
        raise unknown("strategy", brief.strategy, STRATEGIES, where="rollout_strategy")
    if brief.live not in brief.home:
        raise ConfigError(f"{brief.live!r} carries the traffic and is not a slot of this workload", where="rollout_router",
                          do=f"Slots: {', '.join(brief.home)}. Bring one of them to 100 % first.")
    if brief.by_hosts and not brief.home.get(brief.live):
        raise ConfigError(f"the {brief.live} group has no hosts", where="rollout_workload.pool", do="Put hosts into the group, or name another one.")
    if brief.options.get("zones") and not brief.by_hosts:
        raise ConfigError("zones are made of hosts, and this workload has none", where="rollout_rolling.zones", do="Leave them out.")
    if not brief.routed and not brief.first and brief.strategy not in IN_PLACE:
        raise ConfigError(f"{brief.strategy} moves traffic and there is no rollout_router", where="rollout_router",
                          do="Name the router, or use recreate or rolling.")
    if brief.first and brief.strategy not in IN_PLACE:
        after, steps = brief.live, _first(brief) if brief.by_hosts else managed.first(brief)
    else:
        after, steps = (STRATEGIES if brief.by_hosts else MANAGED)[brief.strategy](brief)
    if not brief.routed:
        steps = [step for step in steps if step.kind not in TRAFFIC]
    _check_capabilities(brief, steps)
    candidate = brief.live if brief.strategy in IN_PLACE or brief.first else brief.spare
    steps = _with_hooks(brief, steps)
    if brief.ask:
        steps.insert(0, Step(f'gate "{BEFORE_ROLLBACK}"', Kind.GATE, gate=GateSpec(BEFORE_ROLLBACK)))
    _check_gates(steps)
    plan = Plan(
        strategy=brief.strategy, version=brief.version, previous=brief.previous, stable=brief.live, candidate=candidate, after=after,
        start=brief.start, steps=tuple(steps), home=dict(brief.home), full_load=brief.full, resolution=brief.resolution,
        by_hosts=brief.by_hosts, called=dict(brief.called),
        max_failed=brief.options.get("max_failed", 0), on_failure=brief.options.get("on_failure", "rollback_all"),
    )
    if len(plan.steps) > MOST_STEPS:
        raise ConfigError(f"the plan has {len(plan.steps)} steps, more than {MOST_STEPS}", where="rollout_strategy",
                          do="Use larger batches, more canary hosts, or fewer steps.")
    return replace(plan, notes=tuple(_notes(brief, plan)))


def _check_gates(steps: list[Step]) -> None:
    """Gates are known by their names: those of the user's steps and those that a strategy has by itself."""
    names = [step.gate.name for step in steps if step.gate]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"gate {twice!r} stands there twice: one decision would open both", where="rollout_steps",
                          do=f"Give each its own name. By themselves blue_green has switch, ab_test has {ab_test.WINNER}.")


def way_back(plan: Plan, position: int, *, immediate: bool = False, only: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """Steps that restore the stable version after ``plan.steps[:position]`` were done and ``plan.steps[position]`` perhaps half.

    Stable capacity comes before traffic: hosts that were taken from stable are taken home batch by batch, as fast as capacity
    allows. ``immediate`` moves all traffic first, for a candidate that is worse than too little capacity. Hosts whose previous
    version is unknown cannot be restored (:func:`lost`): they stay out of rotation as long as others of stable serve.
    ``only`` restores just these hosts of a rolling update.
    """
    if not plan.by_hosts:
        return managed.way_back(plan, position, immediate=immediate)
    begun = plan.steps[: position + 1]
    if not any(step.kind is Kind.DEPLOY or step.kind in TRAFFIC for step in begun):
        return ()
    if plan.strategy in IN_PLACE or plan.candidate == plan.stable:
        return tuple(_back_in_place(plan, begun, only))
    return tuple(_back_to_stable(plan, position, begun, immediate))


def lost(plan: Plan, position: int) -> tuple[str, ...]:
    """Stable hosts that were changed, perhaps, before or at ``position``, and cannot be restored because nobody knows what ran there."""
    if not plan.by_hosts:
        return managed.lost(plan, position)
    return () if plan.previous else tuple(host for host in _touched(plan.steps[: position + 1]) if host in plan.home.get(plan.stable, ()))


def _touched(begun: tuple[Step, ...]) -> list[str]:
    return [host for step in begun if step.kind is Kind.DEPLOY for host in step.hosts]


def _drained(begun: tuple[Step, ...]) -> tuple[str, ...]:
    """Hosts that were taken out of rotation, perhaps, and not changed yet."""
    last = begun[-1]
    return last.hosts if last.kind is Kind.DRAIN else ()


def _back_to_stable(plan: Plan, position: int, begun: tuple[Step, ...], immediate: bool) -> list[Step]:
    now = routes_at(plan, position)
    after = apply(now, begun[-1], plan)
    own = set(plan.home.get(plan.candidate, ()))
    taken = [host for host in _touched(begun) if host not in own]
    share = max(now.weight(plan.candidate), after.weight(plan.candidate))
    health = any(step.kind is Kind.HEALTH for step in plan.steps)
    stable_hosts = [host for host in plan.home.get(plan.stable, ()) if host not in taken]
    unknown_hosts = lost(plan, position)
    steps: list[Step] = []
    if share > 0 and _drained(begun):
        steps.append(Step(f"join {short(_drained(begun))}", Kind.JOIN, hosts=_drained(begun), track=plan.stable))
    ready = [Step(f"stable is ready: {short(tuple(stable_hosts))}", Kind.HEALTH, hosts=tuple(stable_hosts), track=plan.stable)]
    ready = ready if health and stable_hosts and share > 0 else []
    first = not taken or bool(unknown_hosts) or (immediate and bool(stable_hosts))  # all traffic moves at once, before any host
    steps.extend([] if first and immediate else ready)
    if taken:
        # The candidate may lose its last host on the way: nobody is sent there by name any more.
        steps.extend(Step(f"unmatch {name}", Kind.MATCH, bind=name) for name in dict.fromkeys(match.name for match in (*now.matches, *after.matches)))
        if now.mirror or after.mirror:
            steps.append(Step("mirror 0 %", Kind.MIRROR))
    if first:
        if share > 0 and (stable_hosts or not taken):
            steps.append(Step("all traffic to stable", Kind.WEIGHT, weight=Fraction(0)))
        steps.extend(ready if immediate else [])
        if taken and plan.previous:
            steps.extend(move(tuple(taken), plan.stable, plan.previous, health=health))
    else:
        sides = Sides(receiver=list(stable_hosts), giver=[*own, *taken], share=FULL - share, full_load=plan.full_load, part=part(plan.resolution))
        movable = list(reversed(taken))
        steps.extend(transfer(sides, FULL, movable=movable, receiver_track=plan.stable, candidate_receives=False, version=plan.previous, health=health))
        if movable:
            steps.extend(move(tuple(movable), plan.stable, plan.previous, health=health))
    if any(step.kind in TRAFFIC for step in plan.steps):
        steps.append(Step("clean up", Kind.CLEAN, track=plan.stable, hosts=unknown_hosts if stable_hosts else ()))
    return steps


def _back_in_place(plan: Plan, begun: tuple[Step, ...], only: tuple[str, ...] = ()) -> list[Step]:
    touched = [host for host in _touched(begun) if not only or host in only]
    health = any(step.kind is Kind.HEALTH for step in plan.steps)
    routed = any(step.kind in TRAFFIC for step in plan.steps)
    drained = _drained(begun)
    result = [Step(f"join {short(drained)}", Kind.JOIN, hosts=drained, track=plan.stable)] if drained else []
    if not plan.previous:
        return result
    batches = [tuple(host for host in step.hosts if host in touched) for step in begun if step.kind is Kind.DEPLOY]
    if not routed:
        moves = [step for hosts in batches if hosts for step in move(hosts, plan.stable, plan.previous, health=health, drain=False)]
        return [step for step in moves if step.kind is not Kind.JOIN]
    joined = {host for step in begun[:-1] if step.kind is Kind.JOIN for host in step.hosts}
    # Hosts that are out of rotation come first: they cost capacity and nobody is on them.
    away = tuple(host for host in touched if host not in joined)
    if away:
        result.extend(move(away, plan.stable, plan.previous, health=health))
    for hosts in reversed(batches):
        rest = tuple(host for host in hosts if host not in away)
        if rest:
            result.extend(move(rest, plan.stable, plan.previous, health=health))
    return result


def _first(brief: Brief) -> list[Step]:
    """Nothing serves yet, so there is nothing to compare with and nobody to protect: put it in place and check it."""
    hosts = tuple(brief.home[brief.live])
    steps = [Step(f"deploy {short(hosts) or brief.live}", Kind.DEPLOY, hosts=hosts, track=brief.live, version=brief.version)]
    if brief.health:
        steps.append(Step(f"health {short(hosts) or brief.live}", Kind.HEALTH, hosts=hosts, track=brief.live))
    steps.append(Step("clean up", Kind.CLEAN, track=brief.live))
    steps.append(Step("promote", Kind.PROMOTE))
    return steps


def _with_hooks(brief: Brief, steps: list[Step]) -> list[Step]:
    def at(point: str) -> list[Step]:
        return [Step(f"hook {hook.name}", Kind.HOOK, hook=hook) for hook in brief.hooks.get(point, ())]

    result = at("before_rollout")
    provided = any(step.kind is Kind.DEPLOY for step in steps)
    for index, step in enumerate(steps):
        moves_share = step.kind is Kind.WEIGHT
        if moves_share:
            result.extend(at("before_step"))
        if step.kind is Kind.PROMOTE:
            result.extend(at("before_promotion"))
        result.append(step)
        following = steps[index + 1].kind if index + 1 < len(steps) else None
        if provided and step.kind in (Kind.DEPLOY, Kind.HEALTH) and following is not Kind.HEALTH:
            provided = False
            result.extend(at("after_scale_up"))
        if moves_share:
            result.extend(at("after_step"))
        if step.kind is Kind.PROMOTE:
            result.extend(at("after_promotion"))
    return result + at("after_rollout")


CAPABILITY_OF = {
    Kind.ASSIGN: Capability.STICKY, Kind.DRAIN: Capability.DRAIN, Kind.JOIN: Capability.MEMBERS, Kind.MIRROR: Capability.MIRROR,
}  # fmt: skip


def _check_capabilities(brief: Brief, steps: list[Step]) -> None:
    for step in steps:
        needs = {CAPABILITY_OF[step.kind]} if step.kind in CAPABILITY_OF else set()
        if step.match:
            needs |= {Capability(condition.source) for group in step.match.alternatives for condition in group}
        missing = needs - brief.capabilities
        if Capability.STICKY in missing:
            raise ConfigError("this router cannot split users by a hash", where="rollout_ab_test.assignment.hash",
                              do="Have your edge or app set a header by the same function, and name that: assignment: {header: ab-test-group}.")
        if missing:
            raise ConfigError(
                f"step {step.name!r} needs a router that can do {', '.join(sorted(item.value for item in missing))}",
                where="rollout_router", do=f"This one can: {', '.join(sorted(item.value for item in brief.capabilities)) or 'nothing of it'}.",
            )


def _notes(brief: Brief, plan: Plan) -> list[str]:
    notes: list[str] = []
    if brief.first:
        notes.append("first deploy: nothing serves yet, so there are no steps and no analysis")
    elif not brief.previous:
        notes.append("the version that runs now is unknown: hosts that change cannot be taken back by themselves. Set rollout_previous_version or version_from")
    if brief.strategy == "recreate":
        notes.append("recreate: the service is down from the moment the old version stops until the new one is ready")
    zones = brief.options.get("zones") if brief.strategy == "rolling" else None
    if zones:
        notes.append(f"zones in this order: {', '.join(zones)}")
    if brief.allow_overload:
        notes.append("rollout_allow_overload: weights may exceed what the hosts behind them can carry")
    own = set(plan.home.get(plan.candidate, ()))
    moving = [step.hosts for step in plan.steps if step.kind is Kind.DRAIN and plan.candidate != plan.stable and not set(step.hosts) & own]
    if len(moving) > 5:
        notes.append(f"{sum(map(len, moving))} hosts move from {plan.stable} to {plan.candidate}, in {len(moving)} batches, as the share grows")
    else:
        notes.extend(f"{short(hosts)} moves from {plan.stable} to {plan.candidate} to carry the next share" for hosts in moving)
    if not brief.watch and brief.strategy not in IN_PLACE:
        notes.append("rollout_analysis is none: a bad version is only stopped by failing health checks")
    total = sum(step.duration or 0 for step in plan.steps)
    if total > 6 * 3600:
        notes.append(f"the plan waits {show_duration(total)} in all: start it where the process may live that long, or use gates")
    return notes


def peak(plan: Plan) -> int:
    """The most hosts out of rotation at once."""
    most = 0
    routes = plan.start
    for step in plan.steps:
        routes = apply(routes, step, plan)
        most = max(most, sum(1 for group in routes.members.values() for member in group if not isinstance(member, Member) or member.ramp == 0))
    return most
