# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measurement to one verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge, overdue, threshold_text
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series, Verdict

NAN, INF = math.nan, math.inf
GOOD, BAD, OPEN, UNSURE, BROKEN = Phase.SUCCESSFUL, Phase.FAILED, Phase.PENDING, Phase.INCONCLUSIVE, Phase.ERROR


def metric(**options: Any) -> Metric:
    return Metric.from_options({"name": "error-rate", "query": "q", **options}, "m")


def series(*values: float, n: int | None = None, partial: str = "") -> Series:
    return Series(tuple(Sample((Point(0.0, value, n),)) for value in values), partial)


@pytest.mark.parametrize(
    ("options", "values", "phase"),
    [
        ({"success_condition": "result < 1"}, [0.5], GOOD),
        ({"success_condition": "result < 1"}, [1.0], BAD),
        ({"failure_condition": "result > 1"}, [1.0], GOOD),
        ({"failure_condition": "result > 1"}, [1.1], BAD),
        ({"success_condition": "result < 1", "failure_condition": "result > 2"}, [0.5], GOOD),
        ({"success_condition": "result < 1", "failure_condition": "result > 2"}, [1.5], UNSURE),
        ({"success_condition": "result < 1", "failure_condition": "result > 2"}, [2.5], BAD),
        ({"success_condition": "result < 3", "failure_condition": "result > 2"}, [2.5], BAD),
        ({"threshold_range": {"min": 1, "max": 2}}, [1.0], GOOD),
        ({"threshold_range": {"min": 1, "max": 2}}, [2.0], GOOD),
        ({"threshold_range": {"min": 1, "max": 2}}, [0.99], BAD),
        ({"threshold_range": {"min": 1, "max": 2}}, [2.01], BAD),
        ({"threshold_range": {"min": 1}, "success_condition": "result < 9"}, [0.0], BAD),
        ({"threshold_range": {"min": 1}, "success_condition": "result < 9"}, [5.0], GOOD),
        ({"success_condition": "all(result, # < 1)"}, [0.5, 0.6], GOOD),
        ({"success_condition": "result[0] < 1"}, [0.5, 1.6], GOOD),
        ({"success_condition": "result < 1"}, [0.5, 0.6], BROKEN),
        ({"success_condition": "result < 1", "reduce": "max"}, [0.5, 1.6], BAD),
        ({"success_condition": "result < 1", "reduce": "min"}, [0.5, 1.6], GOOD),
        ({"success_condition": "result < 1", "reduce": "avg"}, [0.5, 1.4], GOOD),
        ({"success_condition": "result < 1", "reduce": "sum"}, [0.5, 0.6], BAD),
        ({"success_condition": "result < 1", "reduce": "any"}, [0.5, 1.6], GOOD),
        ({"success_condition": "result < 1", "reduce": "all"}, [0.5, 1.6], BAD),
        ({"failure_condition": "result > 1", "reduce": "any"}, [0.5, 1.6], BAD),
        ({"failure_condition": "result > 1", "reduce": "all"}, [0.5, 1.6], GOOD),
        ({"success_condition": "result[2] < 1"}, [0.5, 1.6], BROKEN),
        ({"success_condition": "1 / result < 1"}, [0.0], BROKEN),
        ({"success_condition": "result < 1"}, [NAN], OPEN),
        ({"failure_condition": "result > 1"}, [NAN], OPEN),
        ({"failure_condition": "result > 1", "reduce": "max"}, [0.5, NAN], OPEN),
        ({"success_condition": "!any(result, # > 1)"}, [0.5, NAN], OPEN),
        ({"success_condition": "isNaN(result) || result < 1"}, [NAN], GOOD),
        ({"failure_condition": "isNaN(result)"}, [NAN], BAD),
        ({"success_condition": "result > 1"}, [INF], BAD),
        ({"failure_condition": "result > 1"}, [-INF], BAD),
        ({"threshold_range": {"min": 1}}, [INF], BAD),
        ({"success_condition": "isInf(result)"}, [INF], GOOD),
        ({"dry_run": True}, [5.0], GOOD),
    ],
)
def test_point_values(options: dict[str, Any], values: list[float], phase: Phase) -> None:
    assert judge(metric(**options), series(*values)).phase is phase


