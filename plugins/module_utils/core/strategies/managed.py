# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies for a workload that is changed through an API: what moves is the number of replicas, not single hosts.

Capacity comes first in both directions: a track is scaled and ready before it gets a share, and scaled down only after it has lost its own
and the scale-down delay is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Optional, Union

from ..capacity import needed, pods_by_ratio
from ..errors import ConfigError
from ..model import FULL, Capability
from ..plan import TRAFFIC, WORKLOAD, GateSpec, Kind, Plan, Step, apply, routes_at
from ..units import show_percent
from .brief import Brief, Scale, StepSpec
from .canary import default_steps, rising

Named = Union[Brief, Plan]
"""Knows what people call a slot."""

SCALE_DOWN_DELAY = 30.0
"""Seconds a track keeps running after it lost its traffic: longer than any proxy takes to hear of it."""


def in_place(brief: Brief) -> tuple[str, list[Step]]:
    """Rolling and recreate: the live track itself gets the version, and its controller does the rest. (slot that is stable afterwards, steps)."""
    [deploy, *ready] = _deploy(brief, brief.live, brief.version)
    steps = [replace(deploy, revision=brief.revision), *ready]
    monitor = brief.options.get("monitor", 0.0)
    if monitor:
        steps.append(Step("monitor", Kind.BAKE, duration=monitor, watch=brief.watch))
    return brief.live, [*steps, Step("promote", Kind.PROMOTE)]


def blue_green(brief: Brief) -> tuple[str, list[Step]]:
    """The new version complete beside the old one, then one switch. (slot that is stable afterwards, steps)."""
    live, spare, options = brief.live, brief.spare, brief.options
    preview = options.get("preview_replica_count") or brief.full
    steps = [*(_scaled(brief, spare, preview) if brief.present else _deploy(brief, spare, brief.version, preview))]
    if Capability.PREVIEW in brief.capabilities:
        steps.append(Step("preview", Kind.WEIGHT, weight=Fraction(0)))
    staged = any(spec.weight is not None for spec in brief.steps)
    steps.extend(spec.step for spec in brief.steps if spec.step is not None and not (staged and spec.step.kind is Kind.BAKE))
    if not options.get("auto_promotion_enabled", True):
        steps.append(Step('gate "switch"', Kind.GATE, gate=GateSpec("switch", timeout=options.get("auto_promotion_seconds"), on_timeout="promote")))
    elif options.get("auto_promotion_seconds"):
        steps.append(Step("wait before the switch", Kind.BAKE, duration=options["auto_promotion_seconds"], watch=False))
    if preview < brief.full:
        steps.extend(_scaled(brief, spare, brief.full))
    steps.append(Step("switch", Kind.WEIGHT, weight=FULL))
    if options.get("post_promotion_seconds"):
        steps.append(Step("post-promotion bake", Kind.BAKE, duration=options["post_promotion_seconds"], watch=brief.watch))
    return spare, [*steps, *_end(brief, after=spare, old=live)]


def canary(brief: Brief) -> tuple[str, list[Step]]:
    """A growing share, watched at each step. (slot that is stable afterwards, steps). Raises ConfigError for a plan that cannot be.

    At the end stable gets the new version while the canary carries everything; with ``promotion: swap`` the slots change roles instead.
    """
    live, spare = brief.live, brief.spare
    specs = brief.steps or default_steps()
    rising(brief, specs)
    pods = _Pods(brief)
    steps: list[Step] = [*pods.begin(specs)]
    share = Fraction(0)
    for spec in specs:
        if spec.scale is not None:
            steps.extend(pods.told(spec.scale))
        elif spec.weight is not None:
            steps.extend(pods.grow(spec.weight, spec.where))
            share = spec.weight
        elif spec.step is not None:
            watched = brief.watch or spec.step.trial or spec.step.kind is not Kind.BAKE
            steps.append(spec.step if watched else replace(spec.step, watch=False))
    if share < FULL:
        steps.extend(pods.grow(FULL, ""))
    if brief.options.get("promotion") == "swap":
        return spare, [*steps, *_end(brief, after=spare, old=live)]
    # Where the share is made of pods, stable has none left: it needs them back before it gets a share.
    return live, [*steps, *_deploy(brief, live, brief.version, brief.full if pods.split else None), *_end(brief, after=live, old=spare)]


class _Pods:
    """How many replicas the candidate has, and the steps that give it what a share needs."""

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.split = Capability.PODS in brief.capabilities
        self.have = 0
        self.fixed = False

    def begin(self, specs: tuple[StepSpec, ...]) -> Iterator[Step]:
        first = next((spec for spec in specs if spec.scale or spec.weight), None)
        if self.split:
            self.have = 0  # a pod that runs has its share already
        elif first is not None and first.scale is not None:
            self.have = self._of(first.scale)
        else:
            self.have = self._for(first.weight or FULL if first is not None else FULL)
        yield from _deploy(self.brief, self.brief.spare, self.brief.version, self.have)

    def told(self, scale: Scale) -> Iterator[Step]:
        self.fixed = not scale.match_traffic_weight
        wanted = self._of(scale)
        if self.fixed and wanted != self.have:
            self.have = wanted
            yield from _scaled(self.brief, self.brief.spare, wanted)

    def grow(self, share: Fraction, where: str) -> Iterator[Step]:
        wanted = self._for(share)
        if wanted > self.have and self.fixed and where and not self.brief.allow_overload:
            raise ConfigError(f"{show_percent(share)} needs {wanted} canary pods, set_canary_scale keeps {self.have}", where=where,
                              do="Raise the scale, or set rollout_allow_overload: true.")
        if wanted > self.have and not (self.fixed and self.brief.allow_overload):
            self.have = wanted
            yield from _scaled(self.brief, self.brief.spare, wanted)
        yield Step(show_percent(share), Kind.WEIGHT, weight=share)

    def _for(self, share: Fraction) -> int:
        return pods_by_ratio(self.brief.full, share)[0] if self.split else needed(share, self.brief.full)

    def _of(self, scale: Scale) -> int:
        if scale.replicas is not None:
            return scale.replicas
        return needed(scale.weight, self.brief.full) if scale.weight is not None else self.have


