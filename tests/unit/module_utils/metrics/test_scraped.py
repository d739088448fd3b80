# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's and nginx' counters on expositions as they show them, over a clock that the test sets: what is counted, and that no broken one passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.nginx import NginxProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.traefik import TraefikProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply

BEGAN = "process_start_time_seconds 1.76e+09\n"
TRAEFIK = BEGAN + """# HELP traefik_service_requests_total How many HTTP requests processed on a service.
# TYPE traefik_service_requests_total counter
traefik_service_requests_total{code="200",method="GET",protocol="http",service="c@file"} 90
traefik_service_requests_total{code="200",method="POST",protocol="http",service="c@file"} 6
traefik_service_requests_total{code="404",method="GET",protocol="http",service="c@file"} 2
traefik_service_requests_total{code="500",method="GET",protocol="http",service="c@file"} 1
traefik_service_requests_total{code="504",method="GET",protocol="websocket",service="c@file"} 1
traefik_service_requests_total{code="500",method="GET",protocol="http",service="s@file"} 1000
# TYPE traefik_service_request_duration_seconds histogram
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="c@file",le="0.1"} 50
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="c@file",le="0.3"} 90
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="c@file",le="+Inf"} 90
traefik_service_request_duration_seconds_bucket{code="500",method="GET",protocol="http",service="c@file",le="0.1"} 0
traefik_service_request_duration_seconds_bucket{code="500",method="GET",protocol="http",service="c@file",le="0.3"} 10
traefik_service_request_duration_seconds_bucket{code="500",method="GET",protocol="http",service="c@file",le="+Inf"} 10
"""
PLUS = """# TYPE nginxplus_upstream_server_responses counter
nginxplus_upstream_server_responses{code="2xx",server="10.0.0.1:80",upstream="c"} 97
nginxplus_upstream_server_responses{code="4xx",server="10.0.0.1:80",upstream="c"} 1
nginxplus_upstream_server_responses{code="5xx",server="10.0.0.2:80",upstream="c"} 2
nginxplus_upstream_server_responses{code="5xx",server="10.0.0.2:80",upstream="s"} 9
"""


class Bed:
    """One load balancer; the first look finds ``before``, all later ones what :meth:`ask` is given."""

    def __init__(self, kind: Any, before: str, **options: Any) -> None:
        self.now = 1_800_000_000.0
        self.server = ScriptedServer(reply(before, content_type="text/plain")).__enter__()
        given = {"endpoints": [f"{self.server.url}/metrics"], "timeout": "60s", **options}
        self.provider = kind.from_options(validate(given, kind.OPTIONS, "it"), {"canary": ()})
        self.provider.scrapes.clock = lambda: self.now
        self.provider.probe()

    def ask(self, text: str | bytes, builtin: str = "error_rate", quantile: float = 0.5, slower_than: float = 0.0) -> Series:
        self.server.reply = text if isinstance(text, bytes) else reply(text, content_type="text/plain")
        start, self.now = self.now, self.now + 10
        return self.provider.query("", Window("canary", start, self.now, builtin=builtin, quantile=quantile, slower_than=slower_than))


@pytest.fixture
def traefik() -> Iterator[Bed]:
    made = Bed(TraefikProvider, BEGAN, services={"stable": "s@file", "canary": "c@file"})
    yield made
    made.server.__exit__()


@pytest.fixture
def plus() -> Iterator[Bed]:
    made = Bed(NginxProvider, "nginxplus_up 1\n", counters="plus", upstreams={"stable": "s", "canary": "c"})
    yield made
    made.server.__exit__()


@pytest.mark.parametrize(("builtin", "quantile", "value"), [
    ("error_rate", 0.5, 0.02), ("success_rate", 0.5, 0.98), ("request_rate", 0.5, 10.0), ("latency", 0.5, 100.0), ("latency", 0.75, 200.0),
])  # fmt: skip
def test_what_traefik_counted(traefik: Bed, builtin: str, quantile: float, value: float) -> None:
    [point] = traefik.ask(TRAEFIK, builtin, quantile).samples[0].points
    assert point.value == pytest.approx(value) and point.n == 100


@pytest.mark.parametrize(("slower_than", "share"), [(0.1, 0.5), (0.3, 0.0)])
def test_slow_requests_are_counted(traefik: Bed, slower_than: float, share: float) -> None:
    [point] = traefik.ask(TRAEFIK, "slow_share", slower_than=slower_than).samples[0].points
    assert (point.value, point.n) == (share, 100)


@pytest.mark.parametrize("slower_than", [0.05, 0.2, 0.5])
def test_a_bound_within_a_bucket_is_refused(traefik: Bed, slower_than: float) -> None:
    with pytest.raises(ConfigError, match=r"lies within a bucket. The buckets end at 0.1, 0.3"):
        traefik.ask(TRAEFIK, "slow_share", slower_than=slower_than)


