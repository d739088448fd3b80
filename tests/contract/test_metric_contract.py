# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every metric provider must do, and what Prometheus, web endpoints and load balancers may say without being believed.

The rule behind all of it: a value comes only from a whole answer that holds one; nothing is never a number.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Window
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.harness_metrics import (
    HARNESSES,
    WINDOW,
    CountersHarness,
    EnvoyHarness,
    HaproxyHarness,
    MetricHarness,
)
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply


@pytest.fixture(params=sorted(HARNESSES))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetricHarness]:
    made = HARNESSES[request.param](tmp_path)
    yield made
    made.close()


def test_one_value(harness: MetricHarness) -> None:
    harness.tell([0.25])
    provider = harness.provider()
    provider.probe()
    [sample] = harness.ask(provider).samples
    assert [(point.value, point.n) for point in sample.points] == [(0.25, harness.requests)]


def test_several_series_stay_several_or_are_added_up(harness: MetricHarness) -> None:
    told = [0.75, 0.25, 0.0]
    harness.tell(told)
    points = [sample.points[-1] for sample in harness.ask(harness.provider()).samples]
    assert [point.value for point in points] == ([sum(told) / len(told)] if harness.adds_up else told)
    assert sum(point.n or 0 for point in points) == len(told) * (harness.requests or 0)


def test_zero_is_a_value(harness: MetricHarness) -> None:
    harness.tell([0.0])
    assert harness.ask(harness.provider()).samples[0].points[0].value == 0.0


@pytest.mark.parametrize("nothing", [None, []])
def test_nothing_is_no_data(harness: MetricHarness, nothing: list[float] | None) -> None:
    harness.tell(nothing)
    with pytest.raises(NoData):
        harness.ask(harness.provider())


def test_garbage_is_unavailable(harness: MetricHarness) -> None:
    harness.babble()
    with pytest.raises(Unavailable):
        harness.ask(harness.provider())


def test_silence_is_unavailable(harness: MetricHarness) -> None:
    with pytest.raises(Unavailable):
        harness.ask(harness.dead())
    with pytest.raises(Unavailable):
        harness.dead().probe()


def test_the_next_answer_is_not_the_last(harness: MetricHarness) -> None:
    provider = harness.provider()
    harness.tell([1.0])
    assert harness.ask(provider).samples[0].points[0].value == 1.0
    harness.tell(None)
    with pytest.raises(NoData):
        harness.ask(provider)
    harness.tell([0.5])
    assert harness.ask(provider).samples[0].points[0].value == 0.5


def test_after_garbage_comes_an_answer_again(harness: MetricHarness) -> None:
    provider = harness.provider()
    harness.babble()
    with pytest.raises(Unavailable):
        harness.ask(provider)
    harness.tell([0.25])
    assert harness.ask(provider).samples[0].points[0].value == 0.25


@pytest.fixture(params=[name for name in sorted(HARNESSES) if issubclass(HARNESSES[name], CountersHarness)])
def counters(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CountersHarness]:
    made = HARNESSES[request.param](tmp_path)
    assert isinstance(made, CountersHarness)
    yield made
    made.close()


def test_a_first_look_at_counters_is_no_data(counters: CountersHarness) -> None:
    counters.tell([0.25])
    provider = counters.made()
    with pytest.raises(NoData):
        counters.ask(provider)
    [point] = counters.ask(provider).samples[0].points
    assert (point.value, point.n, point.time) == (0.25, counters.requests, counters.now)


@pytest.mark.parametrize("told", [True, False])
def test_a_restart_of_counters_is_no_data_once(counters: CountersHarness, told: bool) -> None:
    counters.tell([0.25])
    provider = counters.provider()
    for _look in range(0 if told else 2):  # so that the new counters overtake the old ones, or do not
        counters.ask(provider)
    counters.restart(told)
    with pytest.raises(NoData, match="restarted"):
        counters.ask(provider)
    assert counters.ask(provider).samples[0].points[0].value == 0.25


