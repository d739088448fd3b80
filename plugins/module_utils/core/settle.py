# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the data plane taken the routes, and are servers drained? Pure: held against two looks at the counters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from .model import FULL, Observation, Routes, Settlement
from .shares import reached
from .units import show_percent

SIGMAS = 3
"""Planes that split at random stray around the wanted share; three standard deviations of that are no error."""


def settle(want: Routes, before: Observation, after: Observation, tolerance: Fraction = Fraction(2), min_requests: int = 200) -> Settlement:
    """Whether the share measured between ``before`` and ``after`` (both taken after the write) is the wanted one.

    Allowed per track: ``tolerance`` points and three standard deviations of a random split of that many requests. Below ``min_requests`` the
    read-back decides and ``why`` says so; a caller that would rather measure waits on while ``requests < min_requests``.
    Requests of match routes come on top of a track's weight: with such routes their tracks may have more than that, and the others less.
    Where users are split and not requests, or rules lead to every track, the weights say nothing of how many requests come: then it is only told.
    """
    if not after.applied:
        return Settlement(False, after.why or "the routes are not in force yet")
    if before.epoch != after.epoch:
        return Settlement(False, "the load balancer restarted in between: counting begins again")
    if not after.requests:
        return Settlement(True, "read back; this router counts no requests")
    counts = {track: after.requests.get(track, 0) - before.requests.get(track, 0) for track in {**want.weights, **after.requests}}
    if min(counts.values()) < 0:
        return Settlement(False, "a counter fell: counting begins again")
    total = sum(counts.values())
    if not total:
        return Settlement(True, f"read back; no requests yet (of {min_requests} to measure the share)")
    measured = {track: FULL * count / total for track, count in counts.items()}
    if total < min_requests:
        return Settlement(True, f"read back; only {total} requests (of {min_requests} to measure the share)", measured, total)
    led = {match.track for match in want.matches}
    shown = ", ".join(f"{track} {show_percent(share)}" for track, share in measured.items())
    if want.assignment is not None or len(led) > 1:
        return Settlement(True, f"read back; {shown} of {total} requests, which is for the users to say", measured, total)
    for track, share in measured.items():
        wanted = want.weight(track)
        p = float(wanted / FULL)
        allowed = float(tolerance) + SIGMAS * 100 * math.sqrt(p * (1 - p) / total)
        excess = float(share - wanted)
        if (excess > allowed and track not in led) or (-excess > allowed and (track in led or not led)):
            why = f"{track} has {show_percent(share)} of {total} requests instead of {show_percent(wanted)} (allowed: {allowed:.1f} points)"
            return Settlement(False, why, measured, total)
    return Settlement(True, f"measured {shown} of {total} requests", measured, total)


def drained(seen: Observation, members: Iterable[str]) -> tuple[bool, int]:
    """Whether ``members`` take nothing new and nothing is in flight to them; and how much still is.

    A server that the load balancer does not name, or that is in rotation on any of several load balancers, is not drained.
    """
    views = [seen.members.get(member) for member in members]
    in_flight = sum(view.in_flight for view in views if view is not None)
    out = all(view is not None and view.state in ("drain", "maint", "down") for view in views)
    return out and in_flight == 0, in_flight


def difference(want: Routes, live: Routes) -> str:
    """What in ``live`` is not as wanted, in words; empty when nothing is. Shares count as equal within half a point, 0 only exactly."""
    for track in {**want.weights, **live.weights}:
        wanted, found = want.weight(track), live.weight(track)
        if not reached(wanted, found):
            return f"{track} has {show_percent(found)} instead of {show_percent(wanted)}"
    for track, members in want.members.items():
        wanted_in = {member.name for member in members if member.ramp}
        found_in = {member.name for member in live.members.get(track, ()) if member.ramp}
        for name in sorted(wanted_in ^ found_in):
            return f"{name} is {'out of' if name in wanted_in else 'still in'} rotation"
    if want.matches != live.matches:
        return "the match routes differ"
    if want.assignment != live.assignment:
        return "the assignment of users differs"
    return "the mirror differs" if want.mirror != live.mirror else ""
