# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The always-valid test: what it promises, by exact sums, by properties, and by seeded simulations."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import Counts, as_series
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series
from ansible_collections.progressive.delivery.plugins.module_utils.core.sequential import (
    RATIOS,
    SequentialJudge,
    always_valid_p,
    planned,
    share_bounds,
    shares,
    spend,
)  # fmt: skip

RUNS = 200


def metric(**options):
    return Metric.from_options({"name": "errors", "builtin": "error_rate", "judge": "sequential", **options}, "m")


def verdict(*blocks, asked=None, **options):
    return SequentialJudge(**options).judge(asked or metric(), *as_series([Counts(*block) for block in blocks]))


def looks(rng, count, own, base, share, base_share):
    """``count`` looks at 10 s with so many requests each."""
    return [Counts(binomial(rng, own, share), own, binomial(rng, base, base_share), base, 10.0 * (look + 1)) for look in range(count)]


def binomial(rng, n, share):
    """Bad ones of ``n`` requests, by the gaps between them: quick where bad ones are rare."""
    if share <= 0:
        return 0
    found, at = 0, -1
    while True:
        at += 1 + int(math.log(1.0 - rng.random()) / math.log1p(-share))
        if at >= n:
            return found
        found += 1


def binomials(n, share):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.9])
@pytest.mark.parametrize(("own", "base"), [(3, 12), (8, 8), (12, 2)])
@pytest.mark.parametrize("allowed", [1.0, 1.1])
def test_the_mean_of_a_likelihood_ratio_is_at_most_one(share, own, base, allowed) -> None:
    """Summed over every outcome of a block: the heart of the promise. Below the allowed ratio it only gets smaller."""
    for actual in (share * allowed, share):
        for ratio in RATIOS:
            null, other = math.log1p(own / (own + base) * (allowed - 1)), math.log1p(own / (own + base) * (allowed * ratio - 1))
            mean = sum(
                chance * base_chance * math.exp(bad * math.log(ratio) + (bad + base_bad) * (null - other))
                for bad, chance in enumerate(binomials(own, min(1.0, actual)))
                for base_bad, base_chance in enumerate(binomials(base, share))
            )
            assert mean <= 1 + 1e-9


counts = st.tuples(st.integers(0, 40), st.integers(0, 400), st.integers(0, 40), st.integers(0, 4000)).map(
    lambda drawn: Counts(min(drawn[0], drawn[1]), drawn[1], min(drawn[2], drawn[3]), drawn[3])
)


@given(st.lists(counts, min_size=1, max_size=12), st.sampled_from([1.0, 1.5, 3.0]))
def test_p_never_rises_and_is_a_chance(blocks, allowed) -> None:
    found = [always_valid_p([block for block in blocks[:end] if block.requests + block.base_requests], allowed) for end in range(len(blocks) + 1)]
    assert found[0] == 1.0 and all(0 <= later <= earlier for earlier, later in zip(found, found[1:]))


@given(st.integers(0, 200), st.integers(1, 5000), st.sampled_from([0.1, 0.025, 0.001]))
def test_bounds_hold_the_share_and_widen_with_certainty(bad, requests, alpha) -> None:
    bad = min(bad, requests)
    low, high = share_bounds(bad, requests, alpha)
    assert 0 <= low <= bad / requests <= high <= 1
    wider = share_bounds(bad, requests, alpha / 10)
    assert wider[0] <= low and high <= wider[1]


@given(st.lists(counts, min_size=1, max_size=6), st.integers(0, 20))
def test_more_bad_requests_never_make_it_better(blocks, more) -> None:
    """A failed verdict stays failed, and p does not rise, when the candidate had more bad requests."""
    blocks = [block for block in blocks if block.requests and block.base_requests]
    worse = [Counts(min(block.bad + more, block.requests), block.requests, block.base_bad, block.base_requests) for block in blocks]
    assert always_valid_p(worse) <= 1.0
    for ours, theirs in zip(blocks, worse):
        assert share_bounds(ours.bad, ours.requests, 0.05)[1] <= share_bounds(theirs.bad, theirs.requests, 0.05)[1] + 1e-9


@given(st.floats(1e-6, 0.2), st.integers(1, 40), st.integers(0, 300))
def test_no_number_of_bakes_spends_more_than_there_is(alpha, bakes, repeats) -> None:
    assert sum(spend(alpha, bake, bakes) for bake in range(1, bakes + repeats + 1)) <= alpha * (1 + 1e-9)
    assert spend(alpha, 1, bakes) >= 0.9 * alpha / bakes * (1 - 1e-9)


