# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences of Envoy's counters, over a clock that the test sets."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import ClusterStatus, Counters, EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.envoy import BUILTINS, EnvoyProvider

CLUSTERS = {"stable": "s", "canary": "c"}


class FakeAdmin(EnvoyAdmin):
    def __init__(self, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}")
        self.served = {"s": Counters(0, 0, {}), "c": Counters(0, 0, {})}
        self.started = "monday"
        self.alive = True

    def epoch(self) -> str:
        return self.started

    def clusters(self, names: Any) -> dict[str, ClusterStatus]:
        if not self.alive:
            raise Unavailable("no answer")
        return {name: ClusterStatus(name, name, ()) for name in names}

    def counters(self, stat_names: Any, *, latency: bool = False) -> dict[str, Counters]:
        return {name: self.served[name] for name in stat_names}


class Bed:
    def __init__(self) -> None:
        self.now = 1000.0
        self.admins = [FakeAdmin(1), FakeAdmin(2)]
        self.provider = EnvoyProvider(list(self.admins), CLUSTERS, clock=lambda: self.now)

    def later(self, seconds: float, *served: Counters) -> None:
        self.now += seconds
        for admin, counters in zip(self.admins, served):
            admin.served = {**admin.served, "c": counters}

    def ask(self, builtin: str = "error_rate", start: float = 1000.0, quantile: float = 0.5) -> tuple[float, int | None]:
        [sample] = self.provider.query("", Window("canary", start, self.now, builtin=builtin, quantile=quantile)).samples
        [point] = sample.points
        assert point.time == self.now
        return point.value, point.n


@pytest.fixture
def bed() -> Bed:
    result = Bed()
    result.provider.probe()
    return result


def test_builtins_are_differences_summed_over_all_envoys(bed: Bed) -> None:
    bed.later(10, Counters(100, 10, {(5.0, 6.0): 50, (6.0, 7.0): 50}), Counters(300, 10, {(6.0, 7.0): 300}))
    assert bed.ask("error_rate") == (0.05, 400)
    assert bed.ask("success_rate") == (0.95, 400)
    assert bed.ask("request_rate") == (40.0, 400)
    value, _n = bed.ask("latency", quantile=0.125)
    assert value == 6.0


def test_slow_requests_are_counted_where_the_bound_is_exact(bed: Bed) -> None:
    bed.later(10, Counters(100, 10, {(240.0, 250.0): 50, (250.0, 260.0): 50}), Counters(300, 10, {(6.0, 7.0): 300}))

    def ask(seconds: float) -> tuple[float, int | None]:
        [point] = bed.provider.query("", Window("canary", 1000, 1010, builtin="slow_share", slower_than=seconds)).samples[0].points
        return point.value, point.n

    assert ask(0.25) == (0.125, 400)
    assert ask(1.0) == (0.0, 400)
    with pytest.raises(ConfigError, match="255 lies within a bucket"):
        ask(0.255)


def test_the_window_begins_at_the_look_nearest_to_its_start(bed: Bed) -> None:
    bed.later(10, Counters(100, 100, {}))
    assert bed.ask() == (1.0, 100)
    bed.later(10, Counters(200, 100, {}))
    assert bed.ask(start=1009.5) == (0.0, 100)
    assert bed.ask(start=1000.0) == (0.5, 200)


def test_the_look_nearest_to_the_window_counts_else_the_last_one(bed: Bed) -> None:
    """A provider lives for one bake, so its last look is never from another step; without this, slow looks would never have data."""
    bed.later(30, Counters(100, 0, {}))
    assert bed.ask(start=1020.0)[1] == 100
    bed.later(5, Counters(150, 5, {}))
    assert bed.ask(start=1030.0) == (0.1, 50)


def test_no_requests_are_no_data_but_a_rate(bed: Bed) -> None:
    bed.later(10)
    for builtin in ("error_rate", "success_rate", "latency"):
        with pytest.raises(NoData, match="no requests to canary in the last 10 s"):
            bed.ask(builtin)
    assert bed.ask("request_rate") == (0.0, 0)


def test_latency_not_merged_yet(bed: Bed) -> None:
    bed.later(1, Counters(5, 0, {}))
    with pytest.raises(NoData, match="stats_flush_interval"):
        bed.ask("latency")


@pytest.mark.parametrize("after", [Counters(5, 0, {}), Counters(50, 0, {}), Counters(50, 1, {(1.0, 2.0): 3})])
def test_a_counter_that_falls_is_a_restart(bed: Bed, after: Counters) -> None:
    bed.later(10, Counters(40, 1, {(1.0, 2.0): 40}))
    bed.ask()
    bed.later(10, after)
    with pytest.raises(NoData, match="envoy 127.0.0.1:1: it restarted"):
        bed.ask(start=1010.0)


def test_a_restart_whose_counters_overtook_the_old_ones(bed: Bed) -> None:
    bed.later(10, Counters(40, 1, {}))
    bed.admins[1].started = "tuesday"
    with pytest.raises(NoData, match="127.0.0.1:2: it restarted"):
        bed.ask()


def test_errors(bed: Bed) -> None:
    with pytest.raises(Unsupported, match="cannot answer 'up'.*error_rate"):
        bed.provider.query("up", Window("canary", 1000, 1010))
    with pytest.raises(Unsupported, match="'memory'"):
        bed.provider.query("", Window("canary", 1000, 1010, builtin="memory"))
    with pytest.raises(ConfigError, match="track 'blue'"):
        bed.provider.query("", Window("blue", 1000, 1010, builtin=BUILTINS[0]))
    bed.admins[1].alive = False
    with pytest.raises(Unavailable):
        bed.provider.probe()


def test_options() -> None:
    raw = {"endpoints": [{"admin": "http://127.0.0.1:9901"}], "clusters": CLUSTERS, "timeout": "2s"}
    provider = EnvoyProvider.from_options(validate(raw, EnvoyProvider.OPTIONS, "provider.envoy"), {"stable": (), "canary": ()})
    assert provider.admins[0].timeout == 2 and provider.clusters == CLUSTERS
    for changes, tracks in (({}, {"green": ()}), ({"endpoints": []}, {})):
        with pytest.raises(ConfigError):
            EnvoyProvider.from_options(validate({**raw, **changes}, EnvoyProvider.OPTIONS, "provider.envoy"), tracks)
