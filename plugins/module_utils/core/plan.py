# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan is data: a tuple of steps. What routes hold after any step follows from folding the steps before it."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Optional

from .capacity import pods_by_ratio
from .codec import encode
from .model import FULL, STABLE, Assignment, MatchRoute, Member, Mirror, Routes


class Kind(str, enum.Enum):
    """What a step does. One verb carries out each kind."""

    DEPLOY = "deploy"  # the workload: put a version in place on hosts, or in the track
    SCALE = "scale"  # the workload: so many replicas in the track
    HEALTH = "health"  # wait until hosts answer well, or the track is ready
    WEIGHT = "weight"  # traffic: the candidate's share
    DRAIN = "drain"  # traffic: take hosts out of rotation and wait for what is in flight
    JOIN = "join"  # traffic: put hosts into a track, at a ramp
    MATCH = "match"  # traffic: requests with a header, cookie, query or path
    ASSIGN = "assign"  # traffic: users are split by a hash of who they are
    MIRROR = "mirror"  # traffic: copies
    CLEAN = "clean"  # traffic: end of the release; match routes and mirrors go, hosts return to their own tracks
    BAKE = "bake"  # wait and watch
    GATE = "gate"  # wait for a decision
    HOOK = "hook"  # the user's own tasks or call
    PROMOTE = "promote"  # the record: the candidate is stable from now on
    RETIRE = "retire"  # the old side may rest: wait the scale-down delay, then drain it


WORKLOAD = frozenset({Kind.DEPLOY, Kind.SCALE, Kind.RETIRE})
"""What changes the workload itself, where that is done through an API."""

TRAFFIC = frozenset({Kind.WEIGHT, Kind.DRAIN, Kind.JOIN, Kind.MATCH, Kind.ASSIGN, Kind.MIRROR, Kind.CLEAN})


@dataclass(frozen=True)
class GateSpec:
    """A wait for a decision. ``timeout`` in seconds (None: for ever); ``on_timeout``: abort, promote or hold."""

    name: str
    timeout: Optional[float] = None
    on_timeout: str = "abort"
    require_other: bool = False


@dataclass(frozen=True)
class HookSpec:
    """The user's own work at a point of the release. Exactly one of ``tasks`` and ``role`` is set."""

    name: str
    tasks: str = ""
    role: str = ""
    failure: str = "abort"
    timeout: float = 900.0
    idempotent: bool = False


@dataclass(frozen=True)
class Step:
    """One entry of a plan.

    ``weight``: percent of requests of the candidate once the step is done. ``hosts``: those that a deploy, health, drain or join step is about, and those
    that a clean step leaves out of rotation; ``track``: where they belong then; ``ramp``: percent of a full share they take after a join. ``replicas``: how
    many the track has after a deploy or scale step of a workload that has replicas. ``watch``: a bake measures and judges (else it only waits); ``trial``:
    it is the A/B test itself, which may end it. ``revision``: a deploy puts back what the cluster remembers under this name.
    """

    name: str
    kind: Kind
    weight: Optional[Fraction] = None
    hosts: tuple[str, ...] = ()
    track: str = ""
    ramp: Fraction = FULL
    version: str = ""
    revision: str = ""
    replicas: Optional[int] = None
    duration: Optional[float] = None
    interval: Optional[float] = None
    watch: bool = True
    trial: bool = False
    match: Optional[MatchRoute] = None
    assignment: Optional[Assignment] = None
    mirror: Optional[Mirror] = None
    gate: Optional[GateSpec] = None
    hook: Optional[HookSpec] = None
    bind: str = ""  # name of the match route that a MATCH step without `match` removes