def test_the_budget_is_shared_by_those_that_decide() -> None:
    names = [metric(name="a"), metric(name="b"), metric(name="c", dry_run=True), Metric.from_options({"name": "d", "query": "q", "max_ratio": 2}, "m")]
    assert shares(names, 0.01) == {"a": 0.005, "b": 0.005}
    mine = metric(name="mine", judge={"sequential": {"alpha": 0.008}})
    assert shares([mine, *names], 0.01) == pytest.approx({"mine": 0.008, "a": 0.001, "b": 0.001})
    for asked in ([mine, metric(name="more", judge={"sequential": {"alpha": 0.003}})], [metric(judge={"sequential": {"alpha": 0.01}}), metric(name="a")]):
        with pytest.raises(ConfigError, match="the budget of a release is 0.01"):
            shares(asked, 0.01)


def test_a_regression_is_proven_at_once() -> None:
    found = verdict((20, 400, 4, 7600, 10.0))
    assert found.phase is Phase.FAILED
    assert "errors 5 % against 0.05" in found.reason and "worse, by" in found.reason and "(n 400 and 7,600" in found.reason
    assert found.value == 0.05 and found.low is not None and found.high is not None and found.low < 0.05 < found.high
    assert found.p is not None and found.p < 1e-6


def test_too_little_waits_and_says_how_much_more() -> None:
    found = verdict((0, 50, 0, 950, 10.0))
    assert found.phase is Phase.RUNNING
    assert "needs " in found.reason and "more requests, about " in found.reason and "at this rate" in found.reason


def test_evidence_makes_it_pass() -> None:
    found = verdict((2, 5000, 4000, 95000, 100.0))
    assert found.phase is Phase.SUCCESSFUL and "not worse" in found.reason
    planned_for = verdict((10, 2400, 10, 2400, 100.0))
    assert planned_for.phase is Phase.RUNNING
    assert verdict((10, 4000, 10, 4000, 100.0)).phase is Phase.SUCCESSFUL


def test_worse_by_less_than_matters_is_no_reason_to_go_back() -> None:
    found = verdict((13000, 1_000_000, 10000, 1_000_000, 100.0))
    assert found.phase is Phase.SUCCESSFUL and "worse, but by less than matters" in found.reason
    assert verdict((13000, 1_000_000, 10000, 1_000_000, 100.0), mde=0.001).phase is Phase.FAILED


def test_times_as_many_as_stable_may_be_allowed() -> None:
    block = (60, 1000, 30, 1000, 100.0)
    assert verdict(block, (60, 1000, 30, 1000, 200.0)).phase is Phase.FAILED
    assert verdict(block, (60, 1000, 30, 1000, 200.0), asked=metric(max_ratio=2.0)).phase is not Phase.FAILED
    assert verdict((200, 1000, 30, 1000, 100.0), asked=metric(max_ratio=2.0)).phase is Phase.FAILED


def test_a_share_of_good_requests_is_told_as_such() -> None:
    found = verdict((20, 400, 4, 7600, 10.0), asked=metric(builtin="success_rate"))
    assert found.phase is Phase.FAILED and found.value == 0.95
    assert found.low is not None and found.high is not None and found.low < 0.95 < found.high
    assert "errors 95 % against 99.9" in found.reason


def test_without_requests_on_both_sides_there_is_no_data() -> None:
    judge = SequentialJudge()
    assert judge.judge(metric(), *as_series([])).phase is Phase.PENDING
    assert verdict((0, 0, 0, 100, 10.0)).reason == "errors: no requests to the canary to compare"
    assert verdict((0, 100, 0, 0, 10.0)).reason == "errors: no requests to the stable to compare"
    one = Series((Sample((Point(0.0, 0.5, 3),)),))
    assert judge.judge(metric(), one, None).phase is Phase.PENDING
    assert judge.judge(metric(), one, Series((Sample((Point(0.0, 0.5),)),))).phase is Phase.ERROR


def test_a_part_where_one_track_has_nothing_proves_nothing() -> None:
    assert always_valid_p([Counts(30, 30, 0, 0), Counts(0, 0, 10, 10)]) == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3])