def test_garbage_at_the_first_look_is_unavailable(counters: CountersHarness) -> None:
    counters.babble()
    with pytest.raises(Unavailable):
        counters.made().probe()


def test_no_requests_are_a_rate_of_none(counters: CountersHarness) -> None:
    counters.query = "request_rate"
    provider = counters.provider()
    [idle] = counters.ask(provider).samples[0].points
    counters.tell([0.25, 0.5])
    [busy] = counters.ask(provider).samples[0].points
    assert [(point.value, point.n) for point in (idle, busy)] == [(0.0, 0), (200.0, 2000)]


def answered(value: Any, kind: str = "vector", **more: Any) -> bytes:
    result = [{"metric": {}, "value": [1_700_000_000, value]}] if kind == "vector" else [1_700_000_000, value]
    return json_reply({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def json_reply(value: Any, status: str = "200 OK") -> bytes:
    return reply(json.dumps(value), status, content_type="application/json")


def data(value: Any) -> bytes:
    return json_reply({"status": "success", "data": value})


HTML = "<!doctype html><title>Sign in</title>"
WHOLE = answered("0.001")
BODY = WHOLE.split(b"\r\n\r\n", 1)[1]

PROMETHEUS_LIES: list[tuple[str, bytes, type[DeliveryError]]] = [
    # X064: no answer, or an error
    ("nothing at all", b"", Unavailable),
    ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable),
    ("503", reply("upstream is down", "503 Service Unavailable"), Unavailable),
    ("503 with a good body", reply(BODY, "503 Service Unavailable"), Unavailable),
    ("401", reply("unauthorized", "401 Unauthorized"), Unavailable),
    ("404", reply("404 page not found", "404 Not Found"), Unavailable),
    ("500 with JSON", json_reply({"message": "boom"}, "500 Internal Server Error"), Unavailable),
    ("201 with a good body", reply(BODY, "201 Created"), Unavailable),
    # X065: no data
    ("empty vector", data({"resultType": "vector", "result": []}), NoData),
    ("null result", data({"resultType": "vector", "result": None}), NoData),
    ("null value", answered(None), NoData),
    ("null scalar value", answered(None, "scalar"), NoData),
    # X066: values that are none
    ("null as text", answered("null"), Unavailable),
    ("hexadecimal", answered("0x1p-2"), Unavailable),
    ("hexadecimal without point", answered("0x10"), Unavailable),
    ("underscores", answered("1_000"), Unavailable),
    ("too large", answered("1e400"), Unavailable),
    ("too large and negative", answered("-1e400"), Unavailable),
    ("empty text", answered(""), Unavailable),
    ("a space", answered(" "), Unavailable),
    ("padded", answered(" 1 "), Unavailable),
    ("comma", answered("0,5"), Unavailable),
    ("per cent", answered("5%"), Unavailable),
    ("Infinity in words", answered("Infinity"), Unavailable),
    ("true", answered("true"), Unavailable),
    ("Arabic digits", answered("\u0661"), Unavailable),
    ("a bare number", answered(0.001), Unavailable),
    ("a bare true", answered(True), Unavailable),
    ("a list as value", answered(["0.001"]), Unavailable),
    ("a mapping as value", answered({"v": "0.001"}), Unavailable),
    ("NaN literal", data({"resultType": "vector", "result": [{"metric": {}, "value": [1, float("nan")]}]}), Unavailable),
    ("Infinity literal", data({"resultType": "scalar", "result": [1, float("inf")]}), Unavailable),
    # X067: 200 and yet an error, or not JSON, or not whole
    ("status error", json_reply({"status": "error", "errorType": "internal", "error": "boom"}), Unavailable),
    ("status error with data", json_reply({"status": "error", "data": {"resultType": "scalar", "result": [1, "0"]}}), Unavailable),
    ("timeout error", json_reply({"status": "error", "errorType": "timeout", "error": "too slow"}, "503 Service Unavailable"), Unavailable),
    ("execution error", json_reply({"status": "error", "errorType": "execution", "error": "many"}, "422 Unprocessable Entity"), Unavailable),
    ("a query that does not parse", json_reply({"status": "error", "errorType": "bad_data", "error": "1:5: unexpected"}, "400 Bad Request"), ConfigError),
    ("no status", json_reply({"data": {"resultType": "scalar", "result": [1, "0"]}}), Unavailable),
    ("status in capitals", json_reply({"status": "SUCCESS", "data": {"resultType": "scalar", "result": [1, "0"]}}), Unavailable),
    ("login page", reply(HTML, content_type="text/html"), Unavailable),
    ("login page called JSON", reply(HTML, content_type="application/json"), Unavailable),
    ("redirect to single sign-on", reply("", "302 Found", location="https://sso.example.com/login"), Unavailable),
    ("redirect to metadata", reply("", "302 Found", location="http://169.254.169.254/"), Unavailable),
    ("redirect without a place", reply("", "302 Found"), Unavailable),
    ("truncated JSON", reply(BODY[:-10]), Unavailable),
    ("truncated body", WHOLE[:-10], Unavailable),
    ("truncated chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n400\r\n" + BODY, Unavailable),
    ("two documents", reply(BODY + BODY), Unavailable),
    ("trailing text", reply(BODY + b"<script>"), Unavailable),
    ("empty body", reply(""), Unavailable),
    ("empty body, 204", reply("", "204 No Content"), Unavailable),
    ("JSON null", reply("null"), Unavailable),
    ("JSON number", reply("0.001"), Unavailable),
    ("JSON list", reply("[]"), Unavailable),
    ("JSON text", reply('"success"'), Unavailable),
    ("not UTF-8", reply(BODY.replace(b"0.001", b"\xff\xfe")), Unavailable),
    ("UTF-16", reply(BODY.decode().encode("utf-16")), Unavailable),
    ("nested beyond reason", reply("[" * 100_000), Unavailable),
    ("50 MB", b"HTTP/1.1 200 OK\r\ncontent-length: 52428800\r\n\r\n" + b" " * (5 * 1024 * 1024), Unavailable),
    ("5 MB of spaces before the answer", reply(b" " * (5 * 1024 * 1024) + BODY), Unavailable),
    ("gzip bomb", reply(gzip.compress(b" " * 20_000_000), content_encoding="gzip"), Unavailable),
    ("half a gzip", reply(gzip.compress(BODY)[:-12], content_encoding="gzip"), Unavailable),
    ("not gzip", reply(BODY, content_encoding="gzip"), Unavailable),
    ("brotli", reply(BODY, content_encoding="br"), Unavailable),
    # shapes that the API does not have
    ("no data", json_reply({"status": "success"}), Unavailable),
    ("null data", data(None), Unavailable),
    ("data is a list", data([]), Unavailable),
    ("no result", data({"resultType": "vector"}), Unavailable),
    ("no result type", data({"result": []}), Unavailable),
    ("a range", data({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "0"]]}]}), Unavailable),
    ("a string", data({"resultType": "string", "result": [1, "0"]}), Unavailable),
    ("streams", data({"resultType": "streams", "result": []}), Unavailable),
    ("a vector that is a mapping", data({"resultType": "vector", "result": {}}), Unavailable),
    ("a vector of numbers", data({"resultType": "vector", "result": [0]}), Unavailable),
    ("a series without labels", data({"resultType": "vector", "result": [{"value": [1, "0"]}]}), Unavailable),
    ("a series without a value", data({"resultType": "vector", "result": [{"metric": {}}]}), Unavailable),
    ("a native histogram", data({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}), Unavailable),
    ("a value without a time", data({"resultType": "vector", "result": [{"metric": {}, "value": ["0"]}]}), Unavailable),
    ("a value with a text as time", data({"resultType": "vector", "result": [{"metric": {}, "value": ["now", "0"]}]}), Unavailable),
    ("three in a value", data({"resultType": "vector", "result": [{"metric": {}, "value": [1, "0", "0"]}]}), Unavailable),
    ("one good and one bad series", data({"resultType": "vector", "result": [{"metric": {}, "value": [1, "0"]}, {"metric": {}}]}), Unavailable),
    ("an empty scalar", data({"resultType": "scalar", "result": []}), Unavailable),
    ("partial and empty", json_reply({"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": ["store gone"]}), Unavailable),
]


