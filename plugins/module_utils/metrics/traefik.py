# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics straight from Traefik's own counters (metrics.prometheus), for users without a metrics server.

``error_rate`` and ``success_rate`` are shares 0..1 of the requests in the window (5xx fail), ``request_rate`` is requests a second, ``latency`` a
quantile in milliseconds, as fine as Traefik's buckets. ``Point.n`` is the number of requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..clients.exposition import Metric
from ..clients.scraped import SCRAPED, Reading, Scrapes, started, tallied, track_names
from ..core.errors import ConfigError
from ..core.model import Series, Window
from ..core.options import Option, Options


class TraefikProvider:
    """The MetricProvider port. ``services``: track to Traefik's name of its service, with the provider after the at sign."""

    SUMMARY: ClassVar[str] = "Traefik's own counters, at its metrics entry point."
    OPTIONS: ClassVar[Options] = {
        "services": Option("dict", "Track to the service that Traefik counts, such as V(canary: shop-canary@file).", required=True, open=True),
        **SCRAPED,
    }

    def __init__(self, scrapes: Scrapes, services: Mapping[str, str]) -> None:
        self.scrapes = scrapes
        self.services = dict(services)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> TraefikProvider:
        """``tracks``: track to its inventory hosts. Raises ConfigError for a track without a service."""
        services = track_names(options["services"], tracks, "traefik.services")
        return cls(Scrapes.from_options(options, read, "service", "traefik"), services)

    def probe(self) -> None:
        """Take the first look. Raises Unavailable."""
        self.scrapes.look()

    def query(self, query: str, window: Window) -> Series:
        """See :meth:`Scrapes.answer`. Raises ConfigError for an unknown track besides."""
        if window.track not in self.services:
            known = ", ".join(sorted(self.services))
            raise ConfigError(f"no service for the track {window.track!r}", where="traefik.services", do=f"Known: {known or 'none'}.")
        return self.scrapes.answer(window, query, self.services[window.track])


def read(metrics: list[Metric], where: str) -> Reading:
    """Traefik counts nothing before the first request; then each service by code, method and protocol."""
    found = tallied(
        metrics, "traefik_service_requests_total", "code", lambda metric: metric.labels.get("service", ""), where, "traefik_service_request_duration_seconds"
    )
    return Reading(found, started(metrics, "process_start_time_seconds"))
