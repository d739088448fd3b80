# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Range queries, baselines of before the release and shares of slow requests, on a real Prometheus whose past was written into it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import BakeResult, Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus

SCRAPE = 15
RELEASE = 15 * (int(time.time() - 6 * 3600) // SCRAPE)
"""When the made-up release began: the canary has no series before."""
HOUR = 3600
GAP = (600, 780)
"""Seconds into the release in which nobody scraped."""
OPTIONS: dict[str, Any] = {"timeout": "2m", "scrape_interval": f"{SCRAPE}s", "selectors": {"stable": 'track="stable"', "canary": 'track="canary"'}}


def history() -> str:
    """Two tracks of 10 requests a second. The canary's queue is twice as long, and a tenth of its requests is slower than 0.5 s; stable's are not."""
    queue, buckets, counts = ["# TYPE queue gauge"], [], []
    for track, began, slow in (("stable", RELEASE - HOUR, 0), ("canary", RELEASE, 1)):
        for at in range(began, RELEASE + HOUR, SCRAPE):
            if GAP[0] <= at - RELEASE < GAP[1]:
                continue
            total = 10 * (at - began)
            wave = 10 + math.sin(at / 7) + math.sin(at / 61)
            queue.append(f'queue{{track="{track}"}} {wave * (2 if slow else 1):.4f} {at}')
            for bound, share in (("0.1", 0.5), ("0.5", 0.9 if slow else 1.0), ("+Inf", 1.0)):
                buckets.append(f'http_request_duration_seconds_bucket{{track="{track}",le="{bound}"}} {int(total * share)} {at}')
            counts.append(f'http_request_duration_seconds_count{{track="{track}"}} {total} {at}')
    return "\n".join([*queue, "# TYPE http_request_duration_seconds histogram", *sorted(buckets + counts, key=lambda line: line.split("} ")[0]), ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), history=history())
    yield running
    running.close()


@pytest.fixture
def provider(server: Prometheus) -> PrometheusProvider:
    return PrometheusProvider.from_options(validate({"url": server.url, **OPTIONS}, PrometheusProvider.OPTIONS, "prometheus"), {})


def window(start: float, end: float, track: str = "stable", **fields: Any) -> Window:
    return Window(track, RELEASE + start, RELEASE + end, **{"resolution": 15.0, "lookback": 60.0, **fields})


def test_a_range_is_aligned_and_reaches_back_to_nothing_before_its_window(provider: PrometheusProvider) -> None:
    [sample] = provider.query('queue{track="${track}"}', window(-1803.5, -2)).samples
    times = [point.time - RELEASE for point in sample.points]
    assert times[0] == -1740 and times[-1] == -15 and {later - earlier for earlier, later in zip(times, times[1:])} == {15.0}
    for point in sample.points:
        assert point.value == pytest.approx(10 + math.sin(point.time / 7) + math.sin(point.time / 61), abs=1e-3)


def test_rates_look_back_as_far_as_the_window_says(provider: PrometheusProvider) -> None:
    series = provider.query('rate(http_request_duration_seconds_count{track="${track}"}[${window}])', window(-1800, 0))
    assert "[60s]" in series.query
    assert [point.value for point in series.samples[0].points] == pytest.approx([10.0] * len(series.samples[0].points))


def test_a_gap_is_values_that_are_not_there(provider: PrometheusProvider) -> None:
    [sample] = provider.query('rate(http_request_duration_seconds_count{track="${track}"}[${window}])', window(0, 1800)).samples
    times = [point.time - RELEASE for point in sample.points]
    assert not [at for at in times if GAP[0] + 60 <= at < GAP[1]]
    assert {at for at in times if at < GAP[0]} == set(range(60, GAP[0], 15))


def test_built_in_metrics_say_what_each_value_was_made_from(provider: PrometheusProvider) -> None:
    [sample] = provider.query("", window(0, 600, "canary", builtin="slow_share", slower_than=0.5)).samples
    assert [point.value for point in sample.points] == pytest.approx([0.1] * len(sample.points), abs=0.01)
    assert {point.n for point in sample.points} <= {599, 600, 601}


def test_no_value_and_too_many(provider: PrometheusProvider) -> None:
    with pytest.raises(NoData, match="fits into"):
        provider.query("queue", window(0, 50))
    with pytest.raises(NoData, match="no series"):
        provider.query("queue", window(-7200, -5400))
    with pytest.raises(ConfigError, match="11,000.*Write 2 s or more"):
        provider.query("queue", window(-12000, 0, resolution=1.0, lookback=1.0))
    assert len(provider.query("vector(1)", window(-11000, -1, resolution=1.0, lookback=0.0)).samples[0].points) == 11000


def test_what_is_no_range(provider: PrometheusProvider) -> None:
    with pytest.raises(ConfigError, match="the server refuses the query"):
        provider.query("queue[1m]", window(0, 600))
    with pytest.raises(ConfigError, match="parse error"):
        provider.query("queue{", window(0, 600))


@pytest.mark.parametrize(("track", "slower_than", "share"), [("canary", 0.5, 0.1), ("canary", 0.1, 0.5), ("stable", 0.5, 0.0), ("stable", 0.1, 0.5)])
def test_the_share_of_slow_requests_is_counted(provider: PrometheusProvider, track: str, slower_than: float, share: float) -> None:
    asked = Window(track, RELEASE + 900, RELEASE + 1500, builtin="slow_share", slower_than=slower_than)
    [sample] = provider.query("", asked).samples
    assert sample.points[0].value == pytest.approx(share, abs=0.005)
    assert sample.points[0].n == pytest.approx(6000, abs=10)


def test_a_bound_that_no_bucket_has_is_refused(provider: PrometheusProvider) -> None:
    with pytest.raises(ConfigError, match=r"no bucket ends at 300 ms.*end at 0\.1, 0\.5"):
        provider.query("", Window("canary", RELEASE + 900, RELEASE + 1500, builtin="slow_share", slower_than=0.3))


def watched(provider: PrometheusProvider, seconds: float, **options: Any) -> BakeResult:
    """A bake of the made-up release, at the time when it was."""
    metrics = build.metrics({"provider": {"prometheus": {"url": provider.url, **OPTIONS}}, "metrics": [{"name": "m", "interval": "60s", **options}]})
    clock = FakeClock(epoch=float(RELEASE))
    ports = Ports(lambda metric, asked: provider.query(metric.query, asked), clock, lag=lambda metric: provider.lag, judges=build.judges(metrics, {}))
    return bake(tuple(metrics), ports, duration=seconds)


QUEUE = 'queue{track="${track}"}'


def test_values_of_the_step_against_the_half_hour_before_the_release(provider: PrometheusProvider) -> None:
    options = {"query": QUEUE, "resolution": "15s", "baseline": "before"}
    bad = watched(provider, 600, judge={"mann_whitney": {"points": 20}}, **options)
    assert (bad.phase, bad.seconds) == (Phase.FAILED, 360)
    assert "(20 and 117 values" in bad.reason  # 1800 s less a lookback, and nothing twice
    good = watched(provider, 600, judge={"mann_whitney": {"points": 20}}, **{**options, "query": QUEUE.replace("${track}", "stable")})
    assert good.phase is Phase.SUCCESSFUL


def test_values_of_the_same_time(provider: PrometheusProvider) -> None:
    options = {"query": QUEUE, "resolution": "15s", "direction": "either"}
    bad = watched(provider, 600, judge="kayenta", **options)
    assert bad.phase is Phase.FAILED
    good = watched(provider, 600, judge="mann_whitney", **{**options, "query": QUEUE.replace("${track}", "stable")})
    assert good.phase is Phase.SUCCESSFUL


@pytest.mark.parametrize("judge", ["exact", "sequential"])
def test_latency_is_judged_by_counts(provider: PrometheusProvider, judge: str) -> None:
    slow = watched(provider, 580, builtin="slow_share", slower_than="500ms", judge=judge)
    assert slow.phase is Phase.FAILED
    quick = watched(provider, 580, builtin="slow_share", slower_than="100ms", judge={judge: {"mde": 0.1}})
    assert quick.phase is Phase.SUCCESSFUL


def test_nothing_of_before_the_server_is_made_up(provider: PrometheusProvider) -> None:
    result = watched(provider, 600, query='no_such{track="${track}"}', resolution="15s", judge="mann_whitney")
    assert result.phase is Phase.INCONCLUSIVE and result.no_data


def test_a_dead_server_is_no_gap(provider: PrometheusProvider) -> None:
    dead = PrometheusProvider("http://127.0.0.1:1", {})
    with pytest.raises(Unavailable):
        dead.query("queue", window(0, 600))
