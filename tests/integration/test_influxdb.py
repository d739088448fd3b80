# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The InfluxDB provider against InfluxDB 1.x as Debian has it, with its own authentication."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Stale, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.influxdb import InfluxdbProvider
from ansible_collections.progressive.delivery.tests.integration.influxdb_rig import MOST_ROWS, Influxdb

SHARE = "SELECT sum(errors) / sum(requests) AS share, sum(requests) AS n FROM {} WHERE track = '${{track}}' AND time > now() - ${{window}}"
COLUMNS = {"value_column": "share", "count_column": "n"}
METRIC = Metric.from_options({"name": "m", "query": "q", "failure_condition": "result > 0.02"}, "m")


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxdb]:
    running = Influxdb(tmp_path_factory.mktemp("influxdb"))
    made(running).probe()
    yield running
    running.close()
    with pytest.raises(Unavailable, match="Connection refused"):
        made(running).probe()


def made(influxdb: Influxdb, **options: Any) -> InfluxdbProvider:
    given = {"url": influxdb.url, "database": "shop", "username": "ann", "password": "pa55", "timeout": "2m", **options}
    return InfluxdbProvider.from_options(validate(given, InfluxdbProvider.OPTIONS, "influxdb"), {})


def window(seconds: float = 600.0, ago: float = 0.0) -> Window:
    now = time.time() - ago
    return Window("canary", now - seconds, now, {"version": "2.4.1", "workload": "shop"})


def values(series: Series) -> list[tuple[float, int | None]]:
    return [(sample.points[0].value, sample.points[0].n) for sample in series.samples]


def test_a_share_and_what_it_was_made_from(influxdb: Influxdb) -> None:
    influxdb.send("one", 20, errors="1i", requests="100i")
    influxdb.send("one", 10, errors="2i", requests="200i")
    influxdb.send("one", 10, tags="track=stable", errors="200i", requests="200i")
    series = made(influxdb, **COLUMNS).query(SHARE.format("one"), window())
    assert values(series) == [(0.01, 300)]
    assert judge(METRIC, series).phase is Phase.SUCCESSFUL


def test_the_window_limits_what_is_seen(influxdb: Influxdb) -> None:
    influxdb.send("two", 3000, errors="100i", requests="100i")
    influxdb.send("two", 10, errors="0i", requests="50i")
    provider = made(influxdb, **COLUMNS)
    assert values(provider.query(SHARE.format("two"), window())) == [(0.0, 50)]
    past = SHARE.format("two").replace("time > now() - ${window}", "time >= ${start} AND time < ${end}")
    assert values(provider.query(past, window(600, ago=2700))) == [(1.0, 100)]
    assert values(provider.query(past, window())) == [(0.0, 50)]
    with pytest.raises(ConfigError, match="a window of the past"):
        provider.query(SHARE.format("two"), window(600, ago=2700))


def test_nothing_is_no_data(influxdb: Influxdb) -> None:
    with pytest.raises(NoData, match="no rows"):
        made(influxdb).query("SELECT count(errors) FROM nobody WHERE time > now() - ${window}", window())
    influxdb.send("three", 10, errors="1i")
    with pytest.raises(NoData, match="no rows"):
        made(influxdb).query("SELECT sum(requests) FROM three WHERE time > now() - ${window}", window())
    with pytest.raises(NoData, match="share is null"):
        made(influxdb, **COLUMNS).query(SHARE.format("three").replace("sum(requests) AS n", "count(errors) AS n"), window())


def test_zero_requests_are_no_share(influxdb: Influxdb) -> None:
    """The server divides by zero and says 0, the best share of errors there is."""
    influxdb.send("zero", 10, errors="0i", requests="0i")
    with pytest.raises(NoData, match="made from no requests"):
        made(influxdb, **COLUMNS).query(SHARE.format("zero"), window())
    assert values(made(influxdb, value_column="share").query(SHARE.format("zero"), window())) == [(0.0, None)]


def test_several_series(influxdb: Influxdb) -> None:
    for host in "ab":
        influxdb.send("four", 10, tags=f"track=canary,host={host}", errors="1i")
    series = made(influxdb).query("SELECT sum(errors) FROM four WHERE time > now() - ${window} GROUP BY host", window())
    assert [sample.labels for sample in series.samples] == [{"host": "a"}, {"host": "b"}]
    assert judge(METRIC, series).phase is Phase.ERROR


def test_several_rows_are_an_error(influxdb: Influxdb) -> None:
    influxdb.send("five", 20, errors="1i")
    influxdb.send("five", 10, errors="1i")
    with pytest.raises(Unavailable, match="a series of 2 rows"):
        made(influxdb).query("SELECT errors FROM five WHERE time > now() - ${window}", window())


def test_too_many_rows_are_a_partial_answer(influxdb: Influxdb) -> None:
    for host in range(MOST_ROWS + 1):
        influxdb.send("six", 10 + host, tags="track=canary", errors="1i")
    provider = made(influxdb)
    _tables, partial, _now = provider._ask("SELECT errors FROM six WHERE time > now() - 1h")
    assert "too many" in partial
    with pytest.raises(Unavailable):
        provider.query("SELECT errors FROM six WHERE time > now() - ${window}", window())


def test_the_newest_row(influxdb: Influxdb) -> None:
    influxdb.send("seven", 300, errors="0i", requests="100i")
    newest = "SELECT last(errors) FROM seven WHERE track = '${track}' AND time > now() - ${window}"
    provider = made(influxdb, newest_query=newest, max_age="1m", **COLUMNS)
    with pytest.raises(Stale, match="more than 1:00"):
        provider.query(SHARE.format("seven"), window())
    influxdb.send("seven", 5, errors="0i", requests="100i")
    [sample] = provider.query(SHARE.format("seven"), window()).samples
    assert (sample.points[0].value, sample.points[0].n) == (0.0, 200)
    assert abs(time.time() - 5 - sample.points[0].time) < 60


def test_who_may_ask(influxdb: Influxdb) -> None:
    query = "SELECT count(errors) FROM one WHERE time > now() - ${window}"
    for who, status in ({"username": "ann", "password": "wrong"}, "HTTP 401"), ({"username": "bob", "password": "b0b"}, "HTTP 403|not authorized"):
        with pytest.raises(Unavailable, match=status):
            made(influxdb, **who).query(query, window())
        with pytest.raises(Unavailable, match=status):
            made(influxdb, **who).probe()


def test_an_error_in_an_answer_with_200(influxdb: Influxdb) -> None:
    with pytest.raises(Unavailable, match="database not found"):
        made(influxdb, database="blog").probe()
    with pytest.raises(Unavailable, match="retention policy not found"):
        made(influxdb, retention_policy="for_ever").query("SELECT count(errors) FROM one WHERE time > now() - ${window}", window())


def test_a_query_that_does_not_parse(influxdb: Influxdb) -> None:
    with pytest.raises(ConfigError, match="refuses the query: error parsing query"):
        made(influxdb).query("SELECT FROM WHERE time > now() - ${window}", window())


@pytest.mark.parametrize(
    "query",
    [
        "DROP MEASUREMENT one -- ${window}",
        "SELECT * INTO two FROM one WHERE time > now() - ${window}",
        "SELECT 1 FROM one WHERE time > now() - ${window}; DROP DATABASE shop",
    ],
)
def test_nothing_is_written(influxdb: Influxdb, query: str) -> None:
    with pytest.raises(ConfigError, match="not one SELECT that only reads"):
        made(influxdb).query(query, window())
