# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the replicas of a track to finish before they go. Pure but for the clock and the port it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .model import Asked
from .ports import Clock, Draining
from .units import show_duration

LOOK_EVERY = 1.0


@dataclass(frozen=True)
class Drained:
    """How a drain ended: the last answer of each replica, by name, and how long it took."""

    answers: Mapping[str, Asked] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Connections that are still open, as far as they are counted."""
        return sum(answer.connections or 0 for answer in self.answers.values())

    @property
    def why(self) -> str:
        """In words, how sure it is that nothing is left."""
        silent = [f"{name}: {answer.error}" for name, answer in self.answers.items() if answer.error]
        blind = [name for name, answer in self.answers.items() if answer.busy and answer.connections is None]
        told = [f"{silent[0]}{f' (and {len(silent) - 1} more)' if len(silent) > 1 else ''}"] if silent else []
        if blind:
            told.append(f"{len(blind)} of {len(self.answers)} do not count their connections and had the whole {show_duration(round(self.seconds, 1))}")
        return "; ".join(told)

    def __str__(self) -> str:
        left = f"{self.left} connection{'' if self.left == 1 else 's'} still open" if self.left else "no connection left"
        known = any(answer.connections is not None for answer in self.answers.values())
        parts = [f"{left} after {show_duration(round(self.seconds, 1))}"] if known else []
        return "; ".join([*parts, *([self.why] if self.why else [])]) or "nothing to drain"


def wait(workload: Draining, track: str, clock: Clock, timeout: float, tick: Callable[[], None] = lambda: None) -> Drained:
    """Ask, and again every second, until no replica of ``track`` has connections or ``timeout`` seconds are over; the last time with no second left.

    ``tick`` is called before each replica is asked; it may raise to end the wait.
    """
    begun = clock.now()
    while True:
        left = max(0.0, begun + timeout - clock.now())
        answers = {}
        tick()
        for name, answer in workload.ask_to_finish(track, left):
            answers[name] = answer
            tick()
        if left <= 0 or not any(answer.busy for answer in answers.values()):
            return Drained(answers, clock.now() - begun)
        clock.sleep(min(LOOK_EVERY, max(0.0, begun + timeout - clock.now())))
