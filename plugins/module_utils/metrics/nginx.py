# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics straight from nginx, where something in it counts requests by upstream, for users without a metrics server.

``error_rate`` and ``success_rate`` are shares 0..1 of the requests in the window (5xx fail), ``request_rate`` is requests a second, ``latency`` a
quantile in milliseconds where there is a histogram. ``Point.n`` is the number of requests. nginx by itself (stub_status) tells no upstreams apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..clients.exposition import Metric
from ..clients.scraped import BUILTINS, SCRAPED, WITHOUT_DURATIONS, Reading, Scrapes, started, tallied, track_names
from ..core.errors import ConfigError
from ..core.model import Series, Window
from ..core.options import Option, Options


@dataclass(frozen=True)
class Counting:
    """How one kind of counter looks: the counter, its label for the code, a histogram, whose requests they are, and when they began."""

    requests: str
    code: str
    named: Callable[[Metric], str]
    durations: str = ""
    began: str = ""


COUNTING = {
    "ingress": Counting(
        "nginx_ingress_controller_requests", "status", lambda metric: f"{metric.labels.get('namespace', '')}/{metric.labels.get('service', '')}",
        "nginx_ingress_controller_request_duration_seconds", "process_start_time_seconds",
    ),
    "plus": Counting("nginxplus_upstream_server_responses", "code", lambda metric: metric.labels.get("upstream", "")),
    "vts": Counting(
        "nginx_vts_upstream_requests_total", "code", lambda metric: metric.labels.get("upstream", ""), "nginx_vts_upstream_response_duration_seconds",
        "nginx_vts_start_time_seconds",
    ),
}  # fmt: skip
"""The ingress controller of Kubernetes, the exporter of NGINX Plus, and the module nginx-module-vts."""


class NginxProvider:
    """The MetricProvider port. ``upstreams``: track to upstream, or to namespace/service of the ingress controller."""

    SUMMARY: ClassVar[str] = "nginx' own counters by upstream: ingress-nginx, NGINX Plus, or nginx-module-vts."
    OPTIONS: ClassVar[Options] = {
        "counters": Option(
            "str", "What counts: the ingress controller, the exporter of NGINX Plus, or nginx-module-vts.", required=True, choices=tuple(sorted(COUNTING))
        ),
        "upstreams": Option(
            "dict", "Track to upstream, such as V(canary: shop_canary); with V(counters=ingress) to V(namespace/service).", required=True, open=True
        ),
        **SCRAPED,
    }

    def __init__(self, scrapes: Scrapes, upstreams: Mapping[str, str], builtins: tuple[str, ...] = BUILTINS) -> None:
        self.scrapes = scrapes
        self.upstreams = dict(upstreams)
        self.builtins = builtins

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> NginxProvider:
        """``tracks``: track to its inventory hosts. Raises ConfigError for a track without an upstream."""
        counting = COUNTING[options["counters"]]
        upstreams = track_names(options["upstreams"], tracks, "nginx.upstreams")
        for track, name in upstreams.items():
            if options["counters"] == "ingress" and name.count("/") != 1:
                raise ConfigError(f"{name} is no namespace/service", where=f"nginx.upstreams.{track}", do="Write the namespace and a slash before it.")

        def read(metrics: list[Metric], where: str) -> Reading:
            found = tallied(
                metrics, counting.requests, counting.code, counting.named, where, counting.durations, lambda metric: metric.labels.get(counting.code) != "total"
            )
            return Reading(found, started(metrics, counting.began) if counting.began else None)

        builtins = BUILTINS if counting.durations else WITHOUT_DURATIONS
        return cls(Scrapes.from_options(options, read, "upstream", "nginx"), upstreams, builtins)

    def probe(self) -> None:
        """Take the first look. Raises Unavailable."""
        self.scrapes.look()

    def query(self, query: str, window: Window) -> Series:
        """See :meth:`Scrapes.answer`. Raises ConfigError for an unknown track besides."""
        if window.track not in self.upstreams:
            known = ", ".join(sorted(self.upstreams))
            raise ConfigError(f"no upstream for the track {window.track!r}", where="nginx.upstreams", do=f"Known: {known or 'none'}.")
        return self.scrapes.answer(window, query, self.upstreams[window.track], self.builtins)
