# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a statistical judge weighs: all looks of a step, as one series of blocks a side. Pure but for what it remembers.

A judge of *counts* gets a block for each look: how many requests came since the look before, and which share of them was bad. A judge of
*points* gets the values of all looks. Both get the same number of blocks or points in the same order for candidate and baseline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

from .errors import NoData, Unavailable
from .metric import Metric
from .model import Point, Sample, Series

COUNTS, RATES, POINTS = "counts", "rates", "points"
"""What a judge weighs: requests of which some are bad; events of which there may be more than requests; values as they are."""


@dataclass(frozen=True)
class Counts:
    """Requests of both tracks in one stretch of time, and how many of them were bad. ``seconds`` since the evidence began."""

    bad: int
    requests: int
    base_bad: int
    base_requests: int
    seconds: float = 0.0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.bad - other.bad, self.requests - other.requests, self.base_bad - other.base_bad, self.base_requests - other.base_requests,
                      self.seconds - other.seconds)

    @property
    def rising(self) -> bool:
        """Whether this can be what was counted in some time: a counter that fell is none."""
        return min(self.bad, self.requests, self.base_bad, self.base_requests) >= 0

    @property
    def shares(self) -> bool:
        """Whether no more are bad than there are."""
        return self.rising and self.bad <= self.requests and self.base_bad <= self.base_requests


class Evidence:
    """The looks of one step at one metric.

    Windows of counts reach from the beginning of the evidence to now; what came between two looks is their difference. After a restart of what
    counts, the windows begin anew (:meth:`restart`) and what was seen before stays. ``whole``: they never begin anew, so that who comes again is
    counted once; ``last`` is then what was counted when the evidence is taken up.
    """

    def __init__(self, kind: str, began: float, *, whole: bool = False, last: Counts = Counts(0, 0, 0, 0)) -> None:
        self.kind, self.began, self.whole = kind, began, whole
        self._first = began
        self._last = last
        self._blocks: list[Counts] = []
        self._points: list[Point] = []
        self._base_points: list[Point] = []

    @property
    def newest(self) -> Optional[float]:
        """When the candidate's newest value was; None before the first."""
        return max((point.time for point in self._points), default=None)

    def shift(self, seconds: float) -> None:
        """The clock was set by so much: it began then by the new one, and the values are the source's."""
        self.began += seconds
        self._first += seconds

    def restart(self, now: float) -> bool:
        """The source counts anew: windows begin now. False when nothing had been counted, so that the window may as well stay."""
        if self.whole or self.kind == POINTS or self._last == Counts(0, 0, 0, 0):
            return False
        self.began, self._last = now, Counts(0, 0, 0, 0)
        return True

    def add(self, metric: Metric, candidate: Series, baseline: Optional[Series], now: float, seen: float = 1.0) -> tuple[Series, Optional[Series]]:
        """All evidence with this look in it. ``seen``: the part of the window that samples really cover; the rest is the server's extrapolation.

        Raises Unavailable for an answer that holds no counts where counts are weighed, NoData for an empty one.
        """
        if self.kind == POINTS:
            self._points += _unseen(self._points, candidate, metric.resolution)
            self._base_points += _unseen(self._base_points, baseline, metric.resolution) if baseline else []
            return _series(candidate, self._points), _series(candidate, self._base_points) if self._base_points else None
        if baseline is None:
            return candidate, None
        bad, requests = _counted(metric, candidate, "candidate", seen, self.kind)
        base_bad, base_requests = _counted(metric, baseline, "baseline", seen, self.kind)
        now_counted = Counts(bad, requests, base_bad, base_requests, now - self._first)
        block = now_counted - self._last
        whole = block.shares if self.kind == COUNTS else block.rising
        if whole and block.requests + block.base_requests:  # else it is counted with the next look
            self._blocks.append(Counts(block.bad, block.requests, block.base_bad, block.base_requests, now - self._first))
            self._last = now_counted
        return as_series(self._blocks, self._first)


def as_series(blocks: list[Counts], began: float = 0.0) -> tuple[Series, Series]:
    """Blocks of counts as candidate and baseline. The first point of each, made from nothing, says when the evidence began."""
    start = Point(began, 0.0, 0)
    own = [Point(began + block.seconds, block.bad / block.requests if block.requests else 0.0, block.requests) for block in blocks]
    base = [Point(began + block.seconds, block.base_bad / block.base_requests if block.base_requests else 0.0, block.base_requests) for block in blocks]
    return Series((Sample((start, *own)),)), Series((Sample((start, *base)),))


def as_blocks(candidate: Series, baseline: Series, *, shares: bool = True) -> list[Counts]:
    """The counts in two series of blocks; with ``shares`` no more are bad than there are. Raises Unavailable where they have none, or do not
    belong together."""
    if len(candidate.samples) != 1 or len(baseline.samples) != 1 or len(candidate.samples[0].points) != len(baseline.samples[0].points):
        raise Unavailable("the looks at candidate and baseline do not belong together")
    own, base = candidate.samples[0].points, baseline.samples[0].points
    blocks = []
    for ours, theirs in zip(own, base):
        if ours.n is None or theirs.n is None:
            raise Unavailable("the answer does not say how many requests it was made from")
        if not (math.isfinite(ours.value) and math.isfinite(theirs.value)):
            raise Unavailable(f"{ours.value:g} against {theirs.value:g} cannot be compared")
        counts = Counts(round(ours.value * ours.n), ours.n, round(theirs.value * theirs.n), theirs.n, ours.time - own[0].time)
        if not (counts.shares if shares else counts.rising):
            raise Unavailable("a share is not between 0 and 1" if shares else "there are fewer than none")
        blocks.append(counts)
    return blocks


def _counted(metric: Metric, series: Series, side: str, seen: float, kind: str) -> tuple[int, int]:
    """(bad requests, requests) of one answer. Of a metric where less is worse the good ones are counted, and the rest is bad."""
    if len(series.samples) != 1:
        raise Unavailable(f"{len(series.samples)} series of the {side} where one share is meant", do="Aggregate the query.")
    if not series.samples[0].points:
        raise NoData(f"no data of the {side}")
    point = series.samples[0].points[-1]
    if point.n is None:
        raise Unavailable(f"the answer for the {side} does not say how many requests it was made from",
                          do="Use a built-in share such as error_rate, or count_path with the web provider.")
    if not 0 <= point.value <= (1 if kind == COUNTS else 1e9) or point.n < 0:
        raise Unavailable(f"{point.value:g} of the {side} is not a {'share between 0 and 1' if kind == COUNTS else 'rate'}")
    share = 1 - point.value if kind == COUNTS and metric.direction == "decrease" else point.value
    requests = int(point.n * seen)
    return round(share * requests), requests


def _unseen(known: list[Point], series: Series, resolution: Optional[float]) -> list[Point]:
    """The points of an answer. Series of a resolution overlap the look before: what it had is not taken twice."""
    points = [point for sample in series.samples for point in sample.points]
    if not resolution or not known:
        return points
    newest = max(point.time for point in known) + resolution / 2
    return [point for point in points if point.time > newest]


def _series(like: Series, points: list[Point]) -> Series:
    return Series((Sample(tuple(points)),), query=like.query)
