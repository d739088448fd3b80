# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Prometheus provider and the bake against a real Prometheus server that scrapes an exporter every second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import BakeResult, Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Plan
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import StepSpec
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry.preflight import Preflight
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Exporter, Prometheus, Traffic
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import BAKE, brief, weights
from ansible_collections.progressive.delivery.tests.waiting import wait_until

OPTIONS = {"scrape_interval": "1s", "timeout": "2m", "selectors": {"stable": 'track="${track}"', "canary": 'track="${track}"'}}


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    running = Exporter()
    yield running
    running.close()


@pytest.fixture(scope="module")
def provider(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProvider]:
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), exporter)
    made = PrometheusProvider.from_options(validate({"url": server.url, **OPTIONS}, PrometheusProvider.OPTIONS, "prometheus"), {})
    try:
        made.probe()
        wait_until(lambda: answers(made, "rate(http_requests_total[5s])"))
        yield made
    finally:
        server.close()
    with pytest.raises(Unavailable, match="Connection refused"):
        made.query("up", window())


def window(seconds: float = 5.0, **fields: Any) -> Window:
    now = time.time()
    return Window(fields.pop("track", "canary"), now - seconds, now, {"version": "2"}, **fields)


def answers(provider: PrometheusProvider, query: str) -> bool:
    try:
        return bool(provider.query(query, window()).samples)
    except DeliveryError:
        return False


def value(provider: PrometheusProvider, query: str, **fields: Any) -> float:
    [sample] = provider.query(query, window(**fields)).samples
    return sample.points[0].value


def in_the_end(check: Callable[[], None]) -> None:
    """A look may be at a moment in which scrapes are late: then the next one has to hold, or one of the next."""
    wrong: list[BaseException] = []

    def holds() -> bool:
        try:
            check()
        except (DeliveryError, AssertionError, pytest.fail.Exception) as error:
            wrong[:] = [error]
            return False
        return True

    wait_until(holds, 60, lambda: repr(wrong[0]))


def becomes(provider: PrometheusProvider, expected: Any, query: str = "", **fields: Any) -> None:
    """Wait until the window is full of scrapes of what the exporter says now; a busy machine scrapes late."""

    def now() -> Any:
        try:
            return value(provider, query, **fields)
        except (NoData, Unavailable) as error:
            return error

    wait_until(lambda: now() == expected, 60, lambda: f"{query or fields}: {now()}, not {expected}")


def test_answers_of_every_kind(provider: PrometheusProvider) -> None:
    becomes(provider, 1.0, 'up{track="canary"}')
    becomes(provider, 2.0, "scalar(sum(up))")
    becomes(provider, pytest.approx(100, rel=0.25), "sum(rate(http_requests_total{track='${track}'}[${window}]))")
    wait_until(lambda: answers(provider, "up"))
    assert {sample.labels["track"] for sample in provider._evaluate("up", None).samples} == {"stable", "canary"}
    assert str(value(provider, "vector(0) / 0")) == "nan"
    assert value(provider, "vector(1) / 0") == float("inf")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("no_such_metric", NoData),
        ('up{track="other"}', NoData),
        ("rate(http_requests_total[5s]", ConfigError),
        ("rate(http_requests_total)", ConfigError),
        ("http_requests_total[5s]", Unavailable),
        ('"text"', Unavailable),
        ("up * on (job_nome) http_requests_total", Unavailable),
        ('up{track="${workload}"}', Unavailable),
    ],
)
def test_what_is_no_answer(provider: PrometheusProvider, query: str, error: type[DeliveryError]) -> None:
    def asked() -> None:
        with pytest.raises(error):
            provider.query(query, window())

    in_the_end(asked)


