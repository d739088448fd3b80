# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the same question of many targets at a fixed cadence until all are healthy, and remember what each said last."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Optional

from .ports import Clock


@dataclass(frozen=True)
class Attempt:
    """One answer of one target. ``detail`` says in words what was seen; ``seconds`` is how long the answer took, when there was one."""

    ok: bool
    detail: str
    seconds: Optional[float] = None


@dataclass(frozen=True)
class TargetResult:
    """What is known of one target. ``streak``: consecutive successes; ``last``: what was seen last; ``latencies`` in seconds, of every answer."""

    healthy: bool = False
    attempts: int = 0
    streak: int = 0
    last: str = "not asked yet"
    last_error: str = ""
    latencies: tuple[float, ...] = ()

    def after(self, attempt: Attempt, threshold: int) -> TargetResult:
        streak = self.streak + 1 if attempt.ok else 0
        return replace(
            self,
            healthy=streak >= threshold,
            attempts=self.attempts + 1,
            streak=streak,
            last=attempt.detail,
            last_error=self.last_error if attempt.ok else attempt.detail,
            latencies=self.latencies if attempt.seconds is None else (*self.latencies, attempt.seconds),
        )


@dataclass(frozen=True)
class PollResult:
    """How a wait ended, or how it stands. ``held``: seconds that the targets have been healthy; None while they have not been."""

    healthy: bool
    looks: int
    seconds: float
    held: Optional[float] = None
    targets: Mapping[str, TargetResult] = field(default_factory=dict)

    @property
    def unhealthy(self) -> tuple[str, ...]:
        return tuple(name for name, target in self.targets.items() if not target.healthy)


def _ignore(result: PollResult) -> None:
    """Nobody watches."""


def poll(
    check: Callable[[], Mapping[str, Attempt]],
    clock: Clock,
    *,
    interval: float,
    retries: int,
    success_threshold: int = 1,
    hold: float = 0.0,
    max_failed: int = 0,
    on_attempt: Callable[[PollResult], None] = _ignore,
) -> PollResult:
    """Call ``check`` every ``interval`` seconds, counted from begin to begin, at most ``retries`` times.

    A target is healthy after ``success_threshold`` successes in a row, and every target is asked in every look. The wait ends when all
    are healthy; when the retries are used up, up to ``max_failed`` may still be unhealthy. With ``hold`` they must then stay healthy for that
    many seconds: the look at which more than ``max_failed`` are not ends it. ``on_attempt`` is called after every look, and may raise.
    """
    begun = due = clock.now()
    targets: dict[str, TargetResult] = {}
    since: Optional[float] = None
    for look in itertools.count(1):
        for name, attempt in check().items():
            targets[name] = targets.get(name, TargetResult()).after(attempt, success_threshold)
        now = clock.now()
        failed = sum(not target.healthy for target in targets.values())
        if since is None and (failed == 0 or (look >= retries and failed <= max_failed)):
            since = now
        held = None if since is None else now - since
        ended = failed > max_failed if held is not None else look >= retries
        result = PollResult(held is not None and not ended and held >= hold, look, now - begun, held, dict(targets))
        on_attempt(result)
        if ended or result.healthy:
            return result
        due = max(due + interval, clock.now())  # a look that took longer delays the next; none are made up for
        wake = due if since is None else min(due, since + hold)
        clock.sleep(max(0.0, wake - clock.now()))
    raise AssertionError("count() does not end")
