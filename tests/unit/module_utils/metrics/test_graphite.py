# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular to Graphite: nulls, consolidation, ages, names, and how the window is asked for."""

from __future__ import annotations

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
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.graphite import GraphiteProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply

NOW = 1_700_000_000
HTTP_DATE = email.utils.formatdate(NOW, usegmt=True)
OURS = 4000.0
"""What the controller's clock says, which has nothing to do with the server's."""
WINDOW = Window("canary", OURS - 60, OURS, {"version": "2.4.1", "workload": "shop-canary"})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def series(*values: float | None, name: str = "shop.canary.errors", end: int = NOW, step: int = 10) -> dict[str, Any]:
    """Points every ``step`` seconds, the last of them at ``end``."""
    start = end - step * (len(values) - 1)
    return {"target": name, "datapoints": [[value, start + step * index] for index, value in enumerate(values)]}


def told(*answer: dict[str, Any]) -> bytes:
    return reply(json.dumps(answer), content_type="application/json", date=HTTP_DATE)


def ask(server: ScriptedServer, answer: bytes, query: str = "shop.canary.errors", window: Window = WINDOW, **options: Any) -> Series:
    server.reply = answer
    given = {"url": f"{server.url}/graphite/", "timeout": "60s", **options}
    provider = GraphiteProvider.from_options(validate(given, GraphiteProvider.OPTIONS, "graphite"), {})
    provider._clock = lambda: OURS
    return provider.query(query, window)


def asked(server: ScriptedServer) -> dict[str, str]:
    url = urllib.parse.urlsplit(server.requests[-1].target)
    assert url.path == "/graphite/render"
    return dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))


@pytest.mark.parametrize(
    ("how", "value"), [("last", 2.0), ("sum", 12.0), ("average", 4.0), ("min", 2.0), ("max", 6.0)]
)  # fmt: skip
def test_consolidation(server: ScriptedServer, how: str, value: float) -> None:
    [sample] = ask(server, told(series(4, None, 6, 2, None)), consolidate=how).samples
    assert (sample.points[0].value, sample.points[0].time, sample.points[0].n) == (value, NOW - 10, None)
    assert sample.labels == {"target": "shop.canary.errors"}


@pytest.mark.parametrize(
    ("values", "factor", "enough"),
    [
        ((1, 1, 1, 1), 1.0, True), ((1, None, 1, 1), 1.0, False), ((1, None, 1), 0.5, True), ((None, None, None, 1), 0.5, False),
        ((None, None, None, 1), 0.0, True), ((1, 1, None), 1.0, True), ((1, None, None), 1.0, True), ((None, 1, None), 0.6, False),
    ],
)  # fmt: skip
def test_missing_points_are_no_data_and_the_newest_are_not_missing(
    server: ScriptedServer, values: tuple[float | None, ...], factor: float, enough: bool
) -> None:
    for how in ("sum", "average", "min", "max"):
        if enough:
            assert ask(server, told(series(*values)), consolidate=how, x_files_factor=factor).samples
        else:
            with pytest.raises(NoData, match="points are there, needs"):
                ask(server, told(series(*values)), consolidate=how, x_files_factor=factor)
    assert ask(server, told(series(*values)), x_files_factor=factor).samples[0].points[0].value == 1.0


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (10, True), (21, True), (22, False), (3600, False), (-10, True), (-60, False)])
def test_age_by_the_servers_clock(server: ScriptedServer, age: int, fresh: bool) -> None:
    answer = told(series(0, 0, end=NOW - age))
    if fresh:
        assert ask(server, answer).samples
    else:
        with pytest.raises(Stale, match="the newest value is .* (old|ahead)"):
            ask(server, answer)
    assert ask(server, told(series(0, 0, end=NOW - 100)), resolution="1m").samples


def test_one_old_series_among_fresh_ones(server: ScriptedServer) -> None:
    with pytest.raises(Stale, match="b.errors"):
        ask(server, told(series(0, name="a.errors"), series(0, name="b.errors", end=NOW - 600)))
    with pytest.raises(NoData, match="b.errors: nothing but nulls"):
        ask(server, told(series(0, name="a.errors"), series(None, None, name="b.errors")))


def test_several_series_are_an_error_unless_reduced(server: ScriptedServer) -> None:
    several = ask(server, told(series(0.1, name="a"), series(0.3, name="b")))
    metric = {"name": "m", "query": "q", "failure_condition": "result > 1"}
    assert judge(Metric.from_options(metric, "m"), several).phase is Phase.ERROR
    assert judge(Metric.from_options({**metric, "reduce": "sum"}, "m"), several).phase is Phase.SUCCESSFUL


