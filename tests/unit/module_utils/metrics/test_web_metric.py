# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold in a reply before ``web`` believes a number in it, and how old the number may be."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, NoData, Stale, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply

NOW = 1_700_000_000
DATE = email.utils.formatdate(NOW, usegmt=True)
WINDOW = Window("canary", NOW - 60.25, NOW, {"version": "2.4.1", "workload": "shop"})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def ask(server: ScriptedServer, document: Any, query: str = "{$.v}", headers: dict[str, str] | None = None, **options: Any) -> Series:
    server.reply = reply(document if isinstance(document, str) else json.dumps(document), **{"date": DATE, **(headers or {})})
    return WebProvider.from_options(validate({"url": server.url, "timeout": "60s", **options}, WebProvider.OPTIONS, "web"), {}).query(query, WINDOW)


@pytest.mark.parametrize(
    ("expected", "found", "holds"),
    [
        ({"value": False}, False, True),
        ({"value": False}, True, False),
        ({"value": False}, 0, False),
        ({"value": False}, "false", False),
        ({"value": False}, None, False),
        ({"value": 0}, 0, True),
        ({"value": 0}, 0.0, True),
        ({"value": 0}, 1, False),
        ({"value": 0}, False, False),
        ({"value": 0}, "0", False),
        ({"value": "ok"}, "ok", True),
        ({"value": "ok"}, "OK", False),
        ({"value": []}, [], True),
        ({"value": []}, ["slow"], False),
        ({"any_of": ["green", "yellow"]}, "yellow", True),
        ({"any_of": ["green", "yellow"]}, "red", False),
        ({"any_of": [0, None]}, None, True),
        ({"absent": True}, None, True),
        ({"absent": True}, [], True),
        ({"absent": True}, "", True),
        ({"absent": True}, {}, True),
        ({"absent": True}, ["slow"], False),
        ({"absent": True}, "slow", False),
        ({"absent": True}, 0, False),
        ({"absent": True}, False, False),
    ],
)
def test_expect(server: ScriptedServer, expected: dict[str, Any], found: Any, holds: bool) -> None:
    def asked() -> Series:
        return ask(server, {"v": 0.5, "state": {"is": found}}, expect=[{"path": "{$.state.is}", **expected}])

    if holds:
        assert asked().samples[0].points[0].value == 0.5
    else:
        with pytest.raises(Unavailable, match=r"not as expected: \{\$\.state\.is\} is .* (must|may) be"):
            asked()


@pytest.mark.parametrize("expected", [{"value": 0}, {"any_of": [0, 1]}])
@pytest.mark.parametrize("document", [{"v": 1}, {"v": 1, "state": None}, {"v": 1, "state": []}, {"v": 1, "state": {}}])
def test_what_is_expected_must_be_there(server: ScriptedServer, expected: dict[str, Any], document: Any) -> None:
    with pytest.raises(Unavailable, match="is not in the answer, and must be 0"):
        ask(server, document, expect=[{"path": "{$.state.is}", **expected}])
    assert ask(server, document, expect=[{"path": "{$.state.is}", "absent": True}]).samples


def test_expect_holds_for_every_element(server: ScriptedServer) -> None:
    document = {"v": 1, "parts": [{"ok": True}, {"ok": True, "warnings": []}, {"ok": True, "warnings": ["cut"]}]}
    assert ask(server, document, expect=[{"path": "{$.parts[*].ok}", "value": True}]).partial == ""
    with pytest.raises(Unavailable, match=r'is \["cut"\], and nothing may be there'):
        ask(server, document, expect=[{"path": "{$.parts[*].warnings}", "absent": True}])
    with pytest.raises(Unavailable, match="is not in the answer"):
        ask(server, document, expect=[{"path": "{$.parts[*].warnings}", "value": []}])


def test_what_is_partial_is_an_error_unless_the_metric_allows_it(server: ScriptedServer) -> None:
    expect = [{"path": "{$.failed}", "value": 0, "partial": True}, {"path": "{$.timed_out}", "value": False}]
    series = ask(server, {"v": 0, "failed": 2, "timed_out": False}, expect=expect)
    assert series.partial == "{$.failed} is 2, and must be 0"
    metric = {"name": "m", "query": "q", "failure_condition": "result > 1"}
    assert judge(Metric.from_options(metric, "m"), series).phase is Phase.ERROR
    assert judge(Metric.from_options({**metric, "allow_partial": True}, "m"), series).phase is Phase.SUCCESSFUL
    with pytest.raises(Unavailable, match="timed_out"):
        ask(server, {"v": 0, "failed": 2, "timed_out": True}, expect=expect)


def test_expect_comes_before_no_data(server: ScriptedServer) -> None:
    """A reply that is an error is no empty reply: no_data: success must not see it."""
    with pytest.raises(Unavailable):
        ask(server, {"v": None, "errors": ["boom"]}, expect=[{"path": "{$.errors}", "absent": True}])


def test_expect_holds_for_the_probe(server: ScriptedServer) -> None:
    server.reply = reply('{"status": "error"}')
    provider = WebProvider.from_options({"url": server.url, "expect": [{"path": "{$.status}", "value": "ok"}]}, {})
    with pytest.raises(Unavailable):
        provider.probe()


