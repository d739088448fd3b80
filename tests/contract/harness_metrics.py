# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric providers with a world each that can be told what to answer. See ``test_metric_contract.py``."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import pathlib
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import MetricProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.cloudwatch import CloudwatchProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.command import CommandProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.envoy import EnvoyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.graphite import GraphiteProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.haproxy import HaproxyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.influxdb import InfluxdbProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.kubernetes import KubernetesProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.memory import MemoryProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.nginx import NginxProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.sql import SqlProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.traefik import TraefikProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.contract.verdict_machine import Leaping
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.unit.kube_server import ApiServer, Reply, Seen

WINDOW = Window("canary", 0.0, 4_000_000_000.0, {"workload": "shop", "namespace": "prod", "version": "2"})


class MetricHarness:
    """One provider. ``query`` is a query that its world answers with what :meth:`tell` said last."""

    query: str
    requests: Optional[int] = None
    """The ``n`` of a told series: how many requests its value was made from. None where the provider cannot know."""
    adds_up = False
    """Whether several series come as the one value of all their requests."""

    def __init__(self, folder: pathlib.Path) -> None:
        raise NotImplementedError

    def provider(self) -> MetricProvider:
        raise NotImplementedError

    def dead(self) -> MetricProvider:
        """A provider whose world does not answer."""
        raise NotImplementedError

    def tell(self, values: Optional[list[float]]) -> None:
        """Answer with these series from now on; with nothing when None."""
        raise NotImplementedError

    def babble(self) -> None:
        """Answer with something that is not an answer."""
        raise NotImplementedError

    def ask(self, provider: MetricProvider) -> Series:
        return provider.query(self.query, WINDOW)

    def close(self) -> None:
        """Stop what was started."""


def vector(values: list[float], now: float = 1_700_000_000.0) -> bytes:
    result = [{"metric": {"i": str(index)}, "value": [now, repr(value)]} for index, value in enumerate(values)]
    return reply(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}), content_type="application/json")


