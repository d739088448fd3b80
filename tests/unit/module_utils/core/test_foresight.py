# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a plan beforehand: weights that a router cannot make, bakes that get too few requests."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.foresight import Rate, check_shares, made, thin
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import StepSpec
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import ALL, BAKE, MATCH, brief, weights

ERRORS = Metric("errors", builtin="error_rate", failure_condition="result > 0.01", min_requests=300)


def split(*levels, stable=4, canary=4):
    return compile_plan(brief(stable=stable, canary=canary, steps=weights(*levels)))


def baked(weight, *, seconds=60.0, before=(), **more):
    given = (*(StepSpec(step=step) for step in before), *weights(weight), StepSpec(step=replace(BAKE, duration=seconds)), *weights(100))
    return compile_plan(brief(stable=4, canary=4, steps=given, **more))


def judged(plan, metric, requests, *, seconds=10.0, interval=10.0, lag=0.0):
    return thin(plan, [metric], Rate(requests, seconds), interval, lambda metric: lag)


@pytest.mark.parametrize("resolution, weight", [(100, "33.3"), (1000, "33.33"), (100, "0.5"), (10000, "0.001"), (1, "5")])
def test_a_weight_between_two_parts_is_refused_by_the_name_of_its_step(resolution: int, weight: str) -> None:
    with pytest.raises(ConfigError, match=r"step '[0-9.]+ %' wants"):
        check_shares(split(weight), resolution, {Fraction(weight)})


@pytest.mark.parametrize("resolution, weight", [(100, "33"), (1000, "33.3"), (10000, "33.33"), (256, "33.3"), (256, "0.4"), (1, "100")])
def test_a_weight_that_the_router_can_make_is_taken(resolution: int, weight: str) -> None:
    check_shares(split(weight), resolution, {Fraction(weight)})


@pytest.mark.parametrize("resolution, weight, stable, canary, share", [
    (10000, "33.33", 4, 4, 0.3333), (256, "50", 4, 4, 0.5), (256, "33.3", 4, 4, 0.333), (10, "33", 2, 2, 1 / 3), (100, "5", 2, 6, 0.05),
])
def test_what_a_router_makes_of_a_share(resolution: int, weight: str, stable: int, canary: int, share: float) -> None:
    plan = replace(split(weight, stable=stable, canary=canary), resolution=resolution)
    routes = replace(plan.start, weights={"stable": 100 - Fraction(weight), "canary": Fraction(weight)})
    assert made(plan, routes) == pytest.approx(share, abs=0.002)
    by_pods = replace(routes, pods={"stable": 2, "canary": 1})
    assert made(plan, by_pods) == pytest.approx(1 / 3)


def test_server_weights_depend_on_how_many_servers_there_are() -> None:
    check_shares(split(1, stable=30, canary=30), 256, {Fraction(1)})
    with pytest.raises(ConfigError, match=r"step '1 %' wants 1 %: whole weights up to 256 on 40 and 1 servers give 13.51 % at best"):
        check_shares(split(1, stable=1, canary=40), 256, {Fraction(1)})


def test_weights_that_nobody_wrote_are_left_to_the_router() -> None:
    check_shares(split("33.3"), 100, {Fraction(20)})


def test_enough_requests_need_no_word() -> None:
    assert judged(baked(20), ERRORS, 2000) == ([], [])


def test_a_window_that_is_too_short_is_a_warning_with_what_would_do() -> None:
    doubtful, hopeless = judged(baked(5, seconds=120), ERRORS, 1000)
    assert doubtful == ["bake at 5 %: errors needs 300 requests, gets about 50 in 10 s at 100 requests/s: give it interval: 60s, or start at 30 %"]
    assert hopeless == []


def test_a_bake_that_is_too_short_as_well_says_how_long_it_must_be() -> None:
    doubtful, hopeless = judged(baked(5, seconds=30), replace(ERRORS, interval=30.0), 1000, seconds=10)
    assert doubtful == []
    [text] = hopeless
    assert text.startswith("bake at 5 %: errors needs 300 requests, gets about 150 in 30 s at 100 requests/s: ")
    assert text.endswith(": bake at least 60s and give it interval: 60s, or start at 10 %")


def test_what_not_even_the_whole_step_can_give_is_hopeless() -> None:
    doubtful, hopeless = judged(baked(1), ERRORS, 2, seconds=1)
    assert doubtful == []
    assert hopeless[0].startswith("bake at 1 %: errors needs 300 requests, gets about 0 in 10 s at 2 requests/s: bake at least 250m")


def test_a_short_count_is_no_proof() -> None:
    """50 requests a second would do, and one second in which 40 came does not say that there are fewer."""
    doubtful, hopeless = judged(baked(10), ERRORS, 40, seconds=1)
    assert hopeless == []
    assert len(doubtful) == 1


def test_a_metric_measured_once_sees_all_that_came_until_its_data_are_given_up() -> None:
    once = replace(ERRORS, count=1, no_data_timeout=600.0)
    assert judged(baked(10), once, 1000)[1] == []
    assert judged(baked(10), once, 50, seconds=10)[1] == []
    assert judged(baked(10), replace(once, no_data_timeout=0.0), 1, seconds=100)[1] != []


def test_a_window_holds_four_scrapes() -> None:
    assert judged(baked(50, seconds=300), ERRORS, 100, lag=15.0) == ([], [])


@pytest.mark.parametrize("metric", [replace(ERRORS, dry_run=True), replace(ERRORS, min_requests=0)])
def test_nothing_is_claimed_of_metrics_that_need_nothing(metric: Metric) -> None:
    assert judged(baked(1), metric, 1) == ([], [])


def test_nothing_is_claimed_where_weights_do_not_say_who_comes() -> None:
    assert judged(baked(1, before=(MATCH,)), ERRORS, 1) == ([], [])
    assert judged(baked(1, watch=False), ERRORS, 1) == ([], [])


def test_a_rolling_update_is_judged_by_all_requests() -> None:
    made = compile_plan(brief("rolling", capabilities=ALL, options={"monitor": 60.0}))
    assert judged(made, ERRORS, 400, seconds=10) == ([], [])
    doubtful, _hopeless = judged(made, ERRORS, 200, seconds=10)
    assert "gets about 200 in 10 s" in doubtful[0]


def test_rates() -> None:
    assert Rate(20, 10).now == 2
    assert Rate(0, 1).most == 7
    assert Fraction(Rate(10_000, 1).most / 10_000).limit_denominator(100) <= Fraction(104, 100)