def first(brief: Brief) -> list[Step]:
    """Nothing serves yet: put it in place."""
    traffic = [Step("clean up", Kind.CLEAN, track=brief.live)] if brief.routed else []
    return [*_deploy(brief, brief.live, brief.version), *traffic, Step("promote", Kind.PROMOTE)]


def way_back(plan: Plan, position: int, *, immediate: bool = False) -> tuple[Step, ...]:
    """Steps that restore stable after ``plan.steps[:position]`` were done and ``plan.steps[position]`` perhaps half."""
    begun = plan.steps[: position + 1]
    changed = [step for step in begun if step.kind in WORKLOAD or step.kind in TRAFFIC]
    if not changed:
        return ()
    touched = any(step.kind is Kind.DEPLOY and step.track == plan.stable for step in begun)
    if plan.candidate == plan.stable:
        return tuple(_restored(plan)) if touched and plan.previous else ()
    now = routes_at(plan, position)
    then = apply(now, begun[-1], plan)
    share = max(now.weight(plan.candidate), then.weight(plan.candidate))
    heard = share > 0 or now.matches or then.matches  # of the candidate, by whoever sends it requests
    steps: list[Step] = []
    if touched:
        steps.extend(_restored(plan, plan.full_load if now.pods else None))
    elif share > 0:
        steps.extend(_scaled(plan, plan.stable, plan.full_load) if now.pods else [_ready(plan, plan.stable)])
    if share > 0:
        # The candidate is worse than too little capacity, says whoever asks for immediate; but a stable that is being changed serves nobody.
        steps.insert(0 if immediate and not touched and not now.pods else len(steps), Step("all traffic to stable", Kind.WEIGHT, weight=Fraction(0)))
    if any(step.kind in TRAFFIC for step in plan.steps):
        steps.append(Step("clean up", Kind.CLEAN, track=plan.stable))
    delay = next((step.duration for step in plan.steps if step.kind is Kind.RETIRE), SCALE_DOWN_DELAY)
    steps.append(Step(f"retire {_called(plan, plan.candidate)}", Kind.RETIRE, track=plan.candidate, duration=delay if heard else 0.0))
    return tuple(steps)


def _restored(plan: Plan, replicas: Optional[int] = None) -> Iterator[Step]:
    """What ran on stable before. By its version, or, where that is the new one's as well, by what the cluster remembers it by."""
    deploy, *ready = _deploy(plan, plan.stable, plan.previous, replicas)
    yield replace(deploy, revision=plan.former)
    if plan.former and replicas is not None:  # what is remembered says nothing of replicas
        yield Step(f"scale {_called(plan, plan.stable)} to {replicas}", Kind.SCALE, track=plan.stable, replicas=replicas)
    yield from ready


def lost(plan: Plan, position: int) -> tuple[str, ...]:
    """The stable track, if it was changed, perhaps, and nobody knows what ran there before."""
    begun = plan.steps[: position + 1]
    changed = any(step.kind is Kind.DEPLOY and step.track == plan.stable for step in begun)
    return (plan.stable,) if changed and not plan.previous else ()


def peak(plan: Plan, replicas: int) -> int:
    """The most pods at once, from ``replicas`` of stable on."""
    have = {plan.stable: replicas}
    most = replicas
    for step in plan.steps:
        if step.kind in (Kind.DEPLOY, Kind.SCALE) and step.replicas is not None:
            have[step.track] = step.replicas
        most = max(most, sum(have.values()))
        if step.kind is Kind.RETIRE:
            have[step.track] = 0
    return most


def _deploy(about: Named, track: str, version: str, replicas: Optional[int] = None) -> Iterator[Step]:
    yield Step(f"deploy {version} to {_called(about, track)}", Kind.DEPLOY, track=track, version=version, replicas=replicas)
    if replicas != 0:
        yield _ready(about, track)


def _scaled(about: Named, track: str, replicas: int) -> Iterator[Step]:
    yield Step(f"scale {_called(about, track)} to {replicas}", Kind.SCALE, track=track, replicas=replicas)
    yield _ready(about, track)


def _ready(about: Named, track: str) -> Step:
    return Step(f"{_called(about, track)} is ready", Kind.HEALTH, track=track)


def _called(about: Named, track: str) -> str:
    return about.called.get(track, track)


def _end(brief: Brief, *, after: str, old: str) -> Iterator[Step]:
    yield Step("promote", Kind.PROMOTE)
    yield Step("clean up", Kind.CLEAN, track=after)
    delay = float(brief.options.get("scale_down_delay", SCALE_DOWN_DELAY))
    yield Step(f"retire {_called(brief, old)}", Kind.RETIRE, track=old, duration=delay)
