# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as lines for a terminal: what each step changes, before and after, and what all of it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..core.metric import Metric
from ..core.model import Routes, Track
from ..core.plan import TRAFFIC, Kind, Plan, Step, apply
from ..core.ports import Addressed, TrafficRouter
from ..core.report.wording import plural
from ..core.strategies import managed
from ..core.strategies.compile import peak
from ..core.units import duration, show_duration, show_percent


def lines(spec: Mapping[str, Any], plan: Plan, notes: Sequence[str], metrics: Sequence[Metric], tracks: Mapping[str, Track],
          router: Optional[TrafficRouter]) -> list[str]:
    """``tracks``: what a workload that is changed through an API says of itself; empty for a pool of hosts."""
    kind = next(iter(spec.get("router") or {}), "no router")
    needed = sum(metric.min_requests for metric in metrics)
    waiting = sum(step.duration or 0 for step in plan.steps)
    told = [f"{plural(len(plan.steps), 'step')}, at least {show_duration(waiting)} of waiting", _most(plan, tracks)]
    told += [f"{needed} requests per look needed"] if needed else []
    found = [f"{spec['name']} {plan.previous or '?'} -> {plan.version}   {plan.strategy} · {kind} · plan {plan.digest[:4]}", f"  {', '.join(told)}"]
    width = max((len(step.name) for step in plan.steps), default=0)
    state = _State.at_start(spec, plan, tracks, router, metrics)
    for number, step in enumerate(plan.steps, 1):
        found.append(f"  {number:>3}  {step.name:<{width}}  {state.effect(step)}".rstrip())
        state = state.after(step)
    return [*found, *(f"  ! {note}" for note in notes)]


def _most(plan: Plan, tracks: Mapping[str, Track]) -> str:
    """What the cluster or the pool has to bear."""
    if plan.by_hosts:
        return f"{plural(peak(plan), 'host')} out of rotation at most"
    now = sum(track.replicas for track in tracks.values())
    return f"{plural(managed.peak(plan, plan.full_load), 'Pod')} at most ({now} now)"


@dataclass(frozen=True)
class _State:
    """What is in force before a step. ``versions`` and ``replicas`` by slot, where the slots are objects; ``promoted``: there is no abort any more."""

    plan: Plan
    kind: str
    routes: Routes
    objects: str = ""
    metrics: tuple[str, ...] = ()
    patience: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def at_start(cls, spec: Mapping[str, Any], plan: Plan, tracks: Mapping[str, Track], router: Optional[TrafficRouter], metrics: Sequence[Metric]) -> _State:
        objects = ", ".join(router.objects) if isinstance(router, Addressed) else ""
        judged, patience = tuple(metric.name for metric in metrics), show_duration(duration(spec["deploy_timeout"]))
        return cls(plan, next(iter(spec["workload"])), plan.start, objects, judged, patience,
                   {slot: track.version for slot, track in tracks.items()}, {slot: track.replicas for slot, track in tracks.items()})

    def after(self, step: Step) -> _State:
        then = replace(self, routes=apply(self.routes, step, self.plan))
        if self.plan.by_hosts:
            return then
        if then.routes.pods:
            then = replace(then, replicas={**then.replicas, **then.routes.pods} if step.kind in TRAFFIC else then.replicas)
        if step.kind in (Kind.DEPLOY, Kind.SCALE) and step.replicas is not None:
            then = replace(then, replicas={**then.replicas, step.track: step.replicas})
        if step.kind is Kind.DEPLOY:
            then = replace(then, versions={**then.versions, step.track: step.version})
        return replace(then, replicas={**then.replicas, step.track: 0}) if step.kind is Kind.RETIRE else then

    def effect(self, step: Step) -> str:
        """What the step does, in words."""
        if step.kind in TRAFFIC:
            return self._traffic(step)
        if step.kind is Kind.BAKE and step.trial:
            guarded = f", guarded by {', '.join(self.metrics)}" if self.metrics else ""
            return f"compares the conversion of both, {show_duration(step.duration or 0)} at most{guarded}"
        if step.kind is Kind.BAKE:
            judged = f" and judges {', '.join(self.metrics)}" if step.watch and self.metrics else ""
            return f"waits {show_duration(step.duration or 0)}{judged}"
        if step.kind is Kind.GATE and step.gate is not None:
            limit = f", {show_duration(step.gate.timeout)} at most, then {step.gate.on_timeout}" if step.gate.timeout else ""
            return f"waits for a decision{limit}"
        if step.kind is Kind.PROMOTE:
            return f"{self.plan.version} is stable; abort goes back until here, rollback from here on"
        if self.plan.by_hosts:
            return f"{step.kind.value} {', '.join(step.hosts)}".strip()
        return self._workload(step)

    def _traffic(self, step: Step) -> str:
        then = apply(self.routes, step, self.plan)
        where = f"{self.objects}: " if self.objects else ""
        if then.pods:
            moves = [f"{self._object(slot)}: replicas {self.replicas.get(slot, 0)} -> {count}"
                     for slot, count in then.pods.items() if self.replicas.get(slot, 0) != count]
            candidate, total = then.pods.get(self.plan.candidate, 0), sum(then.pods.values())
            return ", ".join([*moves, f"{self.plan.called.get(self.plan.candidate, self.plan.candidate)} has {candidate} of {plural(total, 'Pod')}"])
        if self.routes.weights != then.weights:
            return where + ", ".join(f"{self.plan.called.get(track, track)} {show_percent(self.routes.weight(track))} -> {show_percent(weight)}"
                                     for track, weight in then.weights.items())
        return f"{step.kind.value} {', '.join(step.hosts)}".strip() if step.hosts else f"{where}no share moves"

    def _workload(self, step: Step) -> str:
        name, have = self._object(step.track), self.replicas.get(step.track, 0)
        if step.kind is Kind.HEALTH:
            return f"waits until {plural(have, 'Pod')} of {name} {'is' if have == 1 else 'are'} ready" + f", {self.patience} at most"
        if step.kind is Kind.RETIRE:
            wait = f"waits {show_duration(step.duration)}" if step.duration else ""
            return ", then ".join(filter(None, [wait, f"{name}: replicas {have} -> 0" if have else ""])) or "nothing runs there"
        changes = [f"replicas {have} -> {step.replicas}"] if step.replicas is not None and step.replicas != have else []
        if step.kind is Kind.DEPLOY:
            changes.insert(0, f"version {self.versions.get(step.track) or 'none'} -> {step.version}")
        return f"{name}: {', '.join(changes)}" if changes else f"{name}: nothing changes"

    def _object(self, slot: str) -> str:
        """As kubectl takes it: ``deployment/shop-canary``."""
        return f"{self.kind}/{self.plan.called[slot]}" if slot in self.plan.called else slot
