# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replies that must never become a pass: one table for each provider over HTTP. ``test_bad_replies.py`` walks them through a whole bake.

A table begins with the good reply of its provider, which passes: so that a row fails because of what is wrong with it. Every provider gets, besides its
own rows, that good reply in all the ways HTTP can spoil it.
"""

from __future__ import annotations

import email.utils
import functools
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.metrics.graphite import GraphiteProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.influxdb import InfluxdbProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import reply

NOW = 1_700_000_000
DATE = email.utils.formatdate(NOW, usegmt=True)
HTML = "<!doctype html>\n<title>Sign in</title>\n"


@dataclass(frozen=True)
class Replies:
    """A provider, a question, the body of a good answer to it, and what is wrong with others: their bodies, or whole answers as bytes."""

    adapter: Any
    options: Mapping[str, Any]
    query: str
    good: str
    rows: Mapping[str, str | bytes]

    def answers(self) -> dict[str, Callable[[], bytes]]:
        """What is sent, by what is wrong with it; made when it is called, since some are large."""

        def own(row: str | bytes) -> bytes:
            return row if isinstance(row, bytes) else told(row)

        return {**{name: functools.partial(own, row) for name, row in self.rows.items()}, **spoiled(self.good)}


def told(body: str) -> bytes:
    return reply(body, date=DATE)


def spoiled(good: str) -> dict[str, Callable[[], bytes]]:
    """A good body in answers that are none."""
    body = good.encode()
    whole = reply(body)
    statuses = (
        "300 Multiple Choices", "304 Not Modified", "400 Bad Request", "401 Unauthorized", "402 Payment Required", "403 Forbidden", "404 Not Found",
        "405 Method Not Allowed", "407 Proxy Authentication Required", "408 Request Timeout", "409 Conflict", "410 Gone", "413 Content Too Large",
        "422 Unprocessable Content", "429 Too Many Requests", "451 Unavailable For Legal Reasons", "500 Internal Server Error", "501 Not Implemented",
        "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "520 Unknown", "599 Network Connect Timeout",
    )  # fmt: skip
    places = {
        "single sign-on": "https://sso.example.com/login", "a metadata address": "http://169.254.169.254/latest", "a file": "file:///etc/passwd",
        "itself": "/", "nowhere": "", "a host with credentials": "http://ann:pw@shop.test/", "another port": "http://127.0.0.1:1/",
    }  # fmt: skip
    zipped = gzip.compress(body, mtime=0)
    small = {
        **{f"{status} with a good body": reply(body, status) for status in statuses},
        **{f"redirected to {name}": reply(body, "302 Found", location=place) for name, place in places.items()},
        "nothing at all": b"",
        "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
        "no status": b"HTTP/1.1 fine\r\n\r\n" + body,
        "no headers' end": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n",
        "body cut by one": whole[:-1],
        "body cut in half": whole[: -len(body) // 2],
        "body missing": whole[: -len(body)],
        "a shorter length": reply(body[:-3]),
        "half of it": reply(body[: len(body) // 2]),
        "truncated chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n" + body,
        "chunks without an end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body),
        "chunks of no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n" + body,
        "truncated gzip": reply(zipped[:-6], content_encoding="gzip"),
        "gzip that is none": reply(body, content_encoding="gzip"),
        "brotli": reply(body, content_encoding="br"),
        "deflate": reply(body, content_encoding="deflate"),
        "a login page": reply(HTML, content_type="text/html"),
        "a login page called JSON": reply(HTML, content_type="application/json"),
        "a login page after it": reply(good + HTML),
        "a login page before it": reply(HTML + good),
        "an empty body": reply(""),
        "a blank body": reply(" \n"),
        "no content": reply("", "204 No Content"),
        "null": reply("null"),
        "zero": reply("0"),
        "true": reply("true"),
        "a text": reply('"0.0"'),
        "an empty object": reply("{}"),
        "an empty list": reply("[]"),
        "not UTF-8": reply(b"\xff\xfe" + body),
        "UTF-16": reply(good.encode("utf-16")),
        "NUL bytes": reply(b"\x00" * 64),
    }
    large: dict[str, Callable[[], bytes]] = {
        "a gzip bomb": lambda: reply(gzip.compress(b" " * 20_000_000), content_encoding="gzip"),
        "nested beyond reason": lambda: reply("[" * 100_000),
        "5 MB of spaces before it": lambda: reply(b" " * (5 * 1024 * 1024) + body),
        "50 MB announced": lambda: b"HTTP/1.1 200 OK\r\ncontent-length: 52428800\r\n\r\n" + b" " * (5 * 1024 * 1024),
    }
    return {**{name: functools.partial(bytes, answer) for name, answer in small.items()}, **large}


def _prometheus(value: Any = "0.001", kind: str = "vector", **more: Any) -> str:
    result = [{"metric": {}, "value": [NOW, value]}] if kind == "vector" else [NOW, value]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def _web(**changed: Any) -> str:
    """A document of which nothing is missing; a field that is changed to ``...`` is."""
    good = {"v": 0.001, "n": 500, "at": NOW - 10, "timed_out": False, "shards": {"failed": 0}, "errors": None, "state": "ok"}
    return json.dumps({name: value for name, value in {**good, **changed}.items() if value is not ...})


def _graphite(points: Any, name: Any = "shop.errors", **more: Any) -> str:
    return json.dumps([{"target": name, "datapoints": points, **more}])


def _two(points: list[Any]) -> str:
    good = {"target": "a", "datapoints": [[0, NOW]]}
    return json.dumps([good, {"target": "b", "datapoints": points}])


def _influxql(*rows: list[Any], columns: Any = ("time", "share", "n"), result: Mapping[str, Any] | None = None, **more: Any) -> str:
    series = {"name": "http", "columns": columns, "values": list(rows) or [[0, 0.001, 500]], **more}
    return json.dumps({"results": [{"statement_id": 0, "series": [series], **(result or {})}]})


FLUX = (
    "#datatype,string,long,string,double,long\n#group,false,false,true,false,false\n#default,_result,,,,\n"
    ",result,table,host,_value,n\n,,0,a,0.001,500\n\n"
)  # fmt: skip
FLUX_ERROR = "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,shard 3 is away,897\n\n"


def _flux(old: str, new: str) -> str:
    assert old in FLUX
    return FLUX.replace(old, new).replace("\n", "\r\n")


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


BAD_NUMBERS: dict[str, Any] = {
    "null": None, "a text": "good", "hexadecimal": "0x10", "underscores": "1_000", "padded": " 1 ", "an empty text": "",
    "a comma": "0,5", "per cent": "5%",
    "Infinity in words": "Infinity", "Arabic digits": "\u0661", "a list": [[0.001]],
    "an object": {"v": 0.001}, "too large": 10**400, "too large as text": "1e400",
}  # fmt: skip

TABLES: dict[str, Replies] = {
    "prometheus": Replies(
        PrometheusProvider,
        {},
        "vector(1)",
        _prometheus(),
        {
            **{f"{name} as the value": _prometheus(value) for name, value in BAD_NUMBERS.items()},
            "a bare number": _prometheus(0.001),
            "a bare true": _prometheus(True),
            "NaN": _prometheus("NaN"),
            "+Inf": _prometheus("+Inf"),
            "-Inf": _prometheus("-Inf"),
            "an empty vector": json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}),
            "status error with data": _prometheus().replace("success", "error"),
            "no status": _prometheus().replace("status", "state"),
            "warnings": _prometheus(warnings=["1 of 2 stores answered"]),
            "a matrix": _prometheus(kind="vector").replace("vector", "matrix"),
            "two series": _prometheus().replace('[{"metric"', '[{"metric": {"a": "b"}, "value": [1, "0"]}, {"metric"'),
        },
    ),
    "web": Replies(
        WebProvider,
        {
            "json_path": "{$.v}", "count_path": "{$.n}", "time_path": "{$.at}", "max_age": "1m",
            "expect": [
                {"path": "{$.timed_out}", "value": False}, {"path": "{$.shards.failed}", "value": 0, "partial": True}, {"path": "{$.errors}", "absent": True},
                {"path": "{$.state}", "any_of": ["ok", "complete"]},
            ],
        },
        "",
        _web(),
        {
            **{f"{name} as the value": _web(v=value) for name, value in BAD_NUMBERS.items()},
            **{f"{name} as the count": _web(n=value) for name, value in BAD_NUMBERS.items()},
            **{f"{name} as the time": _web(at=value) for name, value in BAD_NUMBERS.items()},
            "no value": _web(v=...),
            "no count": _web(n=...),
            "no time": _web(at=...),
            "an empty list": _web(v=[]),
            "several values": _web(v=[0.001, 0.002]),
            "a null among values": _web(v=[0.001, None]),
            "NaN as text": _web(v="NaN"),
            "a NaN literal": _web().replace("0.001", "NaN"),
            "an Infinity literal": _web().replace("0.001", "-Infinity"),
            "no requests": _web(n=0),
            "less than a request": _web(n=0.25),
            "fewer requests than none": _web(n=-1),
            "two counts": _web(n=[500, 500]),
            "an old value": _web(at=NOW - 61),
            "an old value in milliseconds": _web(at=(NOW - 61) * 1000),
            "an old value in ISO 8601": _web(at="2023-11-14T22:12:18Z"),
            "a time without a zone": _web(at="2023-11-14T22:13:20"),
            "a value of the future": _web(at=NOW + 61),
            "timed out": _web(timed_out=True),
            "timed out, perhaps": _web(timed_out=None),
            "timed out as a number": _web(timed_out=0),
            "timed out as a text": _web(timed_out="false"),
            "nothing about time": _web(timed_out=...),
            "a shard failed": _web(shards={"failed": 1}),
            "shards as text": _web(shards={"failed": "0"}),
            "shards as false": _web(shards={"failed": False}),
            "no shards": _web(shards={}),
            "errors": _web(errors=["boom"]),
            "an error as text": _web(errors="boom"),
            "an error as an object": _web(errors={"message": "boom"}),
            "an error that is zero": _web(errors=0),
            "an error that is false": _web(errors=False),
            "another state": _web(state="degraded"),
            "a state in capitals": _web(state="OK"),
            "no state": _web(state=...),
            "a value that stands twice": _web().replace('"v"', '"v": 9, "v"'),
            "a state that stands twice": _web().replace('"state"', '"state": "failed", "state"'),
            "an answer kept by a cache": reply(_web(), date=DATE, age="60"),
        },
    ),
    "graphite": Replies(
        GraphiteProvider,
        {},
        "shop.errors",
        _graphite([[0.002, NOW - 10], [0.001, NOW]]),
        {
            **{f"{name} as the value": _graphite([[value, NOW]]) for name, value in BAD_NUMBERS.items()},
            "a text of a number": _graphite([["0.001", NOW]]),
            "true as the value": _graphite([[True, NOW]]),
            "infinite": _graphite([[111, NOW]]).replace("111", "1e9999"),
            "infinite and negative": _graphite([[111, NOW]]).replace("111", "-1e9999"),
            "a NaN literal": _graphite([[111, NOW]]).replace("111", "NaN"),
            "an Infinity literal": _graphite([[111, NOW]]).replace("111", "Infinity"),
            "nothing but nulls": _graphite([[None, NOW - 10], [None, NOW]]),
            "no points": _graphite([]),
            "points that are null": _graphite(None),
            "points that are an object": _graphite({}),
            "a point that is a number": _graphite([0.001]),
            "a point without a time": _graphite([[0.001]]),
            "a point of three": _graphite([[0.001, NOW, 1]]),
            "a point with two names": _graphite([{"value": 0.001, "time": NOW}]),
            "a time that is null": _graphite([[0.001, None]]),
            "a time that is a text": _graphite([[0.001, str(NOW)]]),
            "a time that is true": _graphite([[0.001, True]]),
            "a time before 1970": _graphite([[0.001, -NOW]]),
            "a time in milliseconds": _graphite([[0.001, NOW * 1000]]),
            "value and time exchanged": _graphite([[NOW, 0.001]]),
            "points out of order": _graphite([[0.001, NOW], [0.001, NOW - 10]]),
            "two points of one time": _graphite([[0.001, NOW], [0.5, NOW]]),
            "an old value": _graphite([[0.001, NOW - 60]]),
            "an old value and nulls since": _graphite([[0.001, NOW - 60], *([None, NOW - ago] for ago in (50, 40, 30, 20, 10, 0))]),
            "a value of the future": _graphite([[0.001, NOW + 60]]),
            "two series": _two([[0, NOW]]),
            "two series, one of them old": _two([[0, NOW - 60]]),
            "two series, one of them null": _two([[None, NOW]]),
            "two series, one of them empty": _two([]),
            "no name": json.dumps([{"datapoints": [[0.001, NOW]]}]),
            "a name that is a number": _graphite([[0.001, NOW]], name=7),
            "a series that is null": "[null]",
            "a series that is a list": json.dumps([[[0.001, NOW]]]),
            "an object": json.dumps({"target": "a", "datapoints": [[0.001, NOW]]}),
            "an error": json.dumps({"error": "timeout"}),
            "points that stand twice": _graphite([[0.001, NOW]]).replace('"datapoints"', '"datapoints": [], "datapoints"'),
            "a refused target": reply("Invalid parameters (unknown function)", "400 Bad Request"),
            "an exception": reply("<h1>Server Error (500)</h1>", "500 Internal Server Error"),
        },
    ),
    "influxdb": Replies(
        InfluxdbProvider,
        {"database": "shop", "count_column": "n"},
        "SELECT sum(a) / sum(b) AS share, sum(b) AS n FROM http WHERE time > now() - ${window}",
        _influxql(),
        {
            **{f"{name} as the value": _influxql([0, value, 500]) for name, value in BAD_NUMBERS.items()},
            **{f"{name} as the count": _influxql([0, 0.001, value]) for name, value in BAD_NUMBERS.items()},
            "a text of a number": _influxql([0, "0.001", 500]),
            "true as the value": _influxql([0, True, 500]),
            "a NaN literal": _influxql().replace("0.001", "NaN"),
            "an Infinity literal": _influxql().replace("0.001", "Infinity"),
            "no requests": _influxql([0, 0.0, 0]),
            "fewer requests than none": _influxql([0, 0.001, -5]),
            "no count": _influxql([0, 0.001], columns=["time", "share"]),
            "no value": _influxql([0, 500], columns=["time", "n"]),
            "two that could be the value": _influxql([0, 0.001, 0.5, 500], columns=["time", "a", "b", "n"]),
            "a column that is there twice": _influxql([0, 0.001, 500], columns=["time", "n", "n"]),
            "no columns": _influxql(columns=None),
            "columns that are no texts": _influxql(columns=[1, 2, 3]),
            "a row that is short": _influxql([0, 0.001]),
            "a row that is long": _influxql([0, 0.001, 500, 7]),
            "a row that is null": _influxql(None),  # type: ignore[arg-type]
            "two rows": _influxql([0, 0.001, 500], [1, 0.001, 500]),
            "no rows": json.dumps({"results": [{"series": [{"columns": ["time", "share", "n"], "values": []}]}]}),
            "values that are null": json.dumps({"results": [{"series": [{"columns": ["time", "share", "n"], "values": None}]}]}),
            "no series": json.dumps({"results": [{"statement_id": 0}]}),
            "series that are null": json.dumps({"results": [{"series": None}]}),
            "series that are an object": json.dumps({"results": [{"series": {}}]}),
            "a series that is null": json.dumps({"results": [{"series": [None]}]}),
            "two series": json.dumps({"results": [{"series": [{"columns": ["time", "share", "n"], "values": [[0, 0.001, 500]]}] * 2}]}),
            "tags that are a list": _influxql(tags=["a"]),
            "no results": json.dumps({"results": []}),
            "results that are null": json.dumps({"results": None}),
            "two results": json.dumps({"results": [{"series": []}, {"series": []}]}),
            "an error": json.dumps({"error": "timeout"}),
            "an error beside results": _influxql().replace('{"results"', '{"error": "timeout", "results"'),
            "an error of the statement": json.dumps({"results": [{"error": "database not found: shop"}]}),
            "an error beside the series": _influxql(result={"error": "shard 3 is away"}),
            "partial": _influxql(result={"partial": True}),
            "partial, says the series": _influxql(partial=True),
            "a warning": _influxql(result={"messages": [{"level": "warning", "text": "max-select-series"}]}),
            "a warning of another kind": _influxql(result={"messages": "something"}),
        },
    ),
    "influxdb by flux": Replies(
        InfluxdbProvider,
        {"language": "flux", "org": "shop", "count_column": "n"},
        'from(bucket: "shop") |> range(start: -${window})',
        _crlf(FLUX),
        {
            **{f"{name} as the value": _flux("0.001", f'"{value}"') for name, value in BAD_NUMBERS.items() if isinstance(value, str)},
            **{f"{name} as the count": _flux("500", f'"{value}"') for name, value in BAD_NUMBERS.items() if isinstance(value, str)},
            "NaN": _flux("0.001", "NaN"),
            "+Inf": _flux("0.001", "+Inf"),
            "-Inf": _flux("0.001", "-Inf"),
            "a fraction of requests as a whole number": _flux("500", "0.5"),
            "no requests": _flux("500", "0"),
            "fewer requests than none": _flux("500", "-5"),
            "a text of a number": _flux("string,double", "string,string"),
            "a boolean": _flux("double", "boolean").replace("0.001", "true"),
            "a type that nobody knows": _flux("string,double", "string,decimal"),
            "no data types": _flux("#datatype,string,long,string,double,long\n", ""),
            "too few data types": _flux("string,double,long", "string"),
            "no annotations": _crlf(FLUX[FLUX.index(",result"):]),
            "no header": _flux(",result,table,host,_value,n\n", ""),
            "no value": _flux("_value", "value"),
            "no count": _flux("_value,n", "_value,m"),
            "a column that is there twice": _flux("host,_value,n", "n,_value,n"),
            "a row that is short": _flux(",,0,a,0.001,500", ",,0,a,0.001"),
            "a row that is long": _flux(",,0,a,0.001,500", ",,0,a,0.001,500,1"),
            "a row that is cut": _flux("0.001,500\n\n", "0.001,500"),
            "two rows": _flux(",,0,a,0.001,500\n", ",,0,a,0.001,500\n,,0,a,0.5,500\n"),
            "no rows": _flux(",,0,a,0.001,500\n", ""),
            "two tables": _flux(",,0,a,0.001,500\n", ",,0,a,0.001,500\n,,1,b,0.001,500\n"),
            "two results": _crlf(FLUX + FLUX.replace("_result", "other")),
            "an open quote": _flux("0.001,500\n", '"0.001,500\n'),
            "an error": _crlf("error,reference\nshard 3 is away,897\n"),
            "an error, annotated": _crlf(FLUX_ERROR),
            "an error after the rows": _crlf(FLUX + FLUX_ERROR),
            "an error right after the rows": _crlf(FLUX.rstrip("\n") + "\n" + FLUX_ERROR),
            "an error as JSON": json.dumps({"code": "internal error", "message": "panic"}) + "\n",
        },
    ),
}  # fmt: skip

PRINTED: dict[str, bytes] = {
    "nothing": b"", "blanks": b" \n\n", "a text": b"good\n", "two numbers": b"0.1\n0.2\n", "a number and a unit": b"0.1 %\n", "hexadecimal": b"0x10\n",
    "underscores": b"1_000\n", "a comma": b"0,5\n",
    "infinite": b"inf\n", "too large": b"1e400\n", "Arabic digits": "\u0661\n".encode(),
    "not UTF-8": b"\xff\xfe\n",
    "UTF-16": "0.1\n".encode("utf-16"), "a NUL": b"0.1\x00\n", "NaN": b"nan\n", "JSON": b'{"rate": 0.1}\n', "a login page": HTML.encode(), "null": b"null\n",
    "an empty list": b"[]\n", "true in words": b"true\n", "a warning before it": b"warning: slow\n0.1\n", "5 MB": b"0" * (5 * 1024 * 1024),
    "quoted": b'"0.1"\n',
}  # fmt: skip
"""What a program may print that is no number."""
