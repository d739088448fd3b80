# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which series the built-in metrics of Prometheus read, and what it says of those that are not there."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.web import Response
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics import prometheus
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import POD_NAMES, PrometheusProvider

LABELS = {"workload": "shop-canary", "namespace": "shop", "version": "2", "kind": "deployment", "container": ""}
PODS = {
    "deployment": ("shop-7d9f8b6c5-x2x4z", ["shop-canary-7d9f8b6c5-x2x4z", "shop-0", "shop-x2x4z", "workshop-7d9f8b6c5-x2x4z"]),
    "statefulset": ("shop-12", ["shop-canary-0", "shop-7d9f8b6c5-x2x4z", "shop-x2x4z"]),
    "daemonset": ("shop-x2x4z", ["shop-canary-x2x4z", "shop-7d9f8b6c5-x2x4z", "shop-0"]),
}


class Server:
    """Answers by what a query contains; the first that fits. Nothing fits: an empty vector."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()
        monkeypatch.setattr(prometheus, "fetch", self.fetch)

    def fetch(self, url: str, **_access: Any) -> Response:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["query"][0]
        self.asked.append(query)
        labels = next((labels for part, labels in self.answers.items() if part in query), None)
        result = [] if labels is None else [{"metric": labels, "value": [time.time(), str(time.time()) if "timestamp" in query else "1"]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return Response(200, {}, json.dumps(body).encode())


def provider(**options: Any) -> PrometheusProvider:
    return PrometheusProvider.from_options(validate({"url": "http://prometheus:9090", **options}, PrometheusProvider.OPTIONS, "prometheus"), {})


def window(builtin: str = "", **labels: str) -> Window:
    now = time.time()
    return Window("canary", now - 60, now, {**LABELS, **labels}, builtin, 0.95)


def test_on_kubernetes_pods_are_found_by_the_object_that_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, total={})
    provider().query("", window("request_rate"))
    assert server.asked[0] == 'sum(rate(http_requests_total{namespace="shop",pod=~"shop-canary-[^-]+-[^-]{5}"}[60s]))'


@pytest.mark.parametrize("container, matcher", [("", 'container!="",container!="POD"'), ("app", 'container="app"'), ('a"b', r'container="a\x22b"')])
def test_on_kubernetes_memory_is_that_of_the_container(monkeypatch: pytest.MonkeyPatch, container: str, matcher: str) -> None:
    server = Server(monkeypatch, memory={})
    provider(convention="istio").query("", window("memory", container=container))
    assert server.asked[0] == f'max(container_memory_working_set_bytes{{namespace="shop",pod=~"shop-canary-[^-]+-[^-]{{5}}",{matcher}}})'


@pytest.mark.parametrize("kind", sorted(POD_NAMES))
def test_no_other_objects_pods_are_taken_for_its_own(kind: str) -> None:
    own, others = PODS[kind]
    assert re.fullmatch(f"shop-{POD_NAMES[kind]}", own)
    assert not [name for name in others if re.fullmatch(f"shop-{POD_NAMES[kind]}", name)]


def test_selectors_that_are_given_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, total={})
    provider(selectors={"canary": 'app="shop",version="${version}"'}).query("", window("request_rate"))
    assert server.asked[0] == 'sum(rate(http_requests_total{app="shop",version="2"}[60s]))'


@pytest.mark.parametrize("options, labels", [({"convention": "istio"}, {}), ({}, {"kind": ""}), ({}, {"kind": "pool"})])
def test_without_selectors_where_pods_do_not_tell_it_is_said_what_to_write(options: Any, labels: Any) -> None:
    with pytest.raises(ConfigError, match=r"prometheus\.selectors: nothing says which series are those of canary\. Write selectors: \{canary: "):
        provider(**options).query("", window("error_rate", **labels))


def test_a_track_that_was_forgotten_is_no_default() -> None:
    with pytest.raises(ConfigError, match="unknown track 'canary'"):
        provider(selectors={"stable": 'a="b"'}).query("", window("error_rate"))


def test_labels_that_nothing_has_are_shown_beside_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch, **{"topk": {"__name__": "http_requests_total", "job": "shop", "code": "200"}, "count(http_requests_total)": {}})
    asked = window("error_rate")
    with pytest.raises(NoData):
        provider().query("", asked)
    assert provider().why_no_data("", asked) == (
        'no series matches http_requests_total{namespace="shop",pod=~"shop-canary-[^-]+-[^-]{5}"}, and there are others, such as {code="200", job="shop"}'
    )


def test_a_metric_that_nobody_exports_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch)
    assert provider().why_no_data("rate(orders_total[5m])", window()) == "http://prometheus:9090 has no series orders_total"


def test_series_that_are_there_are_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch, count={})
    assert provider().why_no_data("orders > 5", window()) == ""