def test_infinity(server: ScriptedServer) -> None:
    text = json.dumps([series(1, 111222)]).replace("111222", "1e9999")
    for how in ("last", "sum", "average", "max"):
        infinite = ask(server, reply(text, date=HTTP_DATE), consolidate=how)
        assert infinite.samples[0].points[0].value == math.inf
        assert judge(Metric.from_options({"name": "m", "query": "q", "success_condition": "result > 1"}, "m"), infinite).phase is Phase.FAILED
    both = reply(text.replace("[1,", "[-1e9999,"), date=HTTP_DATE)
    assert math.isinf(ask(server, both, consolidate="sum").samples[0].points[0].value)


def test_the_window_is_relative_and_nothing_is_cached(server: ScriptedServer) -> None:
    ask(server, told(series(0)))
    assert asked(server) == {"target": "shop.canary.errors", "from": "-60s", "until": "now", "format": "json", "noCache": "true"}
    past = told(series(0, end=NOW - 1000))
    ask(server, past, window=Window("stable", OURS - 1600, OURS - 1000))
    assert (asked(server)["from"], asked(server)["until"]) == ("-1600s", "-1000s")
    with pytest.raises(Stale):
        ask(server, told(series(0)), window=Window("stable", OURS - 1600, OURS - 1000))


def test_requests_are_counted(server: ScriptedServer) -> None:
    server.reply = b""
    answers = {"shop.canary.errors": told(series(0.25)), "sumSeries(shop.canary.requests)": told(series(100, 100.4, None, name="n"))}

    def count(answer: bytes) -> Series:
        answers["sumSeries(shop.canary.requests)"] = answer
        provider = GraphiteProvider.from_options({"url": f"{server.url}/graphite", "count_query": "sumSeries(shop.${track}.requests)"}, {})
        provider._clock = lambda: OURS
        server.reply = lambda request: answers[dict(urllib.parse.parse_qsl(request.target.partition("?")[2]))["target"]]
        return provider.query("shop.${track}.errors", WINDOW)

    assert count(told(series(100, 100.4, None, name="n"))).samples[0].points[0].n == 200
    for wrong, error in (
        (told(), NoData), (told(series(1, name="a"), series(1, name="b")), Unavailable), (told(series(-5)), Unavailable), (told(series(0, 0)), NoData),
        (told(series(None)), NoData), (told(series(5, end=NOW - 600)), Stale), (reply("{}"), Unavailable),
    ):  # fmt: skip
        with pytest.raises(error):
            count(wrong)


def test_refused_targets_are_told_in_the_servers_words(server: ScriptedServer) -> None:
    with pytest.raises(ConfigError, match="unknown function: summ"):
        ask(server, reply("Invalid parameters (Received request for unknown function: summ)", "400 Bad Request", content_type="text/html"))
    with pytest.raises(ConfigError, match="refuses the target$"):
        ask(server, reply("<html>traceback</html>", "400 Bad Request"))


def test_labels_in_a_target(server: ScriptedServer) -> None:
    query = "sumSeries(seriesByTag('name=errors', 'version=${version}', \"track=~^${version}$\"), shop.${track}.${workload})"
    ask(server, told(series(0)), query)
    assert asked(server)["target"] == "sumSeries(seriesByTag('name=errors', 'version=2.4.1', \"track=~^2\\.4\\.1$\"), shop.canary.shop-canary)"
    with pytest.raises(Unavailable, match="cannot be a node of a name"):
        ask(server, told(series(0)), "shop.${version}.errors")
    for hostile in ("*", "a,b", "a)", "{a,b}", "a.b", "a'b", "", "\u00e9"):
        with pytest.raises(Unavailable):
            ask(server, told(series(0)), "shop.${version}.errors", Window("canary", OURS - 60, OURS, {"version": hostile}))
    for hostile in ("*", "2'", '2"', "2)", "", "a b"):
        with pytest.raises(Unavailable):
            ask(server, told(series(0)), "seriesByTag('version=${version}')", Window("canary", OURS - 60, OURS, {"version": hostile}))


def test_probe_asks_for_a_constant(server: ScriptedServer) -> None:
    provider = GraphiteProvider.from_options({"url": f"{server.url}/graphite"}, {})
    server.reply = told(series(1, 1, name="1"))
    provider.probe()
    assert asked(server)["target"] == "constantLine(1)"
    server.reply = told()
    with pytest.raises(Unavailable):
        provider.probe()


@pytest.mark.parametrize(
    "options",
    [{}, {"url": "ftp://x"}, {"url": "http://x/?target=y"}, {"url": "http://x", "consolidate": "median"}, {"url": "http://x", "resolution": "0s"},
     {"url": "http://x", "x_files_factor": 2}, {"url": "http://x", "count_query": "${trak}"}, {"url": "http://x", "username": "ann"},
     {"url": "http://x", "count_query": "sumSeries(a"}],
)  # fmt: skip
def test_refused_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        GraphiteProvider.from_options(validate(options, GraphiteProvider.OPTIONS, "graphite"), {})


def test_no_builtins(server: ScriptedServer) -> None:
    with pytest.raises(Unsupported):
        ask(server, b"", window=Window("canary", 0.0, 60.0, builtin="latency"))
