# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the routes while a step waits: a load balancer that restarted has forgotten them, and somebody else may change them."""

from __future__ import annotations

from typing import Optional

from ..core.codec import encode
from ..core.errors import ConfigError, Conflict, Unavailable
from ..core.model import Routes
from ..core.ports import Clock, TrafficRouter
from . import build
from .run import Run

EVERY = 5.0
"""Seconds between two looks at the routes."""


def read_or(router: TrafficRouter, other: Routes, *, strict: bool = False) -> Routes:
    """The live routes; ``other`` where load balancers differ, since a run died between them or one was reloaded, and, unless ``strict``, where somebody
    made of them what nobody can read. Neither is a reason not to write them anew."""
    try:
        return router.read()
    except Conflict:
        return other
    except ConfigError:
        if strict:
            raise
        return other


class Guard:
    """Looks at the live routes now and then, and puts back what was lost.

    What a restart or a reload forgot is put back as often as it happens. What somebody else changed is put back once; a second
    time is a dispute that we do not have in the middle of a release.
    """

    def __init__(self, current: Run) -> None:
        self._current = current
        self._clock: Clock = current.context.clock
        self._router: Optional[TrafficRouter] = current.router() if current.spec.get("router") else None
        self._due = self._clock.now() + EVERY
        self._epoch = ""
        self._reverts = 0
        self.dispute = ""

    def check(self) -> Optional[str]:
        """A reason to stop waiting, or None. A load balancer that does not answer is looked at again later."""
        if self._router is None or self._clock.now() < self._due:
            return None
        self._due = self._clock.now() + EVERY
        want = self._current.routes
        try:
            seen = self._router.observe(want)
            restarted, self._epoch = bool(self._epoch) and seen.epoch != self._epoch, seen.epoch
            if seen.applied or seen.standing:
                return None
            if not restarted:
                self._reverts += 1
                if self._reverts > 1:
                    self.dispute = f"somebody else changes the traffic of this release: {seen.why}"
                    return self.dispute
            self._current.session.check()
            before = read_or(self._router, want)
            self._router.write(want)
        except Unavailable:
            return None
        self._current.event("write", step=self._current.index, target=build.written(self._router, self._current.spec["router"]),
                            before=encode(before), after=encode(want), fence=self._current.session.fence)
        why = "it restarted" if restarted else seen.why
        self._current.context.say(f"{self._current.label}: traffic was not as written any more ({why}); put back")
        return None
