# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in metrics of a Kubernetes release, from a real Prometheus that scrapes real Pods and the kubelet, without a selector written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, NoData
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Point, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.measuring import labels_of
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, deployment
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm
from ansible_collections.progressive.delivery.tests.waiting import wait_until

MIB = 1024 * 1024
STABLE: dict[str, str] = {}
CANARY = {"LATENCY": "60ms", "GROWTH": str(MIB)}


@dataclass
class Shop:
    """``spec``: as much of a release file as labels are made of."""

    url: str
    spec: dict[str, Any]

    def provider(self, **options: Any) -> PrometheusProvider:
        raw = {"url": self.url, "scrape_interval": "1s", **options}
        return PrometheusProvider.from_options(validate(raw, PrometheusProvider.OPTIONS, "prometheus"), {})

    def window(self, track: str, builtin: str = "", seconds: float = 5, **labels: str) -> Window:
        now = time.time()
        return Window(track, now - seconds, now, {**labels_of(self.spec, track, "1"), **labels}, builtin, 0.95)

    def look(self, track: str, builtin: str, **options: Any) -> Point:
        [sample] = self.provider(**options).query("", self.window(track, builtin)).samples
        return sample.points[-1]

    def answers(self, track: str, builtin: str) -> Optional[Point]:
        """A look at enough requests; nothing where Prometheus, the Pods or their users do not get to run."""
        try:
            point = self.look(track, builtin)
        except DeliveryError:
            return None
        return point if (point.n or 0) > 200 else None

    def seen(self, track: str, builtin: str) -> Point:
        """Such a look, when there is one."""
        found: Point = wait_until(lambda: self.answers(track, builtin))
        return found


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One version that works and one that fails, is slow and grows, each with a hundred requests a second."""
    folder = tmp_path_factory.mktemp("metrics")
    with cluster.namespace(folder) as namespace:
        namespace.apply(deployment("shop-stable", "1", 2, **STABLE), deployment("shop-canary", "bad", 1, **CANARY))
        hosts = [namespace.service(name, {"app": name}).partition("//")[2] for name in ("shop-stable", "shop-canary")]
        for name in ("shop-stable", "shop-canary"):
            namespace.available(name)
        scraper, farm = Scraper(folder / "prometheus", cluster, namespace.name), Farm()
        options = {"kubeconfig": str(cluster.kubeconfig), "namespace": namespace.name, "stable": "shop-stable", "canary": "shop-canary"}
        made = Shop(scraper.url, {"name": "shop", "workload": {"deployment": options}})
        try:
            with farm.load(80, 100, host=hosts[0]), farm.load(80, 100, host=hosts[1]):
                wait_until(lambda: made.answers("stable", "error_rate") and made.answers("canary", "error_rate"))
                yield made
        finally:
            farm.close()
            scraper.close()


def test_a_bad_canary_fails_as_much_as_it_does(shop: Shop) -> None:
    bad, good = shop.seen("canary", "error_rate"), shop.seen("stable", "error_rate")
    assert bad.value == pytest.approx(0.1, abs=0.01) and good.value == 0
    assert shop.seen("canary", "success_rate").value == pytest.approx(0.9, abs=0.01)


def test_latency_is_that_of_the_track(shop: Shop) -> None:
    slow = shop.seen("canary", "latency")
    assert slow.value > 95  # nothing took less than 60 ms: all of it lies above the bucket that ends at 50
    wait_until(lambda: shop.seen("stable", "latency").value < 95, says=lambda: shop.seen("stable", "latency"))  # but for moments in which nothing gets to run


def test_memory_is_what_the_kubelet_says_of_the_container(shop: Shop) -> None:
    def grown() -> float:
        """What the canary has, once that is much more than stable has."""
        try:
            canary, stable = (shop.look(track, "memory", scrape_interval="15s").value for track in ("canary", "stable"))
        except NoData:
            return 0  # the kubelet looks at its containers every ten seconds or so
        return canary if canary > stable + 20 * MIB else 0

    assert wait_until(grown) < 2048 * MIB


def test_an_object_whose_name_begins_alike_has_no_part_in_it(shop: Shop) -> None:
    with pytest.raises(NoData):
        shop.provider().query("", shop.window("stable", "error_rate", workload="shop"))
    assert shop.seen("stable", "error_rate")


def test_a_query_of_ones_own_is_about_the_object_of_the_track(shop: Shop) -> None:
    query = 'count by (version) (app_info{namespace="${namespace}",pod=~"${workload}-.*"})'

    def samples() -> Any:
        try:
            return shop.provider().query(query, shop.window("canary")).samples
        except NoData:
            return None  # the last scrape came too late

    [sample] = wait_until(samples)
    assert sample.labels == {"version": "bad"} and sample.points[0].value == 1


def test_labels_that_nothing_has_are_shown_beside_those_that_there_are(shop: Shop) -> None:
    shop.seen("stable", "error_rate")
    why = shop.provider().why_no_data("", shop.window("stable", "error_rate", workload="shop"))
    assert why.startswith('no series matches http_requests_total{namespace="') and 'pod=~"shop-[^-]+-[^-]{5}"' in why
    assert 'pod="shop-' in why.partition("such as")[2]
    assert shop.provider().why_no_data("rate(orders_total[5s])", shop.window("stable")) == f"{shop.url} has no series orders_total"