@pytest.fixture(scope="module")
def liar() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def prometheus(server: ScriptedServer, **options: Any) -> PrometheusProvider:
    return PrometheusProvider.from_options({"url": server.url, "timeout": "60s", **options}, {})


@pytest.mark.parametrize(("answer", "error"), [lie[1:] for lie in PROMETHEUS_LIES], ids=[lie[0] for lie in PROMETHEUS_LIES])
def test_prometheus_lies(liar: ScriptedServer, answer: bytes, error: type[DeliveryError]) -> None:
    liar.reply = answer
    with pytest.raises(error):
        prometheus(liar).query("vector(1)", WINDOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.001", 0.001), ("1e-3", 0.001), ("1E+06", 1e6), ("-5", -5.0), ("+Inf", math.inf), ("-Inf", -math.inf), ("NaN", math.nan), (".5", 0.5)],
)
@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_prometheus_values(liar: ScriptedServer, text: str, value: float, kind: str) -> None:
    liar.reply = answered(text, kind)
    [sample] = prometheus(liar).query("vector(1)", WINDOW).samples
    assert sample.points[0].value == value or (math.isnan(value) and math.isnan(sample.points[0].value))


def test_prometheus_warnings_are_partial(liar: ScriptedServer) -> None:
    liar.reply = answered("0.001", warnings=["2 of 3 stores answered"])
    series = prometheus(liar).query("vector(1)", WINDOW)
    metric = Metric.from_options({"name": "m", "query": "q", "failure_condition": "result > 1"}, "m")
    assert series.partial == "2 of 3 stores answered"
    assert judge(metric, series).phase is Phase.ERROR
    assert prometheus(liar, allow_partial=True).query("vector(1)", WINDOW).partial == ""


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (29, True), (31, False), (3600, False), (None, False)])
def test_prometheus_staleness(liar: ScriptedServer, age: float | None, fresh: bool) -> None:
    def answer(request: Request) -> bytes:
        if "timestamp" not in request.target:
            return answered("0.001")
        return data({"resultType": "vector", "result": []}) if age is None else answered(str(1_700_000_000 - age))

    liar.reply = answer
    if fresh:
        assert prometheus(liar).query("rate(errors[5m])", WINDOW).samples
    else:
        with pytest.raises(Unavailable, match="the newest sample is"):
            prometheus(liar).query("rate(errors[5m])", WINDOW)