@dataclass(frozen=True)
class Plan:
    """Steps for shipping one version, from the routes and tracks found when the release began.

    ``stable`` and ``candidate`` are slot names: which slot carries the traffic at the start, and which receives the new version.
    ``start`` are the routes at the start, ``home`` the tracks as the inventory has them, ``full_load`` the number of
    hosts or pods that carried all traffic; ``resolution``: the router's, 0 when there is none; ``by_hosts``: versions are put on hosts, by
    the user's tasks; ``called``: what people call a slot. ``max_failed`` hosts may fail over the whole run before ``on_failure``
    (rollback_all, rollback_failed or hold) says what happens. ``after`` is the slot that is stable once promoted. ``former``: what the cluster
    remembers stable's template by, where its version is the one that is shipped and so does not tell the two apart.
    """

    strategy: str
    version: str
    stable: str
    candidate: str
    after: str
    start: Routes
    steps: tuple[Step, ...]
    previous: str = ""
    home: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    full_load: int = 0
    resolution: int = 0
    by_hosts: bool = True
    called: Mapping[str, str] = field(default_factory=dict)
    max_failed: int = 0
    on_failure: str = "rollback_all"
    notes: tuple[str, ...] = ()
    former: str = ""

    @property
    def digest(self) -> str:
        """Identifies what would be done: same steps for the same version and slots, same digest."""
        relevant = {"strategy": self.strategy, "version": self.version, "steps": encode(self.steps), "home": encode(self.home)}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def apply(routes: Routes, step: Step, plan: Plan) -> Routes:
    """The routes after ``step``. Steps that are not about traffic leave them alone.

    A share of 100 % is everybody: what held users back, a rule or their bucket, ends with it, in the same write.
    """
    if step.kind is Kind.WEIGHT and step.weight is not None:
        moved = routes.with_weight(plan.candidate, step.weight, plan.stable)
        if step.weight == FULL and plan.candidate != plan.stable:
            moved = replace(moved, assignment=None, matches=tuple(match for match in moved.matches if match.track == plan.candidate))
        return replace(moved, pods=pods_at(plan, step.weight)) if routes.pods else moved
    if step.kind is Kind.DRAIN:
        return replace(routes, members=_with_ramp(routes.members, step.hosts, Fraction(0)))
    if step.kind is Kind.JOIN:
        return replace(routes, members=_with_ramp(_moved(routes.members, step.hosts, step.track), step.hosts, step.ramp))
    if step.kind is Kind.MATCH:
        name = step.match.name if step.match else step.bind
        kept = tuple(match for match in routes.matches if match.name != name)
        return replace(routes, matches=kept + ((replace(step.match, track=_side(step.match.track, plan)),) if step.match else ()))
    if step.kind is Kind.ASSIGN and step.assignment is not None:
        others = _side(step.assignment.others, plan) if step.assignment.others else ""
        return replace(routes, assignment=replace(step.assignment, track=plan.candidate, others=others))
    if step.kind is Kind.MIRROR:
        return replace(routes, mirror=replace(step.mirror, track=plan.candidate) if step.mirror else None)
    if step.kind is Kind.CLEAN:
        home = {track: tuple(Member(host) for host in hosts) for track, hosts in plan.home.items()} if routes.members else {}
        home = _with_ramp(home, step.hosts, Fraction(0))
        weights = {track: (FULL if track == step.track else Fraction(0)) for track in routes.weights}
        pods = {track: (plan.full_load if track == step.track else 0) for track in routes.pods} if step.track else routes.pods
        return Routes(weights=weights if step.track else routes.weights, members=home, pods=pods)
    return routes


def _side(track: str, plan: Plan) -> str:
    """The slot that a step's ``stable`` or ``canary`` stands for in this plan."""
    return plan.stable if track == STABLE else plan.candidate


def pods_at(plan: Plan, share: Fraction) -> dict[str, int]:
    """Pods per track at ``share`` percent of the candidate, for a router that splits by pods."""
    candidate, stable = pods_by_ratio(plan.full_load, share)
    return {plan.stable: stable, plan.candidate: candidate}


def routes_at(plan: Plan, position: int, back: Iterable[Step] = ()) -> Routes:
    """The routes once ``plan.steps[:position]``, and after those the steps ``back``, are done."""
    routes = plan.start
    for step in (*plan.steps[:position], *back):
        routes = apply(routes, step, plan)
    return routes


def next_deploy(steps: tuple[Step, ...], position: int) -> int:
    """Index of the next deploy step at or after ``position``; ``len(steps)`` when there is none."""
    for index in range(position, len(steps)):
        if steps[index].kind is Kind.DEPLOY:
            return index
    return len(steps)


def describe(plan: Plan, step: Step) -> dict[str, Any]:
    """A step as a row for people: what it is called and what it changes."""
    weight = None if step.weight is None else encode(step.weight)
    return {"name": step.name, "kind": step.kind.value, "weight": weight, "hosts": list(step.hosts), "seconds": step.duration or 0}


def _moved(members: Mapping[str, tuple[Member, ...]], hosts: tuple[str, ...], track: str) -> dict[str, tuple[Member, ...]]:
    moving = set(hosts)
    result = {name: tuple(member for member in group if member.name not in moving or name == track) for name, group in members.items()}
    there = {member.name for member in result.get(track, ())}
    result[track] = result.get(track, ()) + tuple(Member(host) for host in hosts if host not in there)
    return result


def _with_ramp(members: Mapping[str, tuple[Member, ...]], hosts: tuple[str, ...], ramp: Fraction) -> dict[str, tuple[Member, ...]]:
    chosen = set(hosts)
    return {track: tuple(replace(member, ramp=ramp) if member.name in chosen else member for member in group) for track, group in members.items()}
