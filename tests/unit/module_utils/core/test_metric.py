# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of the release file: what is refused before anything changes, and how queries are filled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric, analysis_options, literal_range, render, window_labels
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import Option, argument_spec, documentation, validate

GOOD = {"name": "errors", "query": "q", "success_condition": "result < 1"}


def metric(**options: Any) -> Metric:
    return Metric.from_options({**GOOD, **options}, "metrics[0]")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"success_condition": None}, "nothing says what a good value is"),
        ({"query": None}, "either query or builtin"),
        ({"builtin": "error_rate"}, "either query or builtin"),
        ({"query": None, "builtin": "slow_share"}, "slow_share and slower_than belong together"),
        ({"query": None, "builtin": "slow_share", "slower_than": 0}, "slow_share and slower_than belong together"),
        ({"slower_than": "1s"}, "slow_share and slower_than belong together"),
        ({"resolution": 0}, "a resolution of 0 never ends"),
        ({"resolution": "15s", "total_query": "q"}, "resolution is for values"),
        ({"query": "  "}, "either query or builtin"),
        ({"query": None, "builtin": "eror_rate"}, "Did you mean error_rate"),
        ({"count": 2}, "count 2 needs an interval"),
        ({"count": 0}, "count 0 .* needs an interval"),
        ({"count": -1}, "out of range"),
        ({"count": 2.5, "interval": 1}, "whole number"),
        ({"interval": 0}, "interval of 0"),
        ({"interval": "0s"}, "interval of 0"),
        ({"interval": "-5s"}, "not a duration"),
        ({"interval": "nan"}, "not a duration"),
        ({"interval": "400d"}, "not a duration"),
        ({"interval": 9e9}, "out of range"),
        ({"threshold_range": {"min": 2, "max": 1}}, "min 2 is above max 1"),
        ({"threshold_range": {"min": "nan"}}, "out of range"),
        ({"threshold_range": {"max": "inf"}}, "not a finite number"),
        ({"threshold_range": {"mix": 1}}, "Did you mean min"),
        ({"max_ratio": "nan"}, "out of range"),
        ({"max_ratio": 0}, "above 0"),
        ({"max_ratio": -2}, "above 0"),
        ({"max_delta": -1}, "out of range"),
        ({"max_delta": "inf"}, "not a finite number"),
        ({"baseline": "fixed"}, "belong together"),
        ({"baseline_value": 3}, "belong together"),
        ({"baseline": "fixed", "baseline_value": "nan"}, "out of range"),
        ({"baseline": "stabel"}, "Did you mean stable"),
        ({"success_condition": "resul < 1"}, "Did you mean result"),
        ({"failure_condition": "1 < 2"}, "result is not named"),
        ({"successCondition": "result < 2"}, "given twice"),
        ({"sucess_condition": "result < 2"}, "Did you mean success_condition"),
        ({"query": "up{track='${tracks}'}"}, r"Did you mean \$\{track\}"),
        ({"query": "up{track='${ track }'}"}, "unknown placeholder"),
        ({"query": "up{track='${}'}"}, "unknown placeholder"),
        ({"reduce": "max", "success_condition": "result[0] < 1"}, "asks for all series"),
        ({"max_ratio": 2, "success_condition": "len(result) < 1"}, "asks for all series"),
        ({"no_data": "ignore"}, "unknown value"),
        ({"quantile": 95, "query": None, "builtin": "latency"}, "out of range"),
        ({"failure_limit": -2}, "out of range"),
        ({"name": "a;b"}, "not a name"),
        ({"name": None}, "name is missing"),
        ({"min_requests": -1}, "out of range"),
    ],
)
def test_refused_with_place(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        metric(**options)
    assert "metrics[0]" in str(caught.value)


def test_argo_spelling() -> None:
    pasted = {
        "name": "success-rate", "interval": "5m", "initialDelay": "30s", "count": 3, "successCondition": "result[0] >= 0.95", "failureLimit": 3,
        "failureCondition": "result[0] < 0.5", "inconclusiveLimit": 2, "consecutiveErrorLimit": 1, "consecutiveSuccessLimit": 2, "query": "up",
    }
    got = Metric.from_options(pasted, "m")
    assert (got.interval, got.initial_delay, got.count, got.failure_limit, got.inconclusive_limit) == (300.0, 30.0, 3, 3, 2)
    assert (got.consecutive_error_limit, got.consecutive_success_limit) == (1, 2)
    assert Metric.from_options({"name": "m", "query": "q", "thresholdRange": {"min": 99}}, "m").minimum == 99


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 1), ({"interval": 5}, None), ({"count": 3, "interval": 5}, 3), ({"count": 0, "interval": 5}, None), ({"count": 1}, 1)],
)
def test_effective_count(options: dict[str, Any], count: int | None) -> None:
    assert metric(**options).effective_count == count


