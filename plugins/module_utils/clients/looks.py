# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several looks at counters is the one that a window is the difference to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from ..core.errors import NoData
from ..core.model import Window


class Timed(Protocol):
    """A look at counters."""

    @property
    def time(self) -> float:
        """Seconds since the epoch."""


L = TypeVar("L", bound=Timed)


def earlier(looks: Iterable[L], now: float, window: Window, slack: float, whose: str) -> L:
    """The look before ``now`` nearest to the window's start, at most ``slack`` seconds before it: looks stray a little. Raises NoData for a first look.

    Where looks take longer than the interval the last one is the best there is, and no older than its provider, which is one bake.
    """
    before = [each for each in looks if each.time < now]
    candidates = [each for each in before if window.start - slack <= each.time] or before[-1:]
    if not candidates:
        raise NoData(f"this is the first look at {whose} counters in this window", do="The next one has a difference to measure.")
    return min(candidates, key=lambda each: abs(each.time - window.start))
