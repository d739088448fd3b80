# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular to InfluxDB: rows and columns, Flux' CSV as its documentation shows it, times, tokens, and what a query may hold."""

from __future__ import annotations

import base64
import email.utils
import json
import math
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Stale, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.influxdb import InfluxdbProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply

NOW = 1_700_000_000
HTTP_DATE = email.utils.formatdate(NOW, usegmt=True)
WINDOW = Window("canary", NOW - 60.5, NOW, {"version": "2.4.1", "workload": "shop"})
SELECT = "SELECT mean(v) FROM m WHERE time > now() - ${window}"
FROM = 'from(bucket: "shop") |> range(start: ${start}, stop: ${end}) |> mean()'
METRIC = Metric.from_options({"name": "m", "query": "q", "failure_condition": "result > 1"}, "m")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def provider(server: ScriptedServer, language: str = "influxql", **options: Any) -> InfluxdbProvider:
    place = {"org": "shop"} if language == "flux" else {"database": "shop"}
    given = {"url": server.url, "timeout": "60s", "language": language, **place, **options}
    made = InfluxdbProvider.from_options(validate(given, InfluxdbProvider.OPTIONS, "influxdb"), {})
    made._clock = lambda: NOW + 1.0
    return made


def table(*rows: list[Any], columns: tuple[str, ...] = ("time", "mean"), **more: Any) -> dict[str, Any]:
    return {"name": "m", "columns": list(columns), "values": [list(row) for row in rows], **more}


def told(*series: dict[str, Any], **more: Any) -> bytes:
    return reply(json.dumps({"results": [{"statement_id": 0, "series": list(series), **more}]}), date=HTTP_DATE)


def csv(*blocks: str) -> bytes:
    text = "\r\n".join(line.strip() for block in blocks for line in [*block.strip().splitlines(), ""]) + "\r\n"
    return reply(text, content_type="text/csv; charset=utf-8", date=HTTP_DATE)


def ask(server: ScriptedServer, answer: bytes, query: str = SELECT, window: Window = WINDOW, **options: Any) -> Series:
    server.reply = answer
    return provider(server, **options).query(query, window)


def flux(server: ScriptedServer, answer: bytes, **options: Any) -> Series:
    return ask(server, answer, FROM, language="flux", **options)


MEAN = """
    #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,string,double,long
    #group,false,false,true,true,true,false,false
    #default,_result,,,,,,
    ,result,table,_start,_stop,host,_value,n
    ,,0,2023-11-14T22:12:20Z,2023-11-14T22:13:20Z,a,0.25,300
"""


def test_influxql(server: ScriptedServer) -> None:
    [sample] = ask(server, told(table([0, 0.25], tags={"host": "a"}))).samples
    assert (sample.points[0].value, sample.points[0].time, sample.points[0].n, sample.labels) == (0.25, NOW, None, {"host": "a"})
    url = urllib.parse.urlsplit(server.requests[0].target)
    assert (server.requests[0].method, url.path) == ("GET", "/query")
    assert dict(urllib.parse.parse_qsl(url.query)) == {"db": "shop", "q": "SELECT mean(v) FROM m WHERE time > now() - 60s", "epoch": "ms"}
    ask(server, told(table([0, 0.25])), retention_policy="long")
    assert "&rp=long&" in server.requests[1].target


def test_flux(server: ScriptedServer) -> None:
    [sample] = flux(server, csv(MEAN), count_column="n", token="t0ken").samples
    assert (sample.points[0].value, sample.points[0].time, sample.points[0].n, sample.labels) == (0.25, NOW, 300, {"host": "a"})
    [request] = server.requests
    assert (request.method, request.target, request.headers["authorization"]) == ("POST", "/api/v2/query?org=shop", "Token t0ken")
    assert (request.headers["content-type"], request.headers["accept"]) == ("application/json", "application/csv")
    body = json.loads(request.body)
    assert body["query"] == 'from(bucket: "shop") |> range(start: 2023-11-14T22:12:19.500Z, stop: 2023-11-14T22:13:20.000Z) |> mean()'
    assert body["dialect"]["annotations"] == ["datatype", "group", "default"]


def test_several_tables_of_flux(server: ScriptedServer) -> None:
    second = MEAN + "    ,,1,2023-11-14T22:12:20Z,2023-11-14T22:13:20Z,b,0.75,300\n"
    series = flux(server, csv(second))
    assert [(sample.points[0].value, sample.labels["host"]) for sample in series.samples] == [(0.25, "a"), (0.75, "b")]
    assert judge(METRIC, series).phase is Phase.ERROR
    other = MEAN.replace(",,0,", ",,1,").replace("double", "unsignedLong").replace("0.25", "4")
    assert [sample.points[0].value for sample in flux(server, csv(MEAN, other)).samples] == [0.25, 4.0]