def test_builtins_and_how_many_requests_they_come_from(provider: PrometheusProvider, exporter: Exporter) -> None:
    exporter.tracks["canary"] = Traffic(rate=200, failing=0.1, seconds=0.3)
    wait_until(lambda: answers(provider, 'http_requests_total{track="canary",code="503"}'))
    becomes(provider, pytest.approx(0.1, abs=0.05), builtin="error_rate")
    becomes(provider, pytest.approx(0.9, abs=0.05), builtin="success_rate")
    becomes(provider, pytest.approx(200, rel=0.25), builtin="request_rate")
    becomes(provider, pytest.approx(300, abs=200), builtin="latency", quantile=0.5)

    def counted() -> None:
        [sample] = provider.query("", window(builtin="error_rate")).samples
        assert sample.points[0].n == pytest.approx(1000, rel=0.5)

    in_the_end(counted)
    # a track that never failed has no series of failures: 0, not no data
    becomes(provider, 0.0, builtin="error_rate", track="stable")

    def one_scrape_holds_no_rate() -> None:
        with pytest.raises(NoData):
            provider.query("", window(builtin="error_rate", seconds=1.0))

    in_the_end(one_scrape_holds_no_rate)


def test_a_value_every_so_often_up_to_now(provider: PrometheusProvider) -> None:
    def times() -> list[float]:
        [sample] = provider.query('up{track="${track}"}', window(12.0, resolution=1.0, lookback=2.0)).samples
        return [point.time for point in sample.points]

    def every_second() -> None:
        found, now = times(), time.time()
        assert len(found) >= 9
        assert {later - earlier for earlier, later in zip(found, found[1:])} <= {1.0, 2.0} and found[-1] <= now - provider.lag + 1

    in_the_end(every_second)
    with pytest.raises(NoData, match="no series"):
        provider.query('up{track="other"}', window(12.0, resolution=1.0, lookback=2.0))


def test_a_track_without_traffic_is_no_data(provider: PrometheusProvider, exporter: Exporter) -> None:
    exporter.tracks["canary"] = Traffic(rate=0)
    metric = Metric.from_options({"name": "errors", "builtin": "error_rate", "failure_condition": "result > 0.01", "no_data_timeout": "3s"}, "m")
    becomes(provider, pytest.approx(math.nan, nan_ok=True), builtin="error_rate")
    result = watch(provider, metric, 4.0)  # a scrape that is late is an error, which holds it open
    assert (result.phase, result.no_data) == (Phase.INCONCLUSIVE, True)


def test_a_target_that_went_away_is_stale(provider: PrometheusProvider, exporter: Exporter) -> None:
    exporter.tracks["canary"] = Traffic()
    wait_until(lambda: answers(provider, 'sum(rate(http_requests_total{track="canary"}[15m]))'))
    exporter.tracks["canary"] = None
    asked = 'sum(rate(http_requests_total{track="canary"}[15m]))'
    wait_until(lambda: not answers(provider, asked))
    # the server itself still answers with a number made of old samples
    still = PrometheusProvider(provider.url, {}, scrape_interval=1e6)
    with pytest.raises((Unavailable, NoData)):
        provider.query(asked, window())
    assert still._evaluate(asked, None).samples[0].points[0].value > 0
    exporter.tracks["canary"] = Traffic()
    wait_until(lambda: answers(provider, 'up{track="canary"} == 1'))


def test_the_past_is_asked_about_at_its_end(provider: PrometheusProvider) -> None:
    then = Window("stable", time.time() - 3700, time.time() - 3600)
    with pytest.raises(NoData):
        provider.query("up", then)  # the server was not there an hour ago