class PrometheusHarness(MetricHarness):
    query = "shop_errors"

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def provider(self) -> MetricProvider:
        return PrometheusProvider.from_options(validate({"url": self._server.url, "timeout": "60s"}, PrometheusProvider.OPTIONS, "prometheus"), {})

    def dead(self) -> MetricProvider:
        return PrometheusProvider.from_options(validate({"url": f"http://127.0.0.1:{closed_port()}"}, PrometheusProvider.OPTIONS, "prometheus"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        def answer(request: Request) -> bytes:
            if "timestamp" in request.target:
                return vector([1_700_000_000.0])
            return vector([1.0] if "vector" in request.target else values or [])

        self._server.reply = answer

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class WebHarness(MetricHarness):
    query = "{$.rates}"

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def provider(self) -> MetricProvider:
        return WebProvider.from_options(validate({"url": self._server.url + "/${track}", "timeout": "60s"}, WebProvider.OPTIONS, "web"), {})

    def dead(self) -> MetricProvider:
        return WebProvider.from_options(validate({"url": f"http://127.0.0.1:{closed_port()}"}, WebProvider.OPTIONS, "web"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        self._server.reply = reply(json.dumps({"rates": values}))

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class GraphiteHarness(MetricHarness):
    query = "shop.*.errors"
    requests = 1000

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def _made(self, url: str) -> MetricProvider:
        options = {"url": url, "timeout": "60s", "count_query": "sumSeries(shop.*.requests)"}
        return GraphiteProvider.from_options(validate(options, GraphiteProvider.OPTIONS, "graphite"), {})

    def provider(self) -> MetricProvider:
        return self._made(self._server.url)

    def dead(self) -> MetricProvider:
        return self._made(f"http://127.0.0.1:{closed_port()}")

    def tell(self, values: Optional[list[float]]) -> None:
        now = int(time.time())

        def answer(request: Request) -> bytes:
            if "constantLine" in request.target:
                series = [{"target": "1", "datapoints": [[1, now - 10], [1, now]]}]
            elif "sumSeries" in request.target:
                series = [{"target": "requests", "datapoints": [[400, now - 20], [600, now - 10], [None, now]]}]
            else:
                points = [[[1e6, now - 20], [value, now - 10], [None, now]] for value in values or []]
                series = [{"target": f"shop.{index}.errors", "datapoints": each} for index, each in enumerate(points)]
            return reply(json.dumps(series), content_type="application/json")

        self._server.reply = answer

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class InfluxdbHarness(MetricHarness):
    """InfluxQL; an answer of 1.x with a column of requests."""

    query = "SELECT sum(errors) / sum(requests) AS share, sum(requests) AS n FROM shop WHERE time > now() - ${window} GROUP BY host"
    requests = 1000

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def _made(self, url: str) -> MetricProvider:
        options = {"url": url, "timeout": "60s", "database": "shop", "count_column": "n"}
        return InfluxdbProvider.from_options(validate(options, InfluxdbProvider.OPTIONS, "influxdb"), {})

    def provider(self) -> MetricProvider:
        return self._made(self._server.url)

    def dead(self) -> MetricProvider:
        return self._made(f"http://127.0.0.1:{closed_port()}")

    def tell(self, values: Optional[list[float]]) -> None:
        columns = ["time", "share", "n"]
        series = [{"name": "shop", "tags": {"host": str(i)}, "columns": columns, "values": [[0, value, 1000]]} for i, value in enumerate(values or [])]
        self._server.reply = reply(json.dumps({"results": [{"statement_id": 0, **({"series": series} if series else {})}]}))

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class FluxHarness(InfluxdbHarness):
    """Flux; an answer of 2.x."""

    query = 'from(bucket: "shop") |> range(start: -${window}) |> mean()'

    def _made(self, url: str) -> MetricProvider:
        options = {"url": url, "timeout": "60s", "language": "flux", "org": "shop", "token": "t", "count_column": "n"}
        return InfluxdbProvider.from_options(validate(options, InfluxdbProvider.OPTIONS, "influxdb"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        head = ["#datatype,string,long,string,double,long", "#group,false,false,true,false,false", "#default,_result,,,,", ",result,table,host,_value,n"]
        rows = [f",,{i},{i},{value!r},1000" for i, value in enumerate(values or [])]
        self._server.reply = reply("".join(f"{line}\r\n" for line in [*head, *rows, ""]), content_type="text/csv; charset=utf-8")


class CommandHarness(MetricHarness):
    query = "{$.rates}"

    def __init__(self, folder: pathlib.Path) -> None:
        self._file = folder / "answer"

    def _made(self, program: str) -> MetricProvider:
        code = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
        options = {"argv": [program, "-S", "-c", code, str(self._file)], "json_path": "{$.rates}", "timeout": "60s"}
        return CommandProvider.from_options(validate(options, CommandProvider.OPTIONS, "command"), {})

    def provider(self) -> MetricProvider:
        return self._made(sys.executable)

    def dead(self) -> MetricProvider:
        return self._made("/nowhere/python")

    def tell(self, values: Optional[list[float]]) -> None:
        self._file.write_text(json.dumps({"rates": values}))

    def babble(self) -> None:
        self._file.write_text("command not found\n")


@functools.cache
def postgres() -> Any:
    """One server for all tests of this process."""
    from ansible_collections.progressive.delivery.tests.integration.postgres_rig import Postgres

    made = Postgres()
    atexit.register(made.close)
    return made


class SqlHarness(MetricHarness):
    """A real PostgreSQL, and a table of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.table = f"told_{uuid.uuid4().hex}"
        self.query = f"SELECT series, value FROM {self.table} ORDER BY series"
        self.tell(None)

    def provider(self) -> MetricProvider:
        given = dict(postgres().admin)
        options = {"database": given["dbname"], "timeout": "60s", **{name: given[name] for name in ("host", "port", "user", "password")}}
        return SqlProvider.from_options(validate(options, SqlProvider.OPTIONS, "sql"), {})

    def dead(self) -> MetricProvider:
        return SqlProvider({"host": "127.0.0.1", "port": closed_port(), "dbname": "none"}, 2)

    def _table(self, kind: str, rows: list[str]) -> None:
        made = [f"DROP TABLE IF EXISTS {self.table}", f"CREATE TABLE {self.table} (series int, value {kind})"]
        postgres().execute(*made, *(f"INSERT INTO {self.table} VALUES ({number}, {row})" for number, row in enumerate(rows)))

    def tell(self, values: Optional[list[float]]) -> None:
        self._table("float8", [f"'{value!r}'" for value in values or []])

    def babble(self) -> None:
        self._table("text", ["'<html>please log in</html>'"])

    def close(self) -> None:
        postgres().execute(f"DROP TABLE {self.table}")


class MemoryHarness(MetricHarness):
    query = "errors"

    def __init__(self, folder: pathlib.Path) -> None:
        self._file = folder / "script.json"

    def provider(self) -> MetricProvider:
        return MemoryProvider.from_options(validate({"file": str(self._file)}, MemoryProvider.OPTIONS, "memory"), {})

    def dead(self) -> MetricProvider:
        return MemoryProvider.from_options(validate({"file": str(self._file) + ".gone"}, MemoryProvider.OPTIONS, "memory"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        self._file.write_text(json.dumps({"errors": [values]}))

    def babble(self) -> None:
        self._file.write_text("{")


class CloudwatchHarness(MetricHarness):
    """The JSON protocol of CloudWatch, one minute of each series."""

    query = "SEARCH('{Shop} errors', 'Average')"

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()
        self.tell(None)

    def _over(self, url: str) -> MetricProvider:
        options = {"region": "eu-central-1", "access_key": "x", "secret_key": "y", "endpoint_url": url, "timeout": "60s", "delay": "0s"}
        return CloudwatchProvider.from_options(validate(options, CloudwatchProvider.OPTIONS, "cloudwatch"), {})

    def provider(self) -> MetricProvider:
        return self._over(self._server.url)

    def dead(self) -> MetricProvider:
        return self._over(f"http://127.0.0.1:{closed_port()}")

    def tell(self, values: Optional[list[float]]) -> None:
        def answer(request: Request) -> bytes:
            sent = json.loads(request.body)
            name = sent["MetricDataQueries"][0]["Id"]
            asked = [] if name == "probe" else values or []
            results: list[dict[str, Any]] = [{"Id": name, "Label": str(index), "Timestamps": [sent["EndTime"] - 60], "Values": [value]}
                                             for index, value in enumerate(asked)]
            results = results or [{"Id": name, "Label": name, "Timestamps": [], "Values": []}]
            return reply(json.dumps({"MetricDataResults": [{**each, "StatusCode": "Complete"} for each in results]}),
                         content_type="application/x-amz-json-1.0", connection="close")

        self._server.reply = answer

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def ask(self, provider: MetricProvider) -> Series:
        return provider.query(self.query, dataclasses.replace(WINDOW, start=time.time() - 300, end=time.time()))

    def close(self) -> None:
        self._server.__exit__()


class KubernetesHarness(MetricHarness):
    """An API server with one Deployment. A told series is the share of four of its Pods that are ready."""

    query = "ready"
    adds_up = True

    def __init__(self, folder: pathlib.Path) -> None:
        self.garbage = False
        self.shares: list[float] = []
        self._server = ApiServer(self._answer)
        self._server.__enter__()

    def _answer(self, request: Seen) -> Reply:
        if self.garbage:
            return Reply(b"<html>please log in</html>", headers={"content-type": "text/html"})
        if "/deployments/" in request.path:
            selector = {"matchLabels": {"app": "shop"}}
            return Reply({"metadata": {"name": "shop"}, "spec": {"replicas": 4 * len(self.shares), "selector": selector}})
        ready = [str(number < share * 4) for share in self.shares for number in range(4)]
        return Reply({"items": [{"metadata": {"name": f"shop-{index}"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": each}]}}
                                for index, each in enumerate(ready)]})

    def _over(self, url: str) -> MetricProvider:
        return KubernetesProvider(Kube.from_options({"host": url, "api_key": "x", "namespace": "prod"}, Leaping()))

    def provider(self) -> MetricProvider:
        return self._over(self._server.url)

    def dead(self) -> MetricProvider:
        return self._over(f"http://127.0.0.1:{closed_port()}")

    def tell(self, values: Optional[list[float]]) -> None:
        self.garbage, self.shares = False, list(values or [])

    def babble(self) -> None:
        self.garbage = True

    def ask(self, provider: MetricProvider) -> Series:
        labels = {**WINDOW.labels, "kind": "deployment"}
        return provider.query(self.query, dataclasses.replace(WINDOW, start=time.time() - 60, end=time.time(), labels=labels))

    def close(self) -> None:
        self._server.__exit__()


class CountersHarness(MetricHarness):
    """Several load balancers that count since they started. A told series is the share of one balancer's requests that fail.

    All requests of the other track fail, so that counters of the wrong one are noticed. ``lies`` are answers that the last balancer gives in the
    place of its own, by what it is asked: a sum without that one is none.
    """

    query = "error_rate"
    requests = 1000
    adds_up = True
    balancers = 3

    def __init__(self, folder: pathlib.Path) -> None:
        self.now = 1_700_000_000.0
        self.started = 1
        self.lies: dict[str, Optional[str]] = {}
        self.shares: list[float] = []
        self.counted = self._new()

    def _new(self) -> list[dict[str, dict[str, int]]]:
        return [{track: {"requests": 0, "failed": 0} for track in ("stable", "canary")} for _balancer in range(self.balancers)]

    def world(self, index: int) -> dict[str, str]:
        """The true answers of one balancer, by what it is asked."""
        raise NotImplementedError

    def answer(self, index: int, asked: str) -> Optional[str]:
        answers: dict[str, Optional[str]] = {**self.world(index)}
        if index == self.balancers - 1:
            answers.update(self.lies)
        return answers[asked]

    def made(self) -> MetricProvider:
        """A provider that has not looked yet."""
        raise NotImplementedError

    def provider(self) -> MetricProvider:
        """After its first look, for which the world speaks the truth."""
        made = self.made()
        lies, self.lies = self.lies, {}
        made.probe()
        self.lies = lies
        return made

    def tell(self, values: Optional[list[float]]) -> None:
        self.shares = list(values or [])
        self.lies = {}

    def babble(self) -> None:
        self.lies = dict.fromkeys(self.world(0), "<html>please log in</html>\n")

    def restart(self, told: bool) -> None:
        """Every balancer anew; ``told``: and one sees that by more than its counters."""
        self.started += told
        self.counted = self._new()

    def ask(self, provider: MetricProvider) -> Series:
        """After ten seconds of requests, about these ten seconds."""
        for counted, share in zip(self.counted, self.shares):
            for track, failed in (("stable", 1.0), ("canary", share)):
                counted[track]["requests"] += self.requests
                counted[track]["failed"] += round(failed * self.requests)
        start, self.now = self.now, self.now + 10
        return provider.query("", dataclasses.replace(WINDOW, start=start, end=self.now, builtin=self.query))


class EnvoyHarness(CountersHarness):
    """Admin interfaces as Envoy 1.40 has them: clusters, counters with histograms in detail, and the dump of the bootstrap."""

    clusters = {"stable": "shop-v1", "canary": "shop:v2"}

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self._servers = [ScriptedServer(self._answers(index)).__enter__() for index in range(self.balancers)]

    def _answers(self, index: int) -> Callable[[Request], bytes]:
        def answers(request: Request) -> bytes:
            body = self.answer(index, request.target.partition("?")[0])
            return b"" if body is None else reply(body, content_type="application/json")

        return answers

    def world(self, index: int) -> dict[str, str]:
        stats: list[dict[str, Any]] = []
        details = []
        for track, cluster in self.clusters.items():
            counted, prefix = self.counted[index][track], f"cluster.{cluster.replace(':', '_')}"
            stats += [
                {"name": f"{prefix}.upstream_rq_completed", "value": counted["requests"]},
                {"name": f"{prefix}.upstream_rq_5xx", "value": counted["failed"]},
            ]
            times = [{"lower_bound": 5, "width": 0.1, "count": counted["requests"]}] if counted["requests"] else []
            details.append({"name": f"{prefix}.upstream_rq_time", "totals": times, "intervals": []})
        stats.append({"histograms": {"supported_percentiles": [50, 95], "details": details}})
        bootstrap = {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "last_updated": f"2026-01-01T00:00:0{self.started}.000Z"}
        statuses = [{"name": name, "observability_name": name, "host_statuses": []} for name in self.clusters.values()]
        answers = {"/clusters": {"cluster_statuses": statuses}, "/stats": {"stats": stats}, "/config_dump": {"configs": [bootstrap]}}
        return {**{path: json.dumps(answer) for path, answer in answers.items()}, "/stats/prometheus": "# nothing passed the filter\n"}

    def _over(self, urls: list[str]) -> EnvoyProvider:
        return EnvoyProvider([EnvoyAdmin(url, 60) for url in urls], self.clusters, clock=lambda: self.now)

    def made(self) -> MetricProvider:
        return self._over([server.url for server in self._servers])

    def dead(self) -> MetricProvider:
        return self._over([*(server.url for server in self._servers[:-1]), f"http://127.0.0.1:{closed_port()}"])

    def close(self) -> None:
        for server in self._servers:
            server.__exit__()


class ScrapedHarness(CountersHarness):
    """Metrics in the Prometheus text format, of what counts by track under ``names``."""

    names: dict[str, str]
    began = "process_start_time_seconds"

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self._servers = [ScriptedServer(self._answers(index)).__enter__() for index in range(self.balancers)]

    def _answers(self, index: int) -> Callable[[Request], bytes]:
        def answers(_request: Request) -> bytes:
            body = self.answer(index, "/metrics")
            return b"" if body is None else reply(body, content_type="text/plain; version=0.0.4")

        return answers

    def lines(self, name: str, good: int, bad: int) -> list[str]:
        """What is shown of one name."""
        raise NotImplementedError

    def world(self, index: int) -> dict[str, str]:
        lines = [f"# TYPE {self.began} gauge", f"{self.began} 1.7e+09" if self.started == 1 else f"{self.began} {1_700_000_000 + self.started}.5"]
        for track, name in self.names.items():
            counted = self.counted[index][track]
            if counted["requests"]:  # nothing is shown of what had no request yet
                lines += self.lines(name, counted["requests"] - counted["failed"], counted["failed"])
        return {"/metrics": "\n".join(lines) + "\n"}

    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def kind(self) -> Any:
        raise NotImplementedError

    def _over(self, urls: list[str]) -> Any:
        made = self.kind().from_options(validate({**self.options(), "endpoints": urls, "timeout": "60s"}, self.kind().OPTIONS, "it"), {})
        made.scrapes.clock = lambda: self.now
        return made

    def made(self) -> MetricProvider:
        found: MetricProvider = self._over([f"{server.url}/metrics" for server in self._servers])
        return found

    def dead(self) -> MetricProvider:
        found: MetricProvider = self._over([*(f"{server.url}/metrics" for server in self._servers[:-1]), f"http://127.0.0.1:{closed_port()}/metrics"])
        return found

    def close(self) -> None:
        for server in self._servers:
            server.__exit__()


class TraefikHarness(ScrapedHarness):
    """As Traefik 3 shows them."""

    names = {"stable": "shop-stable@file", "canary": "shop-canary@kubernetescrd"}

    def lines(self, name: str, good: int, bad: int) -> list[str]:
        counted = "traefik_service_requests_total"
        made = [f'{counted}{{code="200",method="GET",protocol="http",service="{name}"}} {good}',
                f'{counted}{{code="503",method="GET",protocol="http",service="{name}"}} {bad}']
        return [f"# TYPE {counted} counter", *made, f'traefik_service_open_connections{{method="GET",protocol="http",service="{name}"}} 0']

    def options(self) -> dict[str, Any]:
        return {"services": self.names}

    def kind(self) -> Any:
        return TraefikProvider


class IngressNginxHarness(ScrapedHarness):
    """As the ingress controller shows them."""

    names = {"stable": "prod/shop-stable", "canary": "prod/shop-canary"}

    def lines(self, name: str, good: int, bad: int) -> list[str]:
        space, _slash, service = name.partition("/")
        labels = f'canary="",ingress="shop",namespace="{space}",service="{service}"'
        return [f'nginx_ingress_controller_requests{{{labels},status="{code}"}} {count}' for code, count in (("200", good), ("502", bad))]

    def options(self) -> dict[str, Any]:
        return {"upstreams": self.names, "counters": "ingress"}

    def kind(self) -> Any:
        return NginxProvider


class NginxVtsHarness(IngressNginxHarness):
    """As nginx-module-vts shows them, with two servers an upstream."""

    names = {"stable": "shop_stable", "canary": "shop_canary"}
    began = "nginx_vts_start_time_seconds"

    def lines(self, name: str, good: int, bad: int) -> list[str]:
        counts = {"1xx": 0, "2xx": good, "3xx": 0, "4xx": 0, "5xx": bad}
        return [f'nginx_vts_upstream_requests_total{{upstream="{name}",backend="10.0.0.{number}:80",code="{code}"}} {count // 2 + number * (count % 2)}'
                for code, count in counts.items() for number in (0, 1)]

    def options(self) -> dict[str, Any]:
        return {"upstreams": self.names, "counters": "vts"}


class StatsSocket(socketserver.UnixStreamServer):
    """A runtime API in prompt mode. ``answer``: command to text; None hangs up in the middle of an answer."""

    def __init__(self, path: pathlib.Path, answer: Callable[[str], Optional[str]]) -> None:
        self.answer = answer
        super().__init__(str(path), Runtime)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class Runtime(socketserver.StreamRequestHandler):
    server: StatsSocket

    def handle(self) -> None:
        for line in self.rfile:
            for command in line.decode().strip().split("; "):
                answer = "" if command == "prompt" else self.server.answer(command)
                if answer is None:
                    self.wfile.write(b"# pxname,svname,")
                    return
                self.wfile.write(f"{answer}\n> ".encode())


class HaproxyHarness(CountersHarness):
    """Stats sockets with one backend, of which each track has a server."""

    servers = {"stable": "web1", "canary": "web2"}

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self._paths = [folder / f"lb{index}.sock" for index in range(self.balancers)]
        self._sockets = [StatsSocket(path, functools.partial(self.answer, index)) for index, path in enumerate(self._paths)]

    def world(self, index: int) -> dict[str, str]:
        """A failed request is a 5xx, or one in four a connection that failed."""
        columns = ("pxname", "svname", "status", "mode", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other", "econ", "eresp", "rtime", "lbtot")
        rows: list[tuple[str, ...]] = [columns]
        for track, server in self.servers.items():
            requests, failed = self.counted[index][track]["requests"], self.counted[index][track]["failed"]
            refused = failed // 4
            row = (requests - failed, 0, 0, failed - refused, 0, refused, 0, 7, requests)
            rows.append(("shop", server, "UP", "http", *map(str, row)))
        rows.append(("shop", "BACKEND", "UP", "http", *["0"] * 9))
        table = "".join(",".join(row) + ",\n" for row in rows)
        return {"show info": f"Name: HAProxy\nPid: {100 + self.started}\nStart_time_sec: 1700000000\n", "show stat shop 6 -1": f"# {table}"}

    def _over(self, paths: list[pathlib.Path]) -> HaproxyProvider:
        places = {track: [("shop", server)] for track, server in self.servers.items()}
        return HaproxyProvider([HaproxyClient(str(path), 10) for path in paths], places, clock=lambda: self.now)

    def made(self) -> MetricProvider:
        return self._over(self._paths)

    def dead(self) -> MetricProvider:
        return self._over([*self._paths[:-1], self._paths[-1].with_suffix(".gone")])

    def close(self) -> None:
        for stats in self._sockets:
            stats.close()


HARNESSES: dict[str, type[MetricHarness]] = {
    "cloudwatch": CloudwatchHarness,
    "command": CommandHarness,
    "envoy": EnvoyHarness,
    "graphite": GraphiteHarness,
    "haproxy": HaproxyHarness,
    "influxdb": InfluxdbHarness,
    "influxdb_flux": FluxHarness,
    "kubernetes": KubernetesHarness,
    "memory": MemoryHarness,
    "nginx": IngressNginxHarness,
    "nginx-vts": NginxVtsHarness,
    "prometheus": PrometheusHarness,
    "sql": SqlHarness,
    "traefik": TraefikHarness,
    "web": WebHarness,
}
