# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known of a plan before it begins: shares that the router cannot make, and bakes that get too few requests to judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional

from .bake import SCRAPES
from .errors import ConfigError
from .metric import Metric
from .model import FULL, Routes
from .plan import Kind, Plan, Step, apply
from .shares import REACHED, Group, part, whole_weights
from .units import show_duration, show_percent

Lag = Callable[[Metric], float]
"""How many seconds the newest sample of a metric may be behind."""


@dataclass(frozen=True)
class Rate:
    """``requests`` (more than none) that were counted in ``seconds``, to all tracks together."""

    requests: float
    seconds: float

    @property
    def now(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def most(self) -> float:
        """Requests a second that there may be all the same: a short count says little, and a refusal must be certain (1 in 1,000)."""
        return (self.requests + 3 * math.sqrt(self.requests) + 7) / self.seconds


def check_shares(plan: Plan, resolution: int, asked: Collection[Fraction]) -> None:
    """Refuse one of the ``asked`` weights that a router of so many parts cannot make. Raises ConfigError naming the step.

    Per cents, tenths and hundredths are exact or nothing; server weights come as near as whole numbers on these servers allow.
    """
    for step, routes in _folded(plan):
        if step.kind is not Kind.WEIGHT or step.weight is None or step.weight not in asked or step.weight in (0, FULL):
            continue
        missed = _missed(routes, step.weight, plan, resolution)
        if missed:
            raise ConfigError(f"step {step.name!r} wants {show_percent(step.weight)}: {missed}", where="rollout_steps",
                              do="Use a weight that this router can make, see its documentation.")


def _missed(routes: Routes, wanted: Fraction, plan: Plan, resolution: int) -> str:
    if resolution <= 1:
        return "this router gives a track all or nothing"
    least = part(resolution)
    if least:
        return "" if wanted % least == 0 else f"this router's weights come in steps of {show_percent(least)}"
    counts = _serving(plan, routes)
    weights, error = _whole(plan, routes, resolution)
    if error <= REACHED:
        return ""
    best = FULL * weights[0] * counts[plan.candidate] / sum(weight * count for weight, count in zip(weights, counts.values()))
    return f"whole weights up to {resolution} on {' and '.join(str(count) for count in counts.values())} servers give {show_percent(best)} at best"


def _serving(plan: Plan, routes: Routes) -> dict[str, int]:
    """How many servers of each track take requests, the candidate's first."""
    return {track: sum(1 for member in routes.members.get(track, ()) if member.ramp) or 1 for track in (plan.candidate, plan.stable)}


def _whole(plan: Plan, routes: Routes, resolution: int) -> tuple[tuple[int, ...], Fraction]:
    return whole_weights([Group(track, routes.weight(track), 1, count) for track, count in _serving(plan, routes).items()], resolution)


def made(plan: Plan, routes: Routes) -> float:
    """The candidate's part of the requests as the router makes it of ``routes``: Pods and whole server weights come near to a share, others make it."""
    wanted = routes.weight(plan.candidate)
    if routes.pods and sum(routes.pods.values()):
        return routes.pods.get(plan.candidate, 0) / sum(routes.pods.values())
    if routes.assignment is not None or part(plan.resolution) or plan.resolution <= 1 or not 0 < wanted < FULL:
        return float(wanted / FULL)
    weights, counts = _whole(plan, routes, plan.resolution)[0], _serving(plan, routes)
    return weights[0] * counts[plan.candidate] / sum(weight * count for weight, count in zip(weights, counts.values()))


def comparing(plan: Plan) -> int:
    """How many waits of the plan are watched while both versions get requests, so that one can be compared with the other."""
    watched = [routes for step, routes in _folded(plan) if (step.kind is Kind.BAKE and step.watch and step.duration) or step.kind is Kind.GATE]
    return sum(1 for routes in watched if both(routes, plan.candidate, plan.stable))


def both(routes: Routes, candidate: str, stable: str) -> bool:
    """Whether requests reach both tracks."""
    if candidate == stable or not routes.weight(stable):
        return False
    return bool(routes.weight(candidate)) or bool(routes.matches) or routes.mirror is not None


def undecided(plan: Plan, metrics: Sequence[Metric], rate: Rate, needed: Callable[[Metric, float], Optional[int]]) -> list[str]:
    """Which bakes will probably end before a judge that waits for evidence has it, each as one sentence.

    ``needed``: requests of the candidate that it will want, at the candidate's part of all requests; None where that is not known.
    """
    notes: list[str] = []
    for step, routes in _folded(plan):
        share = _share(plan, routes)
        if step.kind is not Kind.BAKE or not step.watch or not step.duration or not share or not both(routes, plan.candidate, plan.stable):
            continue
        gets = rate.now * share * step.duration
        for metric in metrics:
            wanted = needed(metric, share)
            if wanted and gets < wanted:
                notes.append(
                    f"{step.name} at {show_percent(100 * share)}: {metric.name} needs about {wanted:,} requests to tell, gets about {gets:,.0f} in "
                    f"{show_duration(step.duration)} at {rate.now:,.3g} requests/s: bake {_written(wanted / (rate.now * share))}, or it may end undecided"
                )
    return notes


def thin(plan: Plan, metrics: Sequence[Metric], rate: Rate, interval: float, lag: Lag) -> tuple[list[str], list[str]]:
    """(what will probably be too thin, what cannot be enough) of the plan's watched bakes, each as one sentence.

    ``interval``: seconds between two looks where neither step nor metric say. The second holds only what not even all of a step could give.
    """
    doubtful: list[str] = []
    hopeless: list[str] = []
    for step, routes in _folded(plan):
        share = _share(plan, routes)
        if step.kind is not Kind.BAKE or not step.watch or not step.duration or share is None:
            continue
        for metric in metrics:
            if not metric.min_requests or metric.dry_run:
                continue
            window = _window(metric, step, interval, lag(metric))
            gets = rate.now * share * window
            if gets >= metric.min_requests:
                continue
            place = f"{step.name} at {show_percent(100 * share)}: {metric.name}"
            text = f"{place} needs {metric.min_requests:,} requests, gets about {gets:,.0f} in {show_duration(window)}"
            # A look without data keeps a bake open until no_data_timeout, and a window without an interval grows with it.
            longest = step.duration if metric.interval or metric.count is None else max(step.duration, metric.no_data_timeout)
            impossible = rate.most * share * longest < metric.min_requests
            (hopeless if impossible else doubtful).append(text + _advice(metric, step, rate, share, window))
    return doubtful, hopeless


def _advice(metric: Metric, step: Step, rate: Rate, share: float, window: float) -> str:
    """What would be enough at this rate."""
    seconds = metric.min_requests / (rate.now * share)
    ways = [f"bake at least {_written(seconds)}" if seconds > (step.duration or 0) else "",
            f"give it interval: {_written(seconds)}" if metric.interval or metric.count is None else ""]
    percent = math.ceil(100 * metric.min_requests / (rate.now * window))
    way = " and ".join(filter(None, ways))
    return f" at {rate.now:,.3g} requests/s: {way}" + (f", or start at {percent} %" if percent <= 100 else "")


def _written(seconds: float) -> str:
    """A duration as somebody would write it into the release file, rounded up."""
    return f"{math.ceil(seconds)}s" if seconds <= 120 else f"{math.ceil(seconds / 60)}m"


def _window(metric: Metric, step: Step, interval: float, lag: float) -> float:
    """Seconds that one look at the metric reaches back, at the end of the step."""
    whole = max(0.0, (step.duration or 0.0) - lag)
    if metric.interval is None and metric.count is not None:
        return whole
    return min(max(metric.interval or step.interval or interval, SCRAPES * lag), whole)


def _share(plan: Plan, routes: Routes) -> Optional[float]:
    """The part of all requests that reaches the candidate; None where weights do not say."""
    if plan.candidate == plan.stable:
        return float(routes.weight(plan.stable) / FULL)
    if routes.matches or routes.mirror or routes.assignment or not routes.weight(plan.candidate):
        return None
    return float(routes.weight(plan.candidate) / FULL)


def _folded(plan: Plan) -> Iterator[tuple[Step, Routes]]:
    """Every step with the routes that hold once it is done."""
    routes = plan.start
    for step in plan.steps:
        routes = apply(routes, step, plan)
        yield step, routes
