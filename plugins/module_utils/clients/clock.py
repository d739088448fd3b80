# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time: the machine's, and a fake one that never sleeps. Both implement the port ``Clock``."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

from ..core.errors import Interrupted

SLICE = 0.2
"""Longest uninterrupted sleep in seconds: how late a request to end is noticed."""

# The boot-time clock goes on while a machine is suspended, so that a laptop that slept does not believe its lease fresh.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def _never() -> bool:
    return False


class SystemClock:
    """The machine's clocks. ``cancelled`` says whether this process was asked to end."""

    def __init__(self, cancelled: Callable[[], bool] = _never) -> None:
        self._cancelled = cancelled

    def now(self) -> float:
        """Monotonic seconds, those of a suspended machine included where the system counts them."""
        return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted within :data:`SLICE` of the request to end."""
        end = self.now() + seconds
        while True:
            if self._cancelled():
                raise Interrupted("this process was asked to end while it waited")
            left = end - self.now()
            if left <= 0:
                return
            time.sleep(min(left, SLICE))


class FakeClock:
    """A clock that stands still until somebody sleeps on it or advances it.

    ``at`` schedules a change of the world, so that a test may let things happen while the code under test waits.
    """

    def __init__(self, now: float = 0.0, epoch: float = 1_800_000_000.0) -> None:
        self._now = now
        self._epoch = epoch - now
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._interrupted = False
        self.slept: list[float] = []
        """Every sleep that was asked for, in order."""

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._epoch + self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        if self._interrupted:
            raise Interrupted("this process was asked to end while it waited")

    def advance(self, seconds: float) -> None:
        """Let time pass, running what was scheduled at its own moment."""
        end = self._now + max(0.0, seconds)
        while self._agenda and self._agenda[0][0] <= end:
            when, _number, act = heapq.heappop(self._agenda)
            self._now = max(self._now, when)
            act()
        self._now = max(self._now, end)

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Run ``act`` once ``now()`` reaches ``when``."""
        heapq.heappush(self._agenda, (when, next(self._order), act))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Run ``act`` in ``seconds``."""
        self.at(self._now + seconds, act)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP does; monotonic time does not notice."""
        self._epoch += seconds

    def interrupt(self) -> None:
        """Ask the process to end: the sleep under way, and every later one, raises Interrupted."""
        self._interrupted = True