@pytest.mark.parametrize(
    ("written", "age"),
    [(NOW - 59, 59.0), (str(NOW), 0.0), ((NOW - 59) * 1000, 59.0), ("2023-11-14T22:12:21Z", 59.0), ("2023-11-14T23:12:21+01:00", 59.0), (NOW + 30, -30.0)],
)
def test_young_enough(server: ScriptedServer, written: Any, age: float) -> None:
    [sample] = ask(server, {"v": 1, "at": written}, time_path="{$.at}", max_age="1m").samples
    assert sample.points[0].time == NOW - age


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (NOW - 61, Stale), ((NOW - 61) * 1000, Stale), ("2023-11-14T22:12:19Z", Stale), ("2023-11-14T22:13:20+01:00", Stale), (NOW + 61, Stale), (0, Stale),
        (None, NoData), ([], NoData), ([None], NoData), ("2023-11-14T22:13:20", Unavailable), ("now", Unavailable), (True, Unavailable), ({}, Unavailable),
        ([NOW, NOW], Unavailable),
    ],
)  # fmt: skip
def test_too_old_or_no_time(server: ScriptedServer, written: Any, error: type[DeliveryError]) -> None:
    with pytest.raises(error):
        ask(server, {"v": 1, "at": written}, time_path="{$.at}", max_age="1m")
    with pytest.raises((NoData, Unavailable)):
        ask(server, {"v": 1}, time_path="{$.at}", max_age="1m")


def test_every_value_has_its_own_time(server: ScriptedServer) -> None:
    points = {"series": [{"points": [[NOW - 90, 3], [NOW - 30, 1]]}, {"points": [[NOW - 90, 4], [NOW - 20, 2]]}]}
    paths = {"json_path": "{$.series[*].points[-1][1]}", "time_path": "{$.series[*].points[-1][0]}", "max_age": "1m"}
    got = ask(server, points, "", **paths)
    assert [(sample.points[0].time, sample.points[0].value) for sample in got.samples] == [(NOW - 30, 1.0), (NOW - 20, 2.0)]
    points["series"][1]["points"].pop()
    with pytest.raises(Stale, match="1:30 old"):
        ask(server, points, "", **paths)


def test_the_server_knows_what_time_it_is(server: ScriptedServer) -> None:
    """Ours is years ahead; a cache on the way says how long it has kept the answer."""
    document = {"v": 1, "at": NOW - 30}
    assert ask(server, document, time_path="{$.at}", max_age="1m").samples
    with pytest.raises(Stale):
        ask(server, document, time_path="{$.at}", max_age="1m", headers={"age": "31"})
    for broken in ("", "yesterday"):
        with pytest.raises(Stale):
            ask(server, document, time_path="{$.at}", max_age="1m", headers={"date": broken})


def test_counts_belong_to_values(server: ScriptedServer) -> None:
    document = {"v": [1, 2], "n": [10, 20], "all": 30}
    assert [sample.points[0].n for sample in ask(server, document, count_path="{$.n}").samples] == [10, 20]
    assert [sample.points[0].n for sample in ask(server, document, count_path="{$.all}").samples] == [30, 30]
    with pytest.raises(Unavailable, match="count_path finds 2 for 1 values"):
        ask(server, document, "{$.v[0]}", count_path="{$.n}")


@pytest.mark.parametrize(
    ("n", "error"), [(0, NoData), ("0.0", NoData), (0.4, NoData), (None, NoData), (-1, Unavailable), ("NaN", Unavailable), ("many", Unavailable)]
)
def test_counts_that_are_none(server: ScriptedServer, n: Any, error: type[DeliveryError]) -> None:
    with pytest.raises(error):
        ask(server, {"v": 0, "n": n}, count_path="{$.n}")


def test_a_key_that_stands_twice(server: ScriptedServer) -> None:
    with pytest.raises(Unavailable, match="same key twice"):
        ask(server, '{"v": 5, "v": 0}')


@pytest.mark.parametrize(
    ("headers", "message"), [({"retry_after": "30"}, "HTTP 429, asks to wait 30 s"), ({"retry_after": "pl4nted"}, "HTTP 429$"), ({}, "HTTP 429$")]
)
def test_rate_limits_say_how_long(server: ScriptedServer, headers: dict[str, str], message: str) -> None:
    server.reply = reply('{"v": 1}', "429 Too Many Requests", **headers)
    with pytest.raises(Unavailable, match=message):
        WebProvider.from_options({"url": server.url}, {}).query("{$.v}", WINDOW)


def test_times_of_the_window(server: ScriptedServer) -> None:
    body = {"from": "${start}", "to": "${end}", "ms": ["${start_ms}", "${end_ms}"]}
    server.reply = reply('{"v": 1}')
    provider = WebProvider.from_options({"url": server.url + "/q?from=${start}&to=${end}&ms=${start_ms}-${end_ms}", "method": "POST", "body": body}, {})
    provider.query("{$.v}", WINDOW)
    [request] = server.requests
    assert request.target == "/q?from=1699999939&to=1700000000&ms=1699999939750-1700000000000"
    assert json.loads(request.body) == {"from": "1699999939", "to": "1700000000", "ms": ["1699999939750", "1700000000000"]}


def test_labels_in_a_query(server: ScriptedServer) -> None:
    provider = WebProvider.from_options({"url": server.url + "/?q=${query}", "json_path": "{$.v}"}, {})
    server.reply = reply('{"v": 1}')
    assert provider.query("errors{version:${version}} over ${window}", WINDOW).query == "errors{version:2.4.1} over 60s"
    assert server.requests[0].target == "/?q=errors%7Bversion%3A2.4.1%7D%20over%2060s"
    for hostile in ("2' OR '1'='1", "2}", 'a"b', "a b", "a)", "*", "a,b", "\u00e9"):
        with pytest.raises(Unavailable, match="cannot stand in a query"):
            provider.query("errors{version:${version}}", Window("canary", 0.0, 60.0, {"version": hostile}))
    assert len(server.requests) == 1