@pytest.mark.parametrize(
    ("options", "value", "baseline", "phase", "says"),
    [
        ({"max_ratio": 2}, 0.2, 0.1, GOOD, "not more than 2x"),
        ({"max_ratio": 2}, 0.21, 0.1, BAD, "more than 2x"),
        ({"max_ratio": 2}, 0.21, 0.0, UNSURE, "needs max_delta or an absolute bound"),
        ({"max_ratio": 2}, 0.0, 0.0, UNSURE, "needs max_delta or an absolute bound"),
        ({"max_ratio": 2, "max_delta": 0.1}, 0.05, 0.0, GOOD, "not more than 0.1 above"),
        ({"max_ratio": 2, "max_delta": 0.1}, 0.15, 0.0, BAD, "more than 0.1 above"),
        ({"max_ratio": 2, "failure_condition": "result > 0.5"}, 0.4, 0.0, GOOD, "absolute bound decides"),
        ({"max_ratio": 2, "failure_condition": "result > 0.5"}, 0.6, 0.0, BAD, "above the limit of 0.5"),
        ({"max_ratio": 2}, 0.1, None, UNSURE, "no baseline"),
        ({"max_delta": 2}, 0.1, None, UNSURE, "no baseline"),
        ({"max_delta": 2}, 0.1, NAN, UNSURE, "no baseline"),
        ({"max_ratio": 2}, 0.1, INF, UNSURE, "no baseline"),
        ({"max_ratio": 2, "success_condition": "result < 1"}, 0.1, None, GOOD, "no baseline"),
        ({"max_ratio": 2, "success_condition": "result < 1"}, 1.1, None, BAD, "not result < 1"),
        ({"max_ratio": 2}, 0.1, -1.0, UNSURE, "needs max_delta"),
        ({"max_delta": 0.1, "direction": "decrease"}, 0.8, 0.95, BAD, "more than 0.1 below"),
        ({"max_delta": 0.1, "direction": "decrease"}, 1.5, 0.95, GOOD, "not more than"),
        ({"max_ratio": 2, "direction": "decrease"}, 0.4, 1.0, BAD, "more than 2x"),
        ({"max_ratio": 2, "direction": "either"}, 0.4, 1.0, BAD, "more than 2x"),
        ({"max_ratio": 2, "direction": "either"}, 0.6, 1.0, GOOD, "not more than"),
        ({"max_delta": 0.1, "direction": "either"}, 0.6, 1.0, BAD, "away from"),
        ({"max_ratio": 1.5, "baseline": "fixed", "baseline_value": 2}, 3.1, None, BAD, "2 as fixed"),
        # the baseline breaks the absolute bound as well
        ({"max_ratio": 2, "failure_condition": "result > 0.5"}, 0.9, 0.8, UNSURE, "hold"),
        ({"max_ratio": 2, "failure_condition": "result > 0.5"}, 0.9, 0.4, BAD, "above the limit of 0.5"),
        ({"max_ratio": 2, "failure_condition": "result > 0.1"}, 0.9, 0.2, BAD, "more than 2x"),
        ({"baseline": "stable", "threshold_range": {"max": 1}}, 3.0, 2.0, UNSURE, "hold"),
        ({"baseline": "stable", "success_condition": "isNaN(result) || result < 9", "max_delta": 1}, NAN, 2.0, UNSURE, "NaN cannot"),
    ],
)
def test_against_a_baseline(options: dict[str, Any], value: float, baseline: float | None, phase: Phase, says: str) -> None:
    verdict = judge(metric(**options), series(value), None if baseline is None else series(baseline))
    assert verdict.phase is phase
    assert says in verdict.reason