def test_what_nginx_plus_counted(plus: Bed) -> None:
    [point] = plus.ask(PLUS).samples[0].points
    assert (point.value, point.n) == (0.02, 100)
    with pytest.raises(Unsupported, match="error_rate, success_rate, request_rate"):
        plus.ask(PLUS, "latency")


def test_a_name_that_was_never_counted_is_said(traefik: Bed) -> None:
    with pytest.raises(NoData, match=r"The service c@file was never counted; known: shop@file"):
        traefik.ask(TRAEFIK.replace("c@file", "shop@file").replace("s@file", "shop@file"))


@pytest.mark.parametrize("builtin", ["latency", "slow_share"])
def test_without_a_histogram_there_is_no_latency(traefik: Bed, builtin: str) -> None:
    with pytest.raises(NoData, match="no histogram of the durations of c@file"):
        traefik.ask(TRAEFIK[:TRAEFIK.index("# TYPE traefik_service_request_duration")], builtin, slower_than=0.1)


BROKEN = {
    "nothing": "", "comments": "# TYPE a counter\n", "a login page": "<html>please log in</html>", "half a line": TRAEFIK[:-30], "no text": b"\xff\xfe",
    "not a number": TRAEFIK.replace("} 90\n", "} NaN\n"), "infinite": TRAEFIK.replace("} 90\n", "} +Inf\n"), "negative": TRAEFIK.replace("} 90\n", "} -90\n"),
    "hexadecimal": TRAEFIK.replace("} 90\n", "} 0x5A\n"), "no code": TRAEFIK.replace('code="200",', ""),
    "an empty code": TRAEFIK.replace('code="404"', 'code=""'),
    "falling buckets": TRAEFIK.replace('le="0.3"} 90', 'le="0.3"} 10'), "a bucket without bound": TRAEFIK.replace(',le="0.1"', ""),
    "unauthorized": reply("no", "401 Unauthorized"), "not found": reply(TRAEFIK, "404 Not Found"), "no content": reply("", "204 No Content"),
    "an error": reply(TRAEFIK, "503 Service Unavailable"), "a redirect": reply("", "302 Found", location="http://elsewhere.test/metrics"),
    "cut off": reply(TRAEFIK)[:-50], "too large": reply("#" * (5 * 1024 * 1024)), "JSON": '{"requests": 100}', "hung up": b"",
}  # fmt: skip
NOTHING = {
    "no requests": BEGAN, "another service": TRAEFIK.replace("c@file", "d@file"), "restarted": TRAEFIK.replace("1.76e+09", "1.77e+09"),
    "no start any more": TRAEFIK.replace(BEGAN, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", [*BROKEN, *NOTHING])
def test_nothing_broken_or_missing_is_good(traefik: Bed, name: str) -> None:
    metric = Metric.from_options({"name": "errors", "builtin": "error_rate", "failure_condition": "result > 0.5"}, "m")
    answer = BROKEN.get(name, NOTHING.get(name, ""))
    text = answer if isinstance(answer, bytes) and answer.startswith(b"HTTP") else reply(answer) if answer else answer
    try:
        series = traefik.ask(text if isinstance(text, bytes) else reply(text), "error_rate")
    except Unavailable:
        assert name in BROKEN
    except NoData:
        assert name in NOTHING
    else:
        pytest.fail(f"{judge(metric, series)}")


def test_the_same_metric_is_good_where_the_counters_are(traefik: Bed) -> None:
    metric = Metric.from_options({"name": "errors", "builtin": "error_rate", "failure_condition": "result > 0.5"}, "m")
    assert judge(metric, traefik.ask(TRAEFIK)).phase is Phase.SUCCESSFUL


def test_what_fell_is_a_restart(plus: Bed) -> None:
    plus.ask(PLUS)
    with pytest.raises(NoData, match="restarted"):
        plus.ask(PLUS.replace("} 97", "} 3"))


@pytest.mark.parametrize(("kind", "options", "message"), [
    (TraefikProvider, {"services": {"stable": "s"}}, "the track 'canary' is not named"),
    (TraefikProvider, {"services": {"canary": "c"}, "endpoints": []}, "no endpoint"),
    (TraefikProvider, {"services": {"canary": "c"}, "endpoints": ["lb1:8082"]}, "."),
    (NginxProvider, {"upstreams": {"canary": "c"}, "counters": "ingress"}, "c is no namespace/service"),
    (NginxProvider, {"upstreams": {"canary": "c"}, "counters": "vtz"}, "vts"), (NginxProvider, {"upstreams": {"canary": "c"}}, "counters"),
])  # fmt: skip
def test_options_that_are_wrong(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind.from_options(validate({"endpoints": ["http://127.0.0.1:1/metrics"], **options}, kind.OPTIONS, "it"), {"canary": ()})
