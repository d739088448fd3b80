# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the version that is being shipped is well, asked at every look of a bake. One missed answer is a hiccup, two in a row are an illness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..core import rollout
from ..core.errors import Unavailable
from ..core.ports import ManagedWorkload
from ..core.record import Record
from ..core.target import Target
from . import build
from .run import Run
from .verbs.health import allowed, parsed, prober, replicas_of, targets_of


@dataclass(frozen=True)
class Vitals:
    """``unhealthy`` says why the version is not well, or None; ``doubtful`` whether its last look missed more than may be away, for the first time."""

    unhealthy: Callable[[], Optional[str]]
    doubtful: Callable[[], bool]


def vitals(current: Run, candidate: str) -> Vitals:
    """What is asked of the candidate of a release."""
    called = current.record.plan.called.get(candidate, candidate)
    hosts = still_there(current.tracks.get(candidate, ()), current.record)
    return vitals_of(current.spec, candidate, called, by_hosts=current.by_hosts, hosts=hosts, version=current.record.given(candidate))


def still_there(hosts: tuple[str, ...], record: Record) -> tuple[str, ...]:
    """Those that were not given up: what is out of rotation says nothing about the version."""
    return tuple(host for host in hosts if host not in record.lost)


def vitals_of(spec: Mapping[str, Any], track: str, called: str, *, by_hosts: bool, hosts: tuple[str, ...], version: str = "") -> Vitals:
    """The same of any track. ``called``: the object's name, for messages; ``hosts``: where the workload is one of hosts; ``version``: what a workload of
    another kind was given, where it was."""
    if by_hosts:
        pool = Answers(spec, lambda: targets_of(spec, hosts))
        return Vitals(pool.unhealthy, lambda: pool.doubtful)
    readiness = Readiness(build.workload(spec), track, called, spec, version)
    answers = Answers(spec, lambda: replicas_of(spec, track))
    return Vitals(lambda: readiness.unhealthy() or answers.unhealthy(), lambda: readiness.doubtful or answers.doubtful)


class Answers:
    """What ``rollout_health`` asks of each host, or of each replica that is ready."""

    def __init__(self, spec: Mapping[str, Any], targets: Callable[[], tuple[Target, ...]]) -> None:
        self._targets = targets
        self._health = parsed(spec["health"], "rollout_health") if spec.get("health") else None
        self._prober = prober(self._health, spec) if self._health else None
        self._missed: dict[str, int] = {}
        self.doubtful = False

    def unhealthy(self) -> Optional[str]:
        if self._prober is None or self._health is None:
            return None
        try:
            targets = self._targets()
        except Unavailable:
            return None  # who cannot be seen is not ill; the lease says when nobody can be seen for too long
        answers = self._prober(targets) if targets else {}
        self._missed = {name: self._missed.get(name, 0) + 1 for name, attempt in answers.items() if not attempt.ok}
        ill = sorted(name for name, times in self._missed.items() if times > 1)
        self.doubtful = len(self._missed) > allowed(self._health, len(targets))
        if len(ill) <= allowed(self._health, len(targets)):
            return None
        return f"{', '.join(ill)} unhealthy: {answers[ill[0]].detail}"


class Readiness:
    """What the workload itself says: a replica that cannot live is an illness at once, and so is another version than the one it was given; one that was
    ready and is not any more after two looks.

    Replicas that an autoscaler adds or takes away are neither. ``rollout_health.max_failed`` may be away, but not all: who is watched serves, so that
    one is expected from the first look on.
    """

    def __init__(self, workload: ManagedWorkload, track: str, called: str, spec: Mapping[str, Any], version: str = "") -> None:
        self._workload, self._track, self._called, self._version = workload, track, called, version
        self._health = parsed(spec["health"], "rollout_health") if spec.get("health") else None
        self._most: Optional[int] = None
        self._missed = 0

    @property
    def doubtful(self) -> bool:
        return self._missed > 0

    def unhealthy(self) -> Optional[str]:
        try:
            look = rollout.kept(self._workload.progress(self._track), self._version)
        except Unavailable:
            return None
        if look.failed:
            return f"{self._called} is not well any more: {look.why}"
        self._most = max(min(1, look.wanted) if self._most is None else self._most, look.ready)
        expected = min(self._most, look.wanted)
        bearable = min(allowed(self._health, expected), expected - 1) if self._health else 0
        self._missed = self._missed + 1 if expected - look.ready > max(0, bearable) else 0
        return f"{self._called} is not well any more: {look.ready} of {expected} replicas are ready; {look.why}" if self._missed > 1 else None
