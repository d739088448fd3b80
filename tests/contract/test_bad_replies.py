# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every tabled reply through a provider, its judge, a whole bake and the verdict on it: never a pass.

The replies of providers over counters and of those with tables in other files come the same way; a new provider has to say where its own are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import PROVIDERS
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.command import CommandProvider
from ansible_collections.progressive.delivery.tests.contract.bad_replies import NOW, PRINTED, TABLES, Replies, told
from ansible_collections.progressive.delivery.tests.contract.harness_metrics import HARNESSES, CountersHarness
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.contract.test_metric_contract import ENVOY_LIES, HAPROXY_LIES, PROMETHEUS_LIES, WEB_LIES
from ansible_collections.progressive.delivery.tests.contract.verdict_machine import never_passes

WINDOW = Window("canary", NOW - 60.0, float(NOW), {"version": "2", "workload": "shop"})
SHAPES: dict[str, dict[str, Any]] = {
    "any number is good": {},
    "no number is bad": {"success_condition": None, "failure_condition": "result > 1e300"},
    "any range is good": {"success_condition": None, "threshold_range": {"min": -1e300, "max": 1e300}},
    "any change is good": {"success_condition": None, "baseline": "fixed", "baseline_value": 1.0, "max_delta": 1e300, "direction": "either"},
    "no data is an error": {"no_data": "error"},
    "no data is a failure": {"no_data": "failure"},
    "requests are wanted": {"min_requests": 1},
}
"""Metrics that pass on whatever number there is, each in its own way. ``no_data: success`` is not among them: who says so gets it."""
ELSEWHERE = {
    "cloudwatch": "tests/integration/test_cloudwatch.py",
    "envoy": "tests/contract/test_metric_contract.py",
    "haproxy": "tests/contract/test_metric_contract.py",
    "kubernetes": "tests/unit/module_utils/metrics/test_kubernetes_metrics.py",
    "memory": "tests/contract/harness_metrics.py",  # the fake
    "nginx": "tests/unit/module_utils/metrics/test_scraped.py",
    "sql": "tests/integration/test_sql.py",
    "traefik": "tests/unit/module_utils/metrics/test_scraped.py",
}
"""Where the tables of other providers are."""


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def provider(table: Replies, server: ScriptedServer) -> Any:
    options = validate({"url": server.url, "timeout": "60s", **table.options}, table.adapter.OPTIONS, "it")
    made = table.adapter.from_options(options, {})
    made._clock = lambda: float(NOW)
    return made


def remembered(ask: Callable[[], Series]) -> Callable[[Metric, Window], Series]:
    """What is asked once, and answered again at every look. Anything that is not an error of ours fails the test."""
    try:
        answer: Series | DeliveryError = ask()
    except DeliveryError as error:
        answer = error

    def measure(_metric: Metric, _window: Window) -> Series:
        if isinstance(answer, DeliveryError):
            raise answer
        return answer

    return measure


def walk(ask: Callable[[], Series]) -> None:
    """A bake for each shape of a metric, none of which may pass."""
    measure = remembered(ask)
    for options in SHAPES.values():
        never_passes(measure, **options)


ROWS = [(name, row) for name, table in TABLES.items() for row in table.answers()]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_good_reply_passes(server: ScriptedServer, name: str) -> None:
    table = TABLES[name]
    server.reply = told(table.good)
    series = provider(table, server).query(table.query, WINDOW)
    assert [sample.points[-1].value for sample in series.samples] == [0.001]
    counted = series.samples[0].points[-1].n is not None
    for shape, options in SHAPES.items():
        wanted = {"name": "m", "query": "q", "success_condition": "result < 1e9 || result >= 0", **options}
        metric = Metric.from_options({key: value for key, value in wanted.items() if value is not None}, "m")
        assert judge(metric, series).phase is (Phase.SUCCESSFUL if counted or not metric.min_requests else Phase.ERROR), shape


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}: {row}" for name, row in ROWS])
def test_never_a_pass(server: ScriptedServer, name: str, row: str) -> None:
    table = TABLES[name]
    server.reply = table.answers()[row]()
    walk(lambda: provider(table, server).query(table.query, WINDOW))


def test_a_walk_finds_a_pass(server: ScriptedServer) -> None:
    table = TABLES["web"]
    server.reply = told(table.good)
    with pytest.raises(AssertionError, match="successful"):
        walk(lambda: provider(table, server).query(table.query, WINDOW))


def test_no_row_is_the_good_reply() -> None:
    for name, table in TABLES.items():
        good = told(table.good)
        assert not [row for row, answer in table.answers().items() if answer() == good], name