def test_the_sentence() -> None:
    errors = Metric.from_options({"name": "error-rate", "builtin": "error_rate", "max_ratio": 2}, "m")
    verdict = judge(errors, series(0.063, n=318), series(0.001, n=9120))
    assert verdict == Verdict(BAD, "error-rate of the canary 6.3 % (n 318) against 0.1 % of stable: more than 2x", 0.063, 0.001, "at most 2x stable", 318)
    latency = Metric.from_options({"name": "p95", "builtin": "latency", "max_delta": 10, "baseline": "before"}, "m")
    assert judge(latency, series(41), series(38)).reason == "p95 of the canary 41 ms against 38 ms before the release: not more than 10 ms above"
    assert threshold_text(metric(failure_condition="result > 1", threshold_range={"min": 0})) == "\u2264 1, 0.."
    share = Metric.from_options({"name": "errors", "builtin": "error_rate", "failure_condition": "result >= 0.02"}, "m")
    assert threshold_text(share) == "< 2 %"
    assert judge(share, series(0.1)).reason == "errors of the canary 10 %: above the limit of 2 %"
    assert threshold_text(metric(failure_condition="isNaN(result) || result > 1")) == "not (isNaN(result) || result > 1)"


def test_no_data_and_too_little() -> None:
    few = metric(success_condition="result < 1", min_requests=300)
    assert judge(few, None).phase is OPEN
    verdict = judge(few, series(0.0, n=18))
    assert (verdict.phase, verdict.reason) == (OPEN, "error-rate of the canary: 18 of 300 requests, needs 282 more")
    assert judge(few, series(0.0, n=300)).phase is GOOD
    assert judge(few, series(0.0)).phase is BROKEN  # how many requests is not said: never taken for enough
    assert judge(metric(success_condition="result < 1", min_samples=2), series(0.0)).phase is OPEN
    assert judge(metric(success_condition="result < 1"), Series((Sample(()),))).phase is OPEN
    assert judge(metric(success_condition="result < 1"), Series(())).phase is OPEN


def test_a_thin_baseline_is_none() -> None:
    one = metric(max_ratio=2, min_requests=100)
    assert judge(one, series(0.1, n=500), series(0.1, n=5)).phase is UNSURE
    assert judge(one, series(0.1, n=500), series(0.1, n=500)).phase is GOOD


def test_partial_answers() -> None:
    assert judge(metric(success_condition="result < 1"), series(0.5, partial="2 of 3 stores")).phase is BROKEN
    assert judge(metric(success_condition="result < 1", allow_partial=True), series(0.5, partial="2 of 3 stores")).phase is GOOD


@pytest.mark.parametrize(
    ("options", "phase"),
    [
        ({"success_condition": "result < 1"}, UNSURE),
        ({"success_condition": "result < 1", "no_data": "error"}, BROKEN),
        ({"success_condition": "result < 1", "no_data": "failure"}, BAD),
        ({"success_condition": "result < 1", "no_data": "success"}, GOOD),
        ({"success_condition": "isNil(result) || result < 1"}, GOOD),
        ({"success_condition": "default(result, 5) < 1"}, BAD),
        ({"failure_condition": "len(result) == 0"}, BAD),
        ({"success_condition": "isNil(result) && result < 1"}, UNSURE),
        ({"success_condition": "result < 1 || isNil(result)", "no_data": "failure"}, BAD),
    ],
)
def test_overdue(options: dict[str, Any], phase: Phase) -> None:
    one = metric(**options)
    assert overdue(one, judge(one, None)).phase is phase


def test_overdue_too_few_requests_is_not_nil() -> None:
    one = metric(success_condition="isNil(result) || result < 1", min_requests=10)
    assert overdue(one, judge(one, series(0.0, n=3))).phase is UNSURE


@given(st.lists(st.floats(), min_size=1, max_size=4), st.sampled_from(["", "any", "all", "max", "min", "avg", "sum"]), st.booleans())
@example([1.7e308, 1.7e308], "sum", False)
@example([1.7e308, 1.7e308], "avg", True)
def test_nothing_infinite_or_nan_passes(values: list[float], reduce: str, both: bool) -> None:
    options: dict[str, Any] = {"failure_condition": "result > 1e308"}
    if both:
        options["success_condition"] = "result > -1e308"
    if reduce:
        options["reduce"] = reduce
    verdict = judge(metric(**options), series(*values))
    if not all(math.isfinite(value) for value in values):
        assert verdict.phase in (OPEN, BAD, BROKEN)
    assert verdict.value is None or math.isfinite(verdict.value)