def test_defaults_of_the_analysis() -> None:
    assert Metric.from_options(GOOD, "m", interval=10.0, no_data_timeout=60.0).interval == 10.0
    assert Metric.from_options(GOOD, "m", no_data_timeout=60.0).no_data_timeout == 60.0
    assert Metric.from_options({**GOOD, "count": 1}, "m", interval=10.0).interval is None
    assert metric(max_ratio=2).baseline == "stable"
    assert metric(query=None, builtin="success_rate").direction == "decrease"
    assert metric(dry_run=True, success_condition=None).dry_run


@pytest.mark.parametrize(
    ("options", "seconds", "message"),
    [
        ({"interval": "10m"}, 300, "first measured after"),
        ({"interval": "1m", "count": 10}, 300, "only 5 fit"),
        ({"initial_delay": "10m"}, 300, "first measured"),
        ({"query": "rate(x[5m])"}, 60, "looks back 5:00"),
        ({"interval": 10, "initial_delay": 65}, 60, "first measured"),
    ],
)
def test_a_wait_too_short_is_refused(options: dict[str, Any], seconds: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        metric(**options).check_fits(seconds, "steps[1]")


def test_a_wait_that_fits() -> None:
    metric(interval="10s", query="rate(x[1m])").check_fits(60, "steps[1]")
    assert metric(interval="10s").planned(60) == 6
    assert metric(interval="10s", initial_delay="20s").planned(60) == 5


@pytest.mark.parametrize("options", [
    {}, {"interval": "30s"}, {"count": 1}, {"count": 5, "interval": "30s"}, {"initial_delay": "1m"}, {"initial_delay": "1m", "interval": "30s"},
    {"initial_delay": "1m", "interval": "30s", "count": 5}, {"initial_delay": "1m", "count": 1},
])  # fmt: skip
def test_the_least_wait_is_just_long_enough(options: dict[str, Any]) -> None:
    made = metric(**options)
    asked = made if made.interval or made.count else replace(made, interval=10.0)
    least = made.least(10.0)
    asked.check_fits(least, "here")
    assert asked.planned(least) == (made.count or 1)
    assert least == 0 or asked.planned(least - 1) < asked.planned(least)


def test_provider_and_judge_by_one_key() -> None:
    providers = {"web": Option("dict", "Web.", options={"url": Option("str", "Where.", required=True)})}
    got = Metric.from_options({**GOOD, "provider": {"web": {"url": "http://x"}}}, "m", providers=providers)
    assert (got.provider, got.provider_options) == ("web", {"url": "http://x"})
    with pytest.raises(ConfigError, match="Did you mean web"):
        Metric.from_options({**GOOD, "provider": {"webb": {}}}, "m", providers=providers)
    got = metric(judge={"kayenta": {"pass": 90}})
    assert (got.judge, got.judge_options) == ("kayenta", {"pass": 90})
    with pytest.raises(ConfigError, match="exactly one judge"):
        metric(judge={"a": {}, "b": {}})


def test_analysis_table() -> None:
    table = analysis_options({"memory": Option("dict", "Scripted.", options={})})
    given = validate({"provider": {"memory": {}}, "metrics": [{**GOOD, "failureLimit": 1}]}, table, "rollout_analysis")
    assert (given["interval"], given["on_no_data"], given["error_hold"], given["metrics"][0]["failure_limit"]) == ("10s", "abort", "10m", 1)
    assert Metric.from_options(given["metrics"][0], "m").failure_limit == 1
    assert argument_spec(table)["metrics"]["options"]["success_condition"]["aliases"] == ["successCondition"]
    assert documentation(table)["metrics"]["suboptions"]["interval"]["type"] == "str"


def test_codec_round_trip() -> None:
    one = metric(interval="5s", max_ratio=2, threshold_range={"min": 1}, judge={"exact": {"alpha": 0.05}})
    assert decode(Metric, encode(one)) == one


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0), ("rate(x[5m])", 300), ("rate(x[1h30m])", 5400), ("rate(x[30s]) / rate(y[2m])", 120), ("max_over_time(x[1h:5m])", 3600), ("x[500ms]", 0.5),
        ('x{path="[9h]"}', 0), ("x{path='[9h]'}[5m]", 300), ("x[${window}]", 0), ("x[ 1d ]", 86400),
    ],
)
def test_literal_range(query: str, seconds: float) -> None:
    assert literal_range(query) == seconds


