# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until a track of a managed workload is ready. Pure but for the clock and the port it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Optional, Union

from .capacity import PRESETS
from .model import Progress
from .ports import Clock, ManagedWorkload
from .units import show_duration

LOOK_EVERY = 5.0
"""The longest time between two looks, in seconds, where nothing announces a change."""

Bound = Union[int, str]
"""A number of pods, or a percentage such as ``25%``."""


@dataclass(frozen=True)
class Update:
    """How a controller replaces pods: all at once (``recreate``), or with at most so many away and so many extra."""

    recreate: bool = False
    max_unavailable: Bound = "25%"
    max_surge: Bound = "25%"

    @classmethod
    def from_preset(cls, preset: str, max_unavailable: Optional[Bound] = None, max_surge: Optional[Bound] = None) -> Update:
        """The bounds of a preset, or those given instead."""
        unavailable, surge = PRESETS[preset]
        return cls(max_unavailable=unavailable if max_unavailable is None else max_unavailable, max_surge=surge if max_surge is None else max_surge)


def kept(look: Progress, version: str) -> Progress:
    """``look``, failed where the track was given ``version`` and is told to run another one now: whoever undid that, its readiness says nothing of ours."""
    if not version or look.failed or look.version in ("", version):
        return look
    return replace(look, done=False, failed=True, why=f"it was given {version}, and somebody else put {look.version} in its place{look.by}")


def wait(workload: ManagedWorkload, track: str, clock: Clock, timeout: float, on_look: Callable[[Progress], None] = lambda look: None,
         version: str = "") -> Progress:
    """The last look at ``track``: done, failed for good, or not done after ``timeout`` seconds. ``version``: what it was given, where it was.

    ``on_look`` is called whenever what is waited for has changed, and at least every few seconds; it may raise to end the wait.
    """
    deadline = clock.now() + timeout
    while True:
        look = kept(workload.progress(track), version)
        on_look(look)
        left = deadline - clock.now()
        if look.done or look.failed:
            return look
        if left <= 0:
            return Progress(False, f"{look.why} (after {show_duration(timeout)})", ready=look.ready, wanted=look.wanted)
        workload.await_change(track, min(LOOK_EVERY, left))