def test_prometheus_asks_no_clock_of_ours(liar: ScriptedServer) -> None:
    liar.requests.clear()
    liar.reply = answered("1700000000")
    prometheus(liar).query("errors", WINDOW)
    assert not any("time=" in request.target for request in liar.requests)
    # the past is asked about relative to the server's own time
    old = PrometheusProvider(liar.url, {}, clock=lambda: 5000.0)
    liar.requests.clear()
    old.query("errors", Window("stable", 3000.0, 4000.0))
    assert liar.requests[-1].target.endswith("time=1699999000.000")


def test_prometheus_labels_are_inert(liar: ScriptedServer) -> None:
    liar.reply = answered("1700000000")
    liar.requests.clear()
    hostile = Window("canary", 0.0, 4e9, {"version": '2"} or up{a="'})
    prometheus(liar).query('errors{version="${version}"}', hostile)
    assert "%5Cx22%7D+or+up%7Ba%3D%5Cx22" in liar.requests[0].target
    with pytest.raises(Unavailable, match="matches everything"):
        prometheus(liar).query('errors{version="${version}"}', Window("canary", 0.0, 4e9, {"version": ""}))


WEB_LIES: list[tuple[str, bytes, type[DeliveryError]]] = [
    ("nothing at all", b"", Unavailable),
    ("503 with a good body", reply('{"v": 1}', "503 Service Unavailable"), Unavailable),
    ("404", reply('{"v": 1}', "404 Not Found"), Unavailable),
    ("304", reply("", "304 Not Modified"), Unavailable),
    ("redirect to single sign-on", reply('{"v": 1}', "302 Found", location="https://sso.example.com/"), Unavailable),
    ("login page", reply(HTML, content_type="text/html"), Unavailable),
    ("truncated", reply('{"v": 1}')[:-2], Unavailable),
    ("truncated JSON", reply('{"v": 1'), Unavailable),
    ("204", reply("", "204 No Content"), NoData),
    ("empty body", reply(""), Unavailable),
    ("null", reply('{"v": null}'), NoData),
    ("empty list", reply('{"v": []}'), NoData),
    ("null on the way", reply("null"), NoData),
    ("missing", reply('{"w": 1}'), Unavailable),
    ("an object", reply('{"v": {}}'), Unavailable),
    ("text", reply('{"v": "good"}'), Unavailable),
    ("hexadecimal", reply('{"v": "0x10"}'), Unavailable),
    ("underscores", reply('{"v": "1_000"}'), Unavailable),
    ("padded", reply('{"v": " 1 "}'), Unavailable),
    ("empty text", reply('{"v": ""}'), Unavailable),
    ("too large", reply('{"v": 1e400}'), Unavailable),
    ("too large as text", reply('{"v": "1e400"}'), Unavailable),
    ("NaN literal", reply('{"v": NaN}'), Unavailable),
    ("Infinity literal", reply('{"v": Infinity}'), Unavailable),
    ("Infinity text", reply('{"v": "Infinity"}'), Unavailable),
    ("one bad in a list", reply('{"v": [1, "x"]}'), Unavailable),
    ("one null in a list", reply('{"v": [1, null]}'), NoData),
    ("a list at the top", reply("[1]"), Unavailable),
    ("gzip bomb", reply(gzip.compress(b" " * 20_000_000), content_encoding="gzip"), Unavailable),
    ("5 MB", reply(b" " * (5 * 1024 * 1024) + b'{"v": 1}'), Unavailable),
    ("nested beyond reason", reply("[" * 100_000), Unavailable),
    ("a number with 5000 digits", reply('{"v": ' + "9" * 5000 + "}"), Unavailable),
]


