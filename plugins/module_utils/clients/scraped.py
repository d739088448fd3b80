# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request counters of load balancers that show them in the Prometheus text format: looks at them, and what came between two looks.

A load balancer counts since it started, so a window is the difference of two looks. Several of them that serve the same users are added up.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..core.errors import ConfigError, NoData, Unavailable, Unsupported
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.units import show_duration
from . import exposition, looks
from .exposition import Metric
from .web import CONNECTION, connection, fetch, parse

BUILTINS = ("error_rate", "success_rate", "request_rate", "latency", "slow_share")
WITHOUT_DURATIONS = BUILTINS[:3]
LOOKS = 4096
"""Looks remembered: more than a day of one every 30 s."""

SCRAPED: Options = {
    "endpoints": Option(
        "list", "Where each load balancer shows its metrics, such as http://lb1:8082/metrics. Their counters are added up.", elements="str", required=True
    ),
    **CONNECTION,
}


@dataclass(frozen=True)
class Tally:
    """Requests of one track since the load balancer started. ``latency``: observations by (lower, upper) bound in seconds."""

    requests: float = 0.0
    failed: float = 0.0
    latency: Mapping[tuple[float, float], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What one load balancer shows: a tally for each name of the counted, and when it started, where it says that."""

    tallies: Mapping[str, Tally]
    started: Optional[float] = None


@dataclass(frozen=True)
class Look:
    """The readings of all load balancers at one moment. ``time``: seconds since the epoch."""

    time: float
    readings: Mapping[str, Reading]


class Scrapes:
    """Looks at all ``endpoints``. ``read`` makes a reading of the metrics of one; ``what``: what a name means there, such as service."""

    def __init__(
        self,
        endpoints: Iterable[str],
        access: Mapping[str, Any],
        read: Callable[[list[Metric], str], Reading],
        what: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.what = what
        self.clock = clock
        self._access = access
        self._read = read
        self._looks: deque[Look] = deque(maxlen=LOOKS)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], read: Callable[[list[Metric], str], Reading], what: str, where: str) -> Scrapes:
        """From validated options of :data:`SCRAPED`. Raises ConfigError."""
        if not options["endpoints"]:
            raise ConfigError("no endpoint is named", where=f"{where}.endpoints")
        for url in options["endpoints"]:
            parse(url)
        return cls(options["endpoints"], connection(options), read, what)

    def look(self) -> Look:
        """Raises Unavailable for one that does not answer, or with something else than its metrics."""
        look = Look(self.clock(), {url: self._read(self._metrics(url), url) for url in self.endpoints})
        self._looks.append(look)
        return look

    def _metrics(self, url: str) -> list[Metric]:
        response = fetch(url, **self._access)
        if response.status != 200:
            raise Unavailable(f"HTTP {response.status}", where=url)
        try:
            text = response.body.decode("utf-8")
        except UnicodeDecodeError:
            raise Unavailable("the metrics are not text", where=url) from None
        metrics = exposition.parse(text, url)
        if not metrics:
            raise Unavailable("there are no metrics", where=url)
        return metrics

    def answer(self, window: Window, query: str, name: str, builtins: Iterable[str] = BUILTINS) -> Series:
        """A built-in metric of what ``name`` counted between the look nearest to the window's start and now.

        Raises NoData before there are two looks, without requests, and when a load balancer restarted; Unavailable; Unsupported.
        """
        builtins = tuple(builtins)
        if window.builtin not in builtins:
            raise Unsupported(f"the counters cannot answer {(window.builtin or query)[:80]!r}", do=f"They answer the builtins {', '.join(builtins)}.")
        look = self.look()
        earlier = looks.earlier(self._looks, look.time, window, min(window.seconds / 10, 5.0), "the")
        delta, seconds = self._delta(earlier, look, name), look.time - earlier.time
        value, n = self._value(delta, seconds, window, name, look)
        return Series((Sample((Point(look.time, value, n),), {"track": window.track}),), query=window.builtin)

    def _delta(self, earlier: Look, look: Look, name: str) -> Tally:
        requests = failed = 0.0
        latency: dict[tuple[float, float], float] = {}
        for url, reading in look.readings.items():
            old, new = earlier.readings[url].tallies.get(name, Tally()), reading.tallies.get(name, Tally())
            rises = {bounds: new.latency.get(bounds, 0.0) - old.latency.get(bounds, 0.0) for bounds in {*old.latency, *new.latency}}
            fell = new.requests < old.requests or new.failed < old.failed or min(rises.values(), default=0.0) < 0
            if fell or reading.started != earlier.readings[url].started:
                raise NoData("it restarted within the window, and counts anew", where=url, do="Later looks have data again.")
            requests, failed = requests + new.requests - old.requests, failed + new.failed - old.failed
            for bounds, rise in rises.items():
                latency[bounds] = latency.get(bounds, 0.0) + rise
        return Tally(requests, failed, latency)

    def _value(self, delta: Tally, seconds: float, window: Window, name: str, look: Look) -> tuple[float, int]:
        """The builtin's value, and what it was made from."""
        requests = int(delta.requests)
        if window.builtin == "request_rate":
            return delta.requests / seconds, requests
        if delta.requests <= 0:
            known = sorted({each for reading in look.readings.values() for each in reading.tallies})
            never = f"The {self.what} {name} was never counted; known: {', '.join(known)[:300] or 'none'}." if name not in known else ""
            raise NoData(f"no requests to {window.track} in the last {show_duration(seconds)}", do=never)
        if window.builtin == "error_rate":
            return delta.failed / delta.requests, requests
        if window.builtin == "success_rate":
            return 1 - delta.failed / delta.requests, requests
        slow = exposition.share_above(delta.latency, window.slower_than) if window.builtin == "slow_share" else None
        taken = exposition.quantile(delta.latency, window.quantile)
        if taken is None or (slow is None and window.builtin == "slow_share"):
            raise NoData(f"there is no histogram of the durations of {name}", do="Have the load balancer keep one.")
        return slow or (taken * 1000, requests)


def tallied(
    metrics: Iterable[Metric],
    requests: str,
    code: str,
    named: Callable[[Metric], str],
    where: str,
    durations: str = "",
    counts: Callable[[Metric], bool] = lambda _metric: True,
) -> dict[str, Tally]:
    """A tally for every name of the counter ``requests``, whose label ``code`` begins with 5 for what failed, and of the histogram ``durations``.

    ``named``: whose request a series counts. ``counts``: which series. Raises Unavailable for what no counter can be.
    """
    found: dict[str, list[Metric]] = {}
    bounds: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.name in (requests, f"{durations}_bucket") and counts(metric):
            if not (metric.value >= 0 and math.isfinite(metric.value)):
                raise Unavailable(f"{metric.name} is {metric.value:g}, which no counter can be", where=where)
            if metric.name == requests and not metric.labels.get(code):
                raise Unavailable(f"{metric.name} has no label {code}", where=where)
            (found if metric.name == requests else bounds).setdefault(named(metric), []).append(metric)
    return {
        name: Tally(
            sum(metric.value for metric in some), sum(metric.value for metric in some if metric.labels[code].startswith("5")),
            exposition.buckets(bounds.get(name, ()), durations, {}),
        )
        for name, some in found.items()
    }  # fmt: skip


def started(metrics: Iterable[Metric], name: str) -> Optional[float]:
    """When the load balancer started, by a metric of that name; None where it does not say."""
    return exposition.total(metrics, name, {})


def track_names(given: Mapping[str, Any], tracks: Iterable[str], where: str) -> dict[str, str]:
    """Track to the name that the load balancer counts it under. Raises ConfigError for a track without one."""
    names = {str(track): str(name) for track, name in given.items()}
    for track in tracks:
        if track not in names:
            raise ConfigError(f"the track {track!r} is not named", where=where, do=f"Known: {', '.join(sorted(names)) or 'none'}.")
    return names
