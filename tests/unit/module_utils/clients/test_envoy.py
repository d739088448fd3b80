# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin client, against a stand-in that answers what it is told."""

from __future__ import annotations

import http.server
import json
import math
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import EnvoyAdmin, HostStatus
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable


class Stub:
    """Answers by path: text, JSON, or a pair of status and text. ``asked`` holds what was requested."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _mark, query = self.path.partition("?")
                parameters = dict(urllib.parse.parse_qsl(query))
                stub.asked.append((path, parameters))
                answer = stub.answers.get(path, (404, "invalid path"))
                answer = answer(parameters) if callable(answer) else answer
                status, body = answer if isinstance(answer, tuple) else (200, answer)
                body = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.admin = EnvoyAdmin(f"http://127.0.0.1:{self.server.server_port}", 60)


@pytest.fixture
def stub() -> Iterator[Stub]:
    result = Stub()
    yield result
    result.server.shutdown()
    result.server.server_close()


def test_how_clusters_choose_their_servers(stub: Stub) -> None:
    typed = {"policies": [{"typed_extension_config": {"name": "envoy.load_balancing_policies.ring_hash"}}]}
    answers = {"static_clusters": [{"cluster": {"name": "a"}}, {"cluster": {"name": "b", "lb_policy": "MAGLEV"}}],
               "dynamic_active_clusters": [{"cluster": {"name": "c", "load_balancing_policy": typed}}, {"cluster": {"name": "x"}}]}
    stub.answers["/config_dump"] = lambda asked: {"configs": answers[asked["resource"]]}
    assert stub.admin.balancing(["a", "b", "c", "d"]) == {"a": "ROUND_ROBIN", "b": "MAGLEV", "c": "RING_HASH"}
    answers["static_clusters"] = [{"cluster": []}]
    with pytest.raises(Unavailable, match="has not the shape of Envoy's"):
        stub.admin.balancing(["a"])


def host(port: int, health: dict[str, Any], active: str = "0") -> dict[str, Any]:
    stats = [{"name": "rq_total", "value": "7"}, {"name": "rq_active", "type": "GAUGE", "value": active}, {"name": "rq_error"}]
    return {"address": {"socket_address": {"address": "10.0.0.1", "port_value": port}}, "stats": stats, "health_status": health}


@pytest.mark.parametrize("url", ["ftp://h:1", "h:9901", "http://", "http://u:p@h:1", "http://h:1/x", "file:///etc/passwd", "http://h:1?x=1", "http://h:99999"])
def test_addresses_that_are_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EnvoyAdmin(url)
    assert "u:p" not in str(caught.value)


def test_nobody_there_and_silence_are_unavailable(stub: Stub) -> None:
    stub.server.server_close()
    with pytest.raises(Unavailable, match=f"http://127.0.0.1:{stub.server.server_port}"):
        stub.admin.ready()


def test_metadata_services_are_not_asked() -> None:
    with pytest.raises(ConfigError, match=r"169\.254\.169\.254"):
        EnvoyAdmin("http://169.254.169.254").ready()


def test_ready(stub: Stub) -> None:
    stub.answers["/ready"] = "LIVE\n"
    stub.admin.ready()
    stub.answers["/ready"] = (503, "PRE_INITIALIZING\n")
    with pytest.raises(Unavailable, match="503: PRE_INITIALIZING"):
        stub.admin.ready()


@pytest.mark.parametrize("body", ["<html>", "[]", '{"configs": [', "{}", '{"configs": [{"@type": "x.BootstrapConfigDump"}]}'])
def test_an_epoch_is_not_guessed(stub: Stub, body: str) -> None:
    stub.answers["/config_dump"] = body
    with pytest.raises(Unavailable):
        stub.admin.epoch()


def test_routes_are_those_of_the_name(stub: Stub) -> None:
    stub.answers["/config_dump"] = {"configs": [{"version_info": "3", "route_config": {"name": "shop"}}, {"route_config": {"name": "blog"}}]}
    assert [(state.version, state.config["name"]) for state in stub.admin.routes("shop")] == [("3", "shop")]
    stub.answers["/config_dump"] = {}
    assert stub.admin.routes("shop") == []


def test_clusters_and_how_hosts_are_seen(stub: Stub) -> None:
    hosts = [
        host(1, {"eds_health_status": "HEALTHY"}, "2"),
        host(2, {"failed_active_health_check": True, "eds_health_status": "HEALTHY"}),
        host(3, {"eds_health_status": "DRAINING"}),
        host(4, {"eds_health_status": "UNHEALTHY"}),
        host(5, {"pending_active_hc": True}),
        host(6, {"pending_dynamic_removal": True}),
        host(7, {}),
    ]
    stub.answers["/clusters"] = {"cluster_statuses": [{"name": "a:b", "host_statuses": hosts}, {"name": "other"}]}
    cluster = stub.admin.clusters(["a:b"])["a:b"]
    assert cluster.stat_name == "a_b" and cluster.hosts[0] == HostStatus("10.0.0.1:1", "up", 2, 7)
    assert [each.state for each in cluster.hosts] == ["up", "down", "drain", "down", "down", "drain", "up"]
    with pytest.raises(ConfigError, match="no cluster 'shop'.*Known: a:b, other"):
        stub.admin.clusters(["shop"])


def stats(*, latency: Any = None) -> dict[str, Any]:
    entries: list[dict[str, Any]] = [{"name": "cluster.s.upstream_rq_completed", "value": 10}, {"name": "cluster.s.upstream_rq_5xx", "value": 2}]
    return {"stats": entries + ([{"histograms": {"details": [{"name": "cluster.s.upstream_rq_time", "totals": latency}]}}] if latency is not None else [])}


def test_counters(stub: Stub) -> None:
    stub.answers["/stats"] = stats(latency=[{"lower_bound": 5, "width": 0.5, "count": 9}])
    assert stub.admin.counters(["s"], latency=True)["s"].latency == {(5, 5.5): 9}
    counters = stub.admin.counters(["s"])["s"]
    assert (counters.requests, counters.failed, counters.latency) == (10, 2, {})
    with pytest.raises(Unavailable, match="no statistics of cluster 'gone'"):
        stub.admin.counters(["s", "gone"])


def test_an_older_envoy_gives_prometheus_buckets(stub: Stub) -> None:
    stub.answers["/stats"] = lambda query: (400, "usage: ...") if query.get("histogram_buckets") == "detailed" else (200, json.dumps(stats()))
    stub.answers["/stats/prometheus"] = "".join(
        f'envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name="s",le="{le}"}} {count}\n' for le, count in (("5", 4), ("+Inf", 6))
    )
    assert stub.admin.counters(["s"], latency=True)["s"].latency == {(0, 5): 4, (5, math.inf): 2}


def test_names_are_inert_in_the_filter(stub: Stub) -> None:
    stub.answers["/stats"] = {"stats": [{"name": "cluster.a.*|x.upstream_rq_completed", "value": 1}]}
    stub.admin.counters(["a.*|x"])
    assert stub.asked[-1][1]["filter"] == r"^cluster\.(a\.\*\|x)\.upstream_rq_(completed|5xx)$"


@pytest.mark.parametrize("stats", [[1], [{"name": "cluster.shop.upstream_rq_completed", "value": value} for value in ["many"]], None, "text",
                                   [{"name": "cluster.shop.upstream_rq_completed", "value": "1_100"}],
                                   [{"name": "cluster.shop.upstream_rq_completed", "value": True}],
                                   [{"name": "cluster.shop.upstream_rq_completed", "value": 1.5}]])
def test_counters_of_another_shape_are_unavailable(stub: Stub, stats: Any) -> None:
    stub.answers["/stats"] = {"stats": stats}
    with pytest.raises(Unavailable):
        stub.admin.counters(["shop"])


@pytest.mark.parametrize("answer", [{"cluster_statuses": None}, {"cluster_statuses": [1]}, {"cluster_statuses": [{"name": "shop", "host_statuses": [1]}]}])
def test_clusters_of_another_shape_are_unavailable(stub: Stub, answer: Any) -> None:
    stub.answers["/clusters"] = answer
    with pytest.raises(Unavailable):
        stub.admin.clusters(["shop"])


@pytest.mark.parametrize("answer", [{"configs": None}, {"configs": [1]}, {"configs": [{"route_config": 3}]}])
def test_a_dump_of_another_shape_is_unavailable(stub: Stub, answer: Any) -> None:
    stub.answers["/config_dump"] = answer
    for read in (stub.admin.epoch, lambda: stub.admin.routes("shop")):
        with pytest.raises(Unavailable):
            read()
