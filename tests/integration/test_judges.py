# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequential judge on what a real HAProxy, a real Envoy and a real Prometheus count, under real load."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import BakeResult, Look, Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import MetricProvider
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.haproxy import HaproxyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import Plane
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm, Haproxy, pool
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Exporter, Prometheus, Traffic
from ansible_collections.progressive.delivery.tests.waiting import wait_until

TRACKS = {"stable": ("web1", "web2"), "canary": ("web3", "web4")}
RATE = 160.0
ENOUGH = 15.0
"""Seconds of a good version: a few of them hold the evidence, and a busy machine may lose many."""
LONG = 240.0
"""Seconds within which a bad version is found out, far before their end."""


@pytest.fixture
def farm() -> Iterator[Farm]:
    made = Farm()
    yield made
    made.close()


@pytest.fixture
def haproxy(farm: Farm, tmp_path: pathlib.Path) -> Iterator[Haproxy]:
    plane = Haproxy(tmp_path / "lb", pool(farm, ["web1", "web2", "web3", "web4"]))
    yield plane
    plane.stop()


@pytest.fixture
def envoy(farm: Farm, tmp_path: pathlib.Path) -> Iterator[Plane]:
    plane = Plane(tmp_path / "envoy", farm, TRACKS)
    plane.put(plane.router(), Routes({"stable": 50, "canary": 50}))
    yield plane
    plane.stop()


def by_haproxy(plane: Haproxy) -> HaproxyProvider:
    given = {"endpoints": [plane.socket], "backend": "shop", "timeout": "10s"}
    made = HaproxyProvider.from_options(validate(given, HaproxyProvider.OPTIONS, "haproxy"), TRACKS)
    made.probe()
    return made


def watch(provider: MetricProvider, seconds: float, *, mde: float = 0.08, on_look: Callable[[Look], None] = lambda look: None) -> BakeResult:
    analysis = {"metrics": [{"name": "errors", "builtin": "error_rate", "judge": {"sequential": {"mde": mde}}}]}
    metrics = build.metrics(analysis)
    ports = Ports(lambda metric, window: provider.query(metric.query, window), SystemClock(), on_look=on_look, judges=build.judges(metrics, analysis),
                  lag=lambda metric: float(getattr(provider, "lag", 0.0)))
    return bake(tuple(metrics), ports, duration=seconds, interval=1.0)


def sick(farm: Farm) -> None:
    """One of the new version's two servers answers users nothing but errors. Its health check sees none: the load balancer would take it out."""
    farm.servers["web4"].seems_well = True
    farm.servers["web4"].status = 500


def test_haproxy_counts_a_good_and_a_bad_version(farm: Farm, haproxy: Haproxy) -> None:
    with farm.load(haproxy.port, RATE):
        good = watch(by_haproxy(haproxy), ENOUGH)
        sick(farm)
        bad = watch(by_haproxy(haproxy), LONG)
    assert good.phase is Phase.SUCCESSFUL, good.reason
    assert bad.phase is Phase.FAILED and bad.seconds < LONG, bad.reason
    assert re.search(r"errors [45]\d\S* % against 0 % of stable: worse, by .* \(n \d+ and \d+, p ", bad.reason)


def test_what_was_counted_before_a_restart_still_counts(farm: Farm, haproxy: Haproxy) -> None:
    restarted: list[float] = []

    def restart(look: Look) -> None:
        if (look.n or 0) > 150 and not restarted:
            haproxy.restart()
            restarted.append(look.n or 0)

    with farm.load(haproxy.port, RATE):
        result = watch(by_haproxy(haproxy), 2 * ENOUGH, on_look=restart)
    assert restarted and result.phase is Phase.SUCCESSFUL, result.reason
    after = [look for look in result.looks if (look.n or 0) > restarted[0]]
    assert after and any("what was counted before still counts" in look.reason for look in result.looks)
    assert not any(look.phase is Phase.PENDING for look in result.looks[result.looks.index(after[0]):])


def test_envoy_counts_a_good_and_a_bad_version(farm: Farm, envoy: Plane) -> None:
    def provider() -> MetricProvider:
        made = envoy.metrics()
        made.probe()
        return made

    with farm.load(envoy.port, RATE):
        good = watch(provider(), ENOUGH)
        sick(farm)
        bad = watch(provider(), LONG)
    assert good.phase is Phase.SUCCESSFUL, good.reason
    assert bad.phase is Phase.FAILED and bad.seconds < LONG, bad.reason


def test_prometheus_counts_a_good_and_a_bad_version_and_no_more_than_it_saw(tmp_path: pathlib.Path) -> None:
    exporter = Exporter()
    server = Prometheus(tmp_path, exporter)
    selectors = {"stable": 'track="stable"', "canary": 'track="canary"'}
    options: dict[str, Any] = {"url": server.url, "scrape_interval": "1s", "timeout": "60s", "selectors": selectors}
    provider = PrometheusProvider.from_options(validate(options, PrometheusProvider.OPTIONS, "prometheus"), {})
    try:
        wait_until(lambda: _up(provider))
        good = watch(provider, ENOUGH)
        exporter.tracks["canary"] = Traffic(failing=0.2)
        bad = watch(provider, LONG)
    finally:
        server.close()
        exporter.close()
    assert good.phase is Phase.SUCCESSFUL, good.reason
    assert all((look.n or 0) <= 100 * (look.at - good.looks[0].at + 3) for look in good.looks), "100 requests a second come"
    assert bad.phase is Phase.FAILED and bad.seconds < LONG, bad.reason


def _up(provider: PrometheusProvider) -> bool:
    try:
        return bool(provider._evaluate("count(rate(http_requests_total[5s])) > 1", None).samples)
    except DeliveryError:
        return False