@pytest.mark.parametrize("part", [0.05, 0.5])
def test_what_is_planned(share, part) -> None:
    need = planned(share, part, 0.01, alpha=0.01, beta=0.05)
    assert need is not None
    assert planned(share, part, 0.02, alpha=0.01, beta=0.05) < need < planned(share, part, 0.01, alpha=0.001, beta=0.05)
    assert planned(share, part, 0.01, alpha=0.01, beta=0.01) > need


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"builtin": "latency"}, "latency is none"),
        ({"baseline": "before"}, "requests of the same time"),
        ({"max_delta": 0.02}, "judge: {sequential: {mde: 0.02}}"),
        ({"direction": "either"}, "one direction"),
        ({"max_ratio": 0.5}, "1 or more"),
        ({"builtin": "success_rate", "max_ratio": 2.0}, "share of bad requests"),
        ({"reduce": "max"}, "one series"),
    ],
)
def test_what_it_cannot_judge_is_refused(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        SequentialJudge.check(metric(**options), "m")


# Seeded simulations: 60 looks, 10 s apart.


@pytest.mark.parametrize(("own", "base", "share"), [(500, 500, 0.01), (50, 950, 0.001), (25, 475, 0.05)])
def test_releases_without_a_regression_are_left_alone(own, base, share) -> None:
    """At an alpha of 1 % of 200 runs 2 may fail; 7 or more have a chance below 1 in 200."""
    rng = random.Random(1)
    failed = sum(always_valid_p(looks(rng, 60, own, base, share, share)) <= 0.01 for _run in range(RUNS))
    assert failed <= 6


def test_even_when_looked_at_for_ever_with_drift_and_bursts() -> None:
    rng = random.Random(2)
    failed = 0
    for _run in range(RUNS):
        blocks = []
        for look in range(120):
            share = 0.002 * (1 + look / 20) * (30 if rng.random() < 0.03 else 1)
            own = rng.choice((5, 50, 200))
            blocks.append(Counts(binomial(rng, own, share), own, binomial(rng, 500, share), 500, 10.0 * look))
        failed += always_valid_p(blocks) <= 0.05
    assert failed <= 16


@pytest.mark.parametrize(("base_share", "share", "within"), [(0.001, 0.05, 3), (0.01, 0.05, 3), (0.001, 0.01, 60)])
def test_regressions_are_found_in_time(base_share, share, within) -> None:
    rng = random.Random(3)
    missed = sum(always_valid_p(looks(rng, within, 500, 9500, share, base_share)) > 0.01 for _run in range(RUNS))
    assert missed == 0


def test_what_it_says_it_needs_is_what_it_takes() -> None:
    """Told at the sixth look, when it had seen 60 bad requests: 20 % off at most, nine times out of ten."""
    rng = random.Random(4)
    off = []
    for _run in range(25):
        blocks = looks(rng, 200, 50, 950, 0.01, 0.01)
        judge = SequentialJudge(alpha=0.005)
        words = judge.judge(metric(), *as_series(blocks[:6])).reason
        assert "needs" in words
        said = 300 + int(words.rsplit("needs ", 1)[1].split(" ", 1)[0].replace(",", ""))
        end = next(end for end in range(60, 200, 2) if judge.judge(metric(), *as_series(blocks[:end])).phase is not Phase.RUNNING)
        off.append(50 * end / said)
    assert sum(0.8 <= each <= 1.2 for each in off) >= 0.85 * len(off)


@pytest.mark.parametrize(("base_share", "own", "base"), [(0.001, 100, 900), (0.01, 300, 2700), (0.05, 2000, 2000)])
def test_a_regression_that_matters_is_rarely_let_pass(base_share, own, base) -> None:
    """At the planned evidence, of 200 runs 10 may pass at a beta of 5 %; 18 or more have a chance below 1 in 100."""
    rng = random.Random(6)
    need = planned(base_share, own / (own + base), 0.01, alpha=0.01, beta=0.05)
    assert need is not None
    passed = 0
    for _run in range(RUNS):
        blocks = looks(rng, math.ceil(need / own), own, base, base_share + 0.01, base_share)
        total = sum(block.bad for block in blocks) / sum(block.requests for block in blocks)
        base_total = sum(block.base_bad for block in blocks) / sum(block.base_requests for block in blocks)
        passed += always_valid_p(blocks) > 0.01 and total < base_total + 0.01
    assert passed <= 17


def test_a_difference_that_cannot_be_seen_is_said() -> None:
    found = verdict((5000, 10000, 5000, 10000, 100.0), mde=0.0001)
    assert found.phase is Phase.RUNNING and "too few to be seen at this share, raise mde" in found.reason
