# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the judge kayenta that need no library: cleaning, outliers, labels without a test, scores."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.judges.kayenta_classify import NODATA, NODATA_FAIL, PASS, classify
from ansible_collections.progressive.delivery.plugins.module_utils.judges.kayenta_prepare import clean, quantile, without_outliers
from ansible_collections.progressive.delivery.plugins.module_utils.judges.kayenta_score import Scored, grade, score

NAN = math.nan


def test_values_that_are_no_number() -> None:
    assert clean([1.0, NAN, 2.0], "remove") == [1.0, 2.0]
    assert clean([1.0, NAN, 2.0], "replace") == [1.0, 0.0, 2.0]
    assert clean([NAN], "remove") == [] and clean([], "replace") == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_quantiles_as_type_seven(values: list[float]) -> None:
    ordered = sorted(values)
    assert [quantile(ordered, part / 4) for part in (1, 2, 3)] == pytest.approx(statistics.quantiles(ordered, n=4, method="inclusive"), abs=1e-6)
    assert (quantile(ordered, 0.0), quantile(ordered, 1.0)) == (ordered[0], ordered[-1])


def test_outliers_lie_beyond_both_fences() -> None:
    """The wider one counts: in few values the 99th percentile is close to the largest, which is an outlier all the same."""
    assert without_outliers([1, 2, 3, 4, 100], 3.0) == [1, 2, 3, 4]
    assert without_outliers([1, 2, 3, 4, 9], 3.0) == [1, 2, 3, 4, 9]
    many = [float(value) for value in range(200)] + [10_000.0, -10_000.0]
    assert without_outliers(many, 3.0) == many[:200]
    assert without_outliers([5.0] * 50 + [6.0], 3.0) == [5.0] * 50
    assert without_outliers([5.0] * 10 + [6.0] * 5, 3.0) == [5.0] * 10 + [6.0] * 5
    assert without_outliers([], 3.0) == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(1.0, 10.0))
def test_what_is_left_is_part_of_what_was_there(values: list[float], factor: float) -> None:
    kept = without_outliers(values, factor)
    assert kept and all(value in values for value in kept)
    assert kept == [value for value in values if min(kept) <= value <= max(kept)]


def test_labels_that_need_no_test() -> None:
    assert classify([], [1.0]).state == NODATA and classify([1.0], []).state == NODATA
    assert classify([], [1.0], must_have_data=True).state == NODATA_FAIL
    assert classify([], [1.0], must_have_data=True, replaced=True).state == PASS
    assert classify([3.0, 1.0, 2.0], [1.0, 2.0, 3.0]).state == PASS
    assert classify([5.0] * 3, [5.0] * 7).state == PASS


def item(name: str, state: str, **more: object) -> Scored:
    return Scored(name, state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metrics", "value"),
    [
        ([item("a", "pass"), item("b", "pass")], 100.0),
        ([item("a", "pass"), item("b", "high")], 50.0),
        ([item("a", "pass"), item("b", "low"), item("c", "pass")], 66.67),
        ([item("a", "pass"), item("b", "nodata"), item("c", "pass")], 100.0),
        ([item("a", "pass"), item("b", "nodata_fail"), item("c", "pass")], 66.67),
        ([item("a", "pass"), item("b", "error")], 50.0),
        # two groups share evenly; a weight of its own leaves the rest to the others
        ([item("a", "pass", group="x"), item("b", "high", group="y"), item("c", "pass", group="y")], 75.0),
        ([item("a", "pass", group="x", weight=80.0), item("b", "high", group="y")], 80.0),
        ([item("a", "high", group="x", weight=80.0), item("b", "pass", group="y"), item("c", "pass", group="z")], 20.0),
        # a group with nothing but no data counts in full
        ([item("a", "pass", group="x"), item("b", "high", group="x"), item("c", "nodata", group="y")], 75.0),
        # half of them without data, or one that decides alone
        ([item("a", "pass"), item("b", "nodata")], 0.0),
        ([item("a", "nodata"), item("b", "nodata")], 0.0),
        ([], 0.0),
        ([item("a", "pass"), item("b", "high", decides=True)], 0.0),
        ([item("a", "pass"), item("b", "pass"), item("c", "nodata", decides=True)], 0.0),
        ([item("a", "pass", decides=True), item("b", "pass")], 100.0),
        # muted ones are not there
        ([item("a", "pass"), item("b", "high", muted=True, decides=True)], 100.0),
        ([item("a", "pass"), item("b", "nodata", muted=True), item("c", "nodata", muted=True)], 100.0),
    ],
)
def test_scores(metrics: list[Scored], value: float) -> None:
    assert score(metrics).value == value


@given(st.lists(st.tuples(st.sampled_from(["pass", "high", "low", "nodata", "nodata_fail"]), st.sampled_from("xyz")), max_size=12))
def test_a_score_is_between_nothing_and_all(drawn: list[tuple[str, str]]) -> None:
    found = score([item(str(index), state, group=group) for index, (state, group) in enumerate(drawn)])
    assert 0.0 <= found.value <= 100.0
    assert found.value < 100.0 or all(state in ("pass", "nodata") for state, _group in drawn)


def test_borders_belong_to_the_better_class() -> None:
    assert [grade(value, 95, 75) for value in (95, 94.99, 75, 74.99)] == ["pass", "marginal", "marginal", "fail"]