@pytest.mark.parametrize(("text", "value"), [("-0.5", -0.5), ("1e-3", 0.001), ("+Inf", math.inf), ("-Inf", -math.inf), ("NaN", math.nan)])
def test_numbers_of_flux(server: ScriptedServer, text: str, value: float) -> None:
    series = flux(server, csv(MEAN.replace("0.25", text)))
    found = series.samples[0].points[0].value
    assert found == value or (math.isnan(found) and math.isnan(value))
    if not math.isfinite(value):
        assert judge(METRIC, series).phase in (Phase.PENDING, Phase.FAILED)


def test_a_flux_error_after_good_tables(server: ScriptedServer) -> None:
    error = """
        #datatype,string,string
        #group,true,true
        #default,,
        ,error,reference
        ,"runtime error: cannot reach a shard, 897",897
    """
    with pytest.raises(Unavailable, match="cannot reach a shard, 897"):
        flux(server, csv(MEAN, error))
    with pytest.raises(Unavailable, match="cannot reach a shard"):
        flux(server, csv("error,reference\nFailed: cannot reach a shard,897"))


@pytest.mark.parametrize(
    ("more", "partial"),
    [
        ({"partial": True}, "too many"),
        ({"messages": [{"level": "warning", "text": "deprecated"}]}, "deprecated"),
        ({"messages": [{"level": "info", "text": "x"}]}, ""),
    ],
)
def test_partial(server: ScriptedServer, more: dict[str, Any], partial: str) -> None:
    series = ask(server, told(table([0, 0.0]), **more))
    assert partial in series.partial and bool(partial) is bool(series.partial)
    assert judge(METRIC, series).phase is (Phase.ERROR if partial else Phase.SUCCESSFUL)
    assert "too many" in ask(server, told(table([0, 0.0], partial=True))).partial


@pytest.mark.parametrize(
    ("language", "status", "body", "error", "message"),
    [
        ("influxql", "400 Bad Request", {"error": "error parsing query: found X"}, ConfigError, "refuses the query: error parsing query"),
        ("influxql", "401 Unauthorized", {"error": "authorization failed"}, Unavailable, "HTTP 401: authorization failed"),
        ("influxql", "503 Service Unavailable", {"error": "timeout"}, Unavailable, "HTTP 503"),
        ("flux", "400 Bad Request", {"code": "invalid", "message": "compilation failed: error @1:1"}, ConfigError, "refuses the query: compilation failed"),
        ("flux", "401 Unauthorized", {"code": "unauthorized", "message": "unauthorized access"}, Unavailable, "HTTP 401: unauthorized"),
        ("flux", "404 Not Found", {"code": "not found", "message": "organization name not found"}, Unavailable, "HTTP 404: organization"),
        ("flux", "429 Too Many Requests", {"code": "too many requests", "message": "org quota"}, Unavailable, "HTTP 429, asks to wait 30 s"),
        ("flux", "400 Bad Request", [], Unavailable, "HTTP 400$"),
    ],
)
def test_refusals(server: ScriptedServer, language: str, status: str, body: Any, error: type[Exception], message: str) -> None:
    server.reply = reply(json.dumps(body), status, retry_after="30" if status.startswith("429") else "")
    with pytest.raises(error, match=message):
        provider(server, language).query(FROM if language == "flux" else SELECT, WINDOW)
    with pytest.raises(error, match=message):
        provider(server, language).probe()


def test_columns(server: ScriptedServer) -> None:
    wide = told(table([0, 0.5, 40, "x"], columns=("time", "share", "n", "note")))
    [sample] = ask(server, wide, value_column="share", count_column="n").samples
    assert (sample.points[0].value, sample.points[0].n) == (0.5, 40)
    assert ask(server, told(table([0, 0.5, 40], columns=("time", "share", "n"))), count_column="n").samples[0].points[0].value == 0.5
    for options, message in (
        ({}, "3 columns could be the value: share, n, note"),
        ({"value_column": "rate"}, "no column rate, only"),
        ({"value_column": "note"}, "not a number"),
    ):
        with pytest.raises(Unavailable, match=message):
            ask(server, wide, **options)


def test_the_newest_rows(server: ScriptedServer) -> None:
    def answers(newest: Any) -> Series:
        newest_query = "SELECT last(v) FROM m WHERE time > now() - ${window} GROUP BY host"
        asked = provider(server, newest_query=newest_query, max_age="1m")
        server.reply = lambda request: newest if "last" in request.target else told(table([0, 0.25]))
        return asked.query(SELECT, WINDOW)

    def row(age: float) -> dict[str, Any]:
        return table([(NOW - age) * 1000, 1], columns=("time", "last"))

    assert answers(told(row(30), row(59))).samples[0].points[0].time == NOW - 59
    for age in (61, -61, NOW, 1e9):
        with pytest.raises(Stale):
            answers(told(row(30), row(age)))
    for nothing in (told(), told(table(columns=("time", "last")))):
        with pytest.raises(NoData):
            answers(nothing)
    for wrong in (told(table(["now", 1])), told(table([None, 1])), told(table([1], columns=("last",))), told(row(1), partial=True), reply("{}")):
        with pytest.raises(Unavailable):
            answers(wrong)