@pytest.mark.parametrize(("answer", "error"), [lie[1:] for lie in WEB_LIES], ids=[lie[0] for lie in WEB_LIES])
def test_web_lies(liar: ScriptedServer, answer: bytes, error: type[DeliveryError]) -> None:
    liar.reply = answer
    with pytest.raises(error):
        WebProvider.from_options({"url": liar.url, "timeout": "60s"}, {}).query("{$.v}", WINDOW)


def lie(harness: CountersHarness, asked: str, change: Callable[[str], str | None]) -> None:
    """Ten seconds in which half of all requests fail, and a last balancer that changes its answer about them."""
    harness.tell([0.5] * harness.balancers)
    provider = harness.provider()
    honest = harness.world(harness.balancers - 1)[asked]
    harness.lies = {asked: change(honest)}
    with pytest.raises(Unavailable):
        harness.ask(provider)
    with pytest.raises(Unavailable):
        harness.made().probe()


def text(answer: str | None) -> Callable[[str], str | None]:
    return lambda _honest: answer


def cell(row: int, column: str, value: str | None) -> Callable[[str], str]:
    """A table with another value in one cell; None takes the column away."""

    def change(honest: str) -> str:
        table = [line.split(",") for line in honest.splitlines()]
        index = [name.lstrip("# ") for name in table[0]].index(column)
        if value is None:
            return "\n".join(",".join(cells[:index] + cells[index + 1 :]) for cells in table) + "\n"
        table[row][index] = value
        return "\n".join(",".join(cells) for cells in table) + "\n"

    return change


