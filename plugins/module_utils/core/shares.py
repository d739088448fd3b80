# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of traffic as whole server weights, as near as whole numbers come, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .model import FULL

REACHED = Fraction(1, 2)
"""A share is reached when it is within this many points of the wanted one; 0 only when it is exactly 0."""


@dataclass(frozen=True)
class Group:
    """Servers of one track that must all have the same weight.

    ``share``: percent for the whole track; ``size``: what one server takes relative to others of its track (any unit); ``count``: how many take traffic.
    """

    track: str
    share: Fraction
    size: int
    count: int


def part(resolution: int) -> Fraction:
    """The least share of a router whose weights are parts of one whole, in percent: all others are whole numbers of it.

    0 where there is no such thing: whole server weights (1 to 256) come near to any share, depending on the servers.
    """
    return FULL / resolution if resolution > 0 and resolution % 100 == 0 else Fraction(0)


def reached(wanted: Fraction, live: Fraction) -> bool:
    """Whether ``live`` percent is as good as ``wanted``."""
    return (wanted == 0) == (live == 0) and abs(wanted - live) <= REACHED


def whole_weights(groups: Sequence[Group], maximum: int) -> tuple[tuple[int, ...], Fraction]:
    """A weight of 0..``maximum`` for the servers of each group, and the worst error of a track's share, in points.

    The heaviest server gets between half of ``maximum`` and ``maximum``: fine enough, and neighbouring splits stay on nearly the same scale, so that
    between two of them hardly any weight has to move the wrong way. A share above 0 never becomes weight 0.
    """
    masses: dict[str, int] = {}
    for group in groups:
        masses[group.track] = masses.get(group.track, 0) + group.size * group.count
    units = [group.share * group.size / masses[group.track] if masses[group.track] else Fraction(0) for group in groups]
    heaviest = max(units, default=Fraction(0))
    if not heaviest:
        return tuple(0 for _group in groups), Fraction(0)
    best: tuple[Fraction, tuple[int, ...]] = (Fraction(-1), ())
    for top in range(maximum, maximum // 2, -1):
        weights = tuple(max(1, int(unit * top / heaviest + Fraction(1, 2))) if unit else 0 for unit in units)
        total = sum(weight * group.count for weight, group in zip(weights, groups))
        error = sum((abs(FULL * weight / total - unit) * group.count for weight, unit, group in zip(weights, units, groups)), Fraction(0))
        if not best[1] or error < best[0]:
            best = (error, weights)
        if not error:
            break
    return best[1], _worst(groups, best[1])


def _worst(groups: Sequence[Group], weights: Sequence[int]) -> Fraction:
    total = sum(weight * group.count for weight, group in zip(weights, groups))
    live: dict[str, Fraction] = {}
    for weight, group in zip(weights, groups):
        live[group.track] = live.get(group.track, Fraction(0)) + FULL * weight * group.count / total
    return max((abs(live[group.track] - group.share) for group in groups), default=Fraction(0))


def shares(weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Percent per track from its sum of weights, to a hundredth, summing to exactly 100. All zero gives an empty mapping."""
    total = sum(weights.values())
    if not total:
        return {}
    rounded = {track: Fraction(round(Fraction(10000 * weight, total)), 100) for track, weight in weights.items()}
    for track, weight in weights.items():
        if weight and not rounded[track]:
            rounded[track] = Fraction(1, 100)
    largest = max(rounded, key=lambda track: rounded[track])
    rounded[largest] += FULL - sum(rounded.values(), Fraction(0))
    return rounded
