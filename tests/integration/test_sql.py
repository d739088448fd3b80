# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics out of a real PostgreSQL: what is a number there, what is none, and that a query can neither write nor stay for ever."""

from __future__ import annotations

import math
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import (
    ConfigError,
    DeliveryError,
    MissingDependency,
    NoData,
    Stale,
    Unavailable,
    Unsupported,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics import sql
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.sql import SqlProvider
from ansible_collections.progressive.delivery.tests.contract.verdict_machine import never_passes
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

LABELS = {"workload": "shop", "namespace": "prod", "version": "2'; DROP TABLE orders; --"}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.execute(
            "CREATE TABLE orders (track text, version text, amount numeric(10, 2), bought boolean, at timestamptz DEFAULT now())",
            "CREATE TABLE secrets (value int)", "CREATE FUNCTION buys() RETURNS int LANGUAGE sql AS 'INSERT INTO orders (track) VALUES (''x'') RETURNING 1'",
        )  # fmt: skip
        server.account("reader", "SELECT ON orders")
        with psycopg.connect(**server.admin) as connection:
            for track, bad in (("stable", 5), ("canary", 20)):
                rows = [(track, LABELS["version"], 10.5, number >= bad) for number in range(100)]
                connection.cursor().executemany("INSERT INTO orders VALUES (%s, %s, %s, %s)", rows)
        yield server
    finally:
        server.close()


def provider(server: Postgres, **more: Any) -> SqlProvider:
    given = {"host": "127.0.0.1", "port": server.port, "database": "postgres", "user": "reader", "password": PASSWORD, "timeout": "2m", **more}
    return SqlProvider.from_options(validate(given, SqlProvider.OPTIONS, "sql"), {})


def ask(server: Postgres, query: str, track: str = "canary", **more: Any) -> Series:
    now = time.time()
    return provider(server, **more).query(query, Window(track, now - 600, now + 600, LABELS))


def test_counts_by_track_and_version_in_the_window(database: Postgres) -> None:
    query = """SELECT avg((NOT bought)::int)::float AS value, count(*) AS requests FROM orders
               WHERE track = ${track} AND version = ${version} AND at BETWEEN ${start} AND ${end} AND at > now() - ${window} * 60 AND track LIKE '%a%';"""
    for track, share in (("stable", 0.05), ("canary", 0.2)):
        [sample] = ask(database, query, track).samples
        assert (sample.points[0].value, sample.points[0].n) == (share, 100)
    earlier = Window("canary", time.time() - 7200, time.time() - 3600, LABELS)
    with pytest.raises(NoData):
        provider(database).query(query, earlier)


def test_rows_are_series_with_labels(database: Postgres) -> None:
    found = ask(database, "SELECT track, sum(amount) AS value FROM orders GROUP BY track ORDER BY track")
    assert [(dict(sample.labels), sample.points[0].value) for sample in found.samples] == [({"track": "canary"}, 1050.0), ({"track": "stable"}, 1050.0)]
    metric = Metric.from_options({"name": "revenue", "query": "q", "success_condition": "result > 0"}, "m")
    assert judge(metric, found).phase is Phase.ERROR, "two series are not one number"
    assert judge(Metric.from_options({"name": "r", "query": "q", "success_condition": "result > 0", "reduce": "sum"}, "m"), found).phase is Phase.SUCCESSFUL


def test_the_judge_of_counts_reads_them(database: Postgres) -> None:
    query = "SELECT avg((NOT bought)::int)::float AS value, count(*) AS requests FROM orders WHERE track = ${track}"
    sides = [ask(database, query, track) for track in ("canary", "stable")]
    assert [side.samples[0].points[0].n for side in sides] == [100, 100]


GOOD = {
    "1": 1.0, "1.5::numeric AS anything": 1.5, "7::bigint": 7.0, "0": 0.0, "'NaN'::float": None, "100 % 7": 2.0, "2 AS value, now() AS time": 2.0,
    "3 AS value, now() - interval '10 s' AS time, 'x' AS label": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("columns", GOOD)
def test_numbers(database: Postgres, columns: str) -> None:
    value = ask(database, f"SELECT {columns}").samples[0].points[0].value
    assert value == GOOD[columns] or (GOOD[columns] is None and math.isnan(value))


SILENT = "no answer within 1 s|no word from the server for 3 s|timeout"
"""Who gave up first of a busy machine: the server, we after it did not, or we while it took the connection."""


def patience(query: str) -> dict[str, str]:
    """Little with what answers too late, and only with that."""
    return {"timeout": "1s"} if "pg_sleep" in query else {}


BAD: dict[str, tuple[type[DeliveryError], str]] = {
    "SELECT NULL": (NoData, "NULL"), "SELECT 1 WHERE false": (NoData, "no rows"), "SELECT sum(amount) FROM orders WHERE false": (NoData, "NULL"),
    "VALUES (1), (NULL)": (Unavailable, "1 of 2 rows"), "SELECT 'much'": (Unavailable, "str, not a number"), "SELECT '5'": (Unavailable, "str, not a number"),
    "SELECT true": (Unavailable, "bool, not a number"), "SELECT now()": (Unavailable, "datetime"), "SELECT ARRAY[1, 2]": (Unavailable, "list"),
    "SELECT '{}'::jsonb": (Unavailable, "dict"), "SELECT interval '1 s'": (Unavailable, "timedelta"), "SELECT 1e400::numeric": (Unavailable, "."),
    "SELECT 1, 2": (ConfigError, "which of"), "SELECT 1 AS value, 2 AS value": (ConfigError, "two columns"),
    "SELECT generate_series(1, 5000)": (Unavailable, "more than 1000 rows"),
    "SELECT 1 AS value, -1 AS requests": (Unavailable, "no number of requests"), "SELECT 1 AS value, 1.5 AS requests": (Unavailable, "no number of requests"),
    "SELECT 1 AS value, NULL::int AS requests": (Unavailable, "requests is NULL"), "SELECT 1 AS value, 'NaN'::float AS requests": (Unavailable, "no number"),
    "SELECT 1 AS value, now() - interval '1 h' AS time": (Stale, "1:00:00|60:0|old"), "SELECT 1 AS value, now() + interval '1 h' AS time": (Stale, "ahead"),
    "SELECT 1 AS value, now()::timestamp AS time": (Unavailable, "timestamptz"), "SELECT 1 AS value, NULL::timestamptz AS time": (Unavailable, "timestamptz"),
    "SELEC 1": (ConfigError, "refuses the query"), "SELECT * FROM order": (ConfigError, "refuses"),
    "SELECT missing FROM orders": (ConfigError, "does not exist"),
    "SELECT 1 FROM nowhere": (ConfigError, "does not exist"), "SELECT value FROM secrets": (Unavailable, "permission denied.*Grant SELECT"),
    "SELECT 1; DROP TABLE orders": (ConfigError, "."), "DELETE FROM orders": (ConfigError, "."),
    "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT 1": (ConfigError, "."),
    "SELECT buys()": (DeliveryError, "."), "COMMIT": (ConfigError, "."), "COPY orders TO PROGRAM 'true'": (ConfigError, "."),
    "": (ConfigError, "."), ";": (ConfigError, "."),
    "SELECT 1 / 0": (Unavailable, "division by zero"), "SELECT pg_sleep(600)": (Unavailable, SILENT), "SELECT 'a'::int": (ConfigError, "."),
    "SELECT 1 WHERE 'x' = '${track}'": (ConfigError, "within quotes"), "SELECT 1 WHERE 'x' = ${trak}": (ConfigError, "Did you mean"),
    "SELECT set_config('statement_timeout', '0', false), 1": (ConfigError, "which of"),
}  # fmt: skip


@pytest.mark.parametrize("query", BAD)
def test_what_is_no_number_is_never_good(database: Postgres, query: str) -> None:
    kind, message = BAD[query]
    with pytest.raises(kind, match=message) as caught:
        ask(database, query, **patience(query))
    assert PASSWORD not in str(caught.value)
    never_passes(lambda _metric, _window: ask(database, query, **patience(query)))
    assert ask(database, "SELECT count(*) FROM orders").samples[0].points[0].value == 200, "nothing was written"


def test_a_superuser_writes_nothing_either(database: Postgres) -> None:
    for query in ("SELECT buys()", "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT 1", "SELECT nextval('n')", "SELECT pg_reload_conf(), pg_sleep(600)"):
        with pytest.raises(DeliveryError):
            ask(database, query, user="admin", **patience(query))
    assert ask(database, "SELECT count(*) FROM orders").samples[0].points[0].value == 200


@pytest.mark.parametrize(("more", "message"), [
    ({"password": "wrong"}, "password authentication failed"), ({"user": "nobody_known"}, "password authentication failed|does not exist"),
    ({"database": "nowhere"}, "does not exist"), ({"port": closed_port()}, "refused"), ({"host": "no.such.host.invalid"}, "."),
    ({"sslmode": "require"}, "SSL"), ({"host": "/nowhere"}, "No such file"),
])  # fmt: skip
def test_a_database_that_cannot_be_asked(database: Postgres, more: dict[str, Any], message: str) -> None:
    for attempt in (lambda: provider(database, **more).probe(), lambda: ask(database, "SELECT 1", **more)):
        with pytest.raises(Unavailable, match=message) as caught:
            attempt()
        assert "wrong" not in str(caught.value) and PASSWORD not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("query", ["SELECT 'NaN'::float", "SELECT 'Infinity'::float8", "SELECT '-Infinity'::numeric", "VALUES (0.0), (0.1)",
                                   "SELECT 0.0 AS value, 99 AS requests"])  # fmt: skip
def test_what_is_a_number_and_yet_says_nothing(database: Postgres, query: str) -> None:
    never_passes(lambda _metric, _window: ask(database, query), min_requests=100 if "requests" in query else 0)


def test_a_passing_number_passes(database: Postgres) -> None:
    """What the tables above are held against."""
    with pytest.raises(AssertionError, match="successful"):
        never_passes(lambda _metric, _window: ask(database, "SELECT 0.0 AS value, 100 AS requests"), min_requests=100)


def test_a_query_of_a_release_file_may_name_the_ends_of_its_window(database: Postgres) -> None:
    query = "SELECT avg((NOT bought)::int)::float AS value, count(*) AS requests FROM orders WHERE at BETWEEN ${start} AND ${end}"
    metric = Metric.from_options({"name": "orders", "query": query, "failure_condition": "result > 0.2", "min_requests": 100}, "m")
    assert judge(metric, ask(database, metric.query)).phase is Phase.SUCCESSFUL


def test_the_query_of_the_page_is_asked(database: Postgres) -> None:
    page = (pathlib.Path(__file__).parents[2] / "docs" / "metrics" / "sql.md").read_text()
    [given] = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["rollout_analysis"]["metrics"]
    database.execute("CREATE TABLE visits (version text, bought boolean, at timestamptz DEFAULT now())", "GRANT SELECT ON visits TO reader")
    with psycopg.connect(**database.admin) as connection:
        connection.cursor().executemany("INSERT INTO visits VALUES (%s, %s)", [(LABELS["version"], number < 20) for number in range(400)])
    metric = Metric.from_options(given, "m")
    found = ask(database, metric.query)
    assert judge(metric, found).phase is Phase.SUCCESSFUL and (found.samples[0].points[0].value, found.samples[0].points[0].n) == (0.05, 400)


def test_a_connection_string_from_the_environment(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DSN", f"postgresql://reader:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{database.port}/postgres")
    window = Window("canary", time.time() - 60, time.time() + 60, LABELS)
    given = SqlProvider.from_options(validate({"dsn_env": "SHOP_DSN"}, SqlProvider.OPTIONS, "sql"), {})
    given.probe()
    assert given.query("SELECT count(*) FROM orders WHERE at <= ${end}", window).samples[0].points[0].value == 200
    other = SqlProvider.from_options(validate({"dsn_env": "SHOP_DSN", "user": "admin"}, SqlProvider.OPTIONS, "sql"), {})
    assert other.query("SELECT (current_user = 'admin')::int", window).samples[0].points[0].value == 1, "an option wins"
    for wrong in ("postgresql://reader:hush hush@[::1/x", "host=127.0.0.1 password='hush", f"host=127.0.0.1 port={database.port} user=reader password=hush"):
        monkeypatch.setenv("SHOP_DSN", wrong)
        with pytest.raises((ConfigError, Unavailable)) as caught:
            given.probe()
        assert "hush" not in str(caught.value) and "SHOP_DSN" in str(caught.value)
    monkeypatch.delenv("SHOP_DSN")
    with pytest.raises(ConfigError, match="SHOP_DSN is not set"):
        SqlProvider.from_options({"dsn_env": "SHOP_DSN"}, {})


def test_a_server_that_says_nothing_is_hung_up_on(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "GRACE", -590.0)
    with pytest.raises(Unavailable, match="no word from the server for 10 s"):
        ask(database, "SELECT pg_sleep(500), 1 AS value", timeout="10m")
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(Unavailable, match="timeout"):  # takes connections, and says never a word
        provider(database, port=mute.getsockname()[1], timeout="1s").probe()


def test_a_server_that_goes_meanwhile_and_comes_back(database: Postgres) -> None:
    made = provider(database, timeout="15m")
    asked = threading.Timer(1.0, database.stop)
    asked.start()
    now = time.time()
    with pytest.raises(Unavailable):
        made.query("SELECT pg_sleep(800), 1 AS value", Window("canary", now - 60, now, LABELS))
    asked.join()
    with pytest.raises(Unavailable):
        made.probe()
    database.start()
    made.probe()


def test_nothing_stays_connected(database: Postgres) -> None:
    ask(database, "SELECT 1")
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'progressive.delivery' AND pid <> pg_backend_pid()"
    wait_until(lambda: ask(database, left, user="admin").samples[0].points[0].value == 0)


def test_a_builtin_is_not_there(database: Postgres) -> None:
    with pytest.raises(Unsupported, match="no built-in"):
        provider(database).query("", Window("canary", 0, 60, LABELS, builtin="conversion"))


def test_without_psycopg_one_line_says_so(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependency, match=r"pip install psycopg\[binary\]"):
        sql.driver()


def test_a_placeholder_without_a_value_is_an_error(database: Postgres) -> None:
    now = time.time()
    with pytest.raises(Unavailable, match="has no value"):
        provider(database).query("SELECT 1 WHERE ${version} = 'x'", Window("canary", now - 60, now, {}))