ENVOY_LIES: list[tuple[str, str, Callable[[str], str | None]]] = [
    (f"{what} at {path}", path, change)
    for path in ("/clusters", "/stats", "/config_dump")
    for what, change in [
        ("nothing", text(None)),
        ("empty body", text("")),
        ("login page", text(HTML)),
        ("truncated JSON", lambda honest: honest[:-10]),
        ("two documents", lambda honest: honest + honest),
    ]
] + [
    ("statistics that are null", "/stats", text('{"stats": null}')),
    ("statistics that are a mapping", "/stats", text('{"stats": {}}')),
    ("a list", "/stats", text("[]")),
    ("no statistics", "/stats", text('{"stats": []}')),
    ("statistics of other clusters", "/stats", lambda honest: honest.replace("cluster.shop_v2", "cluster.blog")),
    ("a dump that is a list", "/config_dump", text("[]")),
    ("a dump without a bootstrap", "/config_dump", text('{"configs": []}')),
    ("a bootstrap without a time", "/config_dump", lambda honest: honest.replace("last_updated", "version_info")),
]

STAT = "show stat shop 6 -1"
HAPROXY_LIES: list[tuple[str, str, Callable[[str], str | None]]] = [
    (f"{what} to {asked}", asked, change)
    for asked in ("show info", STAT)
    for what, change in [
        ("hung up", text(None)),
        ("nothing", text("")),
        ("login page", text(HTML)),
        ("another prompt", lambda honest: honest + "\n> "),
        ("unknown command", text("Unknown command, but maybe one of the following ones is a better match:\n  help\n")),
    ]
] + [
    ("no process", "show info", lambda honest: honest.replace("Pid", "Process")),
    ("a row that is cut off", STAT, lambda honest: honest[:-30]),
    ("an open quote", STAT, lambda honest: honest + '"'),
    ("no server names", STAT, cell(0, "svname", None)),
    ("a server without a name", STAT, cell(2, "svname", "")),
    *((f"no column {column}", STAT, cell(0, column, None)) for column in ("hrsp_2xx", "hrsp_5xx", "hrsp_other", "econ", "eresp")),
    *((f"{value!r} as a counter", STAT, cell(2, "hrsp_2xx", value)) for value in ("", "many", "1_500", " 1500", "-5", "1e4", "0x10", "1.5", "NaN", "\u0661")),
]


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[CountersHarness]:
    made = EnvoyHarness(tmp_path)
    yield made
    made.close()


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[CountersHarness]:
    made = HaproxyHarness(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("asked", "change"), [each[1:] for each in ENVOY_LIES], ids=[each[0] for each in ENVOY_LIES])
def test_envoy_lies(envoy: CountersHarness, asked: str, change: Callable[[str], str | None]) -> None:
    lie(envoy, asked, change)


@pytest.mark.parametrize(("asked", "change"), [each[1:] for each in HAPROXY_LIES], ids=[each[0] for each in HAPROXY_LIES])
@pytest.mark.parametrize("query", ["error_rate", "request_rate"])
def test_haproxy_lies(haproxy: CountersHarness, query: str, asked: str, change: Callable[[str], str | None]) -> None:
    haproxy.query = query
    lie(haproxy, asked, change)


def test_enough_lies() -> None:
    assert len(PROMETHEUS_LIES) >= 60
    assert len(WEB_LIES) >= 30
