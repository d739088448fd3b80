# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What judges weigh: counts between looks, and the values of all looks."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import COUNTS, POINTS, RATES, Counts, Evidence, as_blocks, as_series
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Point, Sample, Series


def metric(**options):
    return Metric.from_options({"name": "errors", "builtin": "error_rate", "judge": "sequential", **options}, "m")


def share(bad, n):
    return Series((Sample((Point(0.0, bad / n if n else 0.0, n),)),))


def add(evidence, at, own, base, asked=None, **options):
    return evidence.add(asked or metric(), share(*own), share(*base), at, **options)


def test_a_block_is_what_came_between_two_looks() -> None:
    evidence = Evidence(COUNTS, 100.0)
    add(evidence, 110.0, (1, 10), (0, 90))
    blocks = as_blocks(*add(evidence, 120.0, (3, 25), (2, 170)))
    assert blocks == [Counts(0, 0, 0, 0), Counts(1, 10, 0, 90, 10.0), Counts(2, 15, 2, 80, 20.0)]


def test_a_counter_that_strays_back_is_counted_with_the_next_look() -> None:
    evidence = Evidence(COUNTS, 0.0)
    add(evidence, 10.0, (4, 100), (0, 100))
    assert len(as_blocks(*add(evidence, 20.0, (3, 110), (0, 200)))) == 2
    assert as_blocks(*add(evidence, 30.0, (5, 120), (1, 210)))[-1] == Counts(1, 20, 1, 110, 30.0)


def test_after_a_restart_what_was_seen_stays() -> None:
    evidence = Evidence(COUNTS, 0.0)
    assert not evidence.restart(5.0)
    add(evidence, 10.0, (4, 100), (0, 100))
    assert evidence.restart(20.0) and evidence.began == 20.0
    assert not evidence.restart(25.0)
    assert [block.requests for block in as_blocks(*add(evidence, 30.0, (1, 7), (0, 9)))] == [0, 100, 7]


def test_what_a_server_extrapolates_is_not_counted() -> None:
    assert as_blocks(*add(Evidence(COUNTS, 0.0), 60.0, (8, 400), (0, 400), seen=0.75))[-1] == Counts(6, 300, 0, 300, 60.0)


def test_of_a_share_of_good_requests_the_others_are_bad() -> None:
    good = metric(builtin="success_rate")
    assert as_blocks(*add(Evidence(COUNTS, 0.0), 10.0, (99, 100), (50, 50), good))[-1] == Counts(1, 100, 0, 50, 10.0)


@pytest.mark.parametrize(
    ("own", "kind", "words"),
    [
        (Series((Sample((Point(0.0, 0.5),)),)), COUNTS, "does not say how many requests"),
        (Series((Sample((Point(0.0, 0.5, 9),)), Sample((Point(0.0, 0.5, 9),)))), COUNTS, "2 series of the candidate"),
        (Series((Sample((Point(0.0, 1.5, 9),)),)), COUNTS, "1.5 of the candidate is not a share"),
        (Series((Sample((Point(0.0, -0.1, 9),)),)), COUNTS, "is not a share"),
        (Series((Sample((Point(0.0, float("nan"), 9),)),)), COUNTS, "is not a share"),
        (Series((Sample((Point(0.0, float("inf"), 9),)),)), RATES, "is not a rate"),
    ],
)
def test_what_is_no_count_is_an_error(own, kind, words) -> None:
    with pytest.raises(Unavailable, match=words):
        Evidence(kind, 0.0).add(metric(), own, share(0, 10), 10.0)


def test_points_of_all_looks() -> None:
    evidence = Evidence(POINTS, 0.0)
    add(evidence, 10.0, (1, 10), (0, 10))
    own, base = add(evidence, 20.0, (3, 10), (1, 10))
    assert [point.value for point in own.samples[0].points] == [0.1, 0.3]
    assert base is not None and [point.value for point in base.samples[0].points] == [0.0, 0.1]
    assert Evidence(POINTS, 0.0).add(metric(), share(1, 2), None, 10.0)[1] is None


def test_two_series_that_do_not_belong_together() -> None:
    own, base = as_series([Counts(1, 10, 0, 10, 10.0)])
    with pytest.raises(Unavailable, match="do not belong together"):
        as_blocks(own, share(0, 10))
    with pytest.raises(Unavailable, match="not between 0 and 1"):
        as_blocks(*as_series([Counts(11, 10, 0, 10, 10.0)]))
    assert base.samples[0].points[1].n == 10


def test_values_of_a_resolution_are_taken_once() -> None:
    metric = Metric.from_options({"name": "m", "query": "q", "resolution": "15s", "judge": "mann_whitney"}, "m")
    evidence = Evidence(POINTS, 0.0)

    def look(*times: float) -> Series:
        return Series((Sample(tuple(Point(at, at) for at in times)),))

    assert evidence.newest is None
    evidence.add(metric, look(60, 75, 90), look(60, 90), 100)
    assert evidence.newest == 90
    own, base = evidence.add(metric, look(90.4, 105, 120), look(75, 90, 105), 130)  # the grid may stray by a part of a second
    assert [point.time for point in own.samples[0].points] == [60, 75, 90, 105, 120]
    assert base is not None and [point.time for point in base.samples[0].points] == [60, 90, 105]
