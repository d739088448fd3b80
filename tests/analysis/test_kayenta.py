# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of the judge kayenta by its published rules, and its score in a whole bake."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import BakeResult, Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.judges.kayenta_classify import CLES, Effect, classify
from ansible_collections.progressive.delivery.tests.analysis.wilcox_by_r import VECTORS

LOW = [1.0, 2.0, 3.0, 4.0, 5.0, 1.5, 2.5, 3.5, 4.5, 5.5]
HIGH = [value + 10 for value in LOW]


@pytest.mark.parametrize(
    ("ours", "theirs", "rule", "state"),
    [
        (HIGH, LOW, {}, "high"), (LOW, HIGH, {}, "low"), (HIGH, LOW, {"direction": "decrease"}, "pass"), (LOW, HIGH, {"direction": "increase"}, "pass"),
        ([value + 0.1 for value in LOW], LOW, {}, "pass"),
        # what Kayenta passes and what it fails with two values a side: the reason why ours wants more
        ([0, 1, 2, 1, 0, 0], [0, 0, 0, 0, 0, 0], {}, "pass"),
        ([10, 12], [5, 6], {}, "high"),
        # constants are told by their sign
        ([2, 2, 2], [1, 1, 1], {}, "high"), ([1, 1, 1], [2, 2], {}, "low"), ([0.0], [3.0], {}, "low"),
        # the effect must be allowed no more, inclusive
        (HIGH, LOW, {"effect": Effect(allowed_increase=4.0)}, "high"), (HIGH, LOW, {"effect": Effect(allowed_increase=5.0)}, "pass"),
        ([2.0, 2.0], [1.0], {"effect": Effect(allowed_increase=2.0)}, "high"), ([2.0, 2.0], [1.0], {"effect": Effect(allowed_increase=2.001)}, "pass"),
        (LOW, HIGH, {"effect": Effect(allowed_decrease=0.2)}, "pass"), (LOW, HIGH, {"effect": Effect(allowed_decrease=0.3)}, "low"),
        # a mean of 0 makes no ratio, and the demand is dropped
        ([1.0, 2.0, 3.0, 1.0, 2.0], [0.0] * 5, {"effect": Effect(allowed_increase=50.0)}, "high"),
        (HIGH, LOW, {"effect": Effect(CLES, allowed_increase=0.9)}, "high"), ([3.0, 4.0, 5.0] * 8, [2.0, 3.0, 4.0] * 8, {"effect": Effect(CLES, 0.9)}, "pass"),
        # a wider tolerance
        (HIGH, LOW, {"tolerance": 0.9}, "pass"),
    ],
)  # fmt: skip
def test_labels(ours: list[float], theirs: list[float], rule: dict[str, Any], state: str) -> None:
    assert classify(ours, theirs, **rule).state == state


def test_critical_effects_decide_alone() -> None:
    assert classify(HIGH, LOW, effect=Effect(critical_increase=4.0)).critical
    assert not classify(HIGH, LOW, effect=Effect(critical_increase=4.5)).critical
    assert classify(LOW, HIGH, effect=Effect(critical_decrease=0.3)).critical
    assert not classify([1.0, 2.0, 3.0, 1.0, 2.0], [0.0] * 5, effect=Effect(critical_increase=1.0)).critical  # no ratio, no critical one


@pytest.mark.parametrize(("name", "ours", "theirs", "p", "estimate", "low", "high"), VECTORS, ids=[vector[0] for vector in VECTORS])
def test_labels_follow_from_rs_interval(name: str, ours: list[float], theirs: list[float], p: float, estimate: float, low: float, high: float) -> None:
    beyond = 0.25 * abs(estimate)
    shifted = "high" if low > beyond else "low" if high < -beyond else "pass"
    mean, base_mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
    if mean and base_mean and (shifted == "high" and mean / base_mean < 1 or shifted == "low" and mean / base_mean > 1):
        shifted = "pass"  # of negative values the ratio goes the other way, by the published rule
    assert classify(ours, theirs).state == shifted


class Clock:
    def __init__(self) -> None:
        self.t = 0.0

    def now(self) -> float:
        return self.t

    def time(self) -> float:
        return 1_700_000_000.0 + self.t

    def sleep(self, seconds: float) -> None:
        self.t += seconds


def run(shifts: dict[str, float], *, duration: float = 300.0, late: float = 0.0, **options: Any) -> BakeResult:
    """A bake of one metric each, whose canary lies so much above stable; from ``late`` seconds on."""
    listed = [{"name": name, "query": name, "group": name, "judge": {"kayenta": {"points": 12, **options}}, "direction": "either"} for name in shifts]
    metrics = build.metrics({"metrics": listed})
    clock = Clock()

    def measure(metric: Any, window: Window) -> Series:
        noise = (clock.t * 7) % 13 / 13 + (0.03 if window.track == "canary" else 0.0)
        above = shifts[metric.name] if window.track == "canary" and clock.t >= late else 0.0
        return Series((Sample((Point(clock.time(), 10 + noise + above),)),))

    return bake(tuple(metrics), Ports(measure, clock, judges=build.judges(metrics, {})), duration=duration)


def test_a_bake_whose_metrics_are_alike_passes_with_its_score() -> None:
    result = run({"a": 0.0, "b": 0.0})
    assert result.phase is Phase.SUCCESSFUL
    assert result.looks[-1].score == 100.0 and "score 100 of 100" in result.looks[-1].reason


def test_the_score_takes_it_back_at_once() -> None:
    result = run({"a": 0.0, "b": 5.0})
    assert (result.phase, result.seconds) == (Phase.FAILED, 120.0)
    assert "score 50 of 100 (95 passes, 75 fails): b high" in result.reason
    assert all(look.phase is Phase.RUNNING for look in result.looks[:-1])


def test_between_pass_and_marginal_only_the_last_score_counts() -> None:
    four = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 5.0}
    assert run(four, marginal=70.0).phase is Phase.INCONCLUSIVE
    late = run(four, marginal=70.0, late=130.0, duration=600.0)
    assert late.phase is Phase.INCONCLUSIVE and any(look.phase is Phase.SUCCESSFUL for look in late.looks)
    assert run(four, marginal=75.0).phase is Phase.FAILED, "the border is a failure"


def test_too_short_a_bake_never_passes() -> None:
    result = run({"a": 0.0}, duration=60.0)
    assert result.phase is Phase.INCONCLUSIVE and "6 of 12 values" in result.reason
