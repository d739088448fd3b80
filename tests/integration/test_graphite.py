# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Graphite provider against carbon and graphite-web as Debian has them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Stale, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.graphite import GraphiteProvider
from ansible_collections.progressive.delivery.tests.integration.graphite_rig import Graphite
from ansible_collections.progressive.delivery.tests.waiting import wait_until

LONG = "10m"
"""A resolution that lets the machine be slow: for tests that are not about age."""


@pytest.fixture(scope="module")
def graphite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphite]:
    running = Graphite(tmp_path_factory.mktemp("graphite"))
    made(running).probe()
    yield running
    running.close()
    with pytest.raises(Unavailable, match="Connection refused"):
        made(running).probe()


def made(graphite: Graphite, **options: Any) -> GraphiteProvider:
    given = {"url": graphite.url, "timeout": "2m", "resolution": LONG, **options}
    return GraphiteProvider.from_options(validate(given, GraphiteProvider.OPTIONS, "graphite"), {})


def window(seconds: float = 600.0, ago: float = 0.0) -> Window:
    now = time.time() - ago
    return Window("canary", now - seconds, now, {"version": "2.4.1"})


def when_there(ask: Callable[[], Series]) -> Series:
    """What is asked for, once carbon has taken it in."""
    found: list[Series] = []

    def there() -> bool:
        try:
            found.append(ask())
        except NoData:
            return False
        return True

    wait_until(there, 60)
    return found[-1]


def value(series: Series) -> float:
    [sample] = series.samples
    return sample.points[0].value


def test_points_holes_and_consolidation(graphite: Graphite) -> None:
    graphite.send({"one.canary.errors": [3, None, 5, 1], "one.canary.requests": [100, 200, 300, 400]})
    when_there(lambda: made(graphite).query("one.${track}.requests", window()))
    wanted = {"last": 1.0, "sum": 9.0, "average": 3.0, "min": 1.0, "max": 5.0}
    for how, number in wanted.items():
        provider = made(graphite, consolidate=how, x_files_factor=0, count_query="sumSeries(one.${track}.requests)")

        def as_wanted(provider: GraphiteProvider = provider, number: float = number) -> bool:
            """A point on its way from carbon's memory to its file is in neither for a moment."""
            series = when_there(lambda: provider.query("one.${track}.errors", window()))
            return (value(series), series.samples[0].points[0].n, series.samples[0].labels["target"]) == (number, 1000, "one.canary.errors")

        wait_until(as_wanted, 60, lambda how=how: how)
    # four points in ten minutes of seconds: the rest is null
    with pytest.raises(NoData, match="points are there"):
        made(graphite, consolidate="sum").query("one.canary.errors", window())


def test_a_share_by_functions_of_the_server(graphite: Graphite) -> None:
    graphite.send({"two.canary.a.errors": [1, 1], "two.canary.b.errors": [0, 2], "two.canary.a.requests": [100, 100], "two.canary.b.requests": [100, 200]})
    when_there(lambda: made(graphite).query("two.canary.b.requests", window()))
    share = "divideSeries(sumSeries(two.${track}.*.errors), sumSeries(two.${track}.*.requests))"
    wait_until(lambda: value(when_there(lambda: made(graphite).query(share, window()))) == pytest.approx(0.01))
    series = made(graphite).query(share, window())
    metric = Metric.from_options({"name": "m", "query": "q", "failure_condition": "result > 0.005"}, "m")
    assert judge(metric, series).phase is Phase.FAILED


def test_several_series(graphite: Graphite) -> None:
    graphite.send({"three.a.errors": [1], "three.b.errors": [2]})
    when_there(lambda: made(graphite).query("three.b.errors", window()))
    series = made(graphite).query("three.*.errors", window())
    assert sorted(sample.points[0].value for sample in series.samples) == [1.0, 2.0]
    assert judge(Metric.from_options({"name": "m", "query": "q", "failure_condition": "result > 9"}, "m"), series).phase is Phase.ERROR


def test_nothing_is_no_data(graphite: Graphite) -> None:
    with pytest.raises(NoData, match="no series has this name"):
        made(graphite).query("nobody.knows.this", window())
    graphite.send({"four.errors": [1]})
    when_there(lambda: made(graphite).query("four.errors", window()))
    with pytest.raises(NoData, match="nothing but nulls"):
        made(graphite).query("four.errors", window(60, ago=1800))


def test_what_is_old_is_an_error(graphite: Graphite) -> None:
    graphite.send({"five.errors": [0, 0, *[None] * 120]})
    when_there(lambda: made(graphite).query("five.errors", window()))
    with pytest.raises(Stale, match="two points"):
        made(graphite, resolution="10s").query("five.errors", window())


def test_the_past_is_asked_about_at_its_end(graphite: Graphite) -> None:
    graphite.send({"six.errors": [7, *[None] * 900, 1]})
    when_there(lambda: made(graphite).query("six.errors", window(60)))
    assert value(made(graphite).query("six.errors", window(600, ago=600))) == 7.0


def test_infinity_is_a_value(graphite: Graphite) -> None:
    graphite.send({"seven.errors": [1]})
    series = when_there(lambda: made(graphite).query("scale(seven.errors,1e308)", window()))
    assert value(series) == 1e308
    assert value(made(graphite).query("scale(scale(seven.errors,1e308),10)", window())) == math.inf


def test_a_target_that_is_refused(graphite: Graphite) -> None:
    with pytest.raises(ConfigError, match="unknown function"):
        made(graphite).query("noSuchFunction(a)", window())
    for wrong in ("sumSeries(a", "a)", "seriesByTag('a=b)", "a.{b,c"):  # which the server would answer with an empty list
        with pytest.raises(ConfigError, match="not closed, or not opened"):
            made(graphite).query(wrong, window())


def test_its_cache_is_not_asked(graphite: Graphite) -> None:
    graphite.send({"eight.errors": [1]})
    ask = made(graphite, consolidate="max", x_files_factor=0)
    when_there(lambda: ask.query("eight.errors", window()))
    graphite.send({"eight.errors": [5]})
    wait_until(lambda: value(when_there(lambda: ask.query("eight.errors", window()))) == 5.0)
