# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which series the built-in metrics of Prometheus read, and what it says of those that are not there."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.web import Response
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
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


GRID = 1_700_000_010.0
"""A multiple of 15."""


def matrix(*series: Any, **more: Any) -> dict[str, Any]:
    found = [{"metric": {"n": str(index)}, **({"values": each} if isinstance(each, list) else each)} for index, each in enumerate(series)]
    return {"status": "success", "data": {"resultType": "matrix", "result": found}, **more}


class Ranged:
    """Answers range queries with ``body``, and instant ones with a number of now. The clock of ours stands at ``GRID``, the server's is ``ahead``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, body: Any, ahead: float = 0.0) -> None:
        self.body, self.ahead, self.asked = body, ahead, list[dict[str, str]]()
        monkeypatch.setattr(prometheus, "fetch", self.fetch)
        self.provider = PrometheusProvider("http://prometheus:9090", {}, clock=lambda: GRID)

    def fetch(self, url: str, **_access: Any) -> Response:
        parts = urllib.parse.urlsplit(url)
        if parts.path.endswith("/query_range"):
            self.asked.append({name: values[0] for name, values in urllib.parse.parse_qs(parts.query).items()})
            body = self.body
        else:
            now = GRID + self.ahead
            body = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [now, str(now)]}]}}
        return Response(200, {}, json.dumps(body).encode())

    def ask(self, query: str = "queue") -> Any:
        return self.provider.query(query, Window("canary", GRID - 300, GRID, {}, resolution=15.0, lookback=60.0))


GOOD = [[GRID - 240, "1"], [GRID - 225, "NaN"], [GRID - 15, "3"]]


def test_a_range_leaves_out_the_scrape_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Ranged(monkeypatch, matrix(GOOD, infos=["PromQL info: metric might not be a counter"]))
    series = server.ask("rate(queue[${window}])")
    assert server.asked == [{"query": "rate(queue[60s])", "start": f"{GRID - 240:.3f}", "end": f"{GRID - 15:.3f}", "step": "15"}]
    assert [point.time for point in series.samples[0].points] == [pair[0] for pair in GOOD] and not series.partial


def test_another_clock_at_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Ranged(monkeypatch, matrix([[GRID + 3600 - 240, "1"]]), ahead=3600)
    assert server.ask().samples[0].points[0].time == GRID - 240
    assert server.asked[0]["start"] == f"{GRID + 3600 - 240:.3f}"


@pytest.mark.parametrize("warnings", [["2 of 3 stores answered"], ["expanding series: rpc error: receive series from store"]])
def test_a_partial_range_is_partial(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    assert Ranged(monkeypatch, matrix(GOOD, warnings=warnings)).ask().partial == warnings[0]
    with pytest.raises(Unavailable, match="partial"):
        Ranged(monkeypatch, matrix(warnings=warnings)).ask()


LIES: list[Any] = [
    {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [GRID, "1"]}]}},
    {"status": "success", "data": {"resultType": "matrix"}}, {"status": "success", "data": {"resultType": "matrix", "result": {}}},
    {"status": "success"}, {"status": "error", "errorType": "internal", "error": "boom"},
    matrix({}), matrix([]), matrix({"histograms": [[GRID, {}]]}), matrix({"values": GOOD, "histograms": [[GRID, {}]]}), matrix({"values": {}}),
    matrix([[GRID - 15, "1"], [GRID - 240, "2"]]), matrix([[GRID - 240, "1"], [GRID - 240, "2"]]), matrix([[GRID - 7200, "1"]]), matrix([[GRID + 60, "1"]]),
    matrix([[GRID - 240, "0x10"]]), matrix([[GRID - 240, 1]]), matrix([[GRID - 240]]), matrix([["now", "1"]]), matrix(GOOD, [[GRID - 240, "1,5"]]),
    {"status": "success", "data": {"resultType": "matrix", "result": [{"values": GOOD}]}},
]  # fmt: skip
NOTHING: list[Any] = [matrix(), {"status": "success", "data": {"resultType": "matrix", "result": None}}, matrix([[GRID - 240, None]])]


@pytest.mark.parametrize("body", LIES)
def test_lies_about_a_range(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    with pytest.raises(Unavailable):
        Ranged(monkeypatch, body).ask()


@pytest.mark.parametrize("body", NOTHING)
def test_no_range_is_no_data(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    with pytest.raises(NoData):
        Ranged(monkeypatch, body).ask()


@pytest.mark.parametrize("body", [
    *LIES, *NOTHING, matrix(GOOD, warnings=["2 of 3 stores answered"]), matrix([[GRID - 240, "NaN"]]), matrix([[GRID - 240, "+Inf"]]),
])  # fmt: skip
@pytest.mark.parametrize("judge", ["kayenta", "mann_whitney"])
@pytest.mark.parametrize("baseline", ["before", "stable"])
def test_none_of_it_passes_a_bake(monkeypatch: pytest.MonkeyPatch, body: Any, judge: str, baseline: str) -> None:
    server, clock = Ranged(monkeypatch, body), FakeClock(epoch=GRID)
    options = {"name": "m", "query": "queue", "resolution": "15s", "interval": "30s", "judge": judge, "baseline": baseline, "no_data": "failure"}
    metrics = build.metrics({"provider": {"prometheus": {"url": "http://prometheus:9090"}}, "metrics": [options]})

    def measure(metric: Metric, asked: Window) -> Any:
        return server.provider.query(metric.query, replace(asked, start=GRID - 300, end=GRID))

    ports = Ports(measure, clock, lag=lambda metric: 15.0, judges=build.judges(metrics, {}))
    result = bake(tuple(metrics), ports, duration=600, on_inconclusive="continue")
    assert result.phase in (Phase.FAILED, Phase.ERROR) and server.asked


@pytest.mark.parametrize(("have", "error"), [(2, None), (1, Unavailable), (0, ConfigError)])
def test_every_series_has_the_bucket(monkeypatch: pytest.MonkeyPatch, have: int, error: Any) -> None:
    asked: list[str] = []

    def fetch(url: str, **_access: Any) -> Response:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["query"][0]
        asked.append(query)
        value = {True: str(have), 'le="+Inf"' in query: "2", "timestamp" in query: str(time.time())}[True] if query.startswith(("count(", "max")) else "0.1"
        result = [{"metric": {"le": "0.25"} if "by (le)" in query else {}, "value": [time.time(), value]}] if value != "0" else []
        return Response(200, {}, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode())

    monkeypatch.setattr(prometheus, "fetch", fetch)
    asking = provider(selectors={"canary": 'a="b"'})
    now = time.time()
    slow = Window("canary", now - 60, now, {}, "slow_share", slower_than=1.0)
    if error:
        with pytest.raises(error, match=r"1 of 2 series|no bucket ends at 1 s.*end at 0.25"):
            asking.query("", slow)
        return
    assert asking.query("", slow).samples[0].points[0].value == 0.1
    assert 'le=~"1|1[.]0"' in asked[0] + asked[1]