def test_the_newest_rows_of_flux(server: ScriptedServer) -> None:
    last = MEAN.replace(",_value,n", ",_value,_time").replace("double,long", "double,dateTime:RFC3339").replace("0.25,300", "0.25,{}")

    def answers(time: str) -> Series:
        newest = csv(last.replace("{}", time))
        server.reply = lambda request: newest if b"last" in request.body else csv(MEAN)
        return provider(server, "flux", newest_query=FROM.replace("mean", "last"), max_age="1m").query(FROM, WINDOW)

    assert answers("2023-11-14T22:12:50Z").samples[0].points[0].time == NOW - 30
    with pytest.raises(Stale):
        answers("2023-11-14T22:12:19Z")
    for wrong in ("", "now"):
        with pytest.raises(Unavailable):
            answers(wrong)


def test_placeholders(server: ScriptedServer) -> None:
    query = "SELECT mean(v) FROM ${workload} WHERE version = '${version}' AND track = '${track}' AND time >= ${start} AND time < ${end}"
    assert ask(server, told(table([0, 1])), query).query == (
        "SELECT mean(v) FROM shop WHERE version = '2.4.1' AND track = 'canary' AND time >= 1699999939500ms AND time < 1700000000000ms"
    )
    for hostile in ("2' OR '1'='1", "2\\", 'a"b', "", "a b", "\u00e9"):
        with pytest.raises(Unavailable):
            ask(server, told(table([0, 1])), query, Window("canary", NOW - 60, NOW, {"version": hostile, "workload": "shop"}))
    with pytest.raises(Unavailable, match="outside of quotes"):
        ask(server, told(table([0, 1])), query, Window("canary", NOW - 60, NOW, {"version": "2", "workload": "shop-2"}))


@pytest.mark.parametrize(
    ("language", "query", "message"),
    [
        ("influxql", "SELECT mean(v) FROM m", "nothing limits the query to the time of the step"),
        ("influxql", "SHOW MEASUREMENTS -- ${window}", "not one SELECT"),
        ("influxql", "SELECT v INTO w FROM m WHERE time > now() - ${window}", "not one SELECT"),
        ("influxql", "SELECT v FROM m WHERE time > now() - ${window}; DROP DATABASE x", "not one SELECT"),
        ("influxql", "SELECT v FROM m WHERE time > now() - ${windw}", "nothing limits|unknown placeholder"),
        ("influxql", "SELECT v FROM m WHERE time > now() - ${window} AND a = '${trak}'", "unknown placeholder"),
        ("flux", 'from(bucket: "shop") |> range(start: -1h)', "nothing limits"),
    ],
)
def test_queries_refused(server: ScriptedServer, language: str, query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        provider(server, language).query(query, WINDOW)
    with pytest.raises(ConfigError, match=message):
        provider(server, language, newest_query=query)
    assert server.requests == []


def test_words_in_strings_are_no_statements(server: ScriptedServer) -> None:
    assert ask(server, told(table([0, 1])), "SELECT v FROM m WHERE a = 'into; x' AND time > now() - ${window};").samples


def test_a_window_of_the_past(server: ScriptedServer) -> None:
    past = Window("stable", NOW - 2000, NOW - 1000, {})
    with pytest.raises(ConfigError, match="looks back from now"):
        ask(server, told(table([0, 1])), SELECT, past)
    bound = "SELECT mean(v) FROM m WHERE time >= ${start} AND time < ${end}"
    assert ask(server, told(table([0, 1])), bound, past).samples


def test_who_asks(server: ScriptedServer) -> None:
    server.reply = told(table([0, 1]))
    basic = "Basic " + base64.b64encode(b"ann:pa55").decode()
    for options, header in (({"username": "ann", "password": "pa55"}, basic), ({"token": "jwt"}, "Bearer jwt"), ({"headers": {"X": "y"}}, None)):
        provider(server, **options).query(SELECT, WINDOW)
        assert server.requests[-1].headers.get("authorization") == header
    server.reply = csv(MEAN)
    provider(server, "flux", username="ann", password="pa55").query(FROM, WINDOW)
    assert server.requests[-1].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "options",
    [
        {"database": None}, {"org": "o"}, {"language": "flux"}, {"language": "flux", "org": "o"}, {"language": "sql"}, {"url": "ftp://x"},
        {"url": "http://x/?db=a"}, {"max_age": "old"}, {"token": "t", "username": "ann", "password": "p"},
        {"language": "flux", "database": None, "org": "o", "token": "t", "username": "a", "password": "p"},
    ],
)  # fmt: skip
def test_refused_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        InfluxdbProvider.from_options(validate({"url": "http://x", "database": "d", **options}, InfluxdbProvider.OPTIONS, "influxdb"), {})


def test_messages_hold_no_secret(server: ScriptedServer) -> None:
    server.reply = reply("<html>", "500 Internal Server Error")
    for language, query in (("influxql", SELECT), ("flux", FROM)):
        with pytest.raises(Unavailable) as caught:
            provider(server, language, token="pl4nted").query(query, WINDOW)
        assert "pl4nted" not in str(caught.value)


def test_no_builtins(server: ScriptedServer) -> None:
    with pytest.raises(Unsupported):
        provider(server).query("", Window("canary", 0.0, 60.0, builtin="latency"))
