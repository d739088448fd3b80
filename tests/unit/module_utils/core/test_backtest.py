# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What regressions make of answers, and what many replays say together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.backtest import Caught, Rate, Regression, Replayed, false_alarms, smallest, table
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Point, Sample, Series


@pytest.mark.parametrize(("text", "value", "falls", "share", "worse"), [
    ("x2", 0.1, False, True, 0.2), ("+0.05", 0.1, False, True, 0.15), ("x20", 0.1, False, True, 1.0), ("+1", 0.5, False, True, 1.0),
    ("x2", 0.9, True, True, 0.8), ("+0.05", 0.9, True, True, 0.85), ("x1.5", 100.0, False, False, 150.0), ("+20", 100.0, False, False, 120.0),
    ("x2", 100.0, True, False, 50.0), ("+20", 100.0, True, False, 80.0), ("x2", 0.0, False, True, 0.0), ("+8", math.inf, False, False, math.inf),
])  # fmt: skip
def test_what_a_regression_makes_worse(text: str, value: float, falls: bool, share: bool, worse: float) -> None:
    assert Regression.parse(text).on(value, falls, share) == pytest.approx(worse)


@pytest.mark.parametrize("text", ["", "2", "x", "x1", "x0.9", "+0", "+-1", "-1", "x1e3", "xnan", "x2 and more", "x٢"])
def test_what_is_no_regression(text: str) -> None:
    with pytest.raises(ConfigError, match="is no regression"):
        Regression.parse(text)


@given(st.floats(0, 1), st.floats(1.001, 100), st.booleans())
def test_a_share_stays_one_and_never_gets_better(value: float, factor: float, falls: bool) -> None:
    for each in (Regression("", factor=factor), Regression("", add=factor / 100)):
        worse = each.on(value, falls, True)
        assert 0 <= worse <= 1 and (worse <= value + 1e-12 if falls else worse >= value - 1e-12)


def test_every_value_of_an_answer_gets_worse_and_counts_stay() -> None:
    metric = Metric.from_options({"name": "m", "builtin": "error_rate", "failure_condition": "result > 1"}, "m")
    series = Series((Sample((Point(1, 0.1, 50), Point(2, 0.2, 60))), Sample((Point(1, 0.3, 70),))), "some stores", "q")
    worse = Regression.parse("x2").into(series, metric, True)
    assert [[(point.value, point.n) for point in sample.points] for sample in worse.samples] == [[(0.2, 50), (0.4, 60)], [(0.6, 70)]]
    assert (worse.partial, worse.query) == (series.partial, series.query)


def replay(outcome: str, seconds: float = 60.0, *failed: str) -> Replayed:
    return Replayed(0.0, outcome, seconds, "", failed)


def test_a_window_that_was_not_judged_is_neither_quiet_nor_an_alarm() -> None:
    rate = false_alarms([replay("good"), replay("alarm"), replay("undecided"), replay("no_data"), replay("error")])
    assert (rate.count, rate.of) == (1, 3)
    assert Rate(0, 0).as_dict()["rate"] is None and str(Rate(0, 0)) == "none"


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    found = Rate(1, 20).as_dict()
    assert (found["low"], found["high"]) == (pytest.approx(0.00127, abs=1e-5), pytest.approx(0.24873, abs=1e-5))
    assert Rate(0, 20).as_dict()["high"] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_only_the_metric_that_got_worse_counts_as_having_caught_it() -> None:
    replays = [replay("alarm", 120, "m"), replay("alarm", 60, "other"), replay("good"), replay("no_data"), replay("alarm", 300, "m", "other")]
    found = Caught.of("m", Regression.parse("x2"), replays, ["m"])
    assert (found.rate.count, found.rate.of, found.median, found.delays[-1]) == (2, 4, 210, 300)
    assert Caught.of("m", Regression.parse("x2"), replays, ["m", "other"]).rate.count == 3


@pytest.mark.parametrize(("counts", "expected"), [([0, 8, 10], "x2"), ([8, 3, 10], "x3"), ([10, 10, 7], None), ([0, 0, 0], None), ([8, 9, 10], "x1.5")])
def test_the_smallest_is_the_one_from_which_on_all_are_caught(counts: list[int], expected: str | None) -> None:
    rows = [Caught("m", Regression.parse(text), Rate(count, 10), (60.0,) * count) for text, count in zip(["x1.5", "x2", "x3"], counts)]
    found = smallest(rows, 0.8)
    assert (found.regression.text if found else None) == expected


def test_the_table_lines_up() -> None:
    rows = [Caught("errors", Regression.parse("+0.01"), Rate(3, 20), (60.0, 90.0, 600.0)), Caught("p95", Regression.parse("x1.5"), Rate(0, 20), ())]
    head, first, second = table(rows)
    assert first.split() == ["errors", "+0.01", "3", "of", "20,", "15", "%", "(3.2", "to", "37.9", "%)", "1:30", "10:00"]
    assert first.index("1:30") == head.index("median") and second.endswith("-")