LABELS = {"track": "canary", "workload": "shop", "namespace": "prod", "version": "2.4.1", "window": "45s"}


def test_render() -> None:
    query = 'sum(rate(${workload}_requests{track="${track}",ns=\'${namespace}\'}[${window}]))'
    assert render(query, LABELS) == "sum(rate(shop_requests{track=\"canary\",ns='prod'}[45s]))"


@pytest.mark.parametrize(
    ("value", "plain", "regex"),
    [
        ('a"b', r'x{v="a\x22b"}', r'x{v=~"a\x22b"}'),
        ("a'b", r'x{v="a\x27b"}', r'x{v=~"a\x27b"}'),
        ("a\\b", 'x{v="a\\\\b"}', 'x{v=~"a\\\\\\\\b"}'),
        (".*", 'x{v=".*"}', r'x{v=~"\\.\\*"}'),
        ("a\nb", r'x{v="a\nb"}', r'x{v=~"a\nb"}'),
        ('"} or up{a="', r'x{v="\x22} or up{a=\x22"}', r'x{v=~"\x22\\} or up\\{a=\x22"}'),
        ("${track}", 'x{v="${track}"}', r'x{v=~"\\$\\{track\\}"}'),
    ],
)
def test_values_are_inert(value: str, plain: str, regex: str) -> None:
    labels = {**LABELS, "version": value}
    assert render('x{v="${version}"}', labels) == plain
    assert render('x{v=~"${version}"}', labels) == regex


@pytest.mark.parametrize("query", ["${version}_total", "x{v=`${version}`}"])
def test_values_that_cannot_stand_there(query: str) -> None:
    with pytest.raises(DeliveryError):
        render(query, {**LABELS, "version": "a`} or up"})


@pytest.mark.parametrize("name", sorted(LABELS))
def test_empty_label_is_an_error(name: str) -> None:
    with pytest.raises(Unavailable, match="matches everything"):
        render('x{v="${' + name + '}"}', {**LABELS, name: ""})
    with pytest.raises(Unavailable, match="matches everything"):
        render('x{v="${' + name + '}"}', {key: value for key, value in LABELS.items() if key != name})


def test_window_labels() -> None:
    assert window_labels(Window("canary", 100.0, 145.9, {"workload": "shop"})) == {"workload": "shop", "track": "canary", "window": "45s"}
    assert window_labels(Window("canary", 100.0, 100.5))["window"] == ""
