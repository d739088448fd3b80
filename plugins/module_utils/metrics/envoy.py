# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics straight from Envoy's own counters, for users without a metrics server.

``error_rate`` and ``success_rate`` are shares 0..1 of the requests in the window, ``request_rate`` is requests a second, ``latency`` a
quantile in milliseconds of the time servers took to answer. ``Point.n`` is the number of requests in the window.

Envoy counts since it started, so a window is the difference of two looks of this provider: :meth:`EnvoyProvider.probe` takes the first,
every query one more. Latency follows the counters by at most Envoy's ``stats_flush_interval`` (5 s unless configured). Several Envoys
are added up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..clients import exposition, looks
from ..clients.envoy import Counters, EnvoyAdmin
from ..core.errors import ConfigError, NoData, Unsupported
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option
from ..core.units import duration, show_duration

BUILTINS = ("error_rate", "success_rate", "request_rate", "latency", "slow_share")
LOOKS = 4096
"""Looks remembered: more than a day of one every 30 s."""


@dataclass(frozen=True)
class Look:
    """The counters of every Envoy at one moment: by admin interface, then by cluster. ``epochs``: by admin interface."""

    time: float
    counters: Mapping[str, Mapping[str, Counters]]
    epochs: Mapping[str, str]


class EnvoyProvider:
    """The MetricProvider port over the admin interfaces of the Envoys that serve the same users.

    ``clusters``: track to cluster. ``clock`` gives seconds since the epoch.
    """

    SUMMARY = "Envoy's own counters, by its admin interface."
    OPTIONS = {
        "endpoints": Option(
            "list",
            "The Envoys that serve the same users. Their counters are added up.",
            required=True,
            elements="dict",
            options={"admin": Option("str", "The admin interface, such as http://127.0.0.1:9901.", required=True)},
        ),
        "clusters": Option("dict", "Track to cluster, such as stable and canary; the same as the router's.", required=True, open=True),
        "timeout": Option("duration", "Longest wait for one answer of an admin interface.", default="5s"),
    }

    def __init__(self, admins: list[EnvoyAdmin], clusters: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self.admins = admins
        self.clusters = dict(clusters)
        self.clock = clock
        self._looks: deque[Look] = deque(maxlen=LOOKS)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> EnvoyProvider:
        """``tracks``: track to its inventory hosts. Raises ConfigError for a track without a cluster."""
        clusters = {str(track): str(name) for track, name in options["clusters"].items()}
        for track in tracks:
            if track not in clusters:
                raise ConfigError(f"no cluster for the track {track!r}", where="envoy.clusters", do=f"Known: {', '.join(sorted(clusters)) or 'none'}.")
        if not options["endpoints"]:
            raise ConfigError("no endpoint is named", where="envoy.endpoints")
        timeout = duration(options.get("timeout", "5s"))
        return cls([EnvoyAdmin(endpoint["admin"], timeout) for endpoint in options["endpoints"]], clusters)

    def probe(self) -> None:
        """Take the first look. Raises Unavailable, and ConfigError for a cluster that an Envoy does not have."""
        self._look()

    def query(self, query: str, window: Window) -> Series:
        """A builtin over the time between the look nearest to the window's start and now.

        Raises NoData before there are two looks in the window, without requests in it, and when an Envoy restarted in it; Unavailable;
        Unsupported for a query of the user's own; ConfigError for an unknown track.
        """
        if window.builtin not in BUILTINS:
            asked = window.builtin or query
            raise Unsupported(f"Envoy cannot answer {asked[:80]!r}", do=f"It answers the builtins {', '.join(BUILTINS)}.")
        if window.track not in self.clusters:
            raise ConfigError(f"no cluster for the track {window.track!r}", where="envoy.clusters", do=f"Known: {', '.join(sorted(self.clusters))}.")
        look = self._look()
        earlier = looks.earlier(self._looks, look.time, window, min(window.seconds / 10, 5.0), "Envoy's")
        delta = self._delta(earlier, look, self.clusters[window.track])
        value, n = _value(delta, look.time - earlier.time, window)
        return Series((Sample((Point(look.time, value, n),), {"track": window.track}),), query=window.builtin)

    def _look(self) -> Look:
        counters, epochs = {}, {}
        for admin in self.admins:
            statuses = admin.clusters(self.clusters.values())
            by_stat = admin.counters((status.stat_name for status in statuses.values()), latency=True)
            counters[admin.name] = {name: by_stat[status.stat_name] for name, status in statuses.items()}
            epochs[admin.name] = admin.epoch()
        look = Look(self.clock(), counters, epochs)
        self._looks.append(look)
        return look

    def _delta(self, earlier: Look, look: Look, cluster: str) -> Counters:
        """Requests between two looks, of all Envoys."""
        requests = failed = 0
        latency: dict[tuple[float, float], float] = {}
        for name, after in look.counters.items():
            old, new = earlier.counters[name][cluster], after[cluster]
            rises = {bucket: count - old.latency.get(bucket, 0) for bucket, count in new.latency.items()}
            if earlier.epochs[name] != look.epochs[name] or new.requests < old.requests or new.failed < old.failed or min(rises.values(), default=0) < 0:
                raise NoData("it restarted within the window, and counts anew", where=f"envoy {name}", do="Later looks have data again.")
            requests, failed = requests + new.requests - old.requests, failed + new.failed - old.failed
            for bucket, rise in rises.items():
                latency[bucket] = latency.get(bucket, 0) + rise
        return Counters(requests, failed, latency)


def _value(delta: Counters, seconds: float, window: Window) -> tuple[float, int]:
    """The builtin's value, and what it was made from. Raises NoData: without requests there is a rate, and nothing else; ConfigError."""
    if window.builtin == "request_rate":
        return delta.requests / seconds, delta.requests
    if not delta.requests:
        raise NoData(f"no requests to {window.track} in the last {show_duration(seconds)}")
    if window.builtin == "error_rate":
        return delta.failed / delta.requests, delta.requests
    if window.builtin == "success_rate":
        return 1 - delta.failed / delta.requests, delta.requests
    latency = exposition.quantile(delta.latency, window.quantile)
    if latency is None:
        raise NoData(f"Envoy has not merged the latencies of {window.track} yet", do="It does so every stats_flush_interval.")
    slow = exposition.share_above(delta.latency, window.slower_than * 1000) if window.builtin == "slow_share" else None
    return slow or (latency, delta.requests)