def test_the_own_clock_does_not_matter(provider: PrometheusProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    off = PrometheusProvider(provider.url, {"read_timeout": 120.0}, scrape_interval=1.0, clock=lambda: time.time() + 600)

    def positive() -> None:
        ahead = time.time() + 600
        assert off.query("sum(rate(http_requests_total[5s]))", Window("canary", ahead - 5, ahead)).samples[0].points[0].value > 0

    in_the_end(positive)


def watch(provider: PrometheusProvider, metric: Metric, seconds: float) -> BakeResult:
    ports = Ports(lambda one, asked: provider.query(one.query, asked), SystemClock(), lag=lambda one: provider.lag)
    return bake((metric,), ports, duration=seconds, interval=1.0)


def test_a_bake_of_a_good_and_of_a_bad_version(provider: PrometheusProvider, exporter: Exporter) -> None:
    # A scrape that comes late leaves a look without data of one of the two: it must not end the bake.
    options = {"name": "errors", "builtin": "error_rate", "min_requests": 50, "inconclusive_limit": 100}
    exporter.tracks["canary"] = Traffic()
    wait_until(lambda: answers(provider, "sum(increase(http_requests_total{track='canary'}[3s])) > 50"), 120)
    good = watch(provider, Metric.from_options({**options, "max_ratio": 2, "failure_condition": "result > 0.02"}, "m"), 10.0)
    assert good.phase is Phase.SUCCESSFUL, good
    assert good.metrics[0].tally.successful >= 1
    exporter.tracks["canary"] = Traffic(failing=0.2)
    bad = watch(provider, Metric.from_options({**options, "max_delta": 0.05}, "m"), 120.0)  # without stable it decides nothing
    assert bad.phase is Phase.FAILED, bad
    assert bad.seconds < 120
    assert "against 0 % of stable" in bad.reason


def planned(weight: float) -> Plan:
    """A canary that bakes for a minute at ``weight``."""
    return compile_plan(brief(stable=3, canary=3, steps=(*weights(weight), StepSpec(step=BAKE), *weights(100))))


def before(provider: PrometheusProvider, plan: Plan, **metric: Any) -> Preflight:
    """What plan asks that server about one metric."""
    spec = {"name": "shop", "workload": {"pool": {"stable": "blue"}}, "analysis": {"provider": {"prometheus": {"url": provider.url, **OPTIONS}}}}
    made = Preflight(spec, [Metric.from_options({"name": "errors", "failure_condition": "result > 0.02", **metric}, "m")], plan, SystemClock())
    made.reach()
    return made


def refused(provider: PrometheusProvider, weight: float, words: str, **metric: Any) -> None:
    with pytest.raises(ConfigError, match=words):
        before(provider, planned(weight), **metric).questions()


def test_plan_asks_beforehand(provider: PrometheusProvider) -> None:
    becomes(provider, pytest.approx(100, rel=0.25), "sum(rate(http_requests_total{track='stable'}[${window}]))")
    wait_until(lambda: before(provider, planned(20), builtin="error_rate").questions() == [])
    for query, words in (("sum(rate(", "parse error"), ("up[5m", "parse error"), ("vector(1) +", "parse error"), ("up[1m]", "returns a matrix")):
        in_the_end(partial(refused, provider, 20, rf"metrics\[0\]: errors cannot be measured: .*{words}", query=query))
    [note] = before(provider, planned(20), query="nothing_of_that_name").questions()
    assert note.startswith("errors has no data now: ") and "no series" in note
    in_the_end(partial(refused, provider, 20, "does not say how many requests", query="sum(up)", min_requests=5))


def test_plan_knows_the_rate_beforehand(provider: PrometheusProvider) -> None:
    becomes(provider, pytest.approx(100, rel=0.25), "sum(rate(http_requests_total{track='stable'}[${window}]))")

    def rates() -> None:
        assert before(provider, planned(50), builtin="error_rate", min_requests=100).evidence(None) == []
        [note] = before(provider, planned(5), builtin="error_rate", min_requests=300).evidence(None)
        assert note.startswith("bake at 5 %: errors needs 300 requests, gets about ") and "start at" in note
        with pytest.raises(ConfigError, match="too few requests to judge by: bake at 1 %"):
            before(provider, planned(1), builtin="error_rate", min_requests=5000).evidence(None)

    in_the_end(rates)