GENERATED = int(os.environ.get("PROGRESSIVE_REPLIES", "2000"))
"""Replies made up by hypothesis, over all providers and both ways of spoiling one; `make bench ARGS=replies` takes 100,000."""
DOCUMENTS = sorted(name for name, table in TABLES.items() if table.good.startswith(("{", "[")))
MADE_UP = settings(max_examples=max(1, -(-GENERATED // (len(DOCUMENTS) + len(TABLES)))), suppress_health_check=[HealthCheck.too_slow])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], into: Any) -> Any:
    if not path:
        return into
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], into)
    return copy


def takes_it_or_explains(table: Replies, server: ScriptedServer, answer: bytes) -> None:
    """Whatever comes, the provider answers with numbers or with an error of ours. Anything else that it raises fails the test."""
    server.reply = answer
    try:
        series = provider(table, server).query(table.query, WINDOW)
    except DeliveryError:
        return
    points = [point for sample in series.samples for point in sample.points]
    assert points and all(isinstance(point.value, float) and (point.n is None or point.n > 0) for point in points)


@pytest.mark.parametrize("name", DOCUMENTS)
@MADE_UP
@given(data=st.data())
def test_a_document_with_anything_anywhere(server: ScriptedServer, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    good = json.loads(table.good)
    path = data.draw(st.sampled_from(list(nodes(good))))
    body = json.dumps(changed(good, path, data.draw(JSON)))
    takes_it_or_explains(table, server, told(body))


@pytest.mark.parametrize("name", sorted(TABLES))
@MADE_UP
@given(at=st.floats(0, 1), cut=st.integers(0, 12), inserted=st.binary(max_size=6), framed=st.booleans())
def test_bytes_of_an_answer_replaced(server: ScriptedServer, name: str, at: float, cut: int, inserted: bytes, framed: bool) -> None:
    """``framed``: what is left is a whole body, so that the length does not give it away."""
    table = TABLES[name]
    whole = table.good.encode() if framed else told(table.good)
    start = int(at * len(whole))
    spoiled = whole[:start] + inserted + whole[start + cut :]
    takes_it_or_explains(table, server, reply(spoiled) if framed else spoiled)


LISTED = [("prometheus", lie[0], lie[1]) for lie in PROMETHEUS_LIES] + [("plain web", lie[0], lie[1]) for lie in WEB_LIES]


@pytest.mark.parametrize(("name", "answer"), [(each[0], each[2]) for each in LISTED], ids=[f"{each[0]}: {each[1]}" for each in LISTED])
def test_never_a_pass_from_the_lists_of_the_contract(server: ScriptedServer, name: str, answer: bytes) -> None:
    adapter, query = (PROVIDERS["prometheus"], "vector(1)") if name == "prometheus" else (PROVIDERS["web"], "{$.v}")
    server.reply = answer
    walk(lambda: provider(Replies(adapter, {}, query, "", {}), server).query(query, WINDOW))


COUNTED = [("envoy", *lie) for lie in ENVOY_LIES] + [("haproxy", *lie) for lie in HAPROXY_LIES]


@pytest.mark.parametrize(("name", "asked", "change"), [(each[0], *each[2:]) for each in COUNTED], ids=[f"{each[0]}: {each[1]}" for each in COUNTED])
def test_never_a_pass_from_counters(tmp_path: Path, name: str, asked: str, change: Callable[[str], str | None]) -> None:
    """All requests failed, and one of several load balancers says something else."""
    harness = HARNESSES[name](tmp_path)
    assert isinstance(harness, CountersHarness)
    try:
        harness.tell([0.5] * harness.balancers)
        made = harness.provider()
        honest = harness.world(harness.balancers - 1)[asked]
        harness.lies = {asked: change(honest)}
        walk(lambda: harness.ask(made))
    finally:
        harness.close()


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_never_a_pass_from_a_program(tmp_path: Path, name: str) -> None:
    answer = tmp_path / "answer"
    answer.write_bytes(PRINTED[name])
    code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
    given = {"argv": [sys.executable, "-S", "-c", code, str(answer)], "timeout": "60s"}
    made = CommandProvider.from_options(validate(given, CommandProvider.OPTIONS, "command"), {})
    walk(lambda: made.query("q", WINDOW))


def test_there_are_tables_of_every_provider() -> None:
    tabled = {name.split(" ")[0] for name in TABLES} | {"command"}
    assert set(PROVIDERS) <= tabled | set(ELSEWHERE), "a provider without a table of replies that must never pass"
    assert not tabled & set(ELSEWHERE)
    checkout = Path(__file__).parents[2]
    assert all((checkout / path).is_file() for name, path in ELSEWHERE.items() if name in PROVIDERS)
    own = sum(len(table.rows) for table in TABLES.values()) + len(LISTED) + len(COUNTED) + len(PRINTED)
    assert own >= 300, f"only {own} replies, those that every provider gets apart"
